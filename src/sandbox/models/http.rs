//! What answers in the world.

use std::time::Duration;

use serde_json::json;

use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError};
use crate::ops::host::{Polled, Probe};
use crate::sandbox::World;
use crate::sandbox::resources::Endpoint;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("http.get", Model::Read(get)),
        ("http.wait_ok", Model::Wait(wait_ok)),
        ("http.post", Model::Write(Effect::new(|_, _| Ok(json!({})), post, probe_post))),
    ]
}

/// What answers at the call's URL now.
fn endpoint<'w>(world: &'w World, call: &Call<'_>, act: &str) -> Result<&'w Endpoint, OpError> {
    let url = call.text("url")?;
    let refused = || OpError::transient(format!("cannot {act} {url}: connection refused"));
    let found = world.http.get(url).or_else(|| {
        // Without the query, as an endpoint is usually declared.
        world.http.get(url.split('?').next().unwrap_or(url))
    });
    let found = found.ok_or_else(refused)?;
    let up = |name: &String| {
        world.containers.get(name).is_some_and(|container| super::docker::is_ready(container, call.now))
    };
    if found.needs.iter().all(up) { Ok(found) } else { Err(refused()) }
}

fn checked<'e>(call: &Call<'_>, act: &str, found: &'e Endpoint) -> Result<&'e Endpoint, OpError> {
    if found.status < 400 || call.flag("any_status") {
        return Ok(found);
    }
    let class = match found.status {
        401 | 403 => ErrorClass::Credentials,
        429 | 503 => ErrorClass::Transient,
        _ => ErrorClass::Failed,
    };
    let url = call.maybe_text("url").unwrap_or_default();
    let message = format!("cannot {act} {url}: it answered with status {}", found.status);
    Err(OpError::new(class, message).with_detail(found.body.clone()))
}

fn get(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = checked(call, "get", endpoint(world, call, "get")?)?;
    Ok(json!({ "status": found.status, "body": found.body, "millis": 5 }))
}

fn wait_ok(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    let wanted: u16 = call.maybe("status").unwrap_or(200);
    let pending = |what: String| Ok(Polled::Pending { progress: Some(what), again: Duration::from_secs(1) });
    let found = match endpoint(world, call, "get") {
        Ok(found) => found,
        Err(error) if error.class == ErrorClass::Transient => return pending(error.message),
        Err(error) => return Err(error),
    };
    if found.status != wanted {
        return pending(format!("status {}", found.status));
    }
    if call.maybe_text("contains").is_some_and(|part| !found.body.contains(part)) {
        return pending("another answer".to_owned());
    }
    Ok(Polled::Ready(json!({ "status": found.status, "millis": 5 })))
}

fn post(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = endpoint(world, call, "post to")?;
    // The server has got it, so that no class may say that nothing was done.
    let found = checked(call, "post to", found).map_err(|error| OpError { class: ErrorClass::Failed, ..error })?;
    let result = json!({ "status": found.status, "body": found.body });
    let url = call.text("url")?;
    let url = if world.http.contains_key(url) { url } else { url.split('?').next().unwrap_or(url) };
    let body = call.args.get("body").cloned().unwrap_or(Value::Null);
    if let Some(found) = world.http.get_mut(url) {
        found.posted.push(body);
    }
    Ok(result)
}

fn probe_post(_: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let url = call.maybe_text("url").unwrap_or_default();
    Ok(Probe::CannotTell { why: format!("whether {url} got the request is not known") })
}
