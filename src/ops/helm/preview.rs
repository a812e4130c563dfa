//! What an upgrade would make of a release: rendered by helm, compared with what is there, tried on the API server.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{explain, is_forbidden, run};
use super::objects::{self, Documents};
use super::revisions::contents;
use super::upgrade::UpgradeArgs;
use super::values;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::model::forecast::Change;
use crate::ops::context::ReadContext;
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Operation, Read};

/// What an upgrade would make.
pub struct Preview {
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The version of what it installs.
    pub app_version: String,
    /// Its objects.
    pub documents: Documents,
    /// What it changes.
    pub changes: Vec<Change>,
    /// Why the API server has not said that it would take all of it; empty when it has.
    pub doubt: String,
}

/// Renders the upgrade and tries it on the API server, which writes nothing. `revision` is what it is compared with; 0 for nothing.
///
/// # Errors
/// Refused, when the chart cannot be rendered, or the server would refuse an object as invalid.
pub fn preview(context: &ReadContext<'_>, args: &UpgradeArgs, revision: u32) -> Result<Preview, OpError> {
    let act = args.act();
    let mut words = vec!["upgrade".to_owned(), args.release.name.clone(), args.chart.clone()];
    words.extend(args.options());
    words.extend(["--install", "--dry-run=server", "-o", "json"].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = args.cluster.helm(&args.release.namespace, &words)?;
    let (stdin, given) = args.standard_input(context)?;
    let captured = context.run_read(&ReadCommand { stdin: Some(stdin.into_bytes()), ..command })?;
    if captured.code != 0 {
        let error = explain(&act, captured.code, &captured.stderr);
        // Nothing has been sent: whatever it is, it is a precondition.
        let class = if error.class == ErrorClass::Failed { ErrorClass::Refused } else { error.class };
        let what = if class == ErrorClass::Refused {
            format!("{act}: the chart cannot be rendered")
        } else {
            error.message.clone()
        };
        return Err(OpError { class, message: what, ..error });
    }
    let rendered: Value = serde_json::from_str(&captured.stdout)
        .map_err(|e| OpError::failed(format!("{act}: what helm printed cannot be read: {e}")))?;
    values::learn(context.secrets, &rendered["config"]);
    values::learn(context.secrets, &rendered["chart"]["values"]);
    values::learn(context.secrets, &given);
    let documents = objects::parse(&act, rendered["manifest"].as_str().unwrap_or_default())?;
    objects::learn(context.secrets, &documents);
    let (supplied, live) = match revision {
        0 => (Value::Null, Documents::new()),
        revision => {
            let found = contents(context, &args.cluster, &args.release, revision)?;
            (found.supplied, found.documents)
        }
    };
    let resource = args.release.resource(&args.cluster);
    let pair = (values::hidden(&supplied), values::hidden(&rendered["config"]));
    let changes = objects::changes(&resource, &args.release.namespace, (&pair.0, &pair.1), &live, &documents);
    let text = |pointer: &str| rendered.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Preview {
        chart: text("/chart/metadata/name"),
        chart_version: text("/chart/metadata/version"),
        app_version: text("/chart/metadata/appVersion"),
        doubt: tried(context, args, &act, &documents)?,
        documents,
        changes,
    })
}

/// Applies the objects with `dryRun=All`, which helm's own dry run does not. Empty when the server would take them all; else why
/// that is not known.
fn tried(context: &ReadContext<'_>, args: &UpgradeArgs, act: &str, documents: &[Value]) -> Result<String, OpError> {
    if documents.is_empty() {
        return Ok(String::new());
    }
    let all: Vec<String> = documents.iter().map(Value::to_string).collect();
    let words = ["apply", "--server-side", "--dry-run=server", "--field-manager=helm", "-o", "name", "-f", "-"];
    let command = args.cluster.kubectl(&args.release.namespace, &words)?;
    let command = ReadCommand { stdin: Some(all.join("\n---\n").into_bytes()), ..command };
    match run(context, act, command) {
        Ok(_) => Ok(String::new()),
        Err(error) if is_forbidden(&error) => {
            Ok("the kubeconfig's credentials may not try the objects on the API server".to_owned())
        }
        Err(error) if error.class == ErrorClass::Transient || error.class == ErrorClass::Credentials => Err(error),
        Err(error) => {
            let said = error.detail.clone().unwrap_or_default();
            let (low, first) = (said.to_ascii_lowercase(), said.lines().next().unwrap_or_default().trim().to_owned());
            if low.contains("is invalid") {
                let message = format!("{act}: the API server would refuse an object of the chart as invalid");
                return Err(OpError { class: ErrorClass::Refused, message, ..error });
            }
            Ok(format!("the API server does not take the objects as they are: {first}"))
        }
    }
}

/// `helm.template`.
pub struct Template;

/// What a chart renders to, beside a live release.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rendered {
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The version of what the chart installs.
    pub app_version: String,
    /// The objects in the chart's order; Secrets without what they hold.
    pub objects: Vec<Value>,
    /// What an upgrade would change of the live release: resource, fields before, fields after.
    pub changes: Vec<Value>,
    /// Whether the API server has said that it would take all objects.
    pub validated: bool,
    /// Why it has not; empty when it has.
    pub doubt: String,
}

impl Operation for Template {
    const NAME: &'static str = "helm.template";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "renders a chart as `helm.upgrade` with the same arguments would, compares it with the live release, and has the API server try it";
    const PERMISSION: &'static str =
        "helm and kubectl; get and list of secrets; patch of the chart's objects, with dryRun=All";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = UpgradeArgs;
    type Output = Rendered;

    fn resource(args: &UpgradeArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &UpgradeArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Read for Template {
    fn read(context: &ReadContext<'_>, args: UpgradeArgs) -> Result<Rendered, OpError> {
        args.check()?;
        let latest = super::revisions::revisions(context, &args.cluster, &args.release)?.pop();
        let found = preview(context, &args, latest.map_or(0, |latest| latest.number))?;
        Ok(Rendered {
            chart: found.chart,
            chart_version: found.chart_version,
            app_version: found.app_version,
            objects: found.documents.iter().map(objects::shown).collect(),
            changes: found.changes.iter().map(|change| serde_json::json!(change)).collect(),
            validated: found.doubt.is_empty(),
            doubt: found.doubt,
        })
    }
}
