//! Begins runs and takes up those that others left.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{App, AppError, Session};
use crate::engine::{Engine, Observer};
use crate::journal::memory::MemoryStore;
use crate::journal::run_journal::RunJournal;
use crate::journal::{Fact, Head, Record, Store, StoreError, Taken};
use crate::model::command::{Actor, Command, Order};
use crate::model::drill::DrillPin;
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, Timestamp, Value};
use crate::playbook::bundle::Bundle;
use crate::script::{Program, Scope};

/// A run to begin.
pub struct Start {
    /// What to run.
    pub bundle: Bundle,
    /// Its evaluated parameters.
    pub params: Value,
    /// Who begins it; whoever is at the keyboard when absent.
    pub by: Option<Actor>,
    /// Its identity, when that is known before it begins; drawn anew when absent.
    pub identity: Option<Identity>,
    /// It is a drill; see [`App::prepare_drill`].
    pub drill: Option<DrillPin>,
}

impl Start {
    /// A run of its own, begun by whoever is at the keyboard.
    #[must_use]
    pub fn new(bundle: Bundle, params: Value) -> Self {
        Self { bundle, params, by: None, identity: None, drill: None }
    }
}

/// What tells a run from any other: its id, and where its chance begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub run: RunId,
    /// Its seed.
    pub seed: u64,
}

impl Identity {
    /// One that no other run has.
    ///
    /// # Errors
    /// When the system has no random bits.
    pub fn random() -> Result<Self, AppError> {
        Ok(Self { run: RunId::from_entropy(App::entropy()?), seed: App::entropy()? })
    }

    /// The one that follows from a text: whoever begins a run for the same text twice, on whatever server, begins one run.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let bits = |from: usize| digest[from..from + 8].iter().fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
        Self { run: RunId::from_entropy(bits(0)), seed: bits(8) }
    }
}

/// What a run is begun with.
pub(super) struct Begin<'b> {
    pub engine: &'b Engine,
    pub store: &'b Arc<dyn Store>,
    pub program: Arc<Program>,
    pub params: &'b Value,
    pub mode: Mode,
    /// Drawn anew when absent.
    pub identity: Option<Identity>,
    /// Whoever is at the keyboard when absent.
    pub by: Option<Actor>,
    /// When it begins, by the engine's clock.
    pub now: Timestamp,
    pub forked_from: Option<RunId>,
    /// What it takes over from the run it was forked from.
    pub kept: &'b [Fact],
    /// It is a drill.
    pub drill: Option<DrillPin>,
    pub observer: Arc<dyn Observer>,
}

impl<'b> Begin<'b> {
    /// A run of its own.
    pub fn new(
        engine: &'b Engine,
        store: &'b Arc<dyn Store>,
        program: Arc<Program>,
        params: &'b Value,
        mode: Mode,
        now: Timestamp,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            engine,
            store,
            program,
            params,
            mode,
            identity: None,
            by: None,
            now,
            forked_from: None,
            kept: &[],
            drill: None,
            observer,
        }
    }
}

impl App {
    /// Sixty random bits.
    pub(super) fn entropy() -> Result<u64, AppError> {
        getrandom::u64().map_err(|error| AppError::System {
            act: "get random bits",
            source: std::io::Error::other(error.to_string()),
        })
    }

    /// Compiles a bundle and has its declared secrets redacted: from the first record on, or from when they are there.
    ///
    /// # Errors
    /// When it does not compile, or a declared source is there and cannot be read.
    pub fn program(&self, bundle: &Bundle, params: &Value) -> Result<Arc<Program>, AppError> {
        let program = self.compiled(bundle)?;
        let scope = Scope { params: params.clone(), ..Scope::default() };
        for source in &program.playbook.secrets {
            let from = program.template(&source.from, &scope)?;
            let keys: Vec<String> = source.keys.iter().map(|key| key.value.clone()).collect();
            if let Some(from) = from.as_str().filter(|from| !from.is_empty()) {
                self.secrets.declare(&source.provider.value, from, &keys)?;
            }
        }
        Ok(program)
    }

    /// Begins a run and takes it in hand.
    ///
    /// # Errors
    /// When the bundle does not compile or the store cannot be written.
    pub fn start(&self, start: &Start, observer: Arc<dyn Observer>) -> Result<Session, AppError> {
        self.tidy();
        self.start_on(&self.live_engine(), start, observer)
    }

    /// As [`App::start`], on an engine that has other runs too.
    ///
    /// # Errors
    /// As [`App::start`], and when there is a run of that identity already.
    pub fn start_on(&self, engine: &Engine, start: &Start, observer: Arc<dyn Observer>) -> Result<Session, AppError> {
        let program = self.program(&start.bundle, &start.params)?;
        self.keep_bundle(&start.bundle)?;
        let store = self.store();
        let begin = Begin::new(engine, &store, program, &start.params, Mode::Live, self.clock.now(), observer);
        self.begin(Begin {
            identity: start.identity.clone(),
            by: start.by.clone(),
            drill: start.drill.clone(),
            ..begin
        })
    }

    /// Keeps a bundle in the store, so that runs can be pinned to it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_bundle(&self, bundle: &Bundle) -> Result<(), AppError> {
        self.store.put_blob(&bundle.to_bytes())?;
        let (name, version) = (&bundle.playbook.name.value, &bundle.playbook.version.value);
        Ok(self.store.remember_bundle(name, version, &bundle.digest, self.clock.now())?)
    }

    /// Goes through a playbook without sending any effect. Returns the records of the plan. With `identity`, the plan is that of
    /// the run that has it: what hangs on the run's id or chance is the same.
    ///
    /// # Errors
    /// When the bundle does not compile.
    pub fn plan(&self, start: &Start, identity: Option<Identity>) -> Result<(Vec<Record>, Arc<Program>), AppError> {
        self.plan_watched(start, identity, Arc::new(crate::engine::NoObserver))
    }

    /// As [`App::plan`], seen by an observer as it comes about.
    pub(super) fn plan_watched(
        &self,
        start: &Start,
        identity: Option<Identity>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Vec<Record>, Arc<Program>), AppError> {
        let program = self.program(&start.bundle, &start.params)?;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let engine = self.plan_engine(Arc::clone(&store), program.models.clone());
        let now = self.clock.now();
        let kept = self.machine_checks(&program, &start.params, now);
        let begin = Begin::new(&engine, &store, program, &start.params, Mode::Plan, now, observer);
        self.plan_with(Begin { identity, kept: &kept, ..begin })
    }

    pub(super) fn plan_with(&self, begin: Begin<'_>) -> Result<(Vec<Record>, Arc<Program>), AppError> {
        let (engine, store, program) = (begin.engine.clone(), Arc::clone(begin.store), Arc::clone(&begin.program));
        let session = self.begin(begin)?;
        engine.run_until_idle();
        if let Some(error) = engine.take_failure(session.run()) {
            return Err(error.into());
        }
        Ok((crate::journal::apart::records(store.as_ref(), session.run())?, program))
    }

    pub(super) fn begin(&self, begin: Begin<'_>) -> Result<Session, AppError> {
        let Begin { engine, store, program, params, mode, identity, by, now, forked_from, kept, drill, observer } =
            begin;
        let Identity { run, seed } = match identity {
            Some(identity) => identity,
            None => Identity::random()?,
        };
        let head = Head {
            run: run.clone(),
            playbook: program.playbook.name.value.clone(),
            version: program.playbook.version.value.clone(),
            bundle: program.digest.clone(),
            status: RunStatus::Running,
            detail: String::new(),
            started: now,
            updated: now,
            records: 0,
            epoch: 0,
            holder: None,
        };
        let mut journal = RunJournal::create(Arc::clone(store), Arc::clone(&self.redactor), &head)?;
        let first = Fact::RunStarted {
            format: crate::journal::record::FORMAT,
            run: run.clone(),
            playbook: head.playbook,
            version: head.version,
            bundle: head.bundle,
            mode,
            params: params.clone(),
            by: by.unwrap_or_else(|| self.settings.actor.clone()),
            seed,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            forked_from,
            // Nothing is declared before it is begun later than that.
            drill: drill.map(|pin| Box::new(DrillPin { declared_at: pin.declared_at.min(now), ..pin })),
        };
        let mut records = Vec::new();
        if !kept.is_empty() {
            records.push(journal.push(first.clone(), now));
            records.extend(kept.iter().map(|fact| journal.push(fact.clone(), now)));
            records.iter().for_each(|record| observer.record(&run, record));
        }
        let first = kept.is_empty().then_some(first);
        let run = engine.adopt(program, journal, &records, first, observer)?;
        Ok(if mode == Mode::Sandbox {
            Session::in_sandbox(engine.clone(), run)
        } else {
            Session::new(engine.clone(), run)
        })
    }

    /// The bundle a run is pinned to.
    ///
    /// # Errors
    /// When it is not in the store, or cannot be read by this program.
    pub fn bundle_of(&self, run: &RunId) -> Result<Bundle, AppError> {
        let head = self.store.head(run)?;
        let wrong = |what: String| AppError::Bundle { run: run.clone(), digest: head.bundle.clone(), what };
        let bytes = self.store.blob(&head.bundle).map_err(|error| match error {
            // No other version of the program can read what is damaged.
            StoreError::Corrupt { .. } => error.into(),
            other => wrong(other.to_string()),
        })?;
        Bundle::from_bytes(&bytes).map_err(|error| wrong(error.to_string()))
    }

    /// The records of a run, their chain verified.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn records(&self, run: &RunId) -> Result<Vec<Record>, AppError> {
        Ok(crate::journal::apart::records(self.store.as_ref(), run)?)
    }

    /// Takes up a run that nobody holds. A holder that was stopped past its lease is killed first, so that it cannot send what
    /// it was about to send.
    ///
    /// # Errors
    /// [`AppError::Held`] when somebody alive holds it, [`AppError::Over`] when it has ended.
    pub fn take(&self, run: &RunId, observer: Arc<dyn Observer>) -> Result<Session, AppError> {
        self.tidy();
        self.take_on(None, run, observer)
    }

    /// As [`App::take`]; with an engine, onto that one, which has other runs too. A run in the sandbox has a world of its own, and so
    /// always an engine of its own.
    ///
    /// # Errors
    /// As [`App::take`].
    pub fn take_on(
        &self,
        engine: Option<&Engine>,
        run: &RunId,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let head = self.store.head(run)?;
        if head.status.is_terminal() {
            return Err(AppError::Over { run: run.clone(), status: head.status.as_str() });
        }
        let bundle = self.bundle_of(run)?;
        let epoch = self.lease(run)?;
        match self.resume(engine, run, epoch, &bundle, observer) {
            Ok(session) => Ok(session),
            Err(error) => {
                self.store.release(run, epoch)?;
                Err(error)
            }
        }
    }

    pub(super) fn lease(&self, run: &RunId) -> Result<u64, AppError> {
        for _ in 0..2 {
            match self.store.take(run)? {
                Taken::Yes { epoch } => return Ok(epoch),
                Taken::HeldBy(holder) => return Err(AppError::Held { run: run.clone(), holder: Box::new(holder) }),
                Taken::Stale(holder) => self.store.kill_stale(&holder)?,
            }
        }
        Err(StoreError::NoSuchRun(format!("{run} (its holder comes and goes)")).into())
    }

    fn resume(
        &self,
        engine: Option<&Engine>,
        run: &RunId,
        epoch: u64,
        bundle: &Bundle,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let (journal, records) = RunJournal::open(self.store(), Arc::clone(&self.redactor), run.clone(), epoch)?;
        let (params, mode) = match records.first().map(|record| &record.fact) {
            Some(Fact::RunStarted { params, mode, .. }) => (params.clone(), *mode),
            _ => (Value::Null, Mode::Live),
        };
        records.iter().for_each(|record| observer.record(run, record));
        if mode == Mode::Sandbox {
            return self.resume_in_sandbox(journal, &records, bundle, observer);
        }
        let program = self.program(bundle, &params)?;
        self.learn_secrets(&records);
        let engine = engine.cloned().unwrap_or_else(|| self.live_engine());
        let run = engine.adopt(program, journal, &records, None, observer)?;
        Ok(Session::new(engine, run))
    }

    /// What an earlier holder resolved is redacted here too, from the first record on. One that cannot be read just now says so when
    /// it is used.
    pub(super) fn learn_secrets(&self, records: &[Record]) {
        for record in records {
            if let Fact::SecretMet { secret } | Fact::SecretAccepted { secret, .. } = &record.fact {
                let _ = self.secrets.resolve(&secret.handle);
            }
        }
    }

    /// Says something to a run, durably. Whoever holds it will hear it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn say(&self, run: &RunId, by: &Actor, what: Order) -> Result<i64, AppError> {
        Ok(self.store.post(run, &Command { by: by.clone(), what })?)
    }

    /// Kills the children that a killed run left behind; how many there were.
    ///
    /// # Errors
    /// When their statuses cannot be read.
    pub fn kill_children(&self, run: &RunId) -> Result<usize, AppError> {
        Ok(self.children.kill_all(&format!("m-{run}-"))?)
    }
}
