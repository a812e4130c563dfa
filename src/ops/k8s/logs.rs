//! What a Pod has said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Ask, target};
use super::fault::Fault;
use super::kind::Kind;
use super::named::Named;
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Operation, Read};

/// `k8s.logs`.
pub struct Logs;

/// Whose logs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsArgs {
    /// The Pod's name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The container; the Pod's only one when absent.
    #[serde(default)]
    pub container: Option<String>,
    /// How many of its last lines; 200 when absent.
    #[serde(default)]
    pub lines: Option<u32>,
    /// Whether those of the container that ran before are meant.
    #[serde(default)]
    pub previous: bool,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// What a Pod has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// Whether there is such a Pod.
    pub exists: bool,
    /// The last lines; empty when there are none.
    pub text: String,
}

/// More bytes than these are cut off in front.
const MOST: usize = 256 << 10;
/// How many lines are read when nobody says.
pub const LINES: u32 = 200;

impl LogsArgs {
    /// The Pod.
    ///
    /// # Errors
    /// Refused, when it cannot be the name of one.
    pub fn named(&self) -> Result<Named, OpError> {
        let kind = Kind::parse("v1/Pod").map_err(OpError::refused)?;
        let (namespace, name) = (Some(self.namespace.clone()), self.pod.clone());
        let named = Named { kind, namespace, name, cluster: self.cluster.clone() };
        named.check()?;
        Ok(named)
    }
}

impl Operation for Logs {
    const NAME: &'static str = "k8s.logs";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads the last lines that a Pod has printed; that there is no such Pod is an answer";
    const PERMISSION: &'static str = "get of pods/log";
    type Args = LogsArgs;
    type Output = Said;

    fn resource(args: &LogsArgs) -> String {
        args.named().map(|named| named.resource()).unwrap_or_default()
    }

    fn target(context: &ReadContext<'_>, args: &LogsArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Read for Logs {
    fn read(context: &ReadContext<'_>, args: LogsArgs) -> Result<Said, OpError> {
        let named = args.named()?;
        let act = format!("cannot read the logs of Pod {}/{}", args.namespace, args.pod);
        let line = context.kubernetes(&args.cluster)?;
        let mut path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?tailLines={}",
            args.namespace,
            named.name,
            args.lines.unwrap_or(LINES)
        );
        if let Some(container) = &args.container {
            path.push_str(&format!(
                "&container={}",
                percent_encoding::utf8_percent_encode(container, percent_encoding::NON_ALPHANUMERIC)
            ));
        }
        if args.previous {
            path.push_str("&previous=true");
        }
        let body = match line.ask(&act, &Ask { accept: "*/*", ..Ask::get(path) }) {
            Ok(body) => body,
            Err(complaint) if complaint.fault == Fault::NotFound => {
                return Ok(Said { exists: false, text: String::new() });
            }
            Err(complaint) => return Err(complaint.into()),
        };
        let from = body.len().saturating_sub(MOST);
        let text = String::from_utf8_lossy(body.get(from..).unwrap_or_default()).into_owned();
        Ok(Said { exists: true, text })
    }
}
