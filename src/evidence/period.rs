//! What came of all runs of a period: each with its objective, the trend of each playbook, and what somebody has to look at.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::report::RunReport;
use super::words::{instant, span};
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, Timestamp};

/// The version of the report's written form.
pub const FORMAT: u32 = 1;

/// What came of a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeriodReport {
    /// [`FORMAT`].
    pub format: u32,
    /// From here on.
    pub since: Timestamp,
    /// Up to here.
    pub until: Timestamp,
    /// Only runs of this playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// The runs that were at work in the period, oldest first. Those in a sandbox are left out.
    pub runs: Vec<RunLine>,
    /// Their playbooks.
    pub playbooks: Vec<PlaybookLine>,
    /// What somebody has to look at.
    pub findings: Vec<Finding>,
}

/// A run in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// The playbook's version.
    pub version: String,
    /// Who started it.
    pub by: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub status: RunStatus,
    /// How long it took, or has been at work.
    pub took_ms: u64,
    /// How much of that somebody was waited for.
    pub people_ms: u64,
    /// The objective for the time to recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Whether it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_kept: Option<bool>,
    /// It was a drill.
    pub drill: bool,
    /// How much data it lost, in milliseconds, when that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<i64>,
    /// What it left behind.
    pub leaks: usize,
    /// How many steps failed.
    pub failures: usize,
    /// How many approvals were given by break-glass.
    pub break_glass: usize,
    /// How many effects a rollback left standing.
    pub standing: usize,
}

/// A playbook in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookLine {
    /// Its name.
    pub playbook: String,
    /// The versions that ran, in order.
    pub versions: Vec<String>,
    /// How many runs there were.
    pub runs: usize,
    /// How many of them were drills.
    pub drills: usize,
    /// How many of them succeeded.
    pub succeeded: usize,
    /// How many missed the objective.
    pub missed: usize,
    /// The objective as of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// How long the successful runs took, in order.
    pub times_ms: Vec<u64>,
    /// The median of the earlier half of these, when there are at least four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_ms: Option<u64>,
    /// The median of the later half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_ms: Option<u64>,
}

/// What kind of thing somebody has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An objective was missed.
    ObjectiveMissed,
    /// A run failed, or was killed.
    RunFailed,
    /// A run has not ended.
    NotEnded,
    /// Effects were left standing, or it is not known what became of them.
    LeftStanding,
    /// Somebody approved by break-glass.
    BreakGlass,
    /// A scheduled run did not take place.
    Tick,
    /// A scheduled run did not take place, and was not meant to.
    OnPurpose,
    /// A break-glass approval that nobody has reviewed.
    Unreviewed,
    /// A drill left something behind.
    Leak,
    /// A playbook that has runs was not drilled in the period.
    NotDrilled,
    /// A message was given up.
    Undelivered,
    /// Something could not be read.
    Unreadable,
}

impl FindingKind {
    /// As printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObjectiveMissed => "objective missed",
            Self::RunFailed => "run failed",
            Self::NotEnded => "not ended",
            Self::LeftStanding => "left standing",
            Self::BreakGlass => "break-glass",
            Self::Tick => "schedule",
            Self::OnPurpose => "schedule, on purpose",
            Self::Unreviewed => "not reviewed",
            Self::Leak => "leak",
            Self::NotDrilled => "not drilled",
            Self::Undelivered => "not delivered",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What somebody has to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Since when.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: FindingKind,
    /// The run, the schedule or the playbook.
    pub about: String,
    /// What there is to know, in a sentence.
    pub text: String,
}

impl PeriodReport {
    /// Of these runs, and of what else was found in the period.
    #[must_use]
    pub fn of(
        since: Timestamp,
        until: Timestamp,
        playbook: Option<String>,
        reports: &[RunReport],
        more: Vec<Finding>,
    ) -> Self {
        let mut reports: Vec<&RunReport> = reports.iter().filter(|report| report.mode == Mode::Live).collect();
        reports.sort_by(|a, b| (a.started, &a.run).cmp(&(b.started, &b.run)));
        let mut findings = more;
        findings.extend(reports.iter().flat_map(|report| of_run(report)));
        let mut books: BTreeMap<&str, Vec<&RunReport>> = BTreeMap::new();
        for report in &reports {
            books.entry(&report.playbook).or_default().push(report);
        }
        let playbooks: Vec<PlaybookLine> = books.into_iter().map(|(name, reports)| book(name, &reports)).collect();
        findings.extend(playbooks.iter().filter(|line| line.drills == 0).map(|line| Finding {
            at: until,
            kind: FindingKind::NotDrilled,
            about: line.playbook.clone(),
            text: format!("{} was run and not drilled in the period", line.playbook),
        }));
        findings.sort();
        Self {
            format: FORMAT,
            since,
            until,
            playbook,
            runs: reports.iter().map(|report| line(report)).collect(),
            playbooks,
            findings,
        }
    }

    /// As JSON, indented, with a line end.
    #[must_use]
    pub fn json(&self) -> String {
        // Every map in it has text keys, and no field serialises by code that can fail.
        serde_json::to_string_pretty(self).expect("a report is plain data with text keys") + "\n"
    }
}

fn line(report: &RunReport) -> RunLine {
    RunLine {
        run: report.run.clone(),
        playbook: report.playbook.clone(),
        version: report.version.clone(),
        by: report.by.clone(),
        started: report.started,
        ended: report.ended,
        status: report.status,
        took_ms: took(report),
        people_ms: report.times.people_ms,
        rto_ms: report.times.rto_ms,
        rto_kept: report.times.rto_kept,
        drill: report.drill.is_some(),
        rpo_ms: report.drill.as_ref().and_then(|drill| drill.rpo_ms),
        leaks: report.drill.as_ref().map_or(0, |drill| drill.leaks.len()),
        failures: report.failures.len(),
        break_glass: report.break_glass().count(),
        standing: report.effects.standing.len(),
    }
}

/// How long it took to recover: of a drill, from the declared start to the proof, without its teardown.
fn took(report: &RunReport) -> u64 {
    let proven = report.drill.as_ref().and_then(|drill| u64::try_from(drill.rto?.total_ms).ok());
    proven.unwrap_or(report.times.total_ms)
}

fn book(name: &str, reports: &[&RunReport]) -> PlaybookLine {
    let mut versions: Vec<String> = Vec::new();
    for report in reports {
        if !versions.contains(&report.version) {
            versions.push(report.version.clone());
        }
    }
    let good = || reports.iter().filter(|report| report.is_success());
    let times_ms: Vec<u64> = good().map(|report| took(report)).collect();
    let halves = (times_ms.len() >= 4).then(|| times_ms.split_at(times_ms.len() / 2));
    PlaybookLine {
        playbook: name.to_owned(),
        versions,
        runs: reports.len(),
        drills: reports.iter().filter(|report| report.drill.is_some()).count(),
        succeeded: good().count(),
        missed: reports.iter().filter(|report| report.times.rto_kept == Some(false)).count(),
        rto_ms: reports.last().and_then(|report| report.times.rto_ms),
        earlier_ms: halves.map(|(earlier, _)| median(earlier)),
        later_ms: halves.map(|(_, later)| median(later)),
        times_ms,
    }
}

/// The one in the middle; of an even number, the lower of the two.
fn median(times: &[u64]) -> u64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len().max(1) - 1) / 2).copied().unwrap_or(0)
}

fn of_run(report: &RunReport) -> Vec<Finding> {
    let mut found = Vec::new();
    let at = report.ended.unwrap_or(report.as_of);
    let mut say = |at, kind, text| found.push(Finding { at, kind, about: report.run.to_string(), text });
    if report.times.rto_kept == Some(false) {
        let rto = span(report.times.rto_ms.unwrap_or(0));
        let took = match &report.drill {
            Some(drill) if drill.rto.is_none() => "ended without a proof of the recovery".to_owned(),
            _ => format!("took {}", span(took(report))),
        };
        say(at, FindingKind::ObjectiveMissed, format!("{} {took}; its objective is {rto}", report.playbook));
    }
    if let Some(drill) = &report.drill {
        for missed in drill.missed.iter().filter(|missed| !missed.contains("RTO")) {
            say(at, FindingKind::ObjectiveMissed, format!("{}: {missed}", report.playbook));
        }
        for leak in &drill.leaks {
            say(
                at,
                FindingKind::Leak,
                format!("{} was left by a drill of {}: {}", leak.resource, report.playbook, leak.found),
            );
        }
    }
    if matches!(report.status, RunStatus::Failed | RunStatus::Killed) {
        let why = report.failures.last().map(|failure| format!(": {} ({})", failure.error, failure.step));
        say(
            at,
            FindingKind::RunFailed,
            format!("{} {}{}", report.playbook, report.status.as_str(), why.unwrap_or_default()),
        );
    }
    if report.ended.is_none() {
        let since = format!("{} since {}", report.status.as_str(), instant(report.as_of));
        say(report.as_of, FindingKind::NotEnded, format!("{} has not ended: {since}", report.playbook));
    }
    for left in &report.effects.standing {
        say(at, FindingKind::LeftStanding, format!("{} {} was not undone: {}", left.op, left.resource, left.why));
    }
    if report.effects.open > 0 && report.ended.is_some() {
        let text = format!("it is not known what became of {} of its effects", report.effects.open);
        say(at, FindingKind::LeftStanding, text);
    }
    for approval in report.break_glass() {
        let step = approval.step.as_ref().map(ToString::to_string).unwrap_or_default();
        let reason = approval.reason.as_deref().unwrap_or("no reason was given");
        say(approval.at, FindingKind::BreakGlass, format!("{} approved {step} by break-glass: {reason}", approval.by));
    }
    found
}

/// Whether a run was at work in a period.
#[must_use]
pub fn is_within(started: Timestamp, ended: Option<Timestamp>, since: Timestamp, until: Timestamp) -> bool {
    started < until && ended.is_none_or(|ended| ended >= since)
}

/// How much slower (more than 0) or quicker the later half of runs was than the earlier, in percent.
#[must_use]
pub fn trend(line: &PlaybookLine) -> Option<i64> {
    let (earlier, later) = (i128::from(line.earlier_ms?), i128::from(line.later_ms?));
    if earlier == 0 {
        return None;
    }
    i64::try_from((later - earlier) * 100 / earlier).ok()
}

/// The runs of a period that missed their objective.
#[must_use]
pub fn missed(report: &PeriodReport) -> BTreeSet<&RunId> {
    report.runs.iter().filter(|run| run.rto_kept == Some(false)).map(|run| &run.run).collect()
}
