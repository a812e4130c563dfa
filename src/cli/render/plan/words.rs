//! The sentences that every face of a plan shares. What they hold from outside is not yet made harmless: each face does that
//! in its own way, to the whole sentence.

use std::time::Duration;

use super::super::brief::shell_word;
use super::super::when::took;
use crate::model::Value;
use crate::model::forecast::Basis;
use crate::model::secret::{HANDLE_KEY, is_handle};
use crate::model::unknown::Unknown;
use crate::ops::Effect;
use crate::plan::{Coverage, PlannedApproval, PlannedCall, PlannedStep, PlannedUndo};

/// What a call does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// Makes something.
    Create,
    /// Changes something.
    Update,
    /// Removes something.
    Delete,
    /// Runs a program.
    Exec,
    /// Nothing: it waits.
    Wait,
    /// Nothing: it asks a person.
    Ask,
    /// Nothing: it looks.
    Read,
}

impl Deed {
    /// Of a call.
    #[must_use]
    pub fn of(call: &PlannedCall) -> Self {
        // What is known to come or to go says more than what the operation may do.
        let known = !call.changes.is_empty() && call.basis != Basis::Unknown;
        let comes = known && call.changes.iter().all(|change| change.before.is_null() && !change.after.is_null());
        let goes = known && call.changes.iter().all(|change| !change.before.is_null() && change.after.is_null());
        match crate::ops::find(&call.op).map(|op| op.effect) {
            Some(Effect::Update | Effect::Create) if comes => Self::Create,
            Some(Effect::Update) if goes => Self::Delete,
            Some(Effect::Create) => Self::Create,
            Some(Effect::Update) => Self::Update,
            Some(Effect::Delete) => Self::Delete,
            Some(Effect::Exec) => Self::Exec,
            Some(Effect::Wait) => Self::Wait,
            Some(Effect::Ask) => Self::Ask,
            Some(Effect::Read | Effect::Value | Effect::Log) => Self::Read,
            // An operation that this program does not know, from a plan of another: the graver reading.
            None if call.writes => Self::Exec,
            None => Self::Read,
        }
    }

    /// Its mark.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Exec => '!',
            Self::Ask => '?',
            Self::Wait => '.',
            Self::Read => ' ',
        }
    }

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Exec => "exec",
            Self::Ask => "ask",
            Self::Wait => "wait",
            Self::Read => "read",
        }
    }
}

/// `3 create, 1 delete`, of calls with an effect.
#[must_use]
pub fn deeds<'p>(calls: impl Iterator<Item = &'p PlannedCall>) -> String {
    let mut counts = [(Deed::Create, 0), (Deed::Update, 0), (Deed::Delete, 0), (Deed::Exec, 0)];
    for call in calls.filter(|call| call.writes) {
        let of = Deed::of(call);
        counts.iter_mut().filter(|(deed, _)| *deed == of).for_each(|(_, count)| *count += 1);
    }
    let parts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(deed, count)| format!("{count} {}", deed.as_str()))
        .collect();
    parts.join(", ")
}

/// `1 step`, `2 steps`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What a step has come to that the run has ended already.
#[must_use]
pub fn done(step: &PlannedStep) -> String {
    match step.made.len() {
        0 => "done already".to_owned(),
        made => format!("done already: {}", count(made, "effect")),
    }
}

/// How far a step has come that the run has begun already.
#[must_use]
pub fn begun(step: &PlannedStep) -> String {
    let calls = count(step.recorded, "call");
    match step.made.as_slice() {
        [] => format!("begun already: {calls}, none with an effect"),
        made => {
            let shown: Vec<String> =
                made.iter().map(|made| format!("{} {}", made.op, made.resource).trim_end().to_owned()).collect();
            format!("begun already: {calls}, of which changed something: {}", shown.join(", "))
        }
    }
}

/// A predicted span of time.
#[must_use]
pub fn span(millis: u64) -> String {
    if millis < 100 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    took(Duration::from_millis(millis))
}

/// `2 approvals by dr-lead or sre`.
#[must_use]
pub fn approval(approval: &PlannedApproval) -> String {
    let who = match approval.by.as_slice() {
        [] => "anybody but the starter".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    };
    format!("{} by {who}", count(usize::try_from(approval.count).unwrap_or(usize::MAX), "approval"))
}

/// How a call would be undone, in a sentence.
#[must_use]
pub fn undo(undo: &PlannedUndo) -> String {
    match undo {
        PlannedUndo::Nothing => "nothing to undo".to_owned(),
        PlannedUndo::Impossible { why } => format!("cannot be undone: {why}"),
        PlannedUndo::Call { op, .. } => format!("undone by {op}"),
        PlannedUndo::Step => "undone by the step's own rollback".to_owned(),
    }
}

/// `69 % foreseen: 39 exact, 15 predicted, 20 unknown, 4 opaque`.
#[must_use]
pub fn coverage(coverage: &Coverage) -> String {
    let parts: Vec<String> = [
        (coverage.exact, "exact"),
        (coverage.predicted, "predicted"),
        (coverage.unknown, "unknown"),
        (coverage.opaque, "opaque"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if parts.is_empty() {
        return "no calls".to_owned();
    }
    format!("{}% can be foreseen: {}", coverage.percent, parts.join(", "))
}

/// What a value that only the run will know stands for; `None` when it is no such value.
#[must_use]
pub fn unknown(value: &Value) -> Option<String> {
    let unknown = Unknown::of(value)?;
    let shown = unknown.shown();
    // A text that is put together shows what is known of it.
    Some(match shown.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some("") => format!("(known in the run: {})", unknown.why),
        Some(source) => format!("(known in the run: {source})"),
        None => shown,
    })
}

/// A value on one line. Secrets are named, not shown; what is not known says so wherever it stands.
#[must_use]
pub fn value(value: &Value) -> String {
    if let Some(unknown) = unknown(value) {
        return unknown;
    }
    match value {
        Value::Null => "()".to_owned(),
        Value::String(text) => text.clone(),
        handle if is_handle(handle) => {
            let inner = &handle[HANDLE_KEY];
            let part = |key: &str| inner.get(key).and_then(Value::as_str);
            let place: Vec<&str> = ["provider", "name", "path", "key"].into_iter().filter_map(part).collect();
            if place.is_empty() { "‹secret›".to_owned() } else { format!("‹secret {}›", place.join(":")) }
        }
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(self::value).collect();
            format!("[{}]", words.join(", "))
        }
        Value::Object(fields) => {
            let words: Vec<String> =
                fields.iter().map(|(name, item)| format!("{name}: {}", self::value(item))).collect();
            format!("{{{}}}", words.join(", "))
        }
        other => other.to_string(),
    }
}

/// The arguments of a call that were given, by name.
#[must_use]
pub fn arguments(args: &Value) -> Vec<(String, String)> {
    let given = |(name, item): (&String, &Value)| {
        let shown = match item {
            Value::Null => return None,
            Value::Array(words) if name == "argv" && words.iter().all(Value::is_string) => {
                let words: Vec<String> = words.iter().filter_map(Value::as_str).map(shell_word).collect();
                words.join(" ")
            }
            other => value(other),
        };
        Some((name.clone(), shown))
    };
    args.as_object().into_iter().flatten().filter_map(given).collect()
}
