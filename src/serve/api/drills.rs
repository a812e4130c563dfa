//! Drills, under `/api/v1`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::runs::{Identified, Run, brief, given, identified, made, started};
use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::app::DrillOrder;
use crate::model::{Timestamp, Value};
use crate::serve::call::Call;
use crate::serve::endpoint::Made;
use crate::serve::problem::Problem;

/// A drill to begin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The name of a playbook that the server knows and that can be drilled.
    pub playbook: String,
    /// Its parameters. What is given goes before what its `drill` section sets.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// When the disaster that is drilled was declared, in RFC 3339: the RTO counts from then. From the start of the run, if absent.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub declared_at: Option<Timestamp>,
}

/// `POST /api/v1/drills`
///
/// # Errors
/// When they may not, the playbook cannot be drilled, it or its parameters are not valid, or the drill cannot be begun.
pub fn begin(call: &Call, what: Begin) -> Result<Made<Run>, Problem> {
    let deed = Deed::done(Act::Drill.name(), format!("playbook {}", brief(&what.playbook)));
    call.permit(Act::Drill, &Subject::Playbook(&what.playbook), deed)?;
    let identity = match identified(call, &what)? {
        Identified::Begun(head) => return Ok(made(&head, false)),
        Identified::New(identity) => identity,
    };
    let order = DrillOrder { declared_at: what.declared_at, identity: None };
    let (head, new) = started(call, &what.playbook, given(what.params), identity, Some(order))?;
    Ok(made(&head, new))
}
