//! Reads and waits of a plan: asked of the base as long as the plan has not changed what they look at, answered by the models
//! from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::footprint::path_key;
use super::import::Importer;
use super::state::{State, Touched};
use super::{Overlay, answer, duration, guess, later};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::forecast::Basis;
use crate::ops::foresight::Foreseen;
use crate::ops::host::{Polled, Request};
use crate::ops::spec::unknown;
use crate::sandbox::models::pg::named_server;
use crate::sandbox::models::{self, Model};
use crate::sandbox::tree::split;
use crate::sandbox::veil;

/// Longer than this nobody waits in a plan.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Reads whose models know all there is to know once they have imported what they look at. The answers of the others hang on
/// contents that are not imported, and on programs.
const MODELLED: [&str; 33] = [
    "fs.stat",
    "fs.list",
    "fs.read_text",
    "fs.read_json",
    "fs.dotenv",
    "fs.sha256",
    "fs.hash_tree",
    "fs.tar_list",
    "docker.inspect",
    "docker.list",
    "docker.volume",
    "pg.server",
    "pg.databases",
    "pg.census",
    "rds.instance",
    "rds.cluster",
    "rds.snapshot",
    "rds.snapshots",
    "rds.backups",
    "ecs.service",
    "ecs.tasks",
    "secrets.describe",
    "secrets.read",
    "backup.vault",
    "backup.recovery_points",
    "backup.recovery_point",
    "backup.plans",
    "backup.plan",
    "efs.file_system",
    "helm.release",
    "helm.values",
    "helm.history",
    "k8s.get",
];

fn after(what: &str) -> String {
    format!("after {what}")
}

impl Overlay {
    /// A read.
    pub(super) fn look(&self, state: &mut State, request: &Request) -> Foreseen {
        let name = request.op.name;
        match name {
            "time.now" => return guess("the time of the run"),
            "time.age" => {
                let age = answer(self.base.read(request), Basis::Predicted, "as old as it is now; the run comes later");
                return age;
            }
            _ if name.starts_with("rand.") => return guess("the run draws it"),
            _ => {}
        }
        let reach = self.reach(state, request);
        let touched = self.touched(state, request, &reach);
        if name == "fs.space" && !self.whole {
            return self.space(state, request, &touched);
        }
        match touched {
            // What controllers make of a change is no part of it.
            Touched::No if self.whole && request.op.family() == "k8s" && state.is_changed_below("k8s") => {
                self.read_model(state, request, Basis::Predicted, "after what the plan changes there")
            }
            Touched::No if self.whole => self.read_model(state, request, Basis::Exact, ""),
            Touched::No => {
                let result = self.base.read(request);
                let takes = result.as_ref().map_or(Duration::ZERO, |result| duration::of_read(request.op, result));
                Foreseen { takes, ..answer(result, Basis::Exact, "") }
            }
            Touched::Unknown(why) => guess(format!("what {name} answers: {why}")),
            Touched::Changed(what) if self.whole => self.read_model(state, request, Basis::Predicted, &after(&what)),
            Touched::Changed(what) if !MODELLED.contains(&name) && self.model_of(state, request).is_none() => {
                guess(format!("what {name} answers after {what}"))
            }
            Touched::Changed(what) => match self.import(state, request, &reach) {
                Err(why) => guess(format!("what {name} answers after {what}: {why}")),
                Ok(()) => {
                    self.see_contents(state, request);
                    self.read_model(state, request, Basis::Predicted, &after(&what))
                }
            },
        }
    }

    /// Reads the contents that a model has to look into, where the live system still has them.
    pub(super) fn see_contents(&self, state: &mut State, request: &Request) {
        let importer = Importer { base: self.base.as_ref(), request, clusters: BTreeMap::new() };
        let Some(path) = request.args.get("path").and_then(Value::as_str).map(crate::sandbox::tree::normal) else {
            return;
        };
        match request.op.name {
            "fs.read_text" | "fs.read_json" | "fs.dotenv" => importer.see_text(state, &path),
            "fs.sha256" => importer.see_sum(state, &path),
            _ => {}
        }
    }

    fn read_model(&self, state: &mut State, request: &Request, basis: Basis, why: &str) -> Foreseen {
        let name = request.op.name;
        let Some(Model::Read(read)) = models::model(name) else {
            return guess(format!("the result of {name}, of which there is no model"));
        };
        let waited = self.await_server(state, request);
        let mut world = (*state.world).clone();
        match read(&mut world, &self.call(request, &Value::Null, state.now)) {
            Err(error) => match veil::why_unseen(&error) {
                Some(unseen) => {
                    guess(format!("{unseen}{}", if why.is_empty() { String::new() } else { format!(", {why}") }))
                }
                None => answer(Err(error), basis, why),
            },
            Ok(result) => {
                let result = self.lift(request, self.without_guesses(state, request, result));
                let takes = waited + if self.whole { Duration::ZERO } else { duration::of_read(request.op, &result) };
                Foreseen { takes, ..answer(Ok(result), basis, why) }
            }
        }
    }

    /// Who is connected to a live server's databases is not known any more once the plan has stopped or started anything, nor
    /// how soon a container of it is healthy.
    fn without_guesses(&self, state: &State, request: &Request, mut result: Value) -> Value {
        if !self.whole && request.op.name == "docker.inspect" && result["health"] == "starting" {
            result["health"] = unknown("how long it takes until it is healthy");
        }
        if self.whole || request.op.name != "pg.databases" || !state.is_changed_below("docker") {
            return result;
        }
        for database in result.get_mut("databases").and_then(Value::as_array_mut).into_iter().flatten() {
            database["connections"] = unknown("who is connected then");
        }
        result
    }

    /// A server that the plan has started is given the time it needs: a playbook waits for it, by a wait or by a `verify`. How
    /// long that was.
    pub(super) fn await_server(&self, state: &mut State, request: &Request) -> Duration {
        if request.op.family() != "pg" {
            return Duration::ZERO;
        }
        let server = state.world.postgres.get(&named_server(&request.args));
        let Some(ready) = server.and_then(|server| server.ready_at).filter(|at| *at > state.now) else {
            return Duration::ZERO;
        };
        let waited = ready.duration_since(state.now);
        state.now = ready;
        Duration::try_from(waited).unwrap_or_default()
    }

    /// Room on a live disk: asked of the folder that is there now, when the plan has made the one that is meant.
    fn space(&self, state: &mut State, request: &Request, touched: &Touched) -> Foreseen {
        if let Touched::No = touched {
            return answer(self.base.read(request), Basis::Exact, "");
        }
        let mut path = request.args.get("path").and_then(Value::as_str).unwrap_or("/").to_owned();
        while state.is_own(&path_key(&path)) {
            match split(&path) {
                Some((folder, _)) => path = folder.to_owned(),
                None => break,
            }
        }
        let asked = Request { args: serde_json::json!({ "path": path }), ..request.clone() };
        answer(self.base.read(&asked), Basis::Predicted, "as much as is free now")
    }

    /// A wait.
    pub(super) fn wait(&self, state: &mut State, request: &Request) -> Foreseen {
        let name = request.op.name;
        let reach = self.reach(state, request);
        let touched = self.touched(state, request, &reach);
        match &touched {
            Touched::No if !self.whole => match self.base.poll(request) {
                Ok(Polled::Ready(result)) => answer(Ok(result), Basis::Exact, ""),
                Ok(Polled::Pending { progress, .. }) => {
                    let now = progress.map_or(String::new(), |progress| format!(" (now: {progress})"));
                    Foreseen { takes: request.op.typical, ..guess(format!("when what {name} waits for is there{now}")) }
                }
                Err(error) => answer(Err(error), Basis::Exact, ""),
            },
            Touched::Unknown(why) => self.come(request, format!("what {name} waits for: {why}")),
            Touched::Changed(what) if !self.whole && ["http", "helm", "k8s"].contains(&request.op.family()) => {
                self.come(request, format!("whether it answers after {what}"))
            }
            Touched::Changed(what) => match self.import(state, request, &reach) {
                Err(why) => self.come(request, format!("what {name} waits for after {what}: {why}")),
                Ok(()) if !self.whole && !self.is_known(state, request) => {
                    self.come(request, format!("what {name} waits for after {what}"))
                }
                Ok(()) => self.wait_model(state, request, Basis::Predicted, &after(what)),
            },
            Touched::No => self.wait_model(state, request, Basis::Exact, ""),
        }
    }

    /// A wait whose end only the run will see. That it comes is taken for granted, as it is of effects.
    fn come(&self, request: &Request, why: String) -> Foreseen {
        let outcome = match request.op.name {
            "pg.wait_ready" => serde_json::json!({}),
            "http.wait_ok" => {
                let status = request.args.get("status").cloned().unwrap_or_else(|| Value::from(200));
                serde_json::json!({ "status": status, "millis": unknown("only the answer tells") })
            }
            _ => unknown(&why),
        };
        Foreseen { takes: request.op.typical, ..answer(Ok(outcome), Basis::Unknown, why) }
    }

    /// Whether what a wait asks about is in the overlay's world.
    fn is_known(&self, state: &State, request: &Request) -> bool {
        request.op.name != "pg.wait_ready" || state.world.postgres.contains_key(&named_server(&request.args))
    }

    /// Asks the model again and again, in the plan's own time.
    fn wait_model(&self, state: &mut State, request: &Request, basis: Basis, why: &str) -> Foreseen {
        let name = request.op.name;
        let Some(Model::Wait(poll)) = models::model(name) else {
            return guess(format!("the result of {name}, of which there is no model"));
        };
        let began = state.now;
        let waited = |now: crate::model::Timestamp| Duration::try_from(now.duration_since(began)).unwrap_or_default();
        let mut at = began;
        loop {
            let polled: Result<Polled, OpError> = poll(&state.world, &self.call(request, &Value::Null, at));
            let takes = waited(at);
            match polled {
                Ok(Polled::Ready(result)) => {
                    state.now = at;
                    let basis = if takes.is_zero() { basis } else { Basis::Predicted };
                    return Foreseen { takes, ..answer(Ok(self.lift(request, result)), basis, why) };
                }
                Ok(Polled::Pending { progress, again }) => {
                    if takes > LONGEST_WAIT {
                        let now = progress.map_or(String::new(), |progress| format!(": {progress}"));
                        return Foreseen {
                            takes,
                            ..guess(format!("what {name} waits for is not there after a day{now}"))
                        };
                    }
                    // The longer it lasts, the longer the steps: a wait for nothing ends soon.
                    at = later(at, again.max(takes / 20).max(Duration::from_millis(1)));
                }
                Err(error) => {
                    state.now = at;
                    return Foreseen { takes, ..answer(Err(error), basis, why) };
                }
            }
        }
    }
}
