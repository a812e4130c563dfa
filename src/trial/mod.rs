//! A playbook's own tests: read, run on the same engine in a world in memory and in virtual time, and judged.

mod answers;
mod faults;
mod ground;
mod judge;
mod rig;
mod world_facts;

use std::sync::Arc;

pub use answers::yes;
pub use judge::{Mismatch, Verdict};

use crate::journal::Record;
use crate::model::command::Order;
use crate::model::span::{Source, Spanned};
use crate::ops;
use crate::playbook::bundle::{self, Bundle, BundleError};
use crate::playbook::diagnostic::{Collector, Diagnostic, has_errors};
use crate::playbook::trial::{Answers, How, Trial};
use crate::playbook::{load_trial, yaml};
use crate::sandbox::Modelled;
use crate::script::Program;

/// The tests of one playbook.
pub struct Suite {
    /// How the playbook was named.
    pub playbook: String,
    /// The playbook.
    pub bundle: Bundle,
    /// Its tests, file by file, each with the number of its file among the sources.
    pub tests: Vec<(u16, Trial)>,
    /// The files, into which spans of tests point.
    pub sources: Vec<Source>,
    program: Arc<Program>,
    models: Modelled,
}

/// Why there are no tests to run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// There is no such playbook, or a file cannot be read.
    #[error(transparent)]
    Playbook(BundleError),
    /// The playbook or a file of tests does not stand up to the checks.
    #[error("the playbook or its tests are not valid")]
    Invalid {
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
        /// Where.
        sources: Vec<Source>,
    },
    /// The playbook does not compile.
    #[error(transparent)]
    Script(#[from] crate::script::ScriptError),
}

impl Suite {
    /// Reads a playbook's tests. None are no error.
    ///
    /// # Errors
    /// When there is no such playbook, or it or its tests are not valid: then with everything that is wrong.
    pub fn load(playbook: &str) -> Result<Self, SuiteError> {
        let bundle = Bundle::load(playbook).map_err(|error| match crate::lint::explain(error) {
            Ok((diagnostics, sources)) => SuiteError::Invalid { diagnostics, sources },
            Err(other) => SuiteError::Playbook(other),
        })?;
        let found = crate::lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
        if has_errors(&found) {
            return Err(SuiteError::Invalid { diagnostics: found, sources: bundle.sources });
        }
        let mut collector = Collector::default();
        let (mut sources, mut tests) = (Vec::new(), Vec::new());
        for (name, bytes) in bundle::tests(playbook).map_err(SuiteError::Playbook)? {
            let number = u16::try_from(sources.len()).unwrap_or(u16::MAX);
            let text: Arc<str> = String::from_utf8_lossy(&bytes).into();
            sources.push(Source { name, text: Arc::clone(&text) });
            let Some(tree) = yaml::parse(&bytes, number, &mut collector) else { continue };
            for trial in load_trial::read(&tree, &text, &mut collector) {
                check(&trial, &bundle, &mut collector);
                tests.push((number, trial));
            }
        }
        let diagnostics = collector.finish();
        if has_errors(&diagnostics) {
            return Err(SuiteError::Invalid { diagnostics, sources });
        }
        let program = Arc::new(Program::compile(bundle.playbook.clone(), bundle.digest.clone(), &bundle.modules)?);
        let models = crate::script::models::compile(&bundle.models)?;
        Ok(Self { playbook: playbook.to_owned(), bundle, tests, sources, program, models })
    }

    /// Runs one of the tests. `exit` says what `muster run` would exit with after these records.
    #[must_use]
    pub fn run(&self, trial: &Trial, exit: &dyn Fn(&[Record]) -> u8) -> Verdict {
        let ground = match ground::prepare(&self.playbook, &self.program, &self.models, trial) {
            Ok(ground) => ground,
            Err(mismatch) => return Verdict::not_run(trial, *mismatch),
        };
        match rig::run(&self.program, &ground, trial) {
            Ok(outcome) => judge::judge(trial, &self.program, &ground, &outcome, exit),
            Err(message) => Verdict::not_run(trial, Mismatch::new(trial.name.span, "the engine", "to go on", message)),
        }
    }
}

/// What only the playbook and the table of operations tell: whether there are such steps and operations.
fn check(trial: &Trial, bundle: &Bundle, collector: &mut Collector) {
    let ids: Vec<&str> = bundle.playbook.steps.iter().map(|step| step.id.value.as_str()).collect();
    let mut step = |name: &Spanned<String>| {
        let id = name.value.split_once('[').map_or(name.value.as_str(), |(step, _)| step);
        if !ids.contains(&id) {
            let message = format!("the playbook has no step `{id}`");
            collector.push(Diagnostic::error("unknown-step", name.span, message).likely(id, ids.iter().copied()));
        }
    };
    trial.expect.steps.iter().for_each(|(name, _)| step(name));
    trial.expect.outputs.iter().for_each(|(name, _)| step(name));
    trial.faults.iter().filter_map(|fault| fault.step.as_ref()).for_each(&mut step);
    if let Answers::Steps(answers) = &trial.answers {
        answers.iter().for_each(|(name, said)| step(&Spanned::new(name.clone(), said.span)));
    }
    for order in &trial.orders {
        let of = match &order.value {
            Order::Retry { step, .. }
            | Order::Skip { step, .. }
            | Order::Done { step, .. }
            | Order::Settle { step, .. }
            | Order::Rollback { to: Some(step), .. } => step.as_str().to_owned(),
            _ => continue,
        };
        step(&Spanned::new(of, order.span));
    }
    let op = |name: &Spanned<String>, effect: bool, collector: &mut Collector| {
        let found = ops::find(&name.value);
        if found.is_none() {
            let message = format!("there is no operation `{}`", name.value);
            let known = ops::table().keys().copied();
            collector.push(Diagnostic::error("unknown-operation", name.span, message).likely(&name.value, known));
        } else if effect && !found.is_some_and(|op| op.effect.writes()) {
            let message = format!("`{}` has no effect: it can never be among these", name.value);
            collector.push(Diagnostic::error("no-effect", name.span, message));
        }
        found
    };
    for calls in [&trial.expect.effects, &trial.expect.undos].into_iter().flatten() {
        let only = calls.only.iter().flat_map(|only| &only.value);
        for call in only.chain(&calls.contains) {
            op(&call.op, true, collector);
        }
        for name in &calls.none {
            op(name, true, collector);
        }
    }
    for fault in &trial.faults {
        let Some(name) = &fault.op else { continue };
        let reads = op(name, false, collector).is_some_and(|op| !op.effect.writes());
        let wrong = match (reads, fault.how) {
            (true, How::Half | How::Lost) => "a call that only reads is neither half done nor lost",
            (true, _) if fault.step.is_some() => "calls that only read cannot be told apart by step",
            _ => continue,
        };
        collector.push(Diagnostic::error("bad-failure", fault.span, wrong));
    }
}
