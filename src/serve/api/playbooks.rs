//! Playbooks: those that may be started, their versions, and what differs between two.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::playbook::bundle::Bundle;
use crate::playbook::types::Playbook;
use crate::serve::call::Call;
use crate::serve::endpoint::{Json, Nothing};
use crate::serve::problem::{Kind, Problem};

/// A playbook in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is part of muster.
    pub shipped: bool,
    /// Its version; absent when it is not valid.
    pub version: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// The playbooks that may be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct List {
    /// By name.
    pub playbooks: Vec<Entry>,
}

/// A playbook as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct One {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub doc: String,
    /// The digest of its bundle: what a run would be pinned to.
    pub bundle: String,
    /// Its recovery time objective in seconds.
    pub rto_s: Option<u64>,
    /// Its recovery point objective in seconds.
    pub rpo_s: Option<u64>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Whether it has to be given.
    pub required: bool,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The steps it needs.
    pub needs: Vec<String>,
}

/// The versions of a playbook that were run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Versions {
    /// Oldest first.
    pub versions: Vec<Version>,
}

/// A version of a playbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Version {
    /// Its number.
    pub version: String,
    /// The digest of its bundle.
    pub bundle: String,
    /// When it was first run here, in RFC 3339.
    pub first_run: String,
}

/// Which two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// A version, or the digest of a bundle.
    pub from: String,
    /// A version, or the digest of a bundle; what the playbook is now when absent.
    pub to: Option<String>,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// The digest of the one.
    pub from: String,
    /// The digest of the other.
    pub to: String,
    /// The files that differ, by name, each as a unified diff.
    pub files: BTreeMap<String, String>,
}

/// `GET /api/v1/playbooks`
///
/// # Errors
/// None.
pub fn list(call: &Call, _: Nothing) -> Result<Json<List>, Problem> {
    let mut playbooks = Vec::new();
    for (name, folder) in call.server.catalog.names() {
        if !call.who.sees(&name) {
            continue;
        }
        let (playbook, fault) = match call.server.catalog.load_from(&name, folder.as_deref()) {
            Ok(bundle) => (Some(bundle.playbook.clone()), None),
            Err(problem) => (None, Some(problem.detail)),
        };
        let (version, title) = playbook.map(|it| (it.version.value, it.title)).unzip();
        playbooks.push(Entry { name, shipped: folder.is_none(), version, title, fault });
    }
    Ok(Json(List { playbooks }))
}

/// `GET /api/v1/playbooks/{playbook}`
///
/// # Errors
/// When there is none of that name, or it is not valid.
pub fn one(call: &Call, _: Nothing) -> Result<Json<One>, Problem> {
    let bundle = call.server.catalog.load(call.named("playbook"))?;
    let Playbook { name, version, title, doc, rto, rpo, params, steps, .. } = bundle.playbook.clone();
    let params = params.into_iter().map(|param| Param {
        name: param.name.value,
        doc: param.doc,
        required: param.default.is_none(),
    });
    let steps = steps.into_iter().map(|step| Step {
        id: step.id.value,
        title: step.title,
        needs: step.needs.into_iter().map(|need| need.value).collect(),
    });
    Ok(Json(One {
        name: name.value,
        version: version.value,
        title,
        doc,
        bundle: bundle.digest.clone(),
        rto_s: rto.map(|rto| rto.as_secs()),
        rpo_s: rpo.map(|rpo| rpo.as_secs()),
        params: params.collect(),
        steps: steps.collect(),
    }))
}

/// `GET /api/v1/playbooks/{playbook}/versions`
///
/// # Errors
/// When the store cannot be read.
pub fn versions(call: &Call, _: Nothing) -> Result<Json<Versions>, Problem> {
    let known = call.store().bundles(call.named("playbook"))?;
    let versions =
        known.into_iter().map(|(version, bundle, first)| Version { version, bundle, first_run: first.to_string() });
    Ok(Json(Versions { versions: versions.collect() }))
}

/// `GET /api/v1/playbooks/{playbook}/diff`
///
/// # Errors
/// When there is no such version.
pub fn diff(call: &Call, between: Between) -> Result<Json<Difference>, Problem> {
    let from = version_of(call, &between.from)?;
    let to = match &between.to {
        Some(version) => Arc::new(version_of(call, version)?),
        None => call.server.catalog.load(call.named("playbook"))?,
    };
    Ok(Json(Difference { files: differences(&from, &to), from: from.digest, to: to.digest.clone() }))
}

/// A version that was run here, by number or digest.
pub fn version_of(call: &Call, version: &str) -> Result<Bundle, Problem> {
    let (playbook, store) = (call.named("playbook"), call.store());
    // A version that was changed without a new number has several: the latest is meant. Only those of this playbook can be had by digest.
    let known = store.bundles(playbook)?;
    let found = known.iter().rev().find(|(number, digest, _)| number == version || digest == version);
    let Some((_, digest, _)) = found else {
        return Err(Problem::no_such("version", version)
            .hint(format!("GET /api/v1/playbooks/{playbook}/versions lists those that were run here")));
    };
    let bytes = store.blob(digest)?;
    Bundle::from_bytes(&bytes).map_err(|error| Problem::new(Kind::Conflict, format!("bundle {digest}: {error}")))
}

/// The files that differ, each as a unified diff.
#[must_use]
pub fn differences(from: &Bundle, to: &Bundle) -> BTreeMap<String, String> {
    let empty = String::new();
    let names = from.files().keys().chain(to.files().keys());
    let mut found = BTreeMap::new();
    for name in names {
        let of = |bundle: &Bundle| bundle.files().get(name).cloned();
        let (old, new) = (of(from), of(to));
        if old != new && !found.contains_key(name) {
            let (old, new) = (old.as_ref().unwrap_or(&empty), new.as_ref().unwrap_or(&empty));
            let text = TextDiff::from_lines(old, new).unified_diff().to_string();
            found.insert(name.clone(), text);
        }
    }
    found
}
