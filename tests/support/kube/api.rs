//! The verbs: what a request does to the store, and what it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::model::{Timestamp, Value};
use muster::sandbox::selector::Selector;
use parking_lot::{Condvar, Mutex};
use serde_json::json;

use super::fields::{self, Who};
use super::http::{Answer, Request};
use super::kinds::{self, Kind};
use super::patch;
use super::real::Asked;

use super::store::{Blow, Heard, Key, LOST, Started, Store, fault, now};

/// A store that can be waited on.
pub struct Shared {
    pub store: Mutex<Store>,
    pub changed: Condvar,
}

/// What a path names.
struct Place {
    kind: Kind,
    namespace: String,
    name: String,
    subresource: String,
}

fn place(store: &Store, path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !["status", "finalize"].contains(&rest[0]) => {
            (*namespace, rest)
        }
        rest => ("", rest),
    };
    let plural = rest.first()?;
    let kind =
        store.kinds.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == *plural)?;
    let text = |place: usize| rest.get(place).map_or(String::new(), |text| (*text).to_owned());
    Some(Place { kind: kind.clone(), namespace: namespace.to_owned(), name: text(1), subresource: text(2) })
}

impl Place {
    fn key(&self) -> Key {
        (self.kind.resource(), self.namespace.clone(), self.name.clone())
    }

    fn missing(&self) -> Answer {
        fault(404, "NotFound", format!("{} \"{}\" not found", self.kind.resource(), self.name))
    }
}

fn conflict(place: &Place, what: &str) -> Answer {
    let message = format!("Operation cannot be fulfilled on {} \"{}\": {what}", place.kind.resource(), place.name);
    fault(409, "Conflict", message)
}

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// Answers a request.
pub fn answer(shared: &Arc<Shared>, request: &Request) -> Answer {
    let mut store = shared.store.lock();
    if let Some(answer) = kinds::discover(&store.kinds, request) {
        return answer;
    }
    let Some(place) = place(&store, &request.path) else {
        return fault(404, "NotFound", "the server could not find the requested resource");
    };
    let (method, path) = (request.method.clone(), request.path.clone());
    store.heard.push(Heard { at: Timestamp::now(), method, path });
    let verb = match request.method.as_str() {
        "GET" if request.query("watch") == "true" || request.query("watch") == "1" => "watch",
        "GET" if place.name.is_empty() => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        _ => "delete",
    };
    // A DELETE with options in its body is not asked for those in the query.
    let options = if verb == "delete" && !request.body.is_empty() { body(request).ok() } else { None };
    let dry = options.map_or_else(|| request.query("dryRun") == "All", |options| options["dryRun"] == json!(["All"]));
    let changes = !dry && !["get", "list", "watch"].contains(&verb) && place.kind.kind != "SelfSubjectAccessReview";
    let strike = if changes { store.struck() } else { None };
    match strike.as_ref().map(|strike| strike.blow) {
        Some(Blow::Before) => return fault(503, "ServiceUnavailable", "nobody hears this any more"),
        Some(Blow::Refused) => return fault(422, "Invalid", "the test will not have it"),
        _ => {}
    }
    if changes {
        store.writes.push(format!("{} {}", request.method, request.path));
        let asked = Asked::of(request, store.objects.get(&place.key()));
        store.asked.push(asked);
    }
    let refused = |(forbidden, resource): &(String, String)| {
        (forbidden == verb || forbidden == "*" || (dry && forbidden == "dryRun")) && *resource == place.kind.plural
    };
    if store.forbidden.iter().any(refused) {
        let what = format!(
            "User \"tester\" cannot {verb} resource \"{}\" in API group \"{}\"",
            place.kind.plural, place.kind.group
        );
        let named = if place.name.is_empty() { String::new() } else { format!(" \"{}\"", place.name) };
        return fault(403, "Forbidden", format!("{}{named} is forbidden: {what}", place.kind.resource()));
    }
    while !dry && ["update", "patch"].contains(&verb) && store.held == place.kind.plural {
        shared.changed.wait(&mut store);
    }
    if place.subresource == "exec" {
        return exec(&store, &place, request);
    }
    let before = store.version;
    let answer = match verb {
        "watch" => return watch(shared, &store, &place, request),
        "list" => list(&store, &place, request),
        "get" => get(&store, &place),
        "create" => create(&mut store, &place, request, dry),
        "delete" => delete(&mut store, &place, request, dry),
        _ => change(&mut store, &place, request, dry),
    };
    if let Some(strike) = &strike {
        Store::made(strike);
    }
    if store.version != before {
        store.changes.push(format!("{} {}", request.method, request.path));
        shared.changed.notify_all();
    }
    answer
}

fn get(store: &Store, place: &Place) -> Answer {
    match store.objects.get(&place.key()) {
        None => place.missing(),
        Some(object) if place.subresource == "scale" => Answer::Json(200, scale(object)),
        // What a container has printed stands in an annotation here.
        Some(object) if place.subresource == "log" => {
            let text = object["metadata"]["annotations"]["test/log"].as_str().unwrap_or_default();
            Answer::Bytes(200, "text/plain", text.as_bytes().to_vec())
        }
        Some(object) => Answer::Json(200, shown(place, object)),
    }
}

/// Runs a program in a Pod: the test says what it prints.
fn exec(store: &Store, place: &Place, request: &Request) -> Answer {
    let Some(pod) = store.objects.get(&place.key()) else { return place.missing() };
    if pod["status"]["phase"] != "Running" {
        return fault(500, "InternalError", format!("container of pod {} is not running", place.name));
    }
    if !request.header("upgrade").eq_ignore_ascii_case("websocket") {
        return fault(400, "BadRequest", "you must specify at least 1 of stdin, stdout, stderr");
    }
    let first = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
    let container = if request.query("container").is_empty() { first } else { request.query("container") }.to_owned();
    let (programs, pod, argv) = (Arc::clone(&store.programs), pod.clone(), request.command.clone());
    let reads = ["1", "true"].contains(&request.query("stdin"));
    Answer::Attached(
        reads,
        Box::new(move |stdin| {
            let Some((code, stdout, stderr)) = programs(&Started { pod, container, argv: argv.clone(), stdin }) else {
                let what = format!("exec: {:?}: executable file not found in $PATH", argv.first());
                let status = json!({ "status": "Failure", "reason": "InternalError", "message": what, "code": 500 });
                return (String::new(), String::new(), status);
            };
            let status = if code == LOST {
                Value::Null
            } else if code == 0 {
                json!({ "metadata": {}, "status": "Success" })
            } else {
                let causes = json!([{ "reason": "ExitCode", "message": code.to_string() }]);
                let message = format!("command terminated with non-zero exit code: exit status {code}");
                json!({ "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": message, "details": { "causes": causes } })
            };
            (stdout, stderr, status)
        }),
    )
}

/// An object in the version that was asked for.
fn shown(place: &Place, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(place.kind.group_version());
    object
}

fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "spec": { "replicas": object["spec"]["replicas"].as_u64().unwrap_or(1) },
        "status": { "replicas": object["status"]["replicas"].as_u64().unwrap_or(0) },
    })
}

fn is_in(place: &Place, key: &Key) -> bool {
    key.0 == place.kind.resource() && (place.namespace.is_empty() || key.1 == place.namespace)
}

fn list(store: &Store, place: &Place, request: &Request) -> Answer {
    let selector = Selector::parse(request.query("labelSelector"), request.query("fieldSelector"));
    let all = (store.objects.iter()).filter(|(key, object)| is_in(place, key) && selector.takes(object));
    let mut all = all.map(|(_, object)| shown(place, object));
    // Pages go on in what is there now, which is enough as long as it does not change; from a forgotten version they do not.
    let (version, at) = request.query("continue").split_once(':').unwrap_or_default();
    if version.parse::<u64>().is_ok_and(|version| version < store.horizon) {
        return fault(410, "Expired", "The provided continue parameter is too old");
    }
    let at: usize = at.parse().unwrap_or(0);
    let limit = request.query("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let items: Vec<Value> = all.by_ref().skip(at).take(limit).collect();
    let mut metadata = json!({ "resourceVersion": store.version.to_string() });
    if all.next().is_some() {
        metadata["continue"] = json!(format!("{}:{}", store.version, at + items.len()));
    }
    Answer::Json(
        200,
        json!({
            "kind": format!("{}List", place.kind.kind), "apiVersion": place.kind.group_version(), "metadata": metadata,
            "items": items,
        }),
    )
}

fn watch(shared: &Arc<Shared>, store: &Store, place: &Place, request: &Request) -> Answer {
    let selector = Selector::parse(request.query("labelSelector"), request.query("fieldSelector"));
    let (kind, namespace, name) = (place.kind.clone(), place.namespace.clone(), place.name.clone());
    let place = Place { kind, namespace, name: String::new(), subresource: String::new() };
    let takes = move |key: &Key, object: &Value| {
        is_in(&place, key) && (name.is_empty() || key.2 == name) && selector.takes(object)
    };
    let event = |what: &str, object: &Value| json!({ "type": what, "object": object });
    let from = request.query("resourceVersion");
    let all = request.query("sendInitialEvents") == "true" || from.is_empty() || from == "0";
    let mut ready: Vec<Value> = Vec::new();
    let mut last: u64 = from.parse().unwrap_or(0);
    let mut over = false;
    if all {
        last = store.version;
        ready.extend(
            (store.objects.iter()).filter(|(key, object)| takes(key, object)).map(|(_, object)| event("ADDED", object)),
        );
        if request.query("sendInitialEvents") == "true" {
            let annotations = json!({ "k8s.io/initial-events-end": "true" });
            let metadata = json!({ "resourceVersion": last.to_string(), "annotations": annotations });
            let object = json!({ "kind": "Bookmark", "apiVersion": "v1", "metadata": metadata });
            let kind = store.kinds.iter().find(|kind| request.path.trim_end_matches('/').ends_with(&kind.plural));
            let mut object = object;
            if let Some(kind) = kind {
                object["kind"] = json!(kind.kind);
                object["apiVersion"] = json!(kind.group_version());
            }
            ready.push(event("BOOKMARK", &object));
        }
    } else if last < store.horizon {
        let message = format!("too old resource version: {last} ({})", store.version);
        let object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": "Expired", "code": 410,
        });
        ready.push(event("ERROR", &object));
        over = true;
    }
    ready.reverse();
    let until = Instant::now() + Duration::from_secs(request.query("timeoutSeconds").parse().unwrap_or(300));
    let shared = Arc::clone(shared);
    Answer::Stream(Box::new(move || {
        loop {
            if let Some(event) = ready.pop() {
                return Some(event);
            }
            if over || Instant::now() >= until {
                return None;
            }
            let mut store = shared.store.lock();
            if store.version <= last {
                shared.changed.wait_until(&mut store, until);
            }
            let fresh = store.events.iter().filter(|one| one.version > last && takes(&one.key, &one.object));
            ready = fresh.map(|one| event(one.what, &one.object)).collect();
            ready.reverse();
            last = store.version;
        }
    }))
}

fn body(request: &Request) -> Result<Value, Answer> {
    if request.header("content-type").contains("protobuf") {
        return super::protobuf::decode(&request.body).ok_or_else(|| {
            fault(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml")
        });
    }
    let text = String::from_utf8_lossy(&request.body);
    serde_json::from_str(&text)
        .or_else(|_| serde_yaml::from_str(&text))
        .map_err(|error| fault(400, "BadRequest", format!("the object provided is unrecognized: {error}")))
}

fn manager(request: &Request) -> String {
    let named = request.query("fieldManager");
    let agent = request.header("user-agent").split('/').next().unwrap_or_default();
    if named.is_empty() { agent.to_owned() } else { named.to_owned() }
}

/// What a real server refuses of a workload, and the tests look at.
fn invalid(place: &Place, old: Option<&Value>, new: &Value) -> Option<Answer> {
    let mut faults = Vec::new();
    if ["Deployment", "StatefulSet", "DaemonSet", "Job"].contains(&place.kind.kind.as_str()) {
        let containers = new.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        let containers = containers.map_or(&[][..], Vec::as_slice);
        if containers.is_empty() {
            faults.push("spec.template.spec.containers: Required value".to_owned());
        }
        for (place, container) in containers.iter().enumerate() {
            if container["image"].as_str().unwrap_or_default().is_empty() {
                faults.push(format!("spec.template.spec.containers[{place}].image: Required value"));
            }
        }
        if place.kind.kind != "Job" {
            let labels = &new["spec"]["template"]["metadata"]["labels"];
            let wanted = new["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
            if wanted.is_empty() || wanted.iter().any(|(name, value)| labels.get(name) != Some(value)) {
                faults.push(
                    "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`"
                        .to_owned(),
                );
            }
            if old.is_some_and(|old| old["spec"]["selector"] != new["spec"]["selector"]) {
                faults.push("spec.selector: Invalid value: field is immutable".to_owned());
            }
        }
    }
    if place.kind.kind == "ConfigMap" {
        for (name, value) in new["data"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_string()) {
            faults.push(format!("data.{name}: Invalid value: {value}: must be a string"));
        }
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte)) {
        faults.push(format!("metadata.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain"));
    }
    let message = format!("{}.{} \"{name}\" is invalid: {}", place.kind.kind, place.kind.group, faults.join(", "));
    (!faults.is_empty()).then(|| fault(422, "Invalid", message.replace(". \"", " \"")))
}

fn create(store: &mut Store, place: &Place, request: &Request, dry: bool) -> Answer {
    let mut object = match body(request) {
        Ok(object) => object,
        Err(answer) => return answer,
    };
    if place.kind.kind == "SelfSubjectAccessReview" {
        let asked = &object["spec"]["resourceAttributes"];
        let is = |(verb, resource): &(String, String)| {
            (verb == "*" || asked["verb"] == json!(verb)) && asked["resource"] == json!(resource)
        };
        let allowed = !store.forbidden.iter().any(is);
        object["status"] = json!({ "allowed": allowed, "reason": if allowed { "" } else { "no role allows it" } });
        return Answer::Json(201, object);
    }
    let metadata = &mut object["metadata"];
    if metadata["name"].is_null() {
        let prefix = metadata["generateName"].as_str().unwrap_or_default();
        metadata["name"] = json!(format!("{prefix}{:05x}", store.version));
    }
    made(store, place, object, request, dry, None)
}

/// A new object; `applied` when it was applied rather than posted.
fn made(
    store: &mut Store,
    place: &Place,
    mut object: Value,
    request: &Request,
    dry: bool,
    applied: Option<&str>,
) -> Answer {
    if place.kind.namespaced {
        object["metadata"]["namespace"] = json!(place.namespace);
        let namespace = ("namespaces".to_owned(), String::new(), place.namespace.clone());
        if !store.objects.contains_key(&namespace) {
            return fault(404, "NotFound", format!("namespaces \"{}\" not found", place.namespace));
        }
    }
    let key = Store::key(&place.kind, &object);
    if store.objects.contains_key(&key) {
        return fault(409, "AlreadyExists", format!("{} \"{}\" already exists", place.kind.resource(), key.2));
    }
    if let Some(answer) = invalid(place, None, &object) {
        return answer;
    }
    if place.kind.kind == "Secret" {
        move_text(&mut object);
    }
    if place.kind.has("status") {
        object.as_object_mut().map(|fields| fields.remove("status"));
    }
    let (by, now) = (manager(request), now());
    if applied.is_none() {
        fields::changed(&json!({}), &mut object, &Who { manager: &by, subresource: "", now: &now });
    }
    store.begin(&place.kind, &mut object);
    let object = if dry { object } else { store.put(&place.kind, "ADDED", object) };
    Answer::Json(201, object)
}

/// `stringData` is only ever written.
fn move_text(object: &mut Value) {
    use base64::Engine as _;
    let Some(text) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else { return };
    for (name, value) in text.as_object().into_iter().flatten() {
        let bytes = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        object["data"][name] = json!(bytes);
    }
}

/// PUT and PATCH.
fn change(store: &mut Store, place: &Place, request: &Request, dry: bool) -> Answer {
    let given = match body(request) {
        Ok(given) => given,
        Err(answer) => return answer,
    };
    let (by, now) = (manager(request), now());
    let who = Who { manager: &by, subresource: &place.subresource, now: &now };
    let kind = request.header("content-type");
    let applies = kind.contains("apply-patch");
    let old = store.objects.get(&place.key()).cloned();
    let Some(old) = old else {
        if !applies {
            return place.missing();
        }
        return match fields::apply(None, &given, &who, true) {
            Ok(object) => made(store, place, object, request, dry, Some(&by)),
            Err(_) => place.missing(),
        };
    };
    let base = if place.subresource == "scale" { scale(&old) } else { old.clone() };
    let mut new = base.clone();
    if applies {
        match fields::apply(Some(&old), &given, &who, request.query("force") == "true") {
            Ok(applied) => new = applied,
            Err(conflicts) => return apply_conflict(&conflicts),
        }
    } else if kind.contains("strategic-merge") {
        patch::strategic(&mut new, &given);
    } else if kind.contains("json-patch") {
        if let Err(message) = patch::operations(&mut new, &given) {
            return fault(422, "Invalid", message);
        }
    } else if kind.contains("merge-patch") {
        patch::merge(&mut new, &given);
    } else {
        new = given;
    }
    let asked = &new["metadata"]["resourceVersion"];
    if asked.is_string() && *asked != "" && *asked != old["metadata"]["resourceVersion"] {
        return conflict(place, MODIFIED);
    }
    if new["metadata"]["uid"].is_string() && new["metadata"]["uid"] != old["metadata"]["uid"] {
        return conflict(place, "Precondition failed: UID in precondition does not match");
    }
    let mut result = match place.subresource.as_str() {
        "scale" => {
            let mut result = old.clone();
            result["spec"]["replicas"] = new["spec"]["replicas"].clone();
            result
        }
        "status" => {
            let mut result = old.clone();
            result["status"] = new["status"].clone();
            result["metadata"] = new["metadata"].clone();
            result
        }
        _ => {
            let mut result = new;
            if place.kind.has("status") {
                result["status"] = old["status"].clone();
                if result["status"].is_null() {
                    result.as_object_mut().map(|fields| fields.remove("status"));
                }
            }
            result
        }
    };
    for name in ["uid", "creationTimestamp", "generation", "resourceVersion", "namespace", "name", "deletionTimestamp"]
    {
        match old["metadata"].get(name) {
            Some(value) => result["metadata"][name] = value.clone(),
            None => drop(result["metadata"].as_object_mut().map(|fields| fields.remove(name))),
        }
    }
    result["kind"] = old["kind"].clone();
    if place.kind.kind == "Secret" {
        move_text(&mut result);
    }
    if let Some(answer) = invalid(place, Some(&old), &result) {
        return answer;
    }
    if place.kind.has("status") && result["spec"] != old["spec"] {
        result["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
    }
    if !applies {
        fields::changed(&old, &mut result, &who);
    }
    let same = |a: &Value, b: &Value| {
        let bare = |value: &Value| {
            let mut value = value.clone();
            let listed = value["metadata"]["managedFields"].take();
            let owners: Vec<_> = listed
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| (one["manager"].clone(), one["fieldsV1"].clone()))
                .collect();
            (value, owners)
        };
        bare(a) == bare(b)
    };
    if !dry && !same(&old, &result) {
        result = store.put(&place.kind, "MODIFIED", result);
        let held = result["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if result["metadata"]["deletionTimestamp"].is_string() && !held {
            store.delete(&place.kind, &place.key());
        }
    }
    let shown = if place.subresource == "scale" { scale(&result) } else { shown(place, &result) };
    Answer::Json(200, shown)
}

fn apply_conflict(conflicts: &fields::Conflicts) -> Answer {
    let causes: Vec<Value> = (conflicts.iter())
        .map(|(who, field)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with \"{who}\" using v1"), "field": field })
        })
        .collect();
    let many = if causes.len() == 1 { "1 conflict".to_owned() } else { format!("{} conflicts", causes.len()) };
    let told: Vec<String> =
        conflicts.iter().map(|(who, field)| format!("conflict with \"{who}\" using v1: {field}")).collect();
    let message = format!("Apply failed with {many}: {}", told.join("\n"));
    Answer::Json(
        409,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": "Conflict", "details": { "causes": causes }, "code": 409,
        }),
    )
}

fn delete(store: &mut Store, place: &Place, request: &Request, dry: bool) -> Answer {
    if place.name.is_empty() {
        let selector = Selector::parse(request.query("labelSelector"), request.query("fieldSelector"));
        let keys: Vec<Key> = (store.objects.iter())
            .filter(|(key, object)| is_in(place, key) && selector.takes(object))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys.iter().filter(|_| !dry) {
            store.delete(&place.kind, key);
        }
        return Answer::Json(200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }));
    }
    let Some(object) = store.objects.get(&place.key()).cloned() else { return place.missing() };
    let options = body(request).unwrap_or_default();
    for (name, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted = &options["preconditions"][name];
        if wanted.is_string() && *wanted != object["metadata"][name] {
            let found = &object["metadata"][name];
            return conflict(
                place,
                &format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"),
            );
        }
    }
    let held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
    if !dry {
        store.delete(&place.kind, &place.key());
    }
    if held {
        return Answer::Json(200, store.objects.get(&place.key()).cloned().unwrap_or(object));
    }
    let details = json!({ "name": place.name, "group": place.kind.group, "kind": place.kind.plural, "uid": object["metadata"]["uid"] });
    Answer::Json(
        200,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details }),
    )
}
