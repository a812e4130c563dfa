//! The world of a plan: a base that is only read, with the plan's own effects laid over it. The base is a sandbox world, known
//! whole, or the live system, of which is imported what models have to know. Effects are done in the overlay by the models that
//! the sandbox runs; what the plan has changed is answered from there or not at all, never by the live system.

mod diff;
mod duration;
mod ecs;
mod effect;
mod footprint;
mod import;
mod kubernetes;
mod look;
mod modelled;
mod rds;
mod s3;
mod secrets;
mod state;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::footprint::Reach;
use self::import::Importer;
use self::state::{State, Touched};
use super::host::{SandboxReader, settle};
use super::modelled::Modelled;
use super::models::Call;
use super::veil;
use super::world::World;
use crate::clock::{Clock, SimClock, SystemClock};
use crate::model::fault::{OpError, Target};
use crate::model::forecast::Basis;
use crate::model::secret::Redactor;
use crate::model::{Timestamp, Value};
use crate::ops::foresight::{Foreseen, Mark, PlanHost};
use crate::ops::host::{Polled, Probe, ReadHost, Request};
use crate::ops::spec::{Backend, UNKNOWN_KEY, unknown};

/// The world of a plan.
pub struct Overlay {
    /// Reads what the plan starts from.
    base: Arc<dyn ReadHost>,
    /// Whether the overlay's world holds all of the base from the start.
    whole: bool,
    redactor: Arc<Redactor>,
    /// What is dated later than this was done by the plan.
    since: Timestamp,
    state: Mutex<State>,
    marks: Mutex<Vec<State>>,
}

impl Overlay {
    /// Over the live system, or whatever else answers reads.
    #[must_use]
    pub fn over(base: Arc<dyn ReadHost>) -> Self {
        let since = SystemClock.now();
        Self::new(base, false, World::empty(since), since)
    }

    /// Over the world of a sandbox.
    #[must_use]
    pub fn over_world(world: World) -> Self {
        let since = world.now;
        let redactor = Arc::<Redactor>::default();
        let (shared, clock) = (Arc::new(Mutex::new(world.clone())), Arc::new(SimClock::at(since)));
        let base = Arc::new(SandboxReader::new(shared, clock, Arc::clone(&redactor)));
        Self::new(base, true, world, since).redacting(redactor)
    }

    /// Over the world of a run in the sandbox, as far as it has come at this instant.
    #[must_use]
    pub fn over_run(world: &Mutex<World>, now: Timestamp, redactor: &Arc<Redactor>) -> Self {
        let mut world = world.lock().clone();
        settle(&mut world, now, redactor);
        Self::over_world(world).redacting(Arc::clone(redactor))
    }

    fn new(base: Arc<dyn ReadHost>, whole: bool, mut world: World, since: Timestamp) -> Self {
        world.planned = true;
        world.partial = !whole;
        world.params.clear();
        for name in world.postgres.keys().cloned().collect::<Vec<_>>() {
            if let Some(server) = world.postgres.get_mut(&name) {
                server.next_oid = veil::UNKNOWN_OID;
            }
        }
        let state = Mutex::new(State::new(world, later(since, Duration::from_millis(1))));
        Self { base, whole, redactor: Arc::default(), since, state, marks: Mutex::default() }
    }

    /// Secrets that models meet are learned by this.
    #[must_use]
    pub fn redacting(mut self, redactor: Arc<Redactor>) -> Self {
        self.redactor = redactor;
        self
    }

    /// Calls that the playbook brings models for are answered by those.
    #[must_use]
    pub fn modelled(self, models: Modelled) -> Self {
        self.state.lock().world_mut().models = models;
        self
    }

    fn call<'c>(&'c self, request: &'c Request, before: &'c Value, now: Timestamp) -> Call<'c> {
        let (run, op, key) = (&request.run, request.op.name, request.key.as_str());
        Call { run, op, key, args: &request.args, before, now, redactor: &self.redactor }
    }

    /// What of the live system a model has to know for this call. The reason when it cannot be looked at.
    fn import(&self, state: &mut State, request: &Request, reach: &[Reach]) -> Result<(), String> {
        if self.whole {
            return Ok(());
        }
        Importer { base: self.base.as_ref(), request, clusters: BTreeMap::new() }.import(state, reach)
    }

    /// What a call looks at.
    fn reach(&self, state: &mut State, request: &Request) -> Vec<Reach> {
        let (name, args) = (request.op.name, &request.args);
        if self.model_of(state, request).is_some() {
            return self.reach_by_model(state, request);
        }
        let within = ["docker.read", "docker.exec", "docker.copy_in", "docker.copy_out"].contains(&name);
        if within && !self.whole && !state.is_untouched() {
            // Its mounts tell what else it looks at.
            let container = args.get("container").and_then(Value::as_str).unwrap_or_default();
            let key = format!("docker/{container}");
            let _ = self.import(state, request, &[Reach { key, depth: footprint::Depth::Itself }]);
        }
        if !self.whole {
            self.see_source(state, request);
        }
        let mut reach = footprint::of(name, args, &state.world);
        reach.extend(rds::behind(request, state));
        reach
    }

    /// What the plan has done to what a call looks at. Which database a live address leads to after the plan has changed
    /// databases of RDS, only the run will know: the one that answers there now is another.
    fn touched(&self, state: &State, request: &Request, reach: &[Reach]) -> Touched {
        match state.touched(reach) {
            Touched::Changed(what) if !self.whole && !rds::behind(request, state).is_empty() => {
                Touched::Unknown(format!("which database answers there after {what}"))
            }
            touched => touched,
        }
    }

    /// What leaves the overlay, with all that only the run will know marked.
    fn lift(&self, request: &Request, value: Value) -> Value {
        // Contents of files are what they are.
        if ["fs.read_text", "fs.read_json", "fs.dotenv"].contains(&request.op.name) {
            return value;
        }
        veil::lift(value, self.since)
    }
}

/// An instant later by so much.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by.min(Duration::from_secs(10 * 365 * 86_400))).unwrap_or(at)
}

/// Whether a value has a part that only the run will know.
fn has_unknown(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(UNKNOWN_KEY) || fields.values().any(has_unknown),
        Value::Array(items) => items.iter().any(has_unknown),
        _ => false,
    }
}

/// How long the engine itself waits in a call: a `time.sleep` for its time.
fn lingers(request: &Request) -> Duration {
    let asked = request.args.get("duration").filter(|_| request.op.name == "time.sleep");
    match asked {
        Some(Value::String(text)) => crate::model::amount::parse_duration(text).unwrap_or_default(),
        Some(number) => number.as_u64().map_or(Duration::ZERO, Duration::from_millis),
        None => Duration::ZERO,
    }
}

fn answer(outcome: Result<Value, OpError>, basis: Basis, why: impl Into<String>) -> Foreseen {
    let (before, takes, changes) = (Value::Null, Duration::ZERO, Vec::new());
    Foreseen { outcome, basis, why: why.into(), before, takes, changes }
}

/// Nobody can tell.
fn guess(why: impl Into<String>) -> Foreseen {
    let why = why.into();
    answer(Ok(unknown(&why)), Basis::Unknown, why)
}

impl PlanHost for Overlay {
    fn foresee(&self, request: &Request) -> Foreseen {
        let mut state = self.state.lock();
        let open = has_unknown(&request.args);
        let lowered;
        let request = if open {
            lowered = Request { args: veil::lower(&request.args), ..request.clone() };
            &lowered
        } else {
            request
        };
        match &request.op.backend {
            Backend::Write(_) => self.effect(&mut state, request, open),
            Backend::Read(_) | Backend::Wait(_) if open => {
                guess(format!("the result of {}, whose arguments only the run will know", request.op.name))
            }
            Backend::Read(_) => self.look(&mut state, request),
            Backend::Wait(_) => self.wait(&mut state, request),
            Backend::Engine => {
                let takes = lingers(request);
                state.now = later(state.now, takes);
                Foreseen { takes, ..answer(Ok(Value::Null), Basis::Exact, "") }
            }
        }
    }

    fn mark(&self) -> Mark {
        let mut marks = self.marks.lock();
        marks.push(self.state.lock().clone());
        Mark(marks.len() - 1)
    }

    fn rewind(&self, to: Mark) {
        if let Some(state) = self.marks.lock().get(to.0) {
            *self.state.lock() = state.clone();
        }
    }

    fn spoil(&self, parts: &[&str], why: &str) {
        let mut state = self.state.lock();
        for part in parts {
            state.spoil(part, why);
        }
    }

    fn join(&self, ends: &[Mark]) {
        let marks = self.marks.lock();
        if let Some(state) = State::join(ends.iter().filter_map(|mark| marks.get(mark.0).cloned()).collect()) {
            *self.state.lock() = state;
        }
    }
}

/// Everything but [`PlanHost::foresee`] is asked of the base: what is there before the plan.
impl ReadHost for Overlay {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        self.base.read(request)
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        self.base.poll(request)
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.base.before(request)
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.base.probe(request)
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.base.fingerprint(request, result)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.base.target(request)
    }
}
