//! What is to be known of a release: how it stands, its values, its history, its objects.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Cluster, run};
use super::objects;
use super::release::Release as Name;
use super::revisions::{Revision, contents, revisions};
use super::values;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Read};

/// A release by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Name,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
}

/// How a release stands.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Whether there is such a release.
    pub exists: bool,
    /// Its latest revision; 0 when there is none.
    pub revision: u32,
    /// Of the latest revision: `deployed`, `failed`, `pending-upgrade`, …; empty when there is none.
    pub status: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The version of what the chart installs.
    pub app_version: String,
    /// When the latest revision was made, RFC 3339.
    pub updated: String,
}

/// How a release stands now. It is no error when there is none.
///
/// # Errors
/// When the cluster cannot be asked.
pub fn standing(context: &ReadContext<'_>, args: &ReleaseArgs) -> Result<Standing, OpError> {
    let Some(latest) = revisions(context, &args.cluster, &args.release)?.pop() else { return Ok(Standing::default()) };
    let act = format!("cannot look at release {}", args.release);
    let number = format!("--revision={}", latest.number);
    let words = ["get", "metadata", &args.release.name, &number, "-o", "json"];
    let printed = run(context, &act, args.cluster.helm(&args.release.namespace, &words)?)?.stdout;
    let found: Value = serde_json::from_str(&printed)
        .map_err(|e| OpError::failed(format!("{act}: what helm printed cannot be read: {e}")))?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Ok(Standing {
        exists: true,
        revision: latest.number,
        status: latest.status,
        chart: text("chart"),
        chart_version: text("version"),
        app_version: text("appVersion"),
        updated: text("deployedAt"),
    })
}

/// The latest revision.
pub(super) fn latest(context: &ReadContext<'_>, act: &str, args: &ReleaseArgs) -> Result<Revision, OpError> {
    revisions(context, &args.cluster, &args.release)?.pop().ok_or_else(|| {
        OpError::refused(format!("{act}: there is no such release"))
            .with_hint("`helm list --all --all-namespaces` lists them; a release is named NAMESPACE/NAME")
    })
}

/// `helm.release`.
pub struct Release;

impl Operation for Release {
    const NAME: &'static str = "helm.release";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "tells how a release stands: revision, status, chart and versions";
    const PERMISSION: &'static str = "helm and kubectl; get and list of secrets in the namespace";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ReleaseArgs;
    type Output = Standing;

    fn resource(args: &ReleaseArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &ReleaseArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Read for Release {
    fn read(context: &ReadContext<'_>, args: ReleaseArgs) -> Result<Standing, OpError> {
        standing(context, &args)
    }
}

/// `helm.values`.
pub struct Values;

/// Which values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Name,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
    /// Of which revision; the latest when absent.
    pub revision: Option<u32>,
    /// Whether those of the chart itself are meant too, and not only those that were supplied.
    #[serde(default)]
    pub computed: bool,
    /// Dotted paths (`env.dbPassword`, `*.key`) of values that are secrets although their name does not say so. Secrets are answered
    /// as handles, which `helm.upgrade` takes.
    #[serde(default)]
    pub secret: Vec<String>,
    /// Dotted paths of values that are no secrets although they are named like one.
    #[serde(default)]
    pub plain: Vec<String>,
}

/// Values of a release.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ValuesFound {
    /// The revision they are of.
    pub revision: u32,
    /// The values, as a tree; handles in place of secrets.
    pub values: Value,
}

impl Operation for Values {
    const NAME: &'static str = "helm.values";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads the values of a release: those supplied, or all; secrets among them as handles";
    const PERMISSION: &'static str = "helm and kubectl; get and list of secrets in the namespace";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ValuesArgs;
    type Output = ValuesFound;

    fn resource(args: &ValuesArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &ValuesArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Read for Values {
    fn read(context: &ReadContext<'_>, args: ValuesArgs) -> Result<ValuesFound, OpError> {
        let act = format!("cannot read the values of release {}", args.release);
        let of = ReleaseArgs { release: args.release.clone(), cluster: args.cluster.clone() };
        let revision = match args.revision {
            Some(revision) => revision,
            None => latest(context, &act, &of)?.number,
        };
        let number = format!("--revision={revision}");
        let mut words = vec!["get", "values", &args.release.name, &number, "-o", "json"];
        if args.computed {
            words.push("--all");
        }
        let printed = run(context, &act, args.cluster.helm(&args.release.namespace, &words)?)?.stdout;
        let found: Value = serde_json::from_str(&printed)
            .map_err(|e| OpError::failed(format!("{act}: what helm printed cannot be read: {e}")))?;
        let found = if found.is_null() { Value::Object(serde_json::Map::new()) } else { found };
        Ok(ValuesFound { revision, values: values::sealed(context.secrets, &found, &args.secret, &args.plain)? })
    }
}

/// `helm.history`.
pub struct History;

/// One revision of a history.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its number.
    pub revision: u32,
    /// `deployed`, `superseded`, `failed`, `pending-upgrade`, …
    pub status: String,
    /// The chart with its version.
    pub chart: String,
    /// The version of what the chart installs.
    pub app_version: String,
    /// When it was made, RFC 3339.
    pub updated: String,
    /// What helm or whoever made it says of it.
    pub description: String,
}

/// A history.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Histories {
    /// The revisions that are kept, the oldest first.
    pub revisions: Vec<Entry>,
}

/// The history of a release; empty when there is none.
///
/// # Errors
/// When the cluster cannot be asked.
pub(super) fn history(context: &ReadContext<'_>, cluster: &Cluster, release: &Name) -> Result<Vec<Entry>, OpError> {
    let act = format!("cannot read the history of release {release}");
    let asked = cluster.helm(&release.namespace, &["history", &release.name, "--max", "256", "-o", "json"])?;
    let captured = context.run_read(&asked)?;
    if captured.code != 0 && captured.stderr.contains("release: not found") {
        return Ok(Vec::new());
    }
    if captured.code != 0 {
        return Err(super::client::explain(&act, captured.code, &captured.stderr));
    }
    serde_json::from_str(&captured.stdout)
        .map_err(|e| OpError::failed(format!("{act}: what helm printed cannot be read: {e}")))
}

impl Operation for History {
    const NAME: &'static str = "helm.history";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists the revisions of a release that are kept; none when there is no such release";
    const PERMISSION: &'static str = "helm; get and list of secrets in the namespace";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ReleaseArgs;
    type Output = Histories;

    fn resource(args: &ReleaseArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &ReleaseArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Read for History {
    fn read(context: &ReadContext<'_>, args: ReleaseArgs) -> Result<Histories, OpError> {
        Ok(Histories { revisions: history(context, &args.cluster, &args.release)? })
    }
}

/// `helm.manifest`.
pub struct Manifest;

/// Which manifest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Name,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
    /// Of which revision; the latest when absent.
    pub revision: Option<u32>,
}

/// The objects of a release.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Objects {
    /// The revision they are of.
    pub revision: u32,
    /// The objects as the chart rendered them, in its order; Secrets without what they hold.
    pub objects: Vec<Value>,
}

impl Operation for Manifest {
    const NAME: &'static str = "helm.manifest";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "reads the objects of a release as its chart rendered them; Secrets without what they hold";
    const PERMISSION: &'static str = "helm and kubectl; get and list of secrets in the namespace";
    const TYPICAL: Duration = Duration::from_millis(400);
    type Args = ManifestArgs;
    type Output = Objects;

    fn resource(args: &ManifestArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &ManifestArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Read for Manifest {
    fn read(context: &ReadContext<'_>, args: ManifestArgs) -> Result<Objects, OpError> {
        let act = format!("cannot read the manifest of release {}", args.release);
        let of = ReleaseArgs { release: args.release.clone(), cluster: args.cluster.clone() };
        let revision = match args.revision {
            Some(revision) => revision,
            None => latest(context, &act, &of)?.number,
        };
        let found = contents(context, &args.cluster, &args.release, revision)?;
        Ok(Objects { revision, objects: found.documents.iter().map(objects::shown).collect() })
    }
}
