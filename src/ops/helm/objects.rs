//! The objects of a manifest: read, made presentable, compared, and looked at for how far their rollout is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::forecast::Change;
use crate::model::secret::REDACTED;
use crate::ops::secrets::Secrets;

/// Objects in the order of their manifest.
pub type Documents = Vec<Value>;

/// Changes beyond these are only counted.
const MOST: usize = 100;
/// A text longer than this is cut when a change is shown.
const SHOWN: usize = 400;

/// The objects of a manifest.
///
/// # Errors
/// Failed, when a part of it is no YAML.
pub fn parse(act: &str, manifest: &str) -> Result<Documents, OpError> {
    let mut found = Documents::new();
    let mut part = String::new();
    let mut take = |part: &mut String| {
        let text = std::mem::take(part);
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(());
        }
        let value: Value = serde_yaml::from_str(&text)
            .map_err(|_| OpError::failed(format!("{act}: an object of the manifest is no YAML")))?;
        if value.is_object() {
            found.push(value);
        }
        Ok::<_, OpError>(())
    };
    for line in manifest.lines() {
        if line == "---" || line.starts_with("--- ") {
            take(&mut part)?;
        } else {
            part.push_str(line);
            part.push('\n');
        }
    }
    take(&mut part)?;
    Ok(found)
}

/// Has what Secrets among the objects hold redacted from now on.
pub fn learn(secrets: &Secrets, documents: &[Value]) {
    use base64::Engine as _;
    for object in documents.iter().filter(|object| object["kind"] == json!("Secret")) {
        for text in object["stringData"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            secrets.redactor().learn(text);
        }
        for text in object["data"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap_or_default();
            if let Ok(plain) = String::from_utf8(decoded) {
                secrets.redactor().learn(&plain);
            }
        }
    }
}

/// The same of one object.
pub fn learn_object(secrets: &Secrets, object: &Value) {
    learn(secrets, std::slice::from_ref(object));
}

/// The object as it may be shown: a Secret without what it holds.
#[must_use]
pub fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == json!("Secret") {
        for part in ["data", "stringData"] {
            for (_, value) in object.get_mut(part).and_then(Value::as_object_mut).into_iter().flatten() {
                *value = json!(REDACTED);
            }
        }
    }
    object
}

/// `Deployment/shop/web`: what an object is known by within a release.
#[must_use]
pub fn name(object: &Value, namespace: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let within = metadata["namespace"].as_str().unwrap_or(namespace);
    format!("{}/{within}/{}", text(&object["kind"]), text(&metadata["name"]))
}

/// Every value of a tree by its dotted path.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, inner) in fields {
                leaves(inner, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, inner) in items.iter().enumerate() {
                // Containers and variables go by their names: one more in front changes nothing else.
                let key = inner.get("name").and_then(Value::as_str).map_or_else(|| place.to_string(), str::to_owned);
                leaves(inner, &format!("{path}[{key}]"), found);
            }
        }
        plain => drop(found.insert(path.to_owned(), plain.clone())),
    }
}

fn cut(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > SHOWN => {
            let end = (0..=SHOWN).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
            json!(format!("{}… ({} bytes)", &text[..end], text.len()))
        }
        other => other,
    }
}

/// What differs between two trees, as the fields that differ of each.
fn sides(before: &Value, after: &Value) -> Option<(Value, Value)> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves(before, "", &mut old);
    leaves(after, "", &mut new);
    let differ: BTreeSet<String> =
        old.keys().chain(new.keys()).filter(|path| old.get(*path) != new.get(*path)).cloned().collect();
    if differ.is_empty() {
        return None;
    }
    let side = |of: &BTreeMap<String, Value>| {
        let fields = differ.iter().filter_map(|path| Some((path.clone(), cut(of.get(path)?.clone()))));
        Value::Object(fields.collect())
    };
    Some((side(&old), side(&new)))
}

/// What an upgrade changes, for a reviewer: the values it supplies, and each object by the fields that differ. Contents of Secrets
/// are compared and not shown.
#[must_use]
pub fn changes(
    resource: &str,
    namespace: &str,
    values: (&Value, &Value),
    before: &[Value],
    after: &[Value],
) -> Vec<Change> {
    let mut found = Vec::new();
    if let Some((before, after)) = sides(values.0, values.1) {
        found.push(Change { resource: format!("{resource}/values"), before, after });
    }
    let by_name = |documents: &[Value]| -> BTreeMap<String, Value> {
        documents.iter().map(|object| (name(object, namespace), object.clone())).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        let (before, after) = match (old.get(key), new.get(key)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) => match sides(&shown(before), &shown(after)) {
                Some(both) => both,
                // It is a Secret, and only what it holds differs.
                None => (json!({ "data": REDACTED }), json!({ "data": format!("{REDACTED}, another one") })),
            },
            (before, after) => {
                let brief = |object: Option<&Value>| {
                    object.map_or(Value::Null, |object| json!({ "apiVersion": object["apiVersion"] }))
                };
                (brief(before), brief(after))
            }
        };
        found.push(Change { resource: format!("{resource}/{key}"), before, after });
    }
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(Change {
            resource: format!("{resource}/…"),
            before: Value::Null,
            after: json!({ "further changes": more }),
        });
    }
    found
}

/// Kinds that roll out.
pub const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Job"];

/// The workloads among these objects, as `KIND/NAMESPACE/NAME`.
#[must_use]
pub fn workload_names(objects: &[Value], namespace: &str) -> Vec<String> {
    let is_one = |object: &&Value| WORKLOADS.iter().any(|kind| object["kind"] == json!(kind));
    objects.iter().filter(is_one).map(|object| name(object, namespace)).collect()
}

/// Whether the rollout of a workload is complete: true, or how far it is.
///
/// # Errors
/// Failed, when it cannot become complete any more.
pub fn rolled_out(object: &Value) -> Result<Result<(), String>, OpError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let label = format!("{} {}", kind.to_lowercase(), object["metadata"]["name"].as_str().unwrap_or_default());
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let condition = |name: &str| {
        let listed = status["conditions"].as_array();
        listed.and_then(|all| all.iter().find(|one| one["type"] == json!(name))).cloned().unwrap_or_default()
    };
    if kind == "Job" {
        let failed = condition("Failed");
        if failed["status"] == json!("True") {
            let why = failed["reason"].as_str().unwrap_or("it failed");
            return Err(OpError::failed(format!("{label} cannot complete any more: {why}")));
        }
        let complete = condition("Complete")["status"] == json!("True");
        return Ok(if complete { Ok(()) } else { Err(format!("{label}: {} succeeded", count(&status["succeeded"]))) });
    }
    if count(&status["observedGeneration"]) < count(&object["metadata"]["generation"]) {
        return Ok(Err(format!("{label}: not looked at by its controller yet")));
    }
    if condition("Progressing")["reason"] == json!("ProgressDeadlineExceeded") {
        return Err(OpError::failed(format!("{label} cannot roll out: it made no progress within its deadline"))
            .with_hint("`kubectl describe` of it and of its Pods tells why; the release can be rolled back"));
    }
    let wanted = match kind {
        "DaemonSet" => count(&status["desiredNumberScheduled"]),
        _ => spec["replicas"].as_u64().unwrap_or(1),
    };
    let (updated, ready) = match kind {
        "DaemonSet" => (count(&status["updatedNumberScheduled"]), count(&status["numberAvailable"])),
        "StatefulSet" => (count(&status["updatedReplicas"]), count(&status["readyReplicas"])),
        _ => (count(&status["updatedReplicas"]), count(&status["availableReplicas"])),
    };
    let total = if kind == "DaemonSet" { wanted } else { count(&status["replicas"]) };
    // A StatefulSet that is updated by hand, or in part, never says that all are.
    let partial = kind == "StatefulSet"
        && (spec["updateStrategy"]["type"] == json!("OnDelete")
            || count(&spec["updateStrategy"]["rollingUpdate"]["partition"]) > 0);
    if (updated < wanted && !partial) || ready < wanted {
        return Ok(Err(format!("{label}: {updated} of {wanted} updated, {ready} ready")));
    }
    if total > updated && !partial {
        return Ok(Err(format!("{label}: {} old ones are still to end", total - updated)));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_object_by_object() {
        let text = "---\n# Source: a\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"---\"}\n---\n# nothing\n---\nkind: Secret\n";
        let found = parse("cannot", text).unwrap();
        assert_eq!((found.len(), &found[0]["data"]["x"]), (2, &json!("---")));
    }

    #[test]
    fn a_change_shows_the_fields_that_differ_and_never_what_a_secret_holds() {
        let web = |host: &str| json!({ "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "env": [{ "name": "A", "value": "a" }, { "name": "HOST", "value": host }] } });
        let secret = |data: &str| json!({ "kind": "Secret", "metadata": { "name": "s" }, "data": { "p": data } });
        let before = [web("old"), secret("b25l"), json!({ "kind": "ConfigMap", "metadata": { "name": "gone" } })];
        let found = changes(
            "helm/c/n/r",
            "n",
            (&json!({ "h": 1 }), &json!({ "h": 2 })),
            &before,
            &[web("new"), secret("dHdv")],
        );
        let names: Vec<&str> = found.iter().map(|one| one.resource.as_str()).collect();
        assert_eq!(
            names,
            [
                "helm/c/n/r/values",
                "helm/c/n/r/ConfigMap/n/gone",
                "helm/c/n/r/Deployment/n/web",
                "helm/c/n/r/Secret/n/s"
            ]
        );
        assert_eq!(found[2].after, json!({ "spec.env[HOST].value": "new" }));
        let text = serde_json::to_string(&found).unwrap();
        assert!(!text.contains("b25l") && !text.contains("dHdv"), "{text}");
    }

    #[test]
    fn a_rollout_is_complete_only_when_its_controller_says_so_of_this_generation() {
        let deployment = |status: Value| json!({ "kind": "Deployment", "metadata": { "name": "web", "generation": 2 }, "spec": { "replicas": 2 }, "status": status });
        let is = |status: Value| rolled_out(&deployment(status));
        let whole = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(is(whole.clone()).unwrap(), Ok(()));
        let with = |name: &str, value: u64| {
            let mut status = whole.clone();
            status[name] = json!(value);
            status
        };
        for (name, value) in
            [("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)]
        {
            assert!(is(with(name, value)).unwrap().is_err(), "{name}");
        }
        assert!(is(json!({})).unwrap().is_err(), "nothing is known yet");
        let stuck = json!({ "observedGeneration": 2, "conditions": [{ "type": "Progressing", "reason": "ProgressDeadlineExceeded" }] });
        assert!(is(stuck).is_err());
    }
}
