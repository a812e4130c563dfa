//! What is measured: for Prometheus, by `GET /metrics`.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::journal::{Fact, Outcome, Record};
use crate::model::status::RunStatus;
use crate::model::{CallId, RunId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    operation: String,
    end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpoint {
    endpoint: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    fate: String,
}

/// The calls of a run that have begun.
type Begun = HashMap<CallId, (String, Timestamp)>;

/// What is measured.
pub struct Metrics {
    registry: Registry,
    runs: Family<ByStatus, Gauge>,
    held: Gauge,
    leading: Gauge,
    watched: Gauge,
    taken: Counter,
    broken: Counter,
    calls: Family<ByCall, Histogram>,
    ticks: Family<ByFate, Counter>,
    http: Family<ByEndpoint, Histogram>,
    commits: Histogram,
    /// Calls that have begun: their operation, and when.
    begun: Mutex<HashMap<RunId, Begun>>,
}

fn quick() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0])
}

fn slow() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("muster"),
            runs: Family::default(),
            held: Gauge::default(),
            leading: Gauge::default(),
            watched: Gauge::default(),
            taken: Counter::default(),
            broken: Counter::default(),
            calls: Family::new_with_constructor(slow),
            ticks: Family::default(),
            http: Family::new_with_constructor(quick),
            commits: quick(),
            begun: Mutex::default(),
        };
        let of = &mut all.registry;
        of.register("runs", "Runs in the store, by status", all.runs.clone());
        of.register("runs_held", "Runs that this server carries on", all.held.clone());
        of.register("runs_watched", "Runs that somebody watches", all.watched.clone());
        of.register("runs_taken_up", "Runs taken up after their holder died", all.taken.clone());
        of.register("runs_broken", "Runs that this server could not go on with", all.broken.clone());
        of.register("leading", "1 when this is the server of the store, 0 when it stands by", all.leading.clone());
        of.register_with_unit(
            "call_duration",
            "Calls that change or wait, by operation",
            Unit::Seconds,
            all.calls.clone(),
        );
        of.register("ticks", "Ticks of schedules, by what became of them", all.ticks.clone());
        of.register_with_unit("http_duration", "Requests, by endpoint and status", Unit::Seconds, all.http.clone());
        of.register_with_unit(
            "store_commit",
            "Commits of this server to the store",
            Unit::Seconds,
            all.commits.clone(),
        );
        all
    }
}

impl Metrics {
    /// A run that is carried on here has a new record.
    pub fn record(&self, run: &RunId, record: &Record) {
        match &record.fact {
            Fact::Intent { call, op, .. } | Fact::WaitBegun { call, op, .. } => {
                self.begun.lock().entry(run.clone()).or_default().insert(call.clone(), (op.clone(), record.at));
            }
            Fact::Ended { call, outcome } => {
                let begun = self.begun.lock().get_mut(run).and_then(|calls| calls.remove(call));
                if let Some((operation, at)) = begun {
                    let end = if matches!(outcome, Outcome::Done { .. }) { "done" } else { "error" };
                    let took = record.at.duration_since(at).as_secs_f64();
                    self.calls.get_or_create(&ByCall { operation, end }).observe(took.max(0.0));
                }
            }
            _ => {}
        }
    }

    /// A run is no longer carried on here.
    pub fn forget(&self, run: &RunId) {
        self.begun.lock().remove(run);
    }

    /// A run was taken up after its holder died.
    pub fn taken(&self) {
        self.taken.inc();
    }

    /// A run cannot be gone on with.
    pub fn broken(&self) {
        self.broken.inc();
    }

    /// A tick of a schedule came to this.
    pub fn tick(&self, fate: &str) {
        self.ticks.get_or_create(&ByFate { fate: fate.to_owned() }).inc();
    }

    /// A request was answered.
    pub fn answered(&self, endpoint: &'static str, status: u16, took: Duration) {
        self.http.get_or_create(&ByEndpoint { endpoint, status }).observe(took.as_secs_f64());
    }

    /// A commit to the store took so long.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// How things stand, as they are asked for.
    pub fn stand(&self, runs: &[(RunStatus, u64)], held: usize, watched: usize, leading: bool) {
        for status in RunStatus::ALL {
            let count = runs.iter().find(|(known, _)| *known == status).map_or(0, |(_, count)| *count);
            let gauge = self.runs.get_or_create(&ByStatus { status: status.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.watched.set(i64::try_from(watched).unwrap_or(i64::MAX));
        self.leading.set(i64::from(leading));
    }

    /// In the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
