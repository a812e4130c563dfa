//! A run as a trace: a fold over its records that gives a span for everything that began and ended. The same records give the same spans,
//! whoever folds them and how often.

use std::collections::BTreeMap;

use crate::engine::drill_report::DrillReport;
use crate::journal::{Fact, Outcome, Record};
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, StepPath, Timestamp};

/// The key of the span of the whole run.
pub const ROOT: &str = "run";

/// So many words are kept with a span; the rest are counted.
const MOST_WORDS: usize = 128;

/// What is said of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number; of milliseconds, where its name ends so.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// Something that began and ended in a run. No argument or result of a call is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Names it within its run.
    pub key: String,
    /// The key of the span it is a part of; empty for the whole run.
    pub parent: String,
    /// For people.
    pub name: String,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What is said of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What happened meanwhile.
    pub words: Vec<(Timestamp, String)>,
    /// What happened beside that.
    pub more_words: u32,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    records: u64,
    open: BTreeMap<String, Span>,
    /// The span of the last attempt of each step.
    steps: BTreeMap<StepPath, String>,
    /// The wait for people before or in a step, and how many of them are still to come.
    waits: BTreeMap<StepPath, (String, u32)>,
    calls: BTreeMap<String, String>,
    /// The rollback or teardown that goes on.
    undoing: Option<String>,
    drill: Option<Box<DrillReport>>,
    done: Vec<Span>,
}

impl Fold {
    /// How many records were taken in.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.records > 0 && !self.open.contains_key(ROOT)
    }

    /// The spans that ended since this was last asked, in the order of their ends.
    pub fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.done)
    }

    /// Takes in the next record.
    pub fn apply(&mut self, record: &Record) {
        let (at, seq) = (record.at, self.records);
        self.records += 1;
        DrillReport::follow(&mut self.drill, record);
        match &record.fact {
            Fact::RunStarted { run, playbook, version, bundle, mode, by, drill, .. } => {
                let what = if drill.is_some() { "drill" } else { "run" };
                let text = |text: &str| Attribute::Text(text.to_owned());
                let attributes = vec![
                    ("muster.run", text(run.as_str())),
                    ("muster.playbook", text(playbook)),
                    ("muster.version", text(version)),
                    ("muster.bundle", text(bundle)),
                    ("muster.drill", Attribute::Flag(drill.is_some())),
                    ("muster.sandbox", Attribute::Flag(*mode == Mode::Sandbox)),
                    ("muster.started_by", text(&by.name)),
                ];
                self.begin(ROOT.to_owned(), "", format!("{what} {playbook}"), at, attributes);
            }
            Fact::Held { holder } => self.word(ROOT, at, format!("carried on by {holder}")),
            Fact::StepStarted { step, attempt, .. } => self.begin_step(step, *attempt, seq, at),
            Fact::StepRetried { step, .. } => self.end_step(step, at, Some("failed, and is tried again".to_owned())),
            Fact::StepFailed { step, error, .. } => self.end_step(step, at, Some(error.message.clone())),
            Fact::StepSucceeded { step, .. } | Fact::StepSkipped { step, .. } | Fact::StepDone { step, .. } => {
                self.end_step(step, at, None);
            }
            Fact::ApprovalAsked { step, count, .. } => self.wait_for(step, *count, "approval of", seq, at),
            Fact::ManualAsked { step, .. } => self.wait_for(step, u32::MAX, "by hand:", seq, at),
            Fact::Approved { step, .. } => {
                if let Some((_, left)) = self.waits.get_mut(step) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        self.end_wait(step, at);
                    }
                }
            }
            Fact::ApprovalWaived { step, .. } => self.end_wait(step, at),
            Fact::Intent { call, op, undoes, .. } => {
                let undoing = self.undoing.clone().filter(|_| undoes.is_some() || call.phase == Phase::Rollback);
                self.begin_call(call, op, undoing, seq, at, true);
            }
            Fact::WaitBegun { call, op, .. } => self.begin_call(call, op, None, seq, at, false),
            // When it was sent is not recorded of a call without an effect.
            Fact::Called { call, op, outcome, .. } => {
                let key = self.place_of(&call.step);
                let failed = matches!(outcome, Outcome::Error { .. });
                self.word(&key, at, if failed { format!("{op} failed") } else { op.clone() });
            }
            Fact::Resent { call, .. } => {
                if let Some(key) = self.calls.get(&call.to_string()).cloned() {
                    self.word(&key, at, "sent again".to_owned());
                }
            }
            Fact::Ended { call, outcome } => {
                if let Some(key) = self.calls.remove(&call.to_string()) {
                    let error = match outcome {
                        Outcome::Done { .. } => None,
                        Outcome::Error { error } => Some(error.message.clone()),
                    };
                    self.end(&key, at, error);
                }
            }
            Fact::NoReturn { step } => {
                let key = self.place_of(step);
                self.word(&key, at, "point of no return".to_owned());
            }
            Fact::Paused { .. } => self.word(ROOT, at, "paused".to_owned()),
            Fact::Resumed { by } => self.word(ROOT, at, format!("resumed by {}", by.name)),
            Fact::Cancelling { by, .. } => self.word(ROOT, at, format!("cancelled by {}", by.name)),
            Fact::RollbackBegun { .. } => self.begin_undoing("rollback", seq, at),
            Fact::TeardownBegun { .. } => self.begin_undoing("teardown", seq, at),
            Fact::RollbackFailed { error, .. } => {
                if let Some(span) = self.undoing.as_ref().and_then(|key| self.open.get_mut(key)) {
                    span.error = Some(error.message.clone());
                }
            }
            Fact::RollbackEnded { .. } => {
                if let Some(key) = self.undoing.take() {
                    self.end(&key, at, None);
                }
            }
            Fact::Finished { status, remarks, .. } => self.finish(*status, remarks, at),
            _ => {}
        }
    }

    fn begin(
        &mut self,
        key: String,
        parent: &str,
        name: String,
        at: Timestamp,
        attributes: Vec<(&'static str, Attribute)>,
    ) {
        let parent = parent.to_owned();
        let span = Span {
            key: key.clone(),
            parent,
            name,
            begun: at,
            ended: at,
            error: None,
            attributes,
            words: Vec::new(),
            more_words: 0,
        };
        self.open.insert(key, span);
    }

    fn end(&mut self, key: &str, at: Timestamp, error: Option<String>) {
        if let Some(mut span) = self.open.remove(key) {
            span.ended = at;
            span.error = error.or(span.error);
            self.done.push(span);
        }
    }

    fn word(&mut self, key: &str, at: Timestamp, word: String) {
        if let Some(span) = self.open.get_mut(key) {
            if span.words.len() < MOST_WORDS {
                span.words.push((at, word));
            } else {
                span.more_words += 1;
            }
        }
    }

    /// The span that what a step does is a part of.
    fn place_of(&self, step: &StepPath) -> String {
        let whole = || self.steps.get(&StepPath::of(step.step()));
        let open = self.steps.get(step).or_else(whole).filter(|key| self.open.contains_key(*key));
        open.cloned().unwrap_or_else(|| ROOT.to_owned())
    }

    fn begin_step(&mut self, step: &StepPath, attempt: u32, seq: u64, at: Timestamp) {
        self.end_step(step, at, None);
        let key = format!("step/{step}@{seq}");
        let parent = if step.key().is_some() { self.place_of(&StepPath::of(step.step())) } else { ROOT.to_owned() };
        let attributes = vec![
            ("muster.step", Attribute::Text(step.to_string())),
            ("muster.attempt", Attribute::Number(i64::from(attempt))),
        ];
        self.begin(key.clone(), &parent, step.to_string(), at, attributes);
        self.steps.insert(step.clone(), key);
    }

    fn end_step(&mut self, step: &StepPath, at: Timestamp, error: Option<String>) {
        self.end_wait(step, at);
        if let Some(key) = self.steps.remove(step) {
            self.end(&key, at, error);
        }
    }

    fn wait_for(&mut self, step: &StepPath, count: u32, what: &str, seq: u64, at: Timestamp) {
        self.end_wait(step, at);
        let key = format!("wait/{step}@{seq}");
        let place = self.place_of(step);
        let attributes = vec![("muster.step", Attribute::Text(step.to_string()))];
        self.begin(key.clone(), &place, format!("{what} {step}"), at, attributes);
        self.waits.insert(step.clone(), (key, count));
    }

    fn end_wait(&mut self, step: &StepPath, at: Timestamp) {
        if let Some((key, _)) = self.waits.remove(step) {
            self.end(&key, at, None);
        }
    }

    fn begin_call(&mut self, call: &CallId, op: &str, undoing: Option<String>, seq: u64, at: Timestamp, writes: bool) {
        let key = format!("call/{call}@{seq}");
        let parent = undoing.unwrap_or_else(|| self.place_of(&call.step));
        let attributes = vec![
            ("muster.step", Attribute::Text(call.step.to_string())),
            ("muster.operation", Attribute::Text(op.to_owned())),
            ("muster.effect", Attribute::Flag(writes)),
        ];
        self.begin(key.clone(), &parent, op.to_owned(), at, attributes);
        self.calls.insert(call.to_string(), key);
    }

    fn begin_undoing(&mut self, what: &str, seq: u64, at: Timestamp) {
        if let Some(key) = self.undoing.take() {
            self.end(&key, at, None);
        }
        let key = format!("{what}@{seq}");
        self.begin(key.clone(), ROOT, what.to_owned(), at, Vec::new());
        self.undoing = Some(key);
    }

    fn finish(&mut self, status: RunStatus, remarks: &[String], at: Timestamp) {
        let left: Vec<String> = self.open.keys().filter(|key| *key != ROOT).cloned().collect();
        for key in left {
            self.end(&key, at, None);
        }
        if let Some(span) = self.open.get_mut(ROOT) {
            // As in the API.
            let word = serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned));
            span.attributes.push(("muster.status", Attribute::Text(word.unwrap_or_default())));
            if let Some(drill) = &self.drill {
                let numbers = [("muster.rto_ms", drill.rto.map(|rto| rto.total_ms)), ("muster.rpo_ms", drill.rpo_ms)];
                let known = numbers.into_iter().filter_map(|(name, value)| Some((name, Attribute::Number(value?))));
                span.attributes.extend(known);
                span.attributes.push(("muster.green", Attribute::Flag(drill.green)));
            }
        }
        let fine = matches!(status, RunStatus::Succeeded | RunStatus::SucceededWithExceptions);
        let why = || match remarks.first() {
            Some(remark) => format!("{}: {remark}", status.as_str()),
            None => status.as_str().to_owned(),
        };
        self.end(ROOT, at, (!fine).then(why));
    }
}
