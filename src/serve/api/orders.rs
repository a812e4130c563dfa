//! Orders to runs: one endpoint each, so that each has its act.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Act;
use crate::journal::{Fact, apart};
use crate::model::amount::parse_duration;
use crate::model::command::{Command, Order};
use crate::model::{StepPath, Timestamp, Value};
use crate::serve::call::Call;
use crate::serve::endpoint::{Endpoint, Json, Needs, Nothing};
use crate::serve::problem::{Kind, Problem};

/// How long whoever carries the run on is given to take the order up before the answer says that it waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it was.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Given {
    /// The run.
    pub run: String,
    /// `done`: it is in the run's record. `waiting`: it is in the inbox, and whoever carries the run on will come to it.
    pub state: &'static str,
    /// The number of the record that says so.
    pub record: Option<u64>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The step: `restore`, or `dump[chatbot_db]` of a `foreach` step.
    pub step: String,
    /// Undo the attempt first.
    #[serde(default)]
    pub from_start: bool,
}

/// A step to leave out.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The step.
    pub step: String,
    /// Why.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// Its result, for the steps that use it.
    pub result: Option<Value>,
}

/// A step done by hand.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// The step.
    pub step: String,
    /// How that is known.
    #[schemars(length(min = 1))]
    pub evidence: String,
    /// Its result, for the steps that use it.
    pub result: Option<Value>,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The step whose script asks.
    pub step: String,
    /// The answer.
    pub value: Value,
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The step that waits for it.
    pub step: String,
    /// The approver name as which it is given.
    pub role: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// After this time it counts for nothing: `2h`; as long as the playbook says when absent.
    pub valid_for: Option<String>,
    /// What was shown: refused when something else waits for it by now.
    pub digest: Option<String>,
}

/// An approval by somebody who may not give it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The step that waits for it.
    pub step: String,
    /// Why: it is reviewed afterwards.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// What was shown: refused when something else waits for it by now.
    pub digest: Option<String>,
}

/// A step and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithReason {
    /// The step.
    pub step: String,
    /// Why.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// A call in doubt, settled.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// The step of the call.
    pub step: String,
    /// Whether it was done.
    pub done: bool,
    /// With this result.
    pub result: Option<Value>,
    /// How that is known.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// Words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// Words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What is to be written down.
    #[schemars(length(min = 1))]
    pub text: String,
}

/// How far to roll back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Down to this step, which is kept; all when absent.
    pub to: Option<String>,
    /// Also what somebody else has changed since, and past a point of no return.
    #[serde(default)]
    pub force: bool,
}

/// How to cancel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Leave its effects standing.
    #[serde(default)]
    pub no_rollback: bool,
}

/// The endpoints of orders.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Needs::Asked;
    vec![
        Endpoint::post(
            "/api/v1/runs/{run}/retry",
            "retryStep",
            Asked(Act::Retry),
            "Try a failed step again",
            |call, body: Retry| give(call, Order::Retry { step: step(&body.step)?, from_start: body.from_start }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/skip",
            "skipStep",
            Asked(Act::Skip),
            "Leave a step out, with a reason",
            |call, body: Skip| {
                give(call, Order::Skip { step: step(&body.step)?, reason: words(body.reason)?, result: body.result })
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/done",
            "doneByHand",
            Asked(Act::Done),
            "Say that a step was done by hand",
            |call, body: Done| {
                give(
                    call,
                    Order::Done { step: step(&body.step)?, evidence: words(body.evidence)?, result: body.result },
                )
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/answer",
            "answerQuestion",
            Asked(Act::Answer),
            "Answer a question that a script asked",
            |call, body: Answer| give(call, Order::Answer { step: step(&body.step)?, value: body.value }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/approve",
            "approveStep",
            Asked(Act::Approve),
            "Approve a step that waits for it",
            |call, body: Approve| {
                let valid_until = body.valid_for.as_deref().map(|text| until(call.now(), text)).transpose()?;
                let (role, reason) = (body.role, body.reason);
                give(
                    call,
                    Order::Approve {
                        step: step(&body.step)?,
                        role,
                        reason,
                        break_glass: false,
                        valid_until,
                        digest: body.digest,
                    },
                )
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/break-glass",
            "breakGlass",
            Asked(Act::BreakGlass),
            "Approve a step although one may not: loud, with a reason, and reviewed afterwards",
            |call, body: BreakGlass| {
                let (step, reason) = (step(&body.step)?, Some(words(body.reason)?));
                give(
                    call,
                    Order::Approve {
                        step,
                        role: None,
                        reason,
                        break_glass: true,
                        valid_until: None,
                        digest: body.digest,
                    },
                )
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/reject",
            "rejectStep",
            Asked(Act::Reject),
            "Refuse a step that waits for approval",
            |call, body: WithReason| give(call, Order::Reject { step: step(&body.step)?, reason: words(body.reason)? }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/settle",
            "settleCall",
            Asked(Act::Settle),
            "Settle a call in doubt",
            |call, body: Settle| {
                give(
                    call,
                    Order::Settle {
                        step: step(&body.step)?,
                        done: body.done,
                        result: body.result,
                        reason: words(body.reason)?,
                    },
                )
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/accept",
            "acceptSecret",
            Asked(Act::Accept),
            "Go on with a secret that was changed on purpose",
            |call, body: WithReason| give(call, Order::Accept { step: step(&body.step)?, reason: words(body.reason)? }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/skip-undo",
            "skipUndo",
            Asked(Act::SkipUndo),
            "Leave out an undo that failed",
            |call, body: Reason| give(call, Order::SkipUndo { reason: words(body.reason)? }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/rollback",
            "rollBack",
            Asked(Act::Rollback),
            "Undo the effects of a run",
            |call, body: Rollback| {
                give(call, Order::Rollback { to: body.to.as_deref().map(step).transpose()?, force: body.force })
            },
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/cancel",
            "cancelRun",
            Asked(Act::Cancel),
            "Cancel a run; it is rolled back unless that is not wanted",
            |call, body: Cancel| give(call, Order::Cancel { no_rollback: body.no_rollback }),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/kill",
            "killRun",
            Asked(Act::Kill),
            "Stop a run at once; calls in flight stay in doubt",
            |call, _: Nothing| give(call, Order::Kill),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/resume",
            "resumeRun",
            Asked(Act::Resume),
            "Carry a run on that is parked or paused",
            |call, _: Nothing| give(call, Order::Resume),
        ),
        Endpoint::post(
            "/api/v1/runs/{run}/note",
            "writeNote",
            Asked(Act::Note),
            "Write a note into the record of a run",
            |call, body: Note| give(call, Order::Note { text: words(body.text)? }),
        ),
    ]
}

fn step(text: &str) -> Result<StepPath, Problem> {
    if text.trim().is_empty() || text.len() > 500 || text.contains(char::is_control) {
        return Err(Problem::new(Kind::Invalid, "that is no name of a step"));
    }
    Ok(StepPath::of(text))
}

fn words(text: String) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(Kind::Invalid, "say it in words"));
    }
    Ok(text)
}

fn until(now: Timestamp, text: &str) -> Result<Timestamp, Problem> {
    let wrong =
        |why: String| Problem::new(Kind::Invalid, format!("`valid_for` is no period of time: {why}")).hint("like 2h");
    let period = parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    now.checked_add(period).map_err(|_| wrong("it is too long".to_owned()))
}

/// Gives an order, sees to it that somebody carries the run on, and waits until it is in the record.
///
/// # Errors
/// When they may not give it, or it was refused.
pub fn give(call: &Call, what: Order) -> Result<Json<Given>, Problem> {
    let head = call.head()?.clone();
    let (server, store) = (&call.server, call.store());
    if server.runner.is_of_sandbox(&head.run)? && !matches!(what, Order::Note { .. }) {
        return Err(Problem::new(Kind::Conflict, format!("run {} is a rehearsal in the sandbox", head.run.short()))
            .hint("carry it on where it was begun, by `muster resume`"));
    }
    let kills = matches!(what, Order::Kill);
    let begun = Instant::now();
    let command = call.order(what)?;
    server.metrics.committed(begun.elapsed());
    let carried_on = if head.holder.is_none() && !head.status.is_terminal() {
        server.runner.carry_on(&head.run)?
    } else {
        !head.status.is_terminal()
    };
    server.runner.nudge();
    let mut from = head.records;
    let waiting = Json(Given { run: head.run.to_string(), state: "waiting", record: None });
    if !carried_on {
        return Ok(waiting);
    }
    while begun.elapsed() < PATIENCE {
        let lines = store.tail(&head.run, from)?;
        for line in &lines {
            let record = apart::record(store.as_ref(), &head.run, from, line)?;
            from += 1;
            match fate(&record.fact, &command) {
                Some(Ok(())) => {
                    if kills {
                        server.app.kill_children(&head.run)?;
                    }
                    return Ok(Json(Given { run: head.run.to_string(), state: "done", record: Some(record.seq) }));
                }
                Some(Err(why)) => return Err(Problem::new(Kind::Conflict, format!("it was refused: {why}"))),
                None => {}
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(waiting)
}

/// What became of an order, if this says it.
fn fate(fact: &Fact, command: &Command) -> Option<Result<(), String>> {
    match fact {
        Fact::Commanded { command: said, refused } if said == command => Some(refused.clone().map_or(Ok(()), Err)),
        _ => None,
    }
}
