//! What is to be done now: a pure function of the schedules, of what is stored, and of the time.

use std::time::Duration;

use jiff::SignedDuration;

use super::file::{Overlap, Schedule, Schedules};
use super::standing::{Current, History, Order, Stage, Standing, Waiting};
use super::tick::{Asked, Fate, Miss, Skip, Tick};
use super::timing::Timing;
use crate::model::{RunId, Timestamp};

/// A tick that is looked at no later than this is on time.
pub const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Due instants that are looked at in one go; what is behind them comes next.
const MOST: usize = 10_000;

/// What is to be stored for one schedule, all of it or nothing. What follows from it is done only then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The schedule.
    pub schedule: String,
    /// The fates of due instants; none of them had one before.
    pub due: Vec<Tick>,
    /// New fates of ticks that waited, or were asked for.
    pub changed: Vec<Tick>,
    /// Orders that are taken up with this.
    pub orders: Vec<Timestamp>,
    /// Where the schedule stands then.
    pub standing: Standing,
}

/// Decides for every schedule that has something due, was asked for, changed, came or went. Nothing for the others.
///
/// # Guarantees
/// Of a schedule's due instants since `through` of its standing, the first ones up to the new `through` get exactly one fate each.
#[must_use]
pub fn decide(schedules: &Schedules, history: &History, now: Timestamp) -> Vec<Decision> {
    let mut decisions: Vec<Decision> =
        schedules.list.iter().filter_map(|schedule| Desk::of(schedule, history, now).decide()).collect();
    for (name, standing) in &history.standings {
        if schedules.get(name).is_none() {
            decisions.extend(removed(name, standing, history, now));
        }
    }
    let strange = history
        .orders
        .iter()
        .filter(|order| schedules.get(&order.schedule).is_none() && !history.standings.contains_key(&order.schedule));
    // Nobody knows such a schedule: where it stands is made up, so that what was asked for has an end.
    decisions.extend(strange.map(|order| {
        let timing = super::timing::Written { cron: String::new(), timezone: String::new() };
        let standing = Standing { removed: Some(now), ..Standing::new(timing, now) };
        let changed = vec![of_order(order, Fate::Missed { why: Miss::Removed }, now)];
        Decision { schedule: order.schedule.clone(), due: Vec::new(), changed, orders: vec![order.at], standing }
    }));
    decisions
}

/// Whether anything decided now could hang on an open incident.
#[must_use]
pub fn asks_for_incidents(schedules: &Schedules, history: &History, now: Timestamp) -> bool {
    schedules.list.iter().filter(|schedule| schedule.unless_incident).any(|schedule| {
        let Some(standing) = history.standings.get(&schedule.name) else { return false };
        standing.waiting.is_some()
            || history.orders.iter().any(|order| order.schedule == schedule.name)
            || schedule.timing.next(standing.through).is_some_and(|next| next <= now)
    })
}

/// When a tick is to start: a while after its instant, the same on every server.
#[must_use]
pub fn start_of(schedule: &Schedule, at: Timestamp) -> Timestamp {
    let most = u64::try_from(schedule.jitter.as_millis()).unwrap_or(u64::MAX);
    if most == 0 {
        return at;
    }
    let (_, chance) = RunId::of_tick(&schedule.name, at, "jitter");
    at.saturating_add(Duration::from_millis(chance % most)).unwrap_or(at)
}

/// Everything at hand to decide for one schedule.
struct Desk<'d> {
    schedule: &'d Schedule,
    history: &'d History,
    now: Timestamp,
    standing: Standing,
    /// The run that has not ended.
    busy: Option<RunId>,
    fresh: bool,
}

impl<'d> Desk<'d> {
    fn of(schedule: &'d Schedule, history: &'d History, now: Timestamp) -> Self {
        let stored = history.standings.get(&schedule.name);
        let mut standing = stored.cloned().unwrap_or_else(|| Standing::new(schedule.timing.written.clone(), now));
        (standing.playbook, standing.drill) = (schedule.playbook.value.clone(), schedule.drill);
        if standing.removed.take().is_some() {
            (standing.timing, standing.since) = (schedule.timing.written.clone(), now);
            standing.through = standing.through.max(now);
        }
        let mut busy = None;
        if let Some(current) = &mut standing.current {
            let stage = history.runs.get(&current.run).copied().unwrap_or(Stage::Ended);
            // What has no record is about to be begun; what was begun once and is gone has ended.
            current.begun |= stage != Stage::Absent;
            if stage == Stage::Open || !current.begun {
                busy = Some(current.run.clone());
            }
        }
        Self { schedule, history, now, standing, busy, fresh: stored.is_none() }
    }

    fn decide(mut self) -> Option<Decision> {
        let mut changed = Vec::new();
        if let Some(waiting) = self.standing.waiting.clone().filter(|_| self.busy.is_none()) {
            self.standing.waiting = None;
            let mut tick = Tick::new(&self.schedule.name, waiting.at, self.fate_of_waiting(&waiting), self.now);
            tick.asked = waiting.asked;
            changed.push(tick);
        }
        let orders: Vec<&Order> =
            self.history.orders.iter().filter(|order| order.schedule == self.schedule.name).collect();
        for order in &orders {
            let fate = self.fate_of_order(order);
            changed.push(of_order(order, fate, self.now));
        }
        let due = self.due();
        let orders: Vec<Timestamp> = orders.iter().map(|order| order.at).collect();
        let moved = self.history.standings.get(&self.schedule.name) != Some(&self.standing);
        (self.fresh || moved || !orders.is_empty() || !due.is_empty()).then(|| Decision {
            schedule: self.schedule.name.clone(),
            due,
            changed,
            orders,
            standing: self.standing,
        })
    }

    /// The fates of what is due, and `through` moved behind them.
    fn due(&mut self) -> Vec<Tick> {
        let same = self.standing.timing == self.schedule.timing.written;
        let before = if same { None } else { Timing::of(&self.standing.timing).ok() };
        let timing = before.as_ref().unwrap_or(&self.schedule.timing);
        let mut due = timing.between(self.standing.through, self.now, MOST);
        let cut = due.len() == MOST;
        if same {
            // What starts a while later is left for then, and what comes after it too.
            let ripe = due.iter().take_while(|at| start_of(self.schedule, **at) <= self.now).count();
            due.truncate(ripe);
        }
        if let Some(last) = due.last() {
            self.standing.through = *last;
        }
        if !same && !cut {
            self.standing.timing = self.schedule.timing.written.clone();
            self.standing.through = self.standing.through.max(self.now);
        }
        let shut: Vec<Option<Skip>> = due.iter().map(|at| self.shut(*at)).collect();
        let last = due.iter().zip(&shut).rev().find(|(_, shut)| shut.is_none()).map(|(at, _)| *at);
        let mut fates = Vec::with_capacity(due.len());
        for (at, shut) in due.into_iter().zip(shut) {
            let fate = match shut {
                Some(why) => Fate::Skipped { why },
                None if Some(at) == last && !cut => self.fate_of_last(at),
                None => Fate::Missed { why: self.miss(at, last.filter(|_| !cut)) },
            };
            fates.push((at, fate));
        }
        together(&self.schedule.name, fates, self.now)
    }

    /// Why this instant is none to start at, whenever it is looked at.
    fn shut(&self, at: Timestamp) -> Option<Skip> {
        if !self.schedule.enabled {
            return Some(Skip::Disabled);
        }
        self.paused(at).or_else(|| self.blackout(start_of(self.schedule, at)))
    }

    fn paused(&self, at: Timestamp) -> Option<Skip> {
        let pause = self.history.pauses.get(&self.schedule.name)?;
        pause.holds(at).then(|| Skip::Paused { by: pause.by.clone(), words: pause.reason.clone() })
    }

    fn blackout(&self, at: Timestamp) -> Option<Skip> {
        let window = self.schedule.blackout.iter().find(|window| window.contains(at, self.schedule.timing.zone()))?;
        Some(Skip::Blackout { window: window.name() })
    }

    fn incident(&self) -> Option<Skip> {
        let run = self.history.incident.clone().filter(|_| self.schedule.unless_incident)?;
        Some(Skip::Incident { run })
    }

    fn is_late(&self, at: Timestamp) -> bool {
        self.now.duration_since(start_of(self.schedule, at)) > GRACE
    }

    fn is_too_late(&self, at: Timestamp) -> bool {
        let late = self.now.duration_since(start_of(self.schedule, at));
        let window = self.schedule.catch_up.and_then(|window| SignedDuration::try_from(window).ok());
        late > GRACE && window.is_none_or(|window| late > window)
    }

    fn miss(&self, at: Timestamp, by: Option<Timestamp>) -> Miss {
        match by {
            Some(by) if !self.is_too_late(at) => Miss::Superseded { by },
            _ => Miss::Down { late_s: self.now.duration_since(at).as_secs() },
        }
    }

    /// Of all that is due and could start, only the last does: for itself and for those before it.
    fn fate_of_last(&mut self, at: Timestamp) -> Fate {
        if self.is_too_late(at) {
            return Fate::Missed { why: self.miss(at, None) };
        }
        let late = self.is_late(at);
        let shut = self.paused(self.now).or_else(|| self.blackout(self.now).filter(|_| late));
        match shut.or_else(|| self.incident()) {
            Some(why) => Fate::Skipped { why },
            None => self.start(at, None, late),
        }
    }

    fn fate_of_waiting(&mut self, waiting: &Waiting) -> Fate {
        let shut = match &waiting.asked {
            Some(_) => None,
            None => self.shut(self.now),
        };
        match shut.or_else(|| self.incident()) {
            Some(why) => Fate::Skipped { why },
            None => self.start(waiting.at, waiting.asked.clone(), false),
        }
    }

    /// A person's word goes over a pause and a blackout, which they can see; not over a run that is open.
    fn fate_of_order(&mut self, order: &Order) -> Fate {
        match self.incident() {
            Some(why) => Fate::Skipped { why },
            None => self.start(order.at, Some(order.asked.clone()), false),
        }
    }

    fn start(&mut self, at: Timestamp, asked: Option<Asked>, caught_up: bool) -> Fate {
        let Some(busy) = self.busy.clone() else {
            let (run, _) = RunId::of_tick(&self.schedule.name, at, &salt(&self.standing));
            self.standing.current = Some(Current { at, run: run.clone(), begun: false });
            self.busy = Some(run.clone());
            return Fate::Run { run, caught_up };
        };
        if self.schedule.overlap == Overlap::Queue && self.standing.waiting.is_none() {
            self.standing.waiting = Some(Waiting { at, asked });
            return Fate::Waiting;
        }
        Fate::Skipped { why: Skip::Overlap { run: busy } }
    }
}

/// What tells the ids of a schedule's runs from those of a schedule of that name in another store.
#[must_use]
pub fn salt(standing: &Standing) -> String {
    standing.since.as_nanosecond().to_string()
}

fn of_order(order: &Order, fate: Fate, now: Timestamp) -> Tick {
    let mut tick = Tick::new(&order.schedule, order.at, fate, now);
    tick.asked = Some(order.asked.clone());
    tick
}

/// A schedule that is no longer in the file: what was due by then is missed, and nothing is due any more.
fn removed(name: &str, standing: &Standing, history: &History, now: Timestamp) -> Option<Decision> {
    let orders: Vec<&Order> = history.orders.iter().filter(|order| order.schedule == name).collect();
    if standing.removed.is_some() && orders.is_empty() {
        return None;
    }
    let missed = || Fate::Missed { why: Miss::Removed };
    let mut after = standing.clone();
    let mut changed: Vec<Tick> = orders.iter().map(|order| of_order(order, missed(), now)).collect();
    let mut due = Vec::new();
    if standing.removed.is_none() {
        if let Ok(timing) = Timing::of(&standing.timing) {
            let instants = timing.between(standing.through, now, MOST);
            // What is more than fits into one go comes next.
            if instants.len() < MOST {
                after.removed = Some(now);
            }
            after.through = instants.last().copied().unwrap_or(standing.through);
            due = together(name, instants.into_iter().map(|at| (at, missed())).collect(), now);
        } else {
            after.removed = Some(now);
        }
        if let Some(waiting) = after.waiting.take() {
            let mut tick = Tick::new(name, waiting.at, missed(), now);
            tick.asked = waiting.asked;
            changed.push(tick);
        }
        let unborn = |current: &Current| !current.begun && history.runs.get(&current.run) == Some(&Stage::Absent);
        if let Some(current) = after.current.take_if(|current| unborn(current)) {
            changed.push(Tick::new(name, current.at, missed(), now));
        }
    }
    let orders = orders.iter().map(|order| order.at).collect();
    Some(Decision { schedule: name.to_owned(), due, changed, orders, standing: after })
}

/// Ticks of these fates; what was skipped or missed in a row for one reason becomes one.
fn together(schedule: &str, fates: Vec<(Timestamp, Fate)>, now: Timestamp) -> Vec<Tick> {
    let mut ticks: Vec<Tick> = Vec::new();
    for (at, fate) in fates {
        let alike = |tick: &Tick| match (&tick.fate, &fate) {
            (Fate::Missed { why: Miss::Down { .. } }, Fate::Missed { why: Miss::Down { .. } }) => true,
            (Fate::Missed { .. } | Fate::Skipped { .. }, _) => tick.fate == fate,
            _ => false,
        };
        match ticks.last_mut().filter(|tick| alike(tick)) {
            Some(tick) => (tick.to, tick.count) = (at, tick.count + 1),
            None => ticks.push(Tick::new(schedule, at, fate, now)),
        }
    }
    ticks
}
