//! Effects of a plan: their preconditions checked against the live system or against what the plan has made of it, their models
//! run on the overlay, their results as far as they can be told.

use serde_json::json;

use super::diff::{self, Difference};
use super::footprint;
use super::state::{State, Touched};
use super::{Overlay, answer, duration, guess, later};
use crate::model::Value;
use crate::model::forecast::{Basis, Change};
use crate::ops::foresight::Foreseen;
use crate::ops::host::Request;
use crate::ops::spec::{Backend, Effect as Kind, Predicted, unknown};
use crate::sandbox::content::Content;
use crate::sandbox::modelled;
use crate::sandbox::models::{self, Effect, Model};
use crate::sandbox::resources::Image;
use crate::sandbox::tree::{Kind as Is, Node};
use crate::sandbox::veil;
use crate::sandbox::world::World;

/// Effects that no model can do on a live system: what they do hangs on a program, or on what is in a container.
const BLIND: [&str; 9] = [
    "exec.run",
    "docker.exec",
    "docker.run",
    "docker.copy_in",
    "docker.copy_out",
    "pg.execute",
    "http.post",
    "k8s.exec",
    "k8s.read_to_file",
];

const PROGRAM: &str = "only the run of the program tells";

/// What a plan remembers of an effect by name: `pg.rename_databases of pg/db`.
fn named(request: &Request) -> String {
    match (request.op.resource)(&request.args) {
        resource if resource.is_empty() => request.op.name.to_owned(),
        resource => format!("{} of {resource}", request.op.name),
    }
}

fn modelled(request: &Request) -> Option<&'static Effect> {
    match models::model(request.op.name) {
        Some(Model::Write(effect)) => Some(effect),
        _ => None,
    }
}

impl Overlay {
    /// An effect. `open`: parts of its arguments only the run will know.
    pub(super) fn effect(&self, state: &mut State, request: &Request, open: bool) -> Foreseen {
        let own = self.model_of(state, request);
        let reach = self.reach(state, request);
        let targets = footprint::targets(request.op.name, &request.args);
        if let Some(why) = reach.iter().map(|reach| &reach.key).chain(&targets).find_map(|key| veil::marked(key)) {
            // What it works on is not known: it may be anything of its kind.
            let family = request.op.family();
            let why = format!("{} changes something that only the run will know: {why}", request.op.name);
            state.spoil(
                if ["fs", "docker", "pg", "http", "rds", "s3", "secrets", "helm", "backup", "ecs", "efs", "k8s"]
                    .contains(&family)
                {
                    family
                } else {
                    ""
                },
                &why,
            );
            return Foreseen { takes: request.op.typical, ..guess(why) };
        }
        let touched = self.touched(state, request, &reach);
        let mut before = None;
        if touched == Touched::No && !open && !self.whole {
            match self.base.before(request) {
                Ok(image) => before = Some(image),
                Err(error) => return answer(Err(error), Basis::Exact, "its precondition does not hold"),
            }
        }
        let Some(effect) = modelled(request) else {
            return self.unmodelled(state, request, before, "there is no model of it");
        };
        if let Err(why) = self.import(state, request, &reach) {
            return self.unmodelled(state, request, before, &why);
        }
        if let Touched::Unknown(why) = &touched {
            return self.unmodelled(state, request, before, why);
        }
        self.know_image(state, request);
        let waited = self.await_server(state, request);
        let taken = (effect.before)(&state.world, &self.call(request, &Value::Null, state.now));
        let image = match taken {
            Ok(image) => image,
            Err(error) if veil::why_unseen(&error).is_some() => Value::Null,
            // The live system has let it pass, so that the model knows it too badly.
            Err(_) if before.is_some() => {
                return self.unmodelled(state, request, before, "its model does not fit what is there");
            }
            Err(error) => {
                let basis = if touched == Touched::No && self.whole { Basis::Exact } else { Basis::Predicted };
                return answer(Err(error), basis, "its precondition does not hold");
            }
        };
        if !self.whole && BLIND.contains(&request.op.name) && own.is_none() {
            return self.blind(state, request, Some(before.unwrap_or(image)), None);
        }
        let tried = before.clone().filter(|before| before["doubt"].is_string());
        let mut foreseen = self.act(state, request, effect, image, before, open);
        if let Some(tried) = tried {
            rendered(&mut foreseen, &tried);
        }
        foreseen.takes += waited;
        if let Some(file) = own.filter(|_| foreseen.basis == Basis::Predicted) {
            foreseen.why = format!("by {file}");
        }
        foreseen
    }

    fn act(
        &self,
        state: &mut State,
        request: &Request,
        effect: &Effect,
        image: Value,
        before: Option<Value>,
        open: bool,
    ) -> Foreseen {
        let told = before.as_ref().unwrap_or(&image);
        let own = self.model_of(state, request).is_some();
        let takes = if self.whole || own {
            let child = effect.child.map(|takes| takes(&state.world, &self.call(request, &image, state.now)));
            std::time::Duration::from_millis(child.unwrap_or(0))
        } else {
            duration::of_effect(request.op, told)
        };
        let mut world = (*state.world).clone();
        let ends = later(state.now, takes);
        let call = self.call(request, &image, ends);
        let acted = (effect.act)(&mut world, &call);
        (effect.release)(&mut world, &call);
        let result = match acted {
            Ok(result) => result,
            Err(error) => {
                if let Some(why) = veil::why_unseen(&error) {
                    let why = why.to_owned();
                    return self.unmodelled(state, request, before.or(Some(image)), &why);
                }
                if let Some(why) = modelled::why_broken(&error).filter(|_| !self.whole) {
                    let opaque = (Basis::Opaque, format!("its model does not work: {why}"));
                    return self.blind(state, request, before.or(Some(image)), Some(opaque));
                }
                if before.is_some() && !own {
                    return self.unmodelled(state, request, before, "its model does not fit what is there");
                }
                state.now = ends;
                let changes = self.settle(state, request, world);
                let foreseen = answer(Err(error), Basis::Predicted, "by its model");
                return Foreseen { before: image, takes, changes, ..foreseen };
            }
        };
        state.now = ends;
        if !self.whole {
            self.cover(&state.world, &mut world, request);
        }
        let changes = self.settle(state, request, world);
        if !self.whole && request.op.family() == "helm" {
            let namespace = footprint::namespace_of(&request.args);
            state.spoil(&namespace, &format!("what {} makes there", named(request)));
        }
        let Backend::Write(entry) = &request.op.backend else { return guess("it is no effect") };
        let result = match (entry.predict)(&request.args, told, &request.key) {
            Predicted::Result(predicted) if request.op.effect != Kind::Exec && !open => predicted,
            _ => result,
        };
        let result = if own && !self.whole { with_millis(result) } else { result };
        let before = before.unwrap_or(image);
        let foreseen = answer(Ok(self.lift(request, result)), Basis::Predicted, "by its model");
        Foreseen { before, takes, changes, ..foreseen }
    }

    /// Makes this the overlay's world; what it changed, for a reviewer.
    fn settle(&self, state: &mut State, request: &Request, mut world: World) -> Vec<Change> {
        // What is kept for undos and probes of a run, no plan needs.
        world.kept.clear();
        world.children.clear();
        let differences = diff::differences(&state.world, &world);
        *state.world_mut() = world;
        self.note(state, request, &differences);
        let lift = |value| veil::lift(value, self.since);
        let changes = diff::changes(&differences, &request.key).into_iter();
        changes.map(|one| Change { before: lift(one.before), after: lift(one.after), ..one }).collect()
    }

    fn note(&self, state: &mut State, request: &Request, differences: &[Difference]) {
        let cause = named(request);
        for target in footprint::targets(request.op.name, &request.args) {
            state.change(&target, &cause);
        }
        for difference in differences {
            state.change(&difference.key, &cause);
        }
        if self.whole {
            return;
        }
        let now = state.now;
        let folders: Vec<String> = differences
            .iter()
            .filter(|found| found.before.is_null() != found.after.is_null())
            .filter_map(|found| footprint::folder_of(&found.key))
            .collect();
        for folder in folders {
            if let Some(path) = footprint::path_of(&folder)
                && let Some(node) = state.world_mut().files.get_mut(path)
            {
                node.modified = Some(now);
            }
        }
        // What neither starts nor stops a container nor reaches into one leaves everybody connected.
        const APART: [&str; 4] = ["docker.create_volume", "docker.remove_volume", "docker.copy_out", "docker.run"];
        if request.op.family() == "docker" && !APART.contains(&request.op.name) {
            // Whose sessions a live server has is not known: those that stop are taken to be gone.
            for name in state.world.postgres.keys().cloned().collect::<Vec<_>>() {
                let Some(server) = state.world_mut().postgres.get_mut(&name) else { continue };
                for name in server.databases.keys().cloned().collect::<Vec<_>>() {
                    if let Some(database) = server.databases.get_mut(&name) {
                        database.sessions.remove("");
                    }
                }
            }
        }
    }

    /// What the sandbox's models write into files stands for what real programs write, which has another length and sum.
    fn cover(&self, old: &World, world: &mut World, request: &Request) {
        let written: Vec<String> = old
            .files
            .differences(&world.files)
            .filter(|(_, _, new)| {
                let content = new.and_then(Node::content);
                content.is_some_and(|content| !matches!(content, Content::Text(_) | Content::Unseen(_)))
            })
            .map(|(path, _, _)| path.to_owned())
            .collect();
        for path in written {
            if let Some(node) = world.files.get_mut(&path) {
                node.kind = Is::File(Content::unseen(format!("what {} writes", request.op.name)));
            }
        }
    }

    /// A container that is given PostgreSQL's settings runs PostgreSQL, of whichever version its image holds.
    fn know_image(&self, state: &mut State, request: &Request) {
        if self.whole || request.op.name != "docker.create_container" {
            return;
        }
        let env = request.args.get("env").and_then(Value::as_object);
        if !env.is_some_and(|env| env.keys().any(|name| name.starts_with("POSTGRES_"))) {
            return;
        }
        let name = request.args.get("image").and_then(Value::as_str).unwrap_or_default();
        let found = state.world.images.get(name).filter(|image| image.postgres.is_none()).cloned();
        if let Some(image) = found {
            let postgres = Some(veil::mark("the version of PostgreSQL in the image"));
            state.world_mut().images.insert(name.to_owned(), Image { postgres, ..image });
        }
    }

    /// An effect that cannot be followed: what it sets is unknown from here on. Its result is told as far as its arguments and
    /// its before-image tell it.
    fn unmodelled(&self, state: &mut State, request: &Request, before: Option<Value>, why: &str) -> Foreseen {
        if self.model_of(state, request).is_some() {
            return self.blind(state, request, before, Some((Basis::Unknown, why.to_owned())));
        }
        if BLIND.contains(&request.op.name) && !self.whole {
            return self.blind(state, request, before, None);
        }
        let cause = format!("{}: {why}", named(request));
        for target in footprint::targets(request.op.name, &request.args) {
            state.spoil(&target, &format!("after {cause}"));
        }
        let takes = before.as_ref().map_or(request.op.typical, |before| duration::of_effect(request.op, before));
        state.now = later(state.now, takes);
        let Backend::Write(entry) = &request.op.backend else { return guess(cause) };
        let predicted = before.as_ref().map(|before| (entry.predict)(&request.args, before, &request.key));
        let (outcome, basis) = match predicted {
            Some(Predicted::Result(result)) => (self.lift(request, result), Basis::Predicted),
            _ => (unknown(&format!("the result of {cause}")), Basis::Unknown),
        };
        Foreseen { before: before.unwrap_or_default(), takes, ..answer(Ok(outcome), basis, why) }
    }

    /// An effect by a program that nobody knows: everything within its reach is unknown from here on. `told`: how far what is said of
    /// it can be believed, and why, when that is known.
    fn blind(
        &self,
        state: &mut State,
        request: &Request,
        before: Option<Value>,
        told: Option<(Basis, String)>,
    ) -> Foreseen {
        let (op, args) = (request.op, &request.args);
        let cause = named(request);
        let checked = before.is_some();
        let before = before.unwrap_or_default();
        for key in footprint::at_risk(op.name, args, &state.world) {
            state.spoil(&key, &format!("{cause} may have changed it"));
        }
        state.now = later(state.now, op.typical);
        let old = (*state.world).clone();
        let mut world = old.clone();
        let writes = ["stdout_file", "to"].iter().find_map(|name| args.get(*name).and_then(Value::as_str));
        if let Some(path) = writes {
            let content = Content::unseen(format!("what {} writes", op.name));
            world.files.put(&crate::sandbox::tree::normal(path), Node::file(content, 0o600, Some(state.now)));
        }
        let changes = self.settle(state, request, world);
        let Backend::Write(entry) = &op.backend else { return guess("it is no effect") };
        let result = match (entry.predict)(args, &before, &request.key) {
            Predicted::Result(result) => result,
            Predicted::Opaque => unknown(PROGRAM),
        };
        let result = if ["exec.run", "docker.exec", "docker.run"].contains(&op.name) { ended(args) } else { result };
        let (basis, why) = match op.name {
            "docker.copy_out" | "k8s.read_to_file" if !checked => {
                (Basis::Unknown, "its precondition cannot be checked")
            }
            "docker.copy_out" | "k8s.read_to_file" => (Basis::Predicted, "by its model"),
            "exec.run" if checked && footprint::is_cipher(args) => {
                (Basis::Predicted, "it only turns its input into its output")
            }
            _ => (Basis::Opaque, "nobody knows what the program does"),
        };
        let (basis, why) = told.unwrap_or((basis, why.to_owned()));
        Foreseen { before, takes: op.typical, changes, ..answer(Ok(self.lift(request, result)), basis, why) }
    }
}

/// How long a program really took, only its run tells.
fn with_millis(mut result: Value) -> Value {
    result["millis"] = unknown(PROGRAM);
    result
}

/// An effect that the API server has tried, whether helm has rendered it or it is one object: it does exactly that. Otherwise why
/// that is not sure.
fn rendered(foreseen: &mut Foreseen, before: &Value) {
    if foreseen.outcome.is_err() {
        return;
    }
    if let Ok(changes) = serde_json::from_value(before["changes"].clone()) {
        foreseen.changes = changes;
    }
    match before["doubt"].as_str() {
        Some("") => (foreseen.basis, foreseen.why) = (Basis::Exact, String::new()),
        Some(doubt) => (foreseen.basis, foreseen.why) = (Basis::Predicted, doubt.to_owned()),
        None => {}
    }
}

/// How a program ends of which nothing is known but which codes are no failure.
fn ended(args: &Value) -> Value {
    let codes = args.get("ok_codes").and_then(Value::as_array);
    let code = match codes.map(Vec::as_slice) {
        None => json!(0),
        Some([only]) => only.clone(),
        Some(_) => unknown(PROGRAM),
    };
    let what = unknown(PROGRAM);
    let file = args.get("stdout_file").is_some_and(Value::is_string);
    json!({
        "code": code, "stdout_bytes": what, "stdout_sha256": what, "stdout_tail": if file { json!("") } else { what.clone() },
        "stderr_tail": what, "millis": what,
    })
}
