//! Playbooks made in code.

use std::time::Duration;

use crate::model::span::{Span, Spanned};
use crate::playbook::types::{Approval, Body, Foreach, Grant, OnFailure, Playbook, Retry, Step, Template, Verify};

fn at<T>(value: T) -> Spanned<T> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let place = NEXT.fetch_add(1, Ordering::Relaxed);
    Spanned::new(value, Span::new(0, place, place))
}

pub fn book(steps: Vec<Step>) -> Playbook {
    Playbook {
        name: at("test".to_owned()),
        version: at("1.0.0".to_owned()),
        title: String::new(),
        doc: String::new(),
        imports: Vec::new(),
        rto: None,
        rpo: None,
        params: Vec::new(),
        capabilities: vec![Grant { pattern: at("*".to_owned()), scope: Vec::new() }],
        secrets: Vec::new(),
        checks: Vec::new(),
        parallel: 8,
        steps,
        ..empty()
    }
}

fn empty() -> Playbook {
    Playbook {
        name: at(String::new()),
        version: at(String::new()),
        title: String::new(),
        doc: String::new(),
        imports: Vec::new(),
        rto: None,
        rpo: None,
        params: Vec::new(),
        capabilities: Vec::new(),
        secrets: Vec::new(),
        checks: Vec::new(),
        parallel: 8,
        steps: Vec::new(),
        drill: None,
        places: Default::default(),
    }
}

pub fn step(id: &str, needs: &[&str], script: &str) -> Step {
    Step {
        id: at(id.to_owned()),
        title: String::new(),
        needs: needs.iter().map(|need| at((*need).to_owned())).collect(),
        body: Body::Script(at(script.to_owned())),
        when: None,
        foreach: None,
        retry: None,
        timeout: None,
        verify: None,
        rollback: None,
        approval: None,
        on_failure: OnFailure::Pause,
        point_of_no_return: None,
        span: Span::default(),
    }
}

/// An effect of the toy world: sets a name to a value, and is undone by putting back what was there.
pub fn set(name: &str, value: &str) -> String {
    format!("host::fs::write_text(#{{ path: \"/{name}\", text: \"{value}\", replace: true }});")
}

impl Step {
    pub fn when(mut self, expr: &str) -> Self {
        self.when = Some(at(expr.to_owned()));
        self
    }

    pub fn foreach(mut self, items: &str, parallel: Option<u32>) -> Self {
        self.foreach = Some(Foreach { items: Template::Expr(at(items.to_owned())), key: None, parallel });
        self
    }

    pub fn retry(mut self, attempts: u32) -> Self {
        let delay = Duration::from_secs(10);
        self.retry = Some(Retry { attempts, delay, backoff: 2.0, max_delay: delay * 10, jitter: 0.5 });
        self
    }

    pub fn verify(mut self, check: &str) -> Self {
        let (within, every) = (Duration::from_secs(30), Duration::from_secs(5));
        self.verify = Some(Verify { check: at(check.to_owned()), within, every });
        self
    }

    pub fn rollback(mut self, script: &str) -> Self {
        self.rollback = Some(at(script.to_owned()));
        self
    }

    pub fn approval(mut self, by: &[&str], count: u32) -> Self {
        self.approval =
            Some(Approval { by: by.iter().map(|name| (*name).to_owned()).collect(), count, valid_for: None });
        self
    }

    /// Its approvals count for so many seconds.
    pub fn valid_for(mut self, seconds: u64) -> Self {
        let valid_for = Some(Duration::from_secs(seconds));
        self.approval = self.approval.map(|approval| Approval { valid_for, ..approval });
        self
    }

    pub fn manual(mut self, instructions: &str) -> Self {
        let instructions = Template::Plain(at(instructions.into()));
        self.body = Body::Manual { instructions, evidence: None };
        self
    }

    pub fn on_failure(mut self, what: OnFailure) -> Self {
        self.on_failure = what;
        self
    }

    pub fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Some(Duration::from_secs(seconds));
        self
    }

    pub fn no_return(mut self) -> Self {
        self.point_of_no_return = Some(at("it is gone then".to_owned()));
        self
    }
}
