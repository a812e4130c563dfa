//! What a drill has come to: a fold over its records. Everything that tells of a drill (the command line, reports, pages) reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::drill::{millis, missed};
use crate::journal::{Fact, Pause, Record};
use crate::model::drill::{DrillPin, Leak};
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, RunId, StepPath, Timestamp, Value};

/// The time from the declared start to the proof of the recovery, in milliseconds. The parts add up to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rto {
    /// The whole.
    pub total_ms: i64,
    /// From the declared start to the start of the run.
    pub detect_ms: i64,
    /// Nothing was done but waiting for people.
    pub decide_ms: i64,
    /// The machine was at work.
    pub machine_ms: i64,
    /// Nothing was done but asking whether a step did what it should.
    pub verify_ms: i64,
}

/// How a step stands, as far as time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Work,
    Verify,
    /// Waits for people, who have given so many of the approvals it needs.
    People(u32),
}

/// What is going on at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Machine,
    Decide,
    Verify,
}

/// What is going on, by the records so far.
#[derive(Clone, Debug, Default)]
struct Going {
    steps: BTreeMap<StepPath, Doing>,
    /// Steps that a pause holds back.
    held: BTreeSet<StepPath>,
    /// A pause holds back the whole run.
    stopped: bool,
    questions: BTreeMap<CallId, StepPath>,
}

impl Going {
    fn phase(&self) -> Phase {
        let people = |step: &StepPath| self.held.contains(step) || self.questions.values().any(|of| of == step);
        let any = |doing: Doing| self.steps.iter().any(|(step, now)| *now == doing && !people(step));
        let waits = !self.held.is_empty()
            || !self.questions.is_empty()
            || self.steps.values().any(|doing| matches!(doing, Doing::People(_)));
        if self.stopped {
            Phase::Decide
        } else if any(Doing::Work) {
            Phase::Machine
        } else if any(Doing::Verify) {
            Phase::Verify
        } else if waits {
            Phase::Decide
        } else {
            Phase::Machine
        }
    }

    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::StepStarted { step, .. } | Fact::StepRetried { step, .. } => {
                self.held.remove(step);
                self.steps.insert(step.clone(), Doing::Work);
            }
            Fact::Verifying { step, .. } => drop(self.steps.insert(step.clone(), Doing::Verify)),
            Fact::StepSucceeded { step, .. }
            | Fact::StepSkipped { step, .. }
            | Fact::StepDone { step, .. }
            | Fact::StepFailed { step, .. } => {
                self.held.remove(step);
                self.steps.remove(step);
            }
            Fact::ApprovalAsked { step, count, .. } => {
                self.steps.insert(step.clone(), Doing::People(*count));
            }
            Fact::ManualAsked { step, .. } => drop(self.steps.insert(step.clone(), Doing::People(u32::MAX))),
            Fact::Approved { step, .. } => {
                if let Some(doing) = self.steps.get_mut(step)
                    && let Doing::People(left) = *doing
                {
                    *doing = if left <= 1 { Doing::Work } else { Doing::People(left - 1) };
                }
            }
            Fact::WaitBegun { call, op, .. } if op.starts_with("ask.") => {
                self.questions.insert(call.clone(), call.step.clone());
            }
            Fact::Ended { call, .. } => {
                self.questions.remove(call);
                self.held.remove(&call.step);
            }
            Fact::Resent { call, .. } => drop(self.held.remove(&call.step)),
            Fact::Paused { pause: Pause::Target { .. } | Pause::RolledBackTo { .. } } => {
                self.stopped = true;
            }
            Fact::Paused { pause } => self.held.extend(pause.holds().cloned()),
            Fact::SecretAccepted { .. } | Fact::Resumed { .. } => {
                self.held.clear();
                self.stopped = false;
            }
            _ => {}
        }
    }
}

/// The teardown of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TeardownReport {
    /// Why.
    pub why: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, in milliseconds; nothing while it goes on.
    pub took_ms: Option<i64>,
}

/// What a drill has come to.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// The run.
    pub run: RunId,
    /// Its playbook, with version and the digest of its bundle.
    pub playbook: String,
    /// See above.
    pub version: String,
    /// See above.
    pub bundle: String,
    /// Live or in the sandbox.
    pub mode: Mode,
    /// Who began it.
    pub by: String,
    /// From when the recovery is reckoned.
    pub declared_at: Timestamp,
    /// When the run began.
    pub started: Timestamp,
    /// When the recovery was proved.
    pub proven: Option<Timestamp>,
    /// When the run ended.
    pub ended: Option<Timestamp>,
    /// How long the recovery took; nothing unless it was proved.
    pub rto: Option<Rto>,
    /// The objective, in milliseconds.
    pub rto_objective_ms: Option<u64>,
    /// When the newest of the recovered data were written.
    pub newest: Option<Timestamp>,
    /// How much was lost, in milliseconds; negative when the newest data are from after the declared start.
    pub rpo_ms: Option<i64>,
    /// The objective, in milliseconds.
    pub rpo_objective_ms: Option<u64>,
    /// Objectives that were missed or could not be measured, in words.
    pub missed: Vec<String>,
    /// Whatever else the playbook measured.
    pub values: BTreeMap<String, Value>,
    /// What could not be measured, and why.
    pub faults: BTreeMap<String, String>,
    /// Steps that the drill left out.
    pub skipped: Vec<String>,
    /// Steps whose approval it did not need.
    pub waived: Vec<String>,
    /// Its teardown.
    pub teardown: Option<TeardownReport>,
    /// How many things were looked for after it; nothing unless they were.
    pub swept: Option<u32>,
    /// What it left.
    pub leaks: Vec<Leak>,
    /// What was asked after it for everything that carries its mark.
    pub asked: Vec<String>,
    /// What could not be asked, and why.
    pub unasked: BTreeMap<String, String>,
    /// How it ended.
    pub status: Option<RunStatus>,
    /// The recovery was proved in time, and nothing is left.
    pub green: bool,
    #[serde(skip)]
    going: Going,
    #[serde(skip)]
    pin: DrillPin,
    #[serde(skip)]
    last: Timestamp,
    /// What was going on, up to each record.
    #[serde(skip)]
    spans: Vec<(Timestamp, Timestamp, Phase)>,
}

impl DrillReport {
    /// The report of these records; nothing when they are not those of a drill.
    #[must_use]
    pub fn fold(records: &[Record]) -> Option<Self> {
        let mut report = None;
        records.iter().for_each(|record| Self::follow(&mut report, record));
        report.map(|report| *report)
    }

    /// Takes one record in: the first begins the report, if the run is a drill.
    pub fn follow(report: &mut Option<Box<Self>>, record: &Record) {
        if let Fact::RunStarted { run, playbook, version, bundle, mode, by, drill: Some(pin), .. } = &record.fact {
            *report = Some(Box::new(Self {
                run: run.clone(),
                playbook: playbook.clone(),
                version: version.clone(),
                bundle: bundle.clone(),
                mode: *mode,
                by: by.name.clone(),
                declared_at: pin.declared_at,
                started: record.at,
                proven: None,
                ended: None,
                rto: None,
                rto_objective_ms: pin.rto_ms,
                newest: None,
                rpo_ms: None,
                rpo_objective_ms: pin.rpo_ms,
                missed: Vec::new(),
                values: BTreeMap::new(),
                faults: BTreeMap::new(),
                skipped: Vec::new(),
                waived: Vec::new(),
                teardown: None,
                swept: None,
                leaks: Vec::new(),
                asked: Vec::new(),
                unasked: BTreeMap::new(),
                status: None,
                green: false,
                going: Going::default(),
                pin: pin.as_ref().clone(),
                last: record.at,
                spans: Vec::new(),
            }));
        } else if let Some(report) = report {
            report.apply(record);
        }
    }

    fn apply(&mut self, record: &Record) {
        let at = record.at;
        if self.teardown.is_none() {
            let phase = self.going.phase();
            match self.spans.last_mut() {
                Some((_, until, last)) if *last == phase => *until = at,
                _ => self.spans.push((self.last, at, phase)),
            }
            self.going.apply(&record.fact);
        }
        self.last = at;
        match &record.fact {
            Fact::StepSkipped { step, by: None, .. } if self.pin.skip.iter().any(|skip| skip == step.step()) => {
                self.skipped.push(step.to_string());
            }
            Fact::ApprovalWaived { step, .. } => self.waived.push(step.to_string()),
            Fact::DrillMeasured { proven, newest, rpo_ms, values, faults } => {
                (self.proven, self.newest, self.rpo_ms) = (Some(*proven), *newest, *rpo_ms);
                (self.values, self.faults) = (values.clone(), faults.clone());
                self.rto = Some(self.rto_until(*proven));
                self.missed = missed("RTO", self.rto.map(|rto| rto.total_ms), self.pin.rto_ms);
                self.missed.extend(missed("RPO", *rpo_ms, self.pin.rpo_ms));
                let faults = faults.iter().map(|(name, why)| format!("`{name}` could not be measured: {why}"));
                self.missed.extend(faults);
            }
            Fact::TeardownBegun { teardown } => {
                self.teardown = Some(TeardownReport { why: teardown.reason(), began: at, took_ms: None });
            }
            Fact::RollbackBegun { to: None, only: None, reason, .. } if self.teardown.is_none() => {
                self.teardown = Some(TeardownReport { why: reason.clone(), began: at, took_ms: None });
            }
            Fact::DrillSwept { looked, leaks, asked, unasked } => {
                (self.swept, self.leaks) = (Some(*looked), leaks.clone());
                (self.asked, self.unasked) = (asked.clone(), unasked.clone());
            }
            Fact::Finished { status, .. } => {
                (self.status, self.ended) = (Some(*status), Some(at));
                if let Some(teardown) = &mut self.teardown {
                    teardown.took_ms = Some(millis(teardown.began, at));
                }
                self.green = *status == RunStatus::Succeeded
                    && self.proven.is_some()
                    && self.missed.is_empty()
                    && self.leaks.is_empty();
            }
            _ => {}
        }
    }

    fn rto_until(&self, proven: Timestamp) -> Rto {
        let (mut decide_ms, mut verify_ms) = (0, 0);
        for (from, until, phase) in &self.spans {
            let span = millis(*from, (*until).min(proven)).max(0);
            match phase {
                Phase::Decide => decide_ms += span,
                Phase::Verify => verify_ms += span,
                Phase::Machine => {}
            }
        }
        let total_ms = millis(self.declared_at, proven);
        let detect_ms = millis(self.declared_at, self.started);
        Rto { total_ms, detect_ms, decide_ms, verify_ms, machine_ms: total_ms - detect_ms - decide_ms - verify_ms }
    }
}
