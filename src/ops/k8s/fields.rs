//! Fields of an object: which of them an effect changes, and what they were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{RunId, Value};
use crate::ops::spec::Later;

/// The annotation that holds the key of the last call that changed an object: how a probe knows its own.
pub const MARK: &str = "muster.dr/call";

/// The annotation that holds the key of the call that made an object.
pub const MADE: &str = "muster.dr/made-by";

/// What the server keeps by itself.
const SERVERS: [&str; 7] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp"];

/// Fields by their JSON pointer; what is not there is null.
pub type Fields = BTreeMap<String, Value>;

/// The key that an object is marked with; empty when there is none.
#[must_use]
pub fn mark_of(object: &Value) -> &str {
    object["metadata"]["annotations"][MARK].as_str().unwrap_or_default()
}

/// The key of the call that made an object; empty when none did.
#[must_use]
pub fn maker_of(object: &Value) -> &str {
    object["metadata"]["annotations"][MADE].as_str().unwrap_or_default()
}

/// A text of an object's metadata; empty when it has none.
#[must_use]
pub fn meta<'v>(object: &'v Value, name: &str) -> &'v str {
    object["metadata"][name].as_str().unwrap_or_default()
}

/// The object as somebody wants it: without what the server and controllers add, and without the marks.
#[must_use]
pub fn wanted(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SERVERS.contains(&name.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| name != MARK && name != MADE);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

fn pointer(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// A pointer as people write it: `metadata.annotations[a.b/c]`, `spec.replicas`.
#[must_use]
pub fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for part in parts(pointer) {
        if part.contains(['.', '/']) {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&part);
        }
    }
    text
}

/// What two objects differ in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// What the fields were.
    pub was: Fields,
    /// What they are.
    pub now: Fields,
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Differences) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                compare(&pointer(path, name), value, new.get(name).unwrap_or(&Value::Null), found);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                compare(&pointer(path, name), &Value::Null, value, found);
            }
        }
        // What comes with all that is in it goes with it too: told as one, unless others may put something beside it.
        (Value::Null, Value::Object(new)) if !new.is_empty() && path.starts_with("/metadata/") => {
            for (name, value) in new {
                compare(&pointer(path, name), &Value::Null, value, found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            found.was.insert(path.to_owned(), old.clone());
            found.now.insert(path.to_owned(), new.clone());
        }
    }
}

/// What differs from one object to another. Lists are one field.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Differences {
    let mut found = Differences::default();
    compare("", before, after, &mut found);
    found
}

/// The fingerprint of a call as later calls of its run have left the object: `uid`, and `fields` by their pointers. Nothing when the object is
/// another one since, or when a call of nobody knows whom has come between them.
#[must_use]
pub fn since(print: &Value, run: &RunId, later: &[Later<'_>]) -> Option<Value> {
    let mut print = print.clone();
    for one in later {
        if one.before["exists"] == true && !run.has_key(one.before["mark"].as_str().unwrap_or_default()) {
            return None;
        }
        if one.fingerprint["uid"].is_null() {
            print = json!({ "uid": null });
        } else if one.fingerprint["uid"] != print["uid"] {
            return None;
        }
        let (Some(fields), Some(set)) =
            (print.get_mut("fields").and_then(Value::as_object_mut), one.fingerprint["fields"].as_object())
        else {
            continue;
        };
        for (at, value) in fields {
            for (changed, new) in set {
                if at == changed {
                    *value = new.clone();
                } else if let Some(rest) = at.strip_prefix(changed).filter(|rest| rest.starts_with('/')) {
                    *value = new.pointer(rest).cloned().unwrap_or_default();
                } else if let Some(rest) = changed.strip_prefix(at).filter(|rest| rest.starts_with('/')) {
                    put(value, &parts(rest), new);
                }
            }
        }
    }
    Some(print)
}

/// Sets something inside of a value, or takes it out.
fn put(value: &mut Value, parts: &[String], new: &Value) {
    let Some((name, rest)) = parts.split_first() else { return };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(fields) = value.as_object_mut() else { return };
    if !rest.is_empty() {
        put(fields.entry(name.clone()).or_insert(Value::Null), rest, new);
    } else if new.is_null() {
        fields.remove(name);
    } else {
        fields.insert(name.clone(), new.clone());
    }
}

/// The pointers of all that a manifest sets. Lists are one field.
#[must_use]
pub fn set_by(manifest: &Value) -> Vec<String> {
    fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                fields.iter().for_each(|(name, inner)| walk(&pointer(path, name), inner, found));
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk("", &wanted(manifest), &mut found);
    found
}

/// The fields at these pointers, as they are in an object.
#[must_use]
pub fn fields_of<'p>(object: &Value, pointers: impl Iterator<Item = &'p String>) -> Fields {
    pointers.map(|pointer| (pointer.clone(), object.pointer(pointer).cloned().unwrap_or_default())).collect()
}

/// The JSON merge patch that gives fields these values; null takes one away.
#[must_use]
pub fn merge_patch(fields: &Fields) -> Value {
    let mut patch = serde_json::Map::new();
    for (pointer, value) in fields {
        set(&mut patch, &parts(pointer), value);
    }
    Value::Object(patch)
}

fn set(place: &mut serde_json::Map<String, Value>, parts: &[String], value: &Value) {
    let Some((first, rest)) = parts.split_first() else { return };
    if rest.is_empty() {
        place.insert(first.clone(), value.clone());
        return;
    }
    let inner = place.entry(first.clone()).or_insert(Value::Null);
    if !inner.is_object() {
        *inner = Value::Object(serde_json::Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        set(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::k8s::patch;

    #[test]
    fn only_what_somebody_wants_is_compared() {
        let before = json!({ "metadata": { "name": "x", "resourceVersion": "1", "annotations": { MARK: "a" } }, "spec": { "n": 1, "l": [1] }, "status": { "a": 1 } });
        let after = json!({ "metadata": { "name": "x", "resourceVersion": "2", "annotations": { MARK: "b", "c/d": "e" } }, "spec": { "n": 2, "l": [1] }, "status": {} });
        let found = differences(&wanted(&before), &wanted(&after));
        assert_eq!(json!(found.was), json!({ "/metadata/annotations/c~1d": null, "/spec/n": 1 }));
        assert_eq!(json!(found.now), json!({ "/metadata/annotations/c~1d": "e", "/spec/n": 2 }));
        assert_eq!(dotted("/metadata/annotations/c~1d"), "metadata.annotations[c/d]");
        assert_eq!((mark_of(&after), meta(&after, "resourceVersion")), ("b", "2"));
    }

    #[test]
    fn a_runs_own_later_changes_are_told_from_those_of_others() {
        let run = RunId::from_entropy(1);
        let own = format!("m-{run}-make-1-0");
        let print = |fields: Value| json!({ "uid": "u", "fields": fields });
        let made = print(json!({ "/spec/source/name": "a", "/spec/n": 1, "/spec/free": {}, "/spec/l": [1] }));
        let after = |mark: &str, later: Value| {
            since(&made, &run, &[Later { before: &json!({ "exists": true, "mark": mark }), fingerprint: &later }])
        };
        // What it took out goes with all that was in it; what it did not touch is what it was.
        let found =
            after(&own, print(json!({ "/spec/source": null, "/spec/l": [2], "/spec/free/x": 1, "/spec/new": 7 })));
        let wanted = json!({ "/spec/source/name": null, "/spec/n": 1, "/spec/free": { "x": 1 }, "/spec/l": [2] });
        assert_eq!(found, Some(print(wanted)));
        let whole = after(&own, print(json!({ "/spec/source": { "name": "b" } }))).expect("its own");
        assert_eq!(whole["fields"]["/spec/source/name"], "b");
        assert_eq!(after(&own, json!({ "uid": null })), Some(json!({ "uid": null })));
        // Somebody else was there before it, or has put another object in its place.
        let other = format!("m-{}-make-1-0", RunId::from_entropy(2));
        for mark in [other.as_str(), ""] {
            assert_eq!(after(mark, print(json!({ "/spec/n": 2 }))), None);
        }
        assert_eq!(after(&own, json!({ "uid": "another", "fields": {} })), None);
    }

    fn objects() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![(0..3).prop_map(|n| json!(n)), "[a-c]{0,2}".prop_map(|text| json!(text)), Just(json!([1, 2]))];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::btree_map("[a-c/~.]{1,2}", inner, 1..4).prop_map(|fields| json!(fields))
        })
    }

    proptest! {
        #[test]
        fn what_differs_put_back_gives_the_object_of_before(before in objects(), after in objects()) {
            let (before, after) = (json!({ "spec": before }), json!({ "spec": after }));
            let found = differences(&before, &after);
            let mut back = after.clone();
            patch::merge(&mut back, &merge_patch(&found.was));
            // An object that is put in the place of another whole leaves nothing of that one.
            if before["spec"].is_object() == after["spec"].is_object() {
                let again = differences(&back, &before);
                prop_assert!(again.was.keys().all(|pointer| found.was.keys().any(|own| pointer.starts_with(own.as_str()))), "{back} {before}");
            }
        }
    }
}
