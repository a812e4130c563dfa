//! Reports, under `/api/v1`: what `muster report` tells.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::evidence::material::Material;
use crate::evidence::period::PeriodReport;
use crate::evidence::report::RunReport;
use crate::evidence::window::Window;
use crate::model::Value;
use crate::serve::call::Call;
use crate::serve::endpoint::{Answer, Nothing, SchemaOf, answer};
use crate::serve::problem::{Kind, Problem};

/// Which period.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// From then on: a time ago (`30d`, `12h`), a day (`2026-03-01`, in UTC) or an instant; 30 days ago if absent.
    #[serde(default = "a_month")]
    pub since: String,
    /// Up to then; now if absent.
    pub until: Option<String>,
    /// Only runs of this playbook.
    pub playbook: Option<String>,
}

fn a_month() -> String {
    "30d".to_owned()
}

/// A report as JSON, byte for byte as `muster report -o json` writes it.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
pub struct Written(#[schemars(with = "serde_json::Map<String, Value>")] pub String);

impl Answer for Written {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "application/json";

    fn schema() -> Option<SchemaOf> {
        Some(SchemaGenerator::subschema_for::<Self>)
    }

    fn respond(self) -> Result<Response, Problem> {
        Ok(answer(StatusCode::OK, Self::MEDIA, Body::from(self.0)))
    }
}

/// `GET /api/v1/runs/{run}/report`
///
/// # Errors
/// When the journal of the run is not what was written.
pub fn of_run(call: &Call, _: Nothing) -> Result<Written, Problem> {
    Ok(Written(run(call)?.json()))
}

/// `GET /api/v1/report`
///
/// # Errors
/// When the period is none, they see some playbooks only, or the store cannot be read.
pub fn of_period(call: &Call, which: Which) -> Result<Written, Problem> {
    Ok(Written(period(call, &which)?.json()))
}

/// The report of the run that the path names.
///
/// # Errors
/// As [`of_run`].
pub fn run(call: &Call) -> Result<RunReport, Problem> {
    let (store, run) = (call.store(), call.run_id()?);
    let material = Material::of(store.as_ref(), &run)?;
    RunReport::of(&material).ok_or_else(|| Problem::new(Kind::NotFound, format!("run {run} has not begun")))
}

/// The report of a period. It tells of all playbooks: who sees some of them only does not see it.
///
/// # Errors
/// As [`of_period`].
pub fn period(call: &Call, which: &Which) -> Result<PeriodReport, Problem> {
    call.permit(Act::View, &Subject::Whole, Deed::done(Act::View.name(), "report"))?;
    let window = Window::of(&which.since, which.until.as_deref(), which.playbook.clone(), call.now());
    let window = window.map_err(|error| Problem::new(Kind::Invalid, error.to_string()).hint(error.hint()))?;
    let (report, _) = window.report(call.store().as_ref(), call.server.options.schedules.as_deref())?;
    Ok(report)
}
