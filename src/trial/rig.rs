//! Runs a playbook in memory, as a test says: started, stopped, started again, answered and ordered about.

use std::sync::Arc;

use parking_lot::Mutex;

use super::answers;
use super::faults::{Book, FaultyHost};
use super::ground::Ground;
use crate::clock::{Clock, SimClock};
use crate::engine::{Engine, Host, RunState};
use crate::journal::memory::MemoryStore;
use crate::journal::run_journal::RunJournal;
use crate::journal::{Fact, Head, Pause, Record, Store, Taken, apart};
use crate::model::RunId;
use crate::model::command::{Actor, Command};
use crate::model::secret::Redactor;
use crate::model::status::{Mode, RunStatus};
use crate::playbook::trial::{FaultAt, KillAt, Trial};
use crate::sandbox::host::SandboxHost;
use crate::sandbox::{Overlay, World};
use crate::script::Program;

/// Answers and orders of one test. A run that wants more goes round in circles.
const MOST_ROUNDS: usize = 1_000;

/// What came of a test.
pub(super) struct Outcome {
    /// What the run recorded.
    pub records: Vec<Record>,
    /// The state after them.
    pub state: RunState,
    /// The world at the end.
    pub world: World,
    /// What people were waited for, in order.
    pub pauses: Vec<Pause>,
    /// Failures that never came to pass, with how many calls fitted.
    pub unused: Vec<(FaultAt, u32)>,
    /// Stops of the engine that never came to pass, with how many effects were sent.
    pub unkilled: Vec<(KillAt, u32)>,
    /// How many orders were not needed.
    pub unsaid: usize,
}

/// The id of a test's run: the one that the plan of the same world has.
fn run_of(world: &World) -> RunId {
    RunId::from_entropy(world.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn head_of(program: &Program, world: &World) -> Head {
    Head {
        run: run_of(world),
        playbook: program.playbook.name.value.clone(),
        version: program.playbook.version.value.clone(),
        bundle: program.digest.clone(),
        status: RunStatus::Running,
        detail: String::new(),
        started: world.now,
        updated: world.now,
        records: 0,
        epoch: 0,
        holder: None,
    }
}

fn first(head: &Head, ground: &Ground, mode: Mode) -> Fact {
    Fact::RunStarted {
        format: crate::journal::record::FORMAT,
        run: head.run.clone(),
        playbook: head.playbook.clone(),
        version: head.version.clone(),
        bundle: head.bundle.clone(),
        mode,
        params: ground.params.clone(),
        by: Actor { name: "test".to_owned() },
        seed: ground.world.seed,
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        forked_from: None,
        drill: None,
    }
}

/// The records of the plan of the same run.
pub(super) fn plan(program: &Arc<Program>, ground: &Ground) -> Result<Vec<Record>, String> {
    let redactor = Arc::new(Redactor::default());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::at(ground.world.now));
    let host = Overlay::over_world(ground.world.clone()).redacting(Arc::clone(&redactor));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let engine = Engine::new(Host::Planning(Arc::new(host)), clock, Arc::clone(&store), Arc::clone(&redactor));
    let head = head_of(program, &ground.world);
    let journal = RunJournal::create(Arc::clone(&store), redactor, &head).map_err(|error| error.to_string())?;
    let first = first(&head, ground, Mode::Plan);
    let observer = Arc::new(crate::engine::NoObserver);
    engine.adopt(Arc::clone(program), journal, &[], Some(first), observer).map_err(|error| error.to_string())?;
    engine.run_until_idle();
    apart::records(store.as_ref(), &head.run).map_err(|error| error.to_string())
}

/// Runs the test.
///
/// # Errors
/// When the engine cannot go on, which no playbook should be able to bring about.
pub(super) fn run(program: &Arc<Program>, ground: &Ground, trial: &Trial) -> Result<Outcome, String> {
    let world = Arc::new(Mutex::new(ground.world.clone()));
    let clock = Arc::new(SimClock::at(ground.world.now));
    let book = Book::of(&trial.faults);
    let mut store = Arc::new(MemoryStore::new());
    let head = head_of(program, &ground.world);
    let begun = first(&head, ground, Mode::Sandbox);
    store.create(&head).map_err(|error| error.to_string())?;
    let mut orders = trial.orders.iter();
    let mut kills = trial.kills.iter().copied();
    let (mut pauses, mut unkilled) = (Vec::new(), Vec::new());
    loop {
        let kill = kills.next();
        book.live(kill);
        if let Some(KillAt::Record(number)) = kill {
            store.stop_after(u64::from(number));
        }
        let mut life = Life { program, book: &book, world: &world, clock: &clock, store: &store, run: &head.run };
        let stopped = life.live(&begun, trial, &mut orders, &mut pauses)?;
        if !stopped {
            unkilled.extend(kill.into_iter().chain(kills).map(|kill| (kill, book.sent())));
            break;
        }
        store = Arc::new(store.survivor());
    }
    let records = apart::records(store.as_ref(), &head.run).map_err(|error| error.to_string())?;
    let state = RunState::fold(&records).map_err(|error| error.to_string())?;
    let world = world.lock().clone();
    Ok(Outcome { records, state, world, pauses, unused: book.unused(), unkilled, unsaid: orders.len() })
}

/// One life of the engine, from its start to where it is stopped, or to where nothing is left to do.
struct Life<'l> {
    program: &'l Arc<Program>,
    book: &'l Arc<Book>,
    world: &'l Arc<Mutex<World>>,
    clock: &'l Arc<SimClock>,
    store: &'l Arc<MemoryStore>,
    run: &'l RunId,
}

impl Life<'_> {
    /// Whether it was stopped on the way.
    fn live<'o>(
        &mut self,
        begun: &Fact,
        trial: &Trial,
        orders: &mut impl Iterator<Item = &'o crate::model::span::Spanned<crate::model::command::Order>>,
        pauses: &mut Vec<Pause>,
    ) -> Result<bool, String> {
        let redactor = Arc::new(Redactor::default());
        let clock: Arc<dyn Clock> = Arc::clone(self.clock) as Arc<dyn Clock>;
        let store: Arc<dyn Store> = Arc::clone(self.store) as Arc<dyn Store>;
        let sandbox = SandboxHost::new(Arc::clone(self.world), Arc::clone(&clock), Arc::clone(&redactor));
        let host = FaultyHost::new(sandbox, Arc::clone(self.book), Arc::clone(self.store));
        let engine =
            Engine::new(Host::Full(Arc::new(host)), Arc::clone(&clock), Arc::clone(&store), Arc::clone(&redactor));
        let (world, secrets) = (Arc::clone(self.world), Arc::clone(&redactor));
        let engine = engine.foreseeing(Arc::new(move |_| Arc::new(Overlay::over_run(&world, clock.now(), &secrets))));
        let failed = |error: &dyn std::fmt::Display| match self.store.stopped() {
            true => Ok(true),
            false => Err(error.to_string()),
        };
        let epoch = match store.take(self.run) {
            Ok(Taken::Yes { epoch }) => epoch,
            Ok(_) => return Err("somebody else holds the run".to_owned()),
            Err(error) => return failed(&error),
        };
        let (journal, records) = match RunJournal::open(Arc::clone(&store), redactor, self.run.clone(), epoch) {
            Ok(opened) => opened,
            Err(error) => return failed(&error),
        };
        let first = records.is_empty().then(|| begun.clone());
        let observer = Arc::clone(self.book) as Arc<dyn crate::engine::Observer>;
        if let Err(error) = engine.adopt(Arc::clone(self.program), journal, &records, first, observer) {
            return failed(&error);
        }
        for _ in 0..MOST_ROUNDS {
            engine.run_until_idle();
            if self.store.stopped() {
                return Ok(true);
            }
            if let Some(error) = engine.take_failure(self.run) {
                return failed(&error);
            }
            let Some(state) = engine.state(self.run) else { return Ok(false) };
            if state.finished.is_some() {
                return Ok(false);
            }
            for pause in state.waiting_for_people() {
                if !pauses.contains(&pause) {
                    pauses.push(pause);
                }
            }
            let mut said = answers::given(&trial.answers, &state);
            if said.is_empty() {
                let next = orders.next().map(|order| order.value.clone());
                said.extend(next.map(|what| Command { by: Actor { name: "test-operator".to_owned() }, what }));
            }
            if said.is_empty() {
                return Ok(false);
            }
            for command in &said {
                if let Err(error) = store.post(self.run, command) {
                    return failed(&error);
                }
            }
            if let Err(error) = engine.collect_mail() {
                return failed(&error);
            }
        }
        Err(format!("after {MOST_ROUNDS} answers and orders the run still asks for more"))
    }
}
