//! What a test begins with: the world it names, changed as it says, and the parameters.

use std::path::Path;
use std::sync::Arc;

use super::judge::Mismatch;
use crate::model::secret::Redactor;
use crate::model::span::{Span, Spanned};
use crate::model::{Value, glob};
use crate::ops::secrets::Secrets;
use crate::playbook::bundle;
use crate::playbook::diagnostic::Collector;
use crate::playbook::params::{self, Given, Means};
use crate::playbook::trial::{Change, Damage, Kind, Trial};
use crate::playbook::types::Template;
use crate::sandbox::content::{Content, sha256_hex};
use crate::sandbox::tree::{Kind as NodeKind, Node, normal};
use crate::sandbox::{Modelled, World};
use crate::script::{Program, Scope};

/// What a test begins with.
pub struct Ground {
    /// The world.
    pub world: World,
    /// The evaluated parameters.
    pub params: Value,
}

type Outcome<T> = Result<T, Box<Mismatch>>;

fn wrong(span: Span, what: &str, expected: &str, found: impl Into<String>) -> Box<Mismatch> {
    Box::new(Mismatch::new(span, what, expected, found.into()))
}

/// Builds the world and evaluates the parameters.
pub(super) fn prepare(playbook: &str, program: &Program, models: &Modelled, trial: &Trial) -> Outcome<Ground> {
    let mut world = world(playbook, trial)?;
    world.models = models.clone();
    let mut given = Given::default();
    for (name, value) in &world.params {
        given.values.insert(name.clone(), Spanned::new(value.clone(), Span::default()));
    }
    given.values.extend(trial.params.clone());
    let evaluate = |template: &Template, scope: &Value| {
        let run = serde_json::json!({ "started": world.now.to_string() });
        let scope = Scope { params: scope["params"].clone(), run, ..Scope::default() };
        program.template(template, &scope).map_err(|error| error.to_string())
    };
    let secrets = Secrets::new([0; 32], Arc::new(Redactor::default()));
    let seal = |text: &str| secrets.seal(text).map_err(|error| error.message);
    let means = Means { evaluate: &evaluate, seal: &seal, matches: &glob::matches, folder: Path::new("/") };
    let mut collector = Collector::default();
    let params = params::evaluate(&program.playbook.params, &given, &means, &mut collector);
    let found = collector.finish();
    if let Some(first) = found.first() {
        let said: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
        let mine = trial.params.values().any(|value| value.span == first.span);
        let span = if mine { first.span } else { trial.name.span };
        return Err(wrong(span, "the parameters", "values that fit the playbook", said.join("; ")));
    }
    Ok(Ground { world, params })
}

fn world(playbook: &str, trial: &Trial) -> Outcome<World> {
    let file = trial.world.clone().unwrap_or_else(|| Spanned::new(bundle::WORLD.to_owned(), trial.name.span));
    let text = bundle::file_beside(playbook, &file.value).map_err(|error| {
        wrong(file.span, "the world", "a file that can be read", format!("{}: {error}", file.value))
    })?;
    let Some((_, text)) = text else {
        return Err(wrong(
            file.span,
            "the world",
            "a file in the playbook's folder",
            format!("there is no {}", file.value),
        ));
    };
    let broken = |span: Span, error: String| wrong(span, "the world", "one that can be built", error);
    let changed = trial.changes.iter().filter_map(|change| change.set.as_ref());
    let mut world = if changed.clone().next().is_none() {
        World::load(&text).map_err(|error| broken(file.span, error.to_string()))?
    } else {
        let mut span = file.span;
        let mut seed: Value = serde_yaml::from_str(&text).map_err(|error| broken(span, error.to_string()))?;
        for set in changed {
            lay(&mut seed, &set.value, false);
            span = set.span;
        }
        World::load(&seed.to_string()).map_err(|error| broken(span, error.to_string()))?
    };
    for change in &trial.changes {
        remove(&mut world, change)?;
        damage(&mut world, change)?;
    }
    Ok(world)
}

/// What a file of `world.yaml` can be made of: only one of them at a time.
const CONTENTS: [&str; 9] = ["text", "json", "size", "dump", "dump_of", "tar", "tar_of", "link", "dir"];

/// Lays a change over a world's file: maps key by key, all else whole. Of a file, another content replaces the former one.
fn lay(under: &mut Value, over: &Value, file: bool) {
    let (Value::Object(over), true) = (over, under.is_object()) else {
        *under = over.clone();
        return;
    };
    let Value::Object(under) = under else { return };
    if file && over.keys().any(|key| CONTENTS.contains(&key.as_str())) {
        under.retain(|key, _| over.contains_key(key) || !CONTENTS.contains(&key.as_str()));
    }
    for (key, value) in over {
        match under.get_mut(key) {
            // A text is a file too, of which `{ mode: … }` says more.
            Some(there) if value.is_object() => {
                if there.is_string() {
                    *there = serde_json::json!({ "text": there });
                }
                lay(there, value, key.starts_with('/'));
            }
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

fn remove(world: &mut World, change: &Change) -> Outcome<()> {
    for (kind, name) in &change.remove {
        let gone = match kind {
            Kind::File => world.files.remove(&normal(&name.value)) > 0,
            Kind::Container => world.containers.remove(&name.value).is_some(),
            Kind::Volume => world.volumes.remove(&name.value).is_some(),
            Kind::Endpoint => world.http.remove(&name.value).is_some(),
            Kind::Database => name.value.rsplit_once('/').is_some_and(|(server, database)| {
                let server = world.postgres.get_mut(server);
                server.is_some_and(|server| server.databases.remove(database).is_some())
            }),
        };
        if !gone {
            let found = format!("the world has no {}", name.value);
            return Err(wrong(name.span, "`remove`", "something to take away", found));
        }
    }
    Ok(())
}

fn damage(world: &mut World, change: &Change) -> Outcome<()> {
    for (path, how) in &change.damage {
        let at = normal(&path.value);
        let Some(Node { kind: NodeKind::File(content), .. }) = world.files.get_mut(&at) else {
            let found = format!("the world has no file {}", path.value);
            return Err(wrong(path.span, "`damage`", "a file of the world", found));
        };
        *content = match how {
            Damage::Cut(bytes) => Content::Cut { of: Box::new(content.clone()), bytes: *bytes },
            Damage::Text(text) => Content::Text(text.clone()),
            Damage::Flip => Content::Opaque {
                bytes: content.bytes(),
                sha256: sha256_hex(format!("not {}", content.sha256()).as_bytes()),
            },
        };
    }
    Ok(())
}
