//! The scheduler as a whole: every due instant has exactly one fate, whatever happens to servers, clocks and runs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::file::{Schedules, read};
use super::findings::findings;
use super::forecast::coming;
use super::people;
use super::scheduler::{Begin, Event, Scheduler, Shelf, StartError, Starter};
use super::tick::{Asked, Fate, Miss, Skip, Tick};
use crate::journal::{Fact, Head, MemoryStore, RunJournal, Store};
use crate::model::command::Actor;
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, Timestamp};
use crate::playbook::diagnostic::has_errors;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn person(name: &str) -> Actor {
    Actor { name: name.to_owned() }
}

fn schedules(text: &str) -> Schedules {
    let text = format!("muster: 1\nschedules:\n{text}");
    let (schedules, found, _) = read("schedules.yaml", text.as_bytes(), Path::new("/nowhere"));
    assert!(!has_errors(&found), "{found:?}");
    schedules
}

/// How a run is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Good,
    /// The server dies before anything of the run is stored.
    Before,
    /// It dies when the run has its id and no record.
    Halfway,
    /// The run is begun, and its server dies before it can say so.
    After,
    /// The playbook is not there.
    Refused,
}

/// Begins runs that do nothing, in a store in memory.
struct Hands {
    store: MemoryStore,
    luck: Cell<Luck>,
    open: RefCell<BTreeMap<RunId, RunJournal>>,
    begun: RefCell<Vec<RunId>>,
    now: Cell<Timestamp>,
}

impl Hands {
    fn new(store: &MemoryStore) -> Self {
        Self {
            store: store.beside(),
            luck: Cell::new(Luck::Good),
            open: RefCell::default(),
            begun: RefCell::default(),
            now: Cell::new(Timestamp::UNIX_EPOCH),
        }
    }

    fn begin_run(&self, run: &RunId, by: &Actor) -> RunJournal {
        let store: Arc<dyn Store> = Arc::new(self.store.beside());
        let head = head(run, self.now.get());
        let mut journal = RunJournal::create(store, Arc::default(), &head).expect("a new run");
        let first = serde_json::from_value(serde_json::json!({
            "fact": "run_started", "format": 1, "run": run, "playbook": "p", "version": "1.0.0", "bundle": "b", "mode": Mode::Live,
            "params": {}, "by": by, "seed": 1, "engine": "0",
        }));
        journal.push(first.expect("a first record"), self.now.get());
        journal.commit(&[], RunStatus::Running, "").expect("durable");
        journal
    }

    fn end(&self, run: &RunId) {
        if let Some(mut journal) = self.open.borrow_mut().remove(run) {
            let end = Fact::Finished { status: RunStatus::Succeeded, remarks: vec![], outputs: BTreeMap::new() };
            journal.push(end, self.now.get());
            journal.commit(&[], RunStatus::Succeeded, "").expect("durable");
        }
    }

    fn end_all(&self) {
        let open: Vec<RunId> = self.open.borrow().keys().cloned().collect();
        open.iter().for_each(|run| self.end(run));
    }
}

fn head(run: &RunId, now: Timestamp) -> Head {
    Head {
        run: run.clone(),
        playbook: "p".into(),
        version: "1.0.0".into(),
        bundle: "b".into(),
        status: RunStatus::Running,
        detail: String::new(),
        started: now,
        updated: now,
        records: 0,
        epoch: 0,
        holder: None,
    }
}

impl Starter for Hands {
    fn start(&self, begin: &Begin<'_>) -> Result<(), StartError> {
        let later = || Err(StartError::Later("the server died".to_owned()));
        match self.luck.get() {
            Luck::Before => return later(),
            Luck::Halfway => {
                self.store.create(&head(begin.run, self.now.get())).expect("stored");
                return later();
            }
            Luck::Refused => return Err(StartError::Refused("there is no such playbook".to_owned())),
            Luck::Good | Luck::After => {}
        }
        let journal = self.begin_run(begin.run, &begin.by);
        self.begun.borrow_mut().push(begin.run.clone());
        self.open.borrow_mut().insert(begin.run.clone(), journal);
        if self.luck.get() == Luck::After { later() } else { Ok(()) }
    }
}

/// A store, a server on it, and a clock.
struct Ground {
    store: Arc<MemoryStore>,
    hands: Hands,
    scheduler: Scheduler,
    schedules: Schedules,
    now: Timestamp,
}

impl Ground {
    fn new(text: &str, now: &str) -> Self {
        let store = Arc::new(MemoryStore::new());
        let hands = Hands::new(&store);
        let schedules = schedules(text);
        let scheduler = Scheduler::new(Arc::clone(&store) as Arc<dyn Store>, schedules.clone());
        let mut ground = Self { store, hands, scheduler, schedules, now: at(now) };
        ground.turn();
        ground
    }

    fn turn(&mut self) -> Vec<Event> {
        self.hands.now.set(self.now);
        self.scheduler.turn(&self.hands, self.now).expect("a turn")
    }

    fn turn_at(&mut self, now: &str) -> Vec<Event> {
        self.now = at(now);
        self.turn()
    }

    /// Another server on the same store, perhaps with another file.
    fn restart(&mut self, schedules: Schedules) {
        self.schedules = schedules.clone();
        self.scheduler = Scheduler::new(Arc::clone(&self.store) as Arc<dyn Store>, schedules);
    }

    fn ticks(&self, name: &str) -> Vec<Tick> {
        let mut ticks = people::ticks(self.store.as_ref(), name, None).expect("ticks");
        ticks.reverse();
        ticks
    }

    /// The fates in a line each: `03:00 run`.
    fn fates(&self, name: &str) -> Vec<String> {
        let tell = |tick: Tick| {
            let why = match &tick.fate {
                Fate::Run { caught_up: true, .. } => " caught up".to_owned(),
                Fate::Skipped { why } => format!(": {why}"),
                Fate::Missed { why } => format!(": {why}"),
                _ => String::new(),
            };
            let many = if tick.count > 1 {
                format!("..{} x{}", tick.to.strftime("%d %H:%M"), tick.count)
            } else {
                String::new()
            };
            format!("{}{many} {}{why}", tick.at.strftime("%d %H:%M"), tick.fate)
        };
        self.ticks(name).into_iter().map(tell).collect()
    }
}

const HOURLY: &str = "  s: { playbook: p, cron: 0 * * * *, catch_up: 3h }\n";

#[test]
fn of_all_ticks_missed_inside_the_window_one_is_caught_up() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    ground.turn_at("2026-03-01T01:00:00.2Z");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T08:20:00Z");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T09:00:00Z");
    assert_eq!(
        ground.fates("s"),
        [
            "01 01:00 run",
            "01 02:00..01 05:00 x4 missed: no server looked at it until 6h20m later",
            "01 06:00..01 07:00 x2 missed: no server looked at it before that of 2026-03-01 08:00:00Z was due",
            "01 08:00 run caught up",
            "01 09:00 run",
        ]
    );
    let found =
        findings(ground.store.as_ref(), &ground.schedules, at("2026-03-01T00:00:00Z"), ground.now).expect("read");
    let told: Vec<(&str, u64)> = found.iter().map(|one| (one.code, one.count)).collect();
    assert_eq!(told, [("missed", 4), ("missed", 2)]);
}

#[test]
fn without_a_window_nothing_is_caught_up_but_what_is_a_minute_late() {
    let mut ground = Ground::new("  s: { playbook: p, cron: 0 * * * *, catch_up: none }\n", "2026-03-01T00:30:00Z");
    ground.turn_at("2026-03-01T01:00:59Z");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T02:01:01Z");
    assert_eq!(ground.fates("s"), ["01 01:00 run", "01 02:00 missed: no server looked at it until 1m1s later"]);
}

#[test]
fn a_tick_over_an_open_run_is_skipped_or_waits_as_the_schedule_says() {
    let text = "  s: { playbook: p, cron: 0 * * * * }\n  q: { playbook: p, cron: 0 * * * *, overlap: queue }\n";
    let mut ground = Ground::new(text, "2026-03-01T00:30:00Z");
    for hour in 1..=3 {
        ground.turn_at(&format!("2026-03-01T0{hour}:00:00Z"));
    }
    let first = ground.ticks("s")[0].run().expect("a run").clone();
    let skipped = format!("skipped: run {} of the schedule had not ended", first.short());
    assert_eq!(
        ground.fates("s"),
        ["01 01:00 run".to_owned(), format!("01 02:00 {skipped}"), format!("01 03:00 {skipped}")]
    );
    assert_eq!(ground.fates("q")[..2], ["01 01:00 run", "01 02:00 waiting"]);
    assert!(ground.fates("q")[2].starts_with("01 03:00 skipped"), "one waits at a time");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T03:20:00Z");
    assert_eq!(ground.fates("q")[1], "01 02:00 run");
    assert_eq!(ground.hands.begun.borrow().len(), 3, "each of its own tick");
}

#[test]
fn blackouts_pauses_and_incidents_keep_ticks_from_running_and_say_so() {
    let mut ground = Ground::new(
        "  s: { playbook: p, cron: 0 * * * *, blackout: [\"02:00..03:00\"] }\n  off: { playbook: p, cron: 0 * * * *, enabled: false }\n",
        "2026-03-01T00:30:00Z",
    );
    let alice = person("alice@desk");
    ground.turn_at("2026-03-01T01:00:00Z");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T02:00:00Z");
    people::pause(ground.store.as_ref(), "s", &alice, "move", at("2026-03-01T02:30:00Z")).expect("paused");
    ground.turn_at("2026-03-01T03:00:00Z");
    people::resume(ground.store.as_ref(), "s", &alice, at("2026-03-01T03:30:00Z")).expect("resumed");
    let incident = RunId::from_entropy(7);
    let journal = ground.hands.begin_run(&incident, &alice);
    ground.hands.open.borrow_mut().insert(incident.clone(), journal);
    ground.turn_at("2026-03-01T04:00:00Z");
    ground.hands.end(&incident);
    ground.turn_at("2026-03-01T05:00:00Z");
    assert_eq!(
        ground.fates("s"),
        [
            "01 01:00 run".to_owned(),
            "01 02:00 skipped: blackout 02:00..03:00".to_owned(),
            "01 03:00 skipped: paused by alice@desk: move".to_owned(),
            format!("01 04:00 skipped: run {} was open, which is no drill", incident.short()),
            "01 05:00 run".to_owned(),
        ]
    );
    assert!(ground.ticks("off").iter().all(|tick| tick.fate == Fate::Skipped { why: Skip::Disabled }));
    let found =
        findings(ground.store.as_ref(), &ground.schedules, at("2026-03-01T00:00:00Z"), ground.now).expect("read");
    let told: BTreeSet<(&str, &str, bool)> =
        found.iter().map(|one| (one.schedule.as_str(), one.code, one.on_purpose)).collect();
    assert_eq!(told, [("off", "skipped", true), ("s", "skipped", false), ("s", "skipped", true)].into());
}

#[test]
fn a_server_that_was_down_during_a_pause_does_not_catch_up_what_was_paused() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    let alice = person("alice@desk");
    people::pause(ground.store.as_ref(), "s", &alice, "", at("2026-03-01T00:40:00Z")).expect("paused");
    people::resume(ground.store.as_ref(), "s", &alice, at("2026-03-01T02:30:00Z")).expect("resumed");
    ground.turn_at("2026-03-01T02:40:00Z");
    assert_eq!(ground.fates("s"), ["01 01:00..01 02:00 x2 skipped: paused by alice@desk"]);
}

#[test]
fn a_schedule_that_was_changed_while_no_server_ran_was_due_as_it_was_before() {
    let mut ground = Ground::new("  s: { playbook: p, cron: 0 3 * * * }\n", "2026-03-01T00:30:00Z");
    ground.restart(schedules("  s: { playbook: p, cron: 0 * * * * }\n"));
    ground.turn_at("2026-03-02T12:30:00Z");
    ground.turn_at("2026-03-02T13:00:00Z");
    assert_eq!(
        ground.fates("s"),
        ["01 03:00..02 03:00 x2 missed: no server looked at it until 1d9h30m later", "02 13:00 run"],
        "not a run for each hour of a day in which it was due once"
    );
    ground.restart(schedules("  t: { playbook: p, cron: 0 * * * * }\n"));
    ground.turn_at("2026-03-02T15:30:00Z");
    ground.turn_at("2026-03-02T16:30:00Z");
    assert!(ground.fates("s")[2].starts_with("02 14:00..02 15:00 x2 missed: the schedule was taken out"));
    assert_eq!(ground.fates("s").len(), 3);
}

#[test]
fn a_clock_that_goes_back_fires_nothing_again_and_is_told() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    ground.turn_at("2026-03-01T01:00:00Z");
    ground.hands.end_all();
    ground.turn_at("2026-03-01T00:20:00Z");
    ground.turn_at("2026-03-01T01:00:00Z");
    ground.turn_at("2026-03-01T01:00:01Z");
    assert_eq!(ground.fates("s"), ["01 01:00 run"]);
    let found =
        findings(ground.store.as_ref(), &ground.schedules, at("2026-03-01T00:00:00Z"), at("2026-03-01T00:20:00Z"));
    assert_eq!(found.expect("read")[0].code, "clock-back");
}

#[test]
fn a_run_that_cannot_be_begun_is_a_missed_tick_and_one_that_can_later_is_begun_then() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    ground.hands.luck.set(Luck::Refused);
    ground.turn_at("2026-03-01T01:00:00Z");
    ground.hands.luck.set(Luck::Before);
    ground.turn_at("2026-03-01T02:00:00Z");
    assert!(matches!(ground.turn_at("2026-03-01T02:10:00Z")[..], [Event::Delayed { .. }]));
    ground.hands.luck.set(Luck::Good);
    ground.turn_at("2026-03-01T02:20:00Z");
    ground.hands.end_all();
    ground.hands.luck.set(Luck::Before);
    ground.turn_at("2026-03-01T03:00:00Z");
    ground.turn_at("2026-03-01T06:00:01Z");
    assert_eq!(
        ground.fates("s")[..3],
        [
            "01 01:00 missed: its run could not be begun: there is no such playbook",
            "01 02:00 run",
            "01 03:00 missed: its run could not be begun: the server died",
        ]
    );
}

#[test]
fn a_word_to_run_now_is_taken_up_once_and_goes_over_a_pause() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    let asked = Asked { by: person("alice@desk"), reason: "try it".to_owned() };
    people::pause(ground.store.as_ref(), "s", &asked.by, "", ground.now).expect("paused");
    let first = people::trigger(ground.store.as_ref(), "s", asked.clone(), ground.now).expect("ordered");
    let second = people::trigger(ground.store.as_ref(), "s", asked.clone(), ground.now).expect("ordered");
    assert_ne!(first, second);
    let tick = |ground: &Ground, at| people::tick_of(ground.store.as_ref(), "s", at).expect("read").expect("there");
    assert_eq!(tick(&ground, first).fate, Fate::Asked);
    ground.turn();
    ground.turn();
    assert!(matches!(tick(&ground, first).fate, Fate::Run { .. }));
    assert!(matches!(tick(&ground, second).fate, Fate::Skipped { why: Skip::Overlap { .. } }));
    assert_eq!(tick(&ground, first).asked, Some(asked));
    assert_eq!(ground.hands.begun.borrow().len(), 1);
}

#[test]
fn a_tick_fires_once_on_two_servers() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    let other: Arc<dyn Store> = Arc::new(ground.store.beside());
    let mut second = Scheduler::new(other, ground.schedules.clone());
    for hour in 1..8 {
        let now = format!("2026-03-01T0{hour}:00:00Z");
        ground.turn_at(&now);
        second.turn(&ground.hands, at(&now)).expect("a turn");
        ground.hands.end_all();
    }
    assert_eq!(ground.hands.begun.borrow().len(), 7);
    assert_eq!(ground.ticks("s").len(), 7);
}

#[test]
fn a_jitter_delays_each_tick_by_a_time_of_its_own_that_stays_the_same() {
    let text = "  s: { playbook: p, cron: 0 * * * *, jitter: 30m }\n";
    let mut ground = Ground::new(text, "2026-03-01T00:30:00Z");
    let shelf = Shelf::read(ground.store.as_ref()).expect("read");
    let next = coming(&ground.schedules, None, &shelf.history, ground.now, 3);
    assert_eq!(next.len(), 3);
    for one in &next {
        assert!(one.starts >= one.at && one.starts < one.at + SignedDuration::from_mins(30));
        ground.now = one.starts - SignedDuration::from_secs(1);
        ground.turn();
        let before = ground.ticks("s").len();
        ground.now = one.starts;
        ground.turn();
        ground.hands.end_all();
        assert_eq!(ground.ticks("s").len(), before + 1, "{one:?}");
    }
    let late = |one: &super::forecast::Coming| one.starts.duration_since(one.at);
    assert!(late(&next[0]) != late(&next[1]));
}

#[test]
fn what_comes_next_says_why_it_would_not_run() {
    let mut ground = Ground::new(
        "  s: { playbook: p, cron: 0 * * * *, timezone: Europe/Berlin, blackout: [\"04:00..05:00\"] }\n",
        "2026-03-01T00:30:00Z",
    );
    ground.turn_at("2026-03-01T01:00:00Z");
    let run = ground.ticks("s")[0].run().expect("a run").clone();
    let shelf = Shelf::read(ground.store.as_ref()).expect("read");
    let next = coming(&ground.schedules, Some("s"), &shelf.history, ground.now, 3);
    assert_eq!(next[0].local, "Sun 2026-03-01 03:00:00 CET");
    assert_eq!((next[0].skipped.as_deref(), next[1].skipped.as_deref()), (None, Some("blackout 04:00..05:00")));
    assert_eq!(next[0].unless_over, Some(format!("skipped while run {} is open", run.short())));
}

#[test]
fn a_file_that_breaks_keeps_the_schedules_as_they_were_and_is_told_until_it_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("schedules.yaml");
    let write = |text: &str| std::fs::write(&path, format!("muster: 1\nschedules:\n{text}")).expect("written");
    write(HOURLY);
    let store = Arc::new(MemoryStore::new());
    let hands = Hands::new(&store);
    let mut scheduler = Scheduler::watching(Arc::clone(&store) as Arc<dyn Store>, &path).expect("read");
    let mut turn = |now: &str| scheduler.turn(&hands, at(now)).expect("a turn");
    turn("2026-03-01T00:30:00Z");
    write("  s: { playbook: p, cron: every hour of the day }\n");
    assert!(
        matches!(&turn("2026-03-01T00:31:00Z")[..], [Event::Broken { why }] if why.contains("is no cron expression"))
    );
    assert_eq!(turn("2026-03-01T00:32:00Z"), [], "it is told once");
    assert!(turn("2026-03-01T01:00:00Z").iter().any(|event| matches!(event, Event::Started { .. })));
    let told = || {
        let found =
            findings(store.as_ref(), &schedules(HOURLY), at("2026-03-01T00:00:00Z"), at("2026-03-01T01:00:01Z"));
        found.expect("read").iter().any(|one| one.code == "broken-file")
    };
    assert!(told());
    std::fs::remove_file(&path).expect("removed");
    assert!(
        matches!(&turn("2026-03-01T01:01:00Z")[..], [Event::Broken { why }] if why.contains("cannot read schedules"))
    );
    write(HOURLY);
    assert_eq!(turn("2026-03-01T01:02:00Z"), [Event::Reread]);
    assert!(!told());
}

#[test]
fn a_schedule_that_nobody_looks_at_or_that_does_not_run_is_found() {
    let mut ground = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    let codes = |ground: &Ground, now: &str| -> Vec<&str> {
        let found =
            findings(ground.store.as_ref(), &ground.schedules, at("2026-03-01T00:00:00Z"), at(now)).expect("read");
        found.iter().map(|one| one.code).collect()
    };
    assert_eq!(codes(&ground, "2026-03-01T01:00:30Z"), Vec::<&str>::new());
    assert_eq!(codes(&ground, "2026-03-01T01:02:00Z"), ["unwatched"]);
    ground.turn_at("2026-03-01T01:00:00Z");
    for hour in 2..=4 {
        ground.turn_at(&format!("2026-03-01T0{hour}:00:00Z"));
    }
    assert_eq!(codes(&ground, "2026-03-01T04:02:00Z"), ["skipped", "silent"]);
    let never = Ground::new(HOURLY, "2026-03-01T00:30:00Z");
    let other = schedules("  other: { playbook: p, cron: 0 * * * * }\n");
    let found = findings(never.store.as_ref(), &other, at("2026-03-01T00:00:00Z"), never.now).expect("read");
    assert_eq!((found[0].schedule.as_str(), found[0].code), ("other", "unwatched"));
}

/// What may happen.
#[derive(Clone, Debug)]
enum Deed {
    Wait(i64),
    Turn,
    /// Another server takes its place.
    Restart,
    /// The server is down for so long.
    Down(i64),
    /// Somebody sets the clock.
    Jump(i64),
    Luck(Luck),
    EndRuns,
    Pause,
    Resume,
    Trigger,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (1i64..45).prop_map(Deed::Wait),
        8 => Just(Deed::Turn),
        1 => Just(Deed::Restart),
        1 => (1i64..4000).prop_map(Deed::Down),
        1 => (-700i64..700).prop_map(Deed::Jump),
        3 => prop::sample::select(vec![Luck::Good, Luck::Good, Luck::Before, Luck::Halfway, Luck::After, Luck::Refused])
            .prop_map(Deed::Luck),
        3 => Just(Deed::EndRuns),
        1 => Just(Deed::Pause),
        1 => Just(Deed::Resume),
        1 => Just(Deed::Trigger),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_due_instant_has_one_fate_and_at_most_one_run_whatever_happens(
        deeds in prop::collection::vec(deed(), 1..120),
        period in prop::sample::select(vec![10i64, 30, 300]),
        queue: bool,
        catch_up in prop::sample::select(vec!["none", "1m", "30m"]),
        jitter: bool,
    ) {
        let cron = match period { 10 => "*/10 * * * * *", 30 => "*/30 * * * * *", _ => "*/5 * * * *" };
        let overlap = if queue { "queue" } else { "skip" };
        let jitter = if jitter { "7s" } else { "0s" };
        let text = format!(
            "  s: {{ playbook: p, cron: \"{cron}\", overlap: {overlap}, catch_up: {catch_up}, jitter: {jitter}, unless_incident: false }}\n"
        );
        let start = at("2026-03-01T00:00:03Z");
        let mut ground = Ground::new(&text, "2026-03-01T00:00:03Z");
        let mut triggered = 0u64;
        let alice = person("alice");
        let second = SignedDuration::from_secs(1);
        let mut furthest = start;
        for deed in deeds.into_iter().chain([Deed::Luck(Luck::Good), Deed::Turn, Deed::EndRuns, Deed::Turn, Deed::EndRuns, Deed::Turn, Deed::Turn]) {
            match deed {
                Deed::Wait(seconds) | Deed::Jump(seconds) => ground.now += second * i32::try_from(seconds).expect("small"),
                Deed::Turn => {
                    ground.turn();
                    furthest = furthest.max(ground.now);
                }
                Deed::Restart => ground.restart(ground.schedules.clone()),
                Deed::Down(seconds) => {
                    ground.now += second * i32::try_from(seconds).expect("small");
                    ground.restart(ground.schedules.clone());
                }
                Deed::Luck(luck) => ground.hands.luck.set(luck),
                Deed::EndRuns => ground.hands.end_all(),
                Deed::Pause => drop(people::pause(ground.store.as_ref(), "s", &alice, "", ground.now).expect("stored")),
                Deed::Resume => drop(people::resume(ground.store.as_ref(), "s", &alice, ground.now).expect("stored")),
                Deed::Trigger => {
                    let asked = Asked { by: alice.clone(), reason: String::new() };
                    people::trigger(ground.store.as_ref(), "s", asked, ground.now).expect("stored");
                    triggered += 1;
                }
            }
        }
        let ticks = ground.ticks("s");
        let standing = Shelf::read(ground.store.as_ref()).expect("read").history.standings["s"].clone();
        // By the clock: what was due is told by arithmetic alone.
        let seconds = |at: Timestamp| at.as_second();
        let due: Vec<i64> = (seconds(start) + 1..=seconds(standing.through)).filter(|at| at % period == 0).collect();
        let mut fated = Vec::new();
        for tick in ticks.iter().filter(|tick| tick.asked.is_none()) {
            let of_tick: Vec<i64> = (seconds(tick.at)..=seconds(tick.to)).filter(|at| at % period == 0).collect();
            prop_assert_eq!(of_tick.len() as u64, tick.count, "{:?}", tick);
            fated.extend(of_tick);
        }
        prop_assert_eq!(&fated, &due, "each due instant has exactly one fate");
        let overdue = (seconds(start) + 1..=seconds(furthest) - 7).filter(|at| at % period == 0).max();
        prop_assert!(overdue.is_none_or(|overdue| overdue <= seconds(standing.through)), "what was due at a turn has its fate");
        prop_assert_eq!(ticks.iter().filter(|tick| tick.asked.is_some()).count() as u64, triggered);
        prop_assert!(!ticks.iter().any(|tick| matches!(tick.fate, Fate::Asked | Fate::Waiting)), "{:?}", ticks);
        // No tick has two runs, no run two ticks, and there are no other runs.
        let runs: Vec<RunId> = ticks.iter().filter_map(|tick| tick.run().cloned()).collect();
        let distinct: BTreeSet<&RunId> = runs.iter().collect();
        prop_assert_eq!(distinct.len(), runs.len());
        let begun: BTreeSet<RunId> = ground.hands.begun.borrow().iter().cloned().collect();
        prop_assert_eq!(begun.len(), ground.hands.begun.borrow().len(), "a run is begun once");
        prop_assert_eq!(begun, runs.into_iter().collect::<BTreeSet<_>>());
        let refused = |tick: &&Tick| matches!(&tick.fate, Fate::Missed { why: Miss::Refused { .. } });
        prop_assert!(ticks.iter().filter(refused).all(|tick| tick.count == 1));
    }
}
