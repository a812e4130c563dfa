//! What people say to schedules, under `/api/v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::schedule::people;
use crate::schedule::scheduler::parsed;
use crate::schedule::standing::{self, Standing};
use crate::schedule::tick::Asked as Wanted;
use crate::serve::call::Call;
use crate::serve::endpoint::{Endpoint, Json, Needs, Nothing};
use crate::serve::problem::{Kind, Problem};

/// Words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Why.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// What a schedule was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Told {
    /// The schedule.
    pub schedule: String,
    /// Whether it was not so before.
    pub new: bool,
}

/// The endpoints.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Needs::Asked;
    vec![
        Endpoint::post(
            "/api/v1/schedules/{schedule}/pause",
            "pauseSchedule",
            Asked(Act::PauseSchedule),
            "Skip the ticks of a schedule until it is resumed",
            |call, why: Why| {
                let name = steered(call, Act::PauseSchedule, Some(&why.reason))?;
                let said = people::pause(call.store().as_ref(), &name, &call.who.actor(), &why.reason, call.now())?;
                Ok(Json(Told { schedule: name, new: matches!(said, people::Said::Done(_)) }))
            },
        ),
        Endpoint::post(
            "/api/v1/schedules/{schedule}/resume",
            "resumeSchedule",
            Asked(Act::ResumeSchedule),
            "Let a paused schedule go on",
            |call, _: Nothing| {
                let name = steered(call, Act::ResumeSchedule, None)?;
                let said = people::resume(call.store().as_ref(), &name, &call.who.actor(), call.now())?;
                Ok(Json(Told { schedule: name, new: matches!(said, people::Said::Done(_)) }))
            },
        ),
        Endpoint::post(
            "/api/v1/schedules/{schedule}/trigger",
            "triggerSchedule",
            Asked(Act::TriggerSchedule),
            "Run a schedule now",
            |call, why: Why| {
                let name = steered(call, Act::TriggerSchedule, Some(&why.reason))?;
                let asked = Wanted { by: call.who.actor(), reason: why.reason };
                people::trigger(call.store().as_ref(), &name, asked, call.now())?;
                Ok(Json(Told { schedule: name, new: true }))
            },
        ),
    ]
}

/// The schedule that the path names, for whoever may steer it.
fn steered(call: &Call, act: Act, why: Option<&str>) -> Result<String, Problem> {
    let name = call.named("schedule");
    let shown: String = name.chars().take(80).collect();
    let mut deed = Deed::done(act.name(), format!("schedule {shown}"));
    if why.is_some_and(|why| why.trim().is_empty()) {
        call.asked();
        return Err(Problem::new(Kind::Invalid, "say why in words"));
    }
    if let Some(why) = why {
        deed = deed.with("reason", why);
    }
    let standing = call.store().document(standing::KIND, name)?;
    let standing = standing.map(|document| parsed::<Standing>(standing::KIND, &document)).transpose()?;
    // One that nobody has looked at yet might run anything.
    let playbook = standing.as_ref().and_then(Standing::of_playbook);
    call.permit(act, &playbook.map_or(Subject::Whole, Subject::Playbook), deed)?;
    match standing {
        Some(_) => Ok(name.to_owned()),
        None => Err(Problem::no_such("schedule", name)),
    }
}
