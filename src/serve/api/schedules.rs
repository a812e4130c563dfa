//! The schedules, what became of their ticks, and what people say to them, under `/api/v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::model::Timestamp;
use crate::schedule::people;
use crate::schedule::scheduler::{Shelf, parsed};
use crate::schedule::standing::{self, Standing};
use crate::schedule::tick::{self, Asked as Wanted, Fate};
use crate::schedule::timing::Timing;
use crate::serve::call::{Call, limit};
use crate::serve::endpoint::{Endpoint, Json, Needs, Nothing};
use crate::serve::problem::{Kind, Problem};

/// How many due instants are told ahead.
const AHEAD: usize = 5;
/// Ticks on a page, unless fewer are asked for; and at most.
const TICKS: usize = 50;
const MOST_TICKS: usize = 500;

/// The schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Schedules {
    /// By name.
    pub schedules: Vec<Schedule>,
}

/// A schedule as a server saw it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The playbook that it runs; absent when a server of an earlier version looked at it last.
    pub playbook: Option<String>,
    /// Whether it drills it; otherwise its runs are live.
    pub drill: bool,
    /// When it is due, in words.
    pub timing: String,
    /// The next instants at which it is due, in RFC 3339; none when it is no longer in the file.
    pub next: Vec<String>,
    /// Who paused it: its ticks are skipped until somebody resumes it.
    pub paused: Option<Paused>,
    /// Since when it is no longer in the file.
    pub removed: Option<String>,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Paused {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// How many ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// At most so many, up to 500.
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<usize>,
}

/// What became of a schedule's ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ticks {
    /// Newest first.
    pub ticks: Vec<Tick>,
}

/// A due instant, or several that came to the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tick {
    /// When it was due, in RFC 3339.
    pub at: String,
    /// The last of several.
    pub to: String,
    /// How many there are from `at` to `to`.
    pub count: u64,
    /// What became of it: `asked for`, `waiting`, `run`, `skipped` or `missed`.
    pub fate: String,
    /// Its run.
    pub run: Option<String>,
    /// Why nothing was run.
    pub why: Option<String>,
    /// Who asked for it, when it was no clock.
    pub asked_by: Option<String>,
    /// When its fate was decided.
    pub decided: String,
}

impl From<tick::Tick> for Tick {
    fn from(tick: tick::Tick) -> Self {
        let why = match &tick.fate {
            Fate::Skipped { why } => Some(why.to_string()),
            Fate::Missed { why } => Some(why.to_string()),
            Fate::Asked | Fate::Waiting | Fate::Run { .. } => None,
        };
        Self {
            at: tick.at.to_string(),
            to: tick.to.to_string(),
            count: tick.count,
            fate: tick.fate.to_string(),
            run: tick.run().map(ToString::to_string),
            why,
            asked_by: tick.asked.map(|asked| asked.by.name),
            decided: tick.decided.to_string(),
        }
    }
}

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
    use Needs::{Asked, To};
    vec![
        Endpoint::get(
            "/api/v1/schedules",
            "listSchedules",
            To(Act::View),
            "List the schedules: when each is due next, and who paused it",
            list,
        ),
        Endpoint::get(
            "/api/v1/schedules/{schedule}/ticks",
            "listTicks",
            To(Act::View),
            "List what became of a schedule's ticks, newest first",
            ticks,
        ),
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

/// Whether they may know of a schedule: as of its playbook. One of which that is not known is told to those who see all.
#[must_use]
pub fn sees(call: &Call, standing: &Standing) -> bool {
    standing.of_playbook().map_or(call.who.playbooks.is_empty(), |playbook| call.who.sees(playbook))
}

fn list(call: &Call, _: Nothing) -> Result<Json<Schedules>, Problem> {
    let now = call.now();
    let history = Shelf::read(call.store().as_ref())?.history;
    let seen = history.standings.iter().filter(|(_, standing)| sees(call, standing));
    let schedules = seen.map(|(name, standing)| {
        let timing = Timing::of(&standing.timing).ok();
        let due = timing.iter().filter(|_| standing.removed.is_none());
        let pause = history.pauses.get(name).filter(|pause| pause.holds(now));
        Schedule {
            name: name.clone(),
            playbook: standing.of_playbook().map(str::to_owned),
            drill: standing.drill,
            timing: timing.as_ref().map(Timing::words).unwrap_or_default(),
            next: due.flat_map(|due| due.between(now, Timestamp::MAX, AHEAD)).map(|at| at.to_string()).collect(),
            paused: pause.map(|pause| Paused {
                by: pause.by.name.clone(),
                at: pause.at.to_string(),
                reason: pause.reason.clone(),
            }),
            removed: standing.removed.map(|since| since.to_string()),
        }
    });
    Ok(Json(Schedules { schedules: schedules.collect() }))
}

fn ticks(call: &Call, which: Which) -> Result<Json<Ticks>, Problem> {
    let (name, store) = (call.named("schedule"), call.store());
    let limit = limit(which.limit, TICKS, MOST_TICKS)?;
    let document = store.document(standing::KIND, name)?;
    let standing: Option<Standing> = document.as_ref().map(|found| parsed(standing::KIND, found)).transpose()?;
    if !standing.is_some_and(|standing| sees(call, &standing)) {
        return Err(Problem::no_such("schedule", name).hint("GET /api/v1/schedules lists those there are"));
    }
    let ticks = people::ticks(store.as_ref(), name, Some(limit))?;
    Ok(Json(Ticks { ticks: ticks.into_iter().map(Tick::from).collect() }))
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
