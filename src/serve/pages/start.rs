//! Starting a run or a drill from a page.

use axum::response::Response;

use super::form;
use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::app::{DrillOrder, Identity};
use crate::playbook::params::Given;
use crate::serve::api::runs::{brief, started};
use crate::serve::call::Call;
use crate::serve::problem::Problem;

/// What the names of parameters begin with in the form.
const PARAM: &str = "param.";

/// `POST /runs`
///
/// # Errors
/// When they may not, the playbook or its parameters are not valid, or the run cannot be begun.
pub fn start(call: &Call) -> Result<Response, Problem> {
    begin(call, Act::Start, None)
}

/// `POST /drills`
///
/// # Errors
/// As [`start`], and when the playbook cannot be drilled.
pub fn drill(call: &Call) -> Result<Response, Problem> {
    begin(call, Act::Drill, Some(DrillOrder::default()))
}

fn begin(call: &Call, act: Act, drill: Option<DrillOrder>) -> Result<Response, Problem> {
    let mut fields = form::fields(call)?;
    form::take_csrf(call, &mut fields)?;
    let playbook = fields.iter().find(|(name, _)| name == "playbook").map(|(_, name)| name.clone()).unwrap_or_default();
    let deed = Deed::done(act.name(), format!("playbook {}", brief(&playbook)));
    call.permit(act, &Subject::Playbook(&playbook), deed)?;
    // As on the command line: what was left empty is as the playbook says.
    let texts = fields.into_iter().filter_map(|(name, text)| Some((name.strip_prefix(PARAM)?.to_owned(), text)));
    let given = Given { texts: texts.filter(|(_, text)| !text.is_empty()).collect(), ..Given::default() };
    let (head, _) = started(call, &playbook, given, Identity::random()?, drill)?;
    Ok(form::see(&format!("/runs/{}", head.run)))
}
