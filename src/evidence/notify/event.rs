//! What somebody is told of: events, each following from one record of a run.

use serde::{Deserialize, Serialize};

use crate::evidence::words::{flat, short, span};
use crate::journal::{Fact, Pause, Record};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run waits for somebody.
    Paused,
    /// A step failed, and somebody has to choose.
    Failed,
    /// A run ended.
    Ended,
    /// A run took longer than its objective allows.
    ObjectiveMissed,
    /// A drill left something behind.
    Leak,
    /// Somebody approved who may not in peace.
    BreakGlass,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The same for the same event, however often it is sent.
    pub id: String,
    /// What kind of thing.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// To which run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// What, in a sentence.
    pub text: String,
    /// Where the run stands, when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
}

/// The events that follow from these records of a run, in order. `late` says by how much a run that ends with this record has missed its
/// objective.
pub fn events(run: &RunId, playbook: &str, records: &[Record], late: impl Fn(&Record) -> Option<u64>) -> Vec<Event> {
    let mut found = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let mut say = |kind: Kind, status: Option<RunStatus>, text: String| {
            let name =
                serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
            found.push(Event {
                id: format!("{run}-{}-{name}", record.seq),
                kind,
                at: record.at,
                run: run.clone(),
                playbook: playbook.to_owned(),
                text: short(&text),
                status,
            });
        };
        let of = || format!("run {} of {}", run.short(), flat(playbook));
        match &record.fact {
            Fact::ApprovalAsked { step, by, .. } => {
                let who = if by.is_empty() { "somebody".to_owned() } else { by.join(" or ") };
                say(Kind::Paused, None, format!("{} waits at {step} for approval by {who}", of()));
            }
            Fact::ManualAsked { step, instructions } => {
                say(Kind::Paused, None, format!("{} waits at {step} for somebody to do it: {instructions}", of()));
            }
            Fact::WaitBegun { call, op, args, .. } if op.starts_with("ask.") => {
                let question = args.get("question").and_then(|question| question.as_str()).unwrap_or_default();
                say(Kind::Paused, None, format!("{} asks at {}: {question}", of(), call.step));
            }
            Fact::StepFailed { step, error, handled: false } => {
                // One that the playbook tries again by itself, or rolls back for, waits for nobody.
                let by_itself = records.get(place + 1).is_some_and(|next| match &next.fact {
                    Fact::StepRetried { step: again, .. } => again == step,
                    _ => false,
                });
                if !by_itself {
                    say(Kind::Failed, None, format!("{}: {step} failed: {}", of(), error.message));
                }
            }
            Fact::Paused { pause } => {
                if let Some(why) = why(pause) {
                    say(Kind::Paused, None, format!("{} waits for somebody: {why}", of()));
                }
            }
            Fact::Approved { step, by, reason, break_glass: true, .. } => {
                let reason = reason.as_deref().unwrap_or("no reason was given");
                say(Kind::BreakGlass, None, format!("{}: {} approved {step} by break-glass: {reason}", of(), by.name));
            }
            Fact::DrillSwept { leaks, .. } if !leaks.is_empty() => {
                let left: Vec<&str> = leaks.iter().map(|leak| leak.resource.as_str()).collect();
                say(Kind::Leak, None, format!("{}: the drill left {}", of(), left.join(", ")));
            }
            Fact::Finished { status, .. } => {
                say(Kind::Ended, Some(*status), format!("{} ended: {}", of(), status.as_str()));
                if let Some(late) = late(record) {
                    let text = format!("{} missed its objective for the time to recovery by {}", of(), span(late));
                    say(Kind::ObjectiveMissed, Some(*status), text);
                }
            }
            _ => {}
        }
    }
    found
}

/// Why a run waits, when that is not told by what the step itself asks.
fn why(pause: &Pause) -> Option<String> {
    Some(match pause {
        Pause::Approval { .. } | Pause::Manual { .. } | Pause::Question { .. } | Pause::StepFailed { .. } => {
            return None;
        }
        Pause::InDoubt { step, reason, .. } => format!("it is not known what became of a call of {step}: {reason}"),
        Pause::Target { .. } => "it would work on something else than it began with".to_owned(),
        Pause::Credentials { step, message } => format!("credentials are missing at {step}: {message}"),
        Pause::Overtime { step, message } => format!("the script of {step} took too long: {message}"),
        Pause::Secret { step, was, .. } => format!("the secret {} has changed under {step}", was.name()),
        Pause::Undo { reason, .. } => format!("an undo could not be done: {reason}"),
        Pause::PointOfNoReturn { step } => format!("a rollback would go past the point of no return in {step}"),
        Pause::OutsidePlan { step, effect, approved } => {
            format!("{step} is about to do what is {}: {effect}", crate::journal::record::outside_of(*approved))
        }
        Pause::RolledBackTo { step } => format!("it was rolled back to {step}"),
    })
}
