//! Whether the server is well: for load balancers, supervisors and Prometheus.

use schemars::JsonSchema;
use serde::Serialize;

use crate::journal::{Holder, Store as _};
use crate::serve::call::Call;
use crate::serve::endpoint::{Json, Measured, Nothing};
use crate::serve::leader;
use crate::serve::openapi;
use crate::serve::problem::{Kind, Problem};
use crate::serve::server::Phase;

/// That the process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// That it is ready to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ready {
    /// `leading`.
    pub phase: &'static str,
    /// Threads that carry runs on.
    pub workers: usize,
    /// Runs that it carries on.
    pub runs: usize,
}

/// What runs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Version {
    /// The version of muster.
    pub muster: &'static str,
    /// The format of the API.
    pub api: &'static str,
    /// `leading`, `standby` or `draining`.
    pub phase: &'static str,
    /// Who serves, if anybody does.
    pub leader: Option<Serving>,
}

/// Who serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Serving {
    /// Where it listens.
    pub address: String,
    /// Since when, in RFC 3339.
    pub since: String,
    /// Its process.
    pub pid: u32,
}

/// `GET /healthz`
///
/// # Errors
/// None.
pub fn healthz(_call: &Call, _: Nothing) -> Result<Json<Health>, Problem> {
    Ok(Json(Health { status: "ok" }))
}

/// `GET /readyz`
///
/// # Errors
/// When it stands by or drains, its store cannot be written, or its workers are gone.
pub fn readyz(call: &Call, _: Nothing) -> Result<Json<Ready>, Problem> {
    let server = &call.server;
    let unready = |what: String| Problem::new(Kind::Unavailable, what);
    let phase = server.phase();
    if phase != Phase::Leading {
        return Err(unready(format!("this server is {}", phase.as_str())));
    }
    server.writable().map_err(|why| unready(format!("the store cannot be written: {why}")))?;
    let workers = server.runner.workers();
    if workers < server.options.workers {
        return Err(unready(format!("{workers} of {} workers are left", server.options.workers)));
    }
    Ok(Json(Ready { phase: phase.as_str(), workers, runs: server.runner.holds() }))
}

/// `GET /metrics`
///
/// # Errors
/// When the store cannot be read.
pub fn metrics(call: &Call, _: Nothing) -> Result<Measured, Problem> {
    let server = &call.server;
    let runs = server.app.store.count()?;
    let leading = server.phase() == Phase::Leading;
    server.metrics.stand(&runs, server.runner.holds(), server.feeds.watched(), leading);
    Ok(Measured(server.metrics.text()))
}

/// `GET /api/v1/version`
///
/// # Errors
/// When the store cannot be read.
pub fn version(call: &Call, _: Nothing) -> Result<Json<Version>, Problem> {
    let server = &call.server;
    let serving = |leader: leader::Leader| {
        let Holder { pid, .. } = leader.holder;
        Serving { address: leader.address, since: leader.since.to_string(), pid }
    };
    let leader = leader::written(server.app.store.as_ref())?.map(|(_, leader)| serving(leader));
    Ok(Json(Version { muster: env!("CARGO_PKG_VERSION"), api: "v1", phase: server.phase().as_str(), leader }))
}

/// `GET /api/v1/openapi.json`
///
/// # Errors
/// None.
pub fn openapi(call: &Call, _: Nothing) -> Result<Json<serde_json::Value>, Problem> {
    Ok(Json(openapi::document(&call.server.endpoints)))
}
