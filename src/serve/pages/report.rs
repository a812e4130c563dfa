//! Reports in the browser: the same page that `muster report -o html` writes, to be kept or printed as it is.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::evidence::form::{html, page, period, run};
use crate::serve::api::reports::{self, Which};
use crate::serve::call::Call;
use crate::serve::endpoint::{Answer, Nothing, SchemaOf, answer};
use crate::serve::problem::{Kind, Problem};

/// A report.
pub struct Report(page::Page);

impl Answer for Report {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "text/html; charset=utf-8";

    fn schema() -> Option<SchemaOf> {
        None
    }

    fn respond(self) -> Result<Response, Problem> {
        let mut response = answer(StatusCode::OK, Self::MEDIA, Body::from(html::text(&self.0)));
        let policy = format!("{}; frame-ancestors 'none'", html::policy());
        let policy = HeaderValue::from_str(&policy)
            .map_err(|_| Problem::new(Kind::Internal, "the report has a style that no header can name"))?;
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(response)
    }
}

/// `GET /runs/{run}/report`
///
/// # Errors
/// When the journal of the run is not what was written.
pub fn of_run(call: &Call, _: Nothing) -> Result<Report, Problem> {
    Ok(Report(run::page(&reports::run(call)?)))
}

/// `GET /report`
///
/// # Errors
/// When the period is none, they see some playbooks only, or the store cannot be read.
pub fn of_period(call: &Call, which: Which) -> Result<Report, Problem> {
    Ok(Report(period::page(&reports::period(call, &which)?)))
}
