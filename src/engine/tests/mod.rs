//! The engine against a world that is a map: every promise at the lowest level at which it can fail.

pub(super) mod books;
mod crash;
mod drill;
mod flow;
mod gates;
mod people;
mod rest;
mod secrets;
mod undo;
mod unknowns;
mod ways;
mod world;

use std::sync::Arc;

use world::World;

use super::cell::NoObserver;
use super::driver::{Engine, Host};
use super::state::RunState;
use crate::clock::SimClock;
use crate::journal::memory::MemoryStore;
use crate::journal::run_journal::RunJournal;
use crate::journal::{Fact, Head, Record, Store, Taken};
use crate::model::command::{Actor, Command, Order};
use crate::model::secret::Redactor;
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, Value};
use crate::playbook::types::Playbook;
use crate::script::Program;

/// A run on a virtual clock, over a world that outlives engines.
pub struct Rig {
    pub world: Arc<World>,
    pub store: Arc<MemoryStore>,
    pub clock: Arc<SimClock>,
    pub program: Arc<Program>,
    pub run: RunId,
    pub mode: Mode,
    pub redactor: Arc<Redactor>,
    pub drill: Option<crate::model::drill::DrillPin>,
}

pub fn alice() -> Actor {
    Actor { name: "alice@here".to_owned() }
}

pub fn bob() -> Actor {
    Actor { name: "bob@here".to_owned() }
}

impl Rig {
    pub fn new(playbook: Playbook) -> Self {
        let program = Program::compile(playbook, "d1".to_owned(), &[]).expect("the test's playbook compiles");
        Self {
            world: Arc::new(World::default()),
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(SimClock::at("2026-01-01T00:00:00Z".parse().expect("an instant"))),
            program: Arc::new(program),
            run: RunId::from_entropy(7),
            mode: Mode::Live,
            redactor: Arc::default(),
            drill: None,
        }
    }

    pub fn engine(&self) -> Engine {
        let host = match self.mode {
            Mode::Plan => Host::Planning(Arc::new(crate::sandbox::Overlay::over(self.world.clone()))),
            _ => Host::Full(self.world.clone()),
        };
        let engine = Engine::new(host, self.clock.clone(), self.store.clone(), self.redactor.clone());
        let world = self.world.clone();
        engine.foreseeing(Arc::new(move |_| Arc::new(crate::sandbox::Overlay::over(world.clone()))))
    }

    fn head(&self) -> Head {
        Head {
            run: self.run.clone(),
            playbook: self.program.playbook.name.value.clone(),
            version: "1.0.0".to_owned(),
            bundle: "d1".to_owned(),
            status: RunStatus::Running,
            detail: String::new(),
            started: crate::clock::Clock::now(self.clock.as_ref()),
            updated: crate::clock::Clock::now(self.clock.as_ref()),
            records: 0,
            epoch: 0,
            holder: None,
        }
    }

    /// Takes the run, new or not, and drives it as far as it goes.
    pub fn drive(&self) -> Engine {
        let engine = self.engine();
        if self.adopted_by(&engine) {
            engine.run_until_idle();
        }
        engine
    }

    /// Gives the run, new or not, into the hands of an engine. A store that is stopped cannot take the first records either: then
    /// the run has not begun.
    pub fn adopted_by(&self, engine: &Engine) -> bool {
        self.world.dies_with(&self.store);
        if self.store.head(&self.run).is_err() && self.store.create(&self.head()).is_err() {
            return false;
        }
        let Ok(Taken::Yes { epoch }) = self.store.take(&self.run) else { return false };
        let store: Arc<dyn Store> = self.store.clone();
        let opened = RunJournal::open(store, self.redactor.clone(), self.run.clone(), epoch);
        let (journal, records) = opened.expect("the journal loads");
        let first = records.is_empty().then(|| Fact::RunStarted {
            format: 1,
            run: self.run.clone(),
            playbook: "test".to_owned(),
            version: "1.0.0".to_owned(),
            bundle: "d1".to_owned(),
            mode: self.mode,
            params: serde_json::json!({}),
            by: alice(),
            seed: 1,
            engine: "test".to_owned(),
            forked_from: None,
            drill: self.drill.clone().map(Box::new),
        });
        engine.adopt(self.program.clone(), journal, &records, first, Arc::new(NoObserver)).is_ok()
    }

    pub fn say(&self, engine: &Engine, by: Actor, what: Order) {
        self.store.post(&self.run, &Command { by, what }).expect("posted");
        engine.collect_mail().expect("collected");
        engine.run_until_idle();
    }

    /// Says something that is not taken; why.
    pub fn refused(&self, engine: &Engine, by: Actor, what: Order) -> String {
        self.say(engine, by, what);
        let heard = self.records().into_iter().rev().find_map(|record| match record.fact {
            Fact::Commanded { refused, .. } => Some(refused),
            _ => None,
        });
        heard.flatten().expect("it was refused")
    }

    pub fn records(&self) -> Vec<Record> {
        let store: Arc<dyn Store> = self.store.clone();
        crate::journal::apart::records(store.as_ref(), &self.run).expect("the journal reads")
    }

    pub fn state(&self) -> RunState {
        RunState::fold(&self.records()).expect("the journal folds")
    }

    pub fn status(&self) -> RunStatus {
        self.state().status()
    }

    pub fn output(&self, step: &str) -> Value {
        match self.state().steps.iter().find(|(path, _)| path.as_str() == step).map(|(_, step)| step.status.clone()) {
            Some(super::state::StepStatus::Succeeded { output }) => output,
            other => panic!("{step} has not succeeded: {other:?}"),
        }
    }

    /// The world in another process's eyes: the same things, nobody at work.
    pub fn after_crash(&self) -> Rig {
        self.world.revive();
        Rig {
            world: self.world.clone(),
            store: Arc::new(self.store.survivor()),
            clock: self.clock.clone(),
            program: self.program.clone(),
            run: self.run.clone(),
            mode: self.mode,
            redactor: Arc::default(),
            drill: self.drill.clone(),
        }
    }
}
