//! Installing or upgrading a release.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Cluster, explain};
use super::preview::preview;
use super::read::history;
use super::release::{Release, check_word};
use super::revisions::{Revision, contents, made_by, marks, revisions, run_of_latest};
use super::values::{merged, nested};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::Period;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::client::{KEY_LABEL, RUN_LABEL};
use crate::ops::process::{ChildStatus, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// What the values of an upgrade are laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The values of the live release with those of its old chart: new defaults of a new chart are not seen.
    Reuse,
    /// The new chart's own values alone: what was supplied before is forgotten.
    Reset,
    /// The new chart's own values, and over them what was supplied before.
    ResetThenReuse,
}

/// `helm.upgrade`.
pub struct Upgrade;

/// A chart for a release.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Release,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
    /// The chart: `oci://…`, `REPOSITORY/CHART`, or the absolute path of a folder or an archive.
    pub chart: String,
    /// The chart's version, exactly; needed unless the chart is a path.
    pub version: Option<String>,
    /// What the values below are laid over: `reuse`, `reset` or `reset_then_reuse`. Helm's own default hangs on whether there are any,
    /// so it has to be said.
    pub base: Base,
    /// Values as a tree; secrets as handles.
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    /// Values by dotted path, over `values`: `{"database.host": "…"}`.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Files of values, below `values` and `set`; the last one counts most.
    #[serde(default)]
    pub values_files: Vec<String>,
    /// Whether it is installed when there is no such release; refused otherwise.
    #[serde(default)]
    pub install: bool,
    /// Whether the namespace is made when there is none.
    #[serde(default)]
    pub create_namespace: bool,
    /// Whether helm waits for what it can wait for; `helm.wait_rolled_out` waits for workloads and says how far they are.
    #[serde(default)]
    pub wait: bool,
    /// How long helm may take; 10 minutes when absent.
    pub timeout: Option<Period>,
}

const USUAL: Duration = Duration::from_secs(600);
/// What a supervisor gives helm beyond its own timeout before it is killed.
const SLACK: Duration = Duration::from_secs(30);

/// helm's own timeout as an option.
pub(super) fn timeout_option(timeout: Option<Period>) -> String {
    format!("--timeout={}s", timeout.map_or(USUAL, |timeout| timeout.0).as_secs().max(1))
}

pub(super) fn supervised(timeout: Option<Period>) -> Option<Duration> {
    Some(timeout.map_or(USUAL, |timeout| timeout.0) + SLACK)
}

impl UpgradeArgs {
    pub(super) fn act(&self) -> String {
        format!("cannot upgrade release {}", self.release)
    }

    fn is_path(&self) -> bool {
        self.chart.starts_with('/')
    }

    /// Refuses arguments that do not name one chart in one version.
    ///
    /// # Errors
    /// Refused.
    pub(super) fn check(&self) -> Result<(), OpError> {
        let act = self.act();
        check_word("chart", &self.chart)?;
        if self.chart.starts_with('.') {
            return Err(OpError::refused(format!("{act}: the path of chart {} is not absolute", self.chart)));
        }
        match &self.version {
            None if !self.is_path() => {
                return Err(OpError::refused(format!("{act}: the version of chart {} is not pinned", self.chart))
                    .with_hint("give `version`; without one helm takes the newest, and a retry may take another one"));
            }
            Some(version) if semver::Version::parse(version.trim_start_matches('v')).is_err() => {
                return Err(OpError::refused(format!("{act}: `{version}` is no exact version"))
                    .with_hint("write all three numbers; ranges are not pinned"));
            }
            _ => {}
        }
        for path in &self.values_files {
            crate::ops::files::absolute(path)?;
            if !Path::new(path).is_file() {
                return Err(OpError::refused(format!("{act}: there is no file {path}")));
            }
        }
        nested(&self.set).map(|_| ())
    }

    /// The options that both rendering and upgrading have. The values come by standard input.
    pub(super) fn options(&self) -> Vec<String> {
        let mut options: Vec<String> = self.values_files.iter().map(|path| format!("--values={path}")).collect();
        options.push("--values=-".to_owned());
        options.push(
            match self.base {
                Base::Reuse => "--reuse-values",
                Base::Reset => "--reset-values",
                Base::ResetThenReuse => "--reset-then-reuse-values",
            }
            .to_owned(),
        );
        options.extend(self.version.iter().map(|version| format!("--version={version}")));
        options.extend(self.create_namespace.then(|| "--create-namespace".to_owned()));
        options.push(timeout_option(self.timeout));
        options
    }

    /// The values that helm reads, secrets resolved: as text and as a tree. They stand neither in arguments nor in a file.
    pub(super) fn standard_input(&self, context: &ReadContext<'_>) -> Result<(String, Value), OpError> {
        let values = Value::Object(self.values.clone().into_iter().collect());
        let resolved = context.secrets.resolve_in(&merged_keeping_null(&values, &nested(&self.set)?))?;
        Ok((resolved.to_string(), resolved))
    }
}

/// Null stays: it tells helm to take a key away.
fn merged_keeping_null(base: &Value, over: &Value) -> Value {
    let mut all = base.clone();
    if let (Value::Object(all), Value::Object(over)) = (&mut all, over) {
        for (name, value) in over {
            let both = match all.get(name) {
                Some(old) if old.is_object() && value.is_object() && !crate::model::secret::is_handle(value) => {
                    merged_keeping_null(old, value)
                }
                _ => value.clone(),
            };
            all.insert(name.clone(), both);
        }
        return Value::Object(std::mem::take(all));
    }
    merged(base, over)
}

/// A release after an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upgraded {
    /// The revision that was made.
    pub revision: u32,
    /// The one before; 0 when it was installed.
    pub previous: u32,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The version of what it installs.
    pub app_version: String,
}

/// What the release was before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Image {
    /// 0 when there was none.
    pub revision: u32,
    pub status: String,
    /// Marks of what was supplied, and of the objects.
    pub values: String,
    pub manifest: String,
    /// What the chart is and will be.
    pub chart: String,
    pub chart_version: String,
    pub app_version: String,
    /// Why the API server has not said that it would take it; empty when it has.
    pub doubt: String,
    pub changes: Value,
}

pub(super) fn image_of(before: &Value) -> Image {
    Image::deserialize(before).unwrap_or_default()
}

impl Image {
    fn result(&self, revision: u32) -> Upgraded {
        Upgraded {
            revision,
            previous: self.revision,
            chart: self.chart.clone(),
            chart_version: self.chart_version.clone(),
            app_version: self.app_version.clone(),
        }
    }
}

/// Refuses to go on from a revision that is not settled, and says whose it is.
fn settled(act: &str, release: &Release, found: &[Revision]) -> Result<(), OpError> {
    let Some(latest) = found.last() else { return Ok(()) };
    if latest.is_pending() {
        let (number, status) = (latest.number, &latest.status);
        let who = run_of_latest(found).unwrap_or_else(|| "another helm".to_owned());
        return Err(OpError::refused(format!(
            "{act}: revision {number} is {status}: {who} is at work on it, or was killed in the middle"
        ))
        .with_hint(format!(
            "see `helm history {}`; if nobody is at work on it, roll it back to its last good revision with helm.rollback",
            release.name
        )));
    }
    if latest.status.starts_with("uninstall") {
        return Err(OpError::refused(format!("{act}: the release is {}", latest.status))
            .with_hint("`helm uninstall` without --keep-history clears its history away"));
    }
    Ok(())
}

impl Operation for Upgrade {
    const NAME: &'static str = "helm.upgrade";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "upgrades (or installs) a release by a chart in a pinned version; helm neither rolls back nor cleans up by itself";
    const PERMISSION: &'static str =
        "helm and kubectl; secrets in the namespace; all that the chart's objects need, and their dryRun=All";
    const TYPICAL: Duration = Duration::from_secs(15);
    type Args = UpgradeArgs;
    type Output = Upgraded;

    fn resource(args: &UpgradeArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn touches(args: &UpgradeArgs, before: &Value) -> Vec<Touch> {
        let installs = before.get("revision").and_then(Value::as_u64) == Some(0);
        vec![Touch { makes: installs, ..args.release.touched(&args.cluster) }]
    }

    fn target(context: &ReadContext<'_>, args: &UpgradeArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Write for Upgrade {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "the revision whose record has the key as a label; pending with nobody at work on it means killed in the middle";
    const UNDO_DOC: &'static str = "helm.rollback to the revision before, or helm.uninstall of what was installed; refused when somebody has made a revision since";

    fn before(context: &ReadContext<'_>, args: &UpgradeArgs) -> Result<Value, OpError> {
        let act = args.act();
        args.check()?;
        let found = revisions(context, &args.cluster, &args.release)?;
        let mut image = Image::default();
        match found.last() {
            None if !args.install => {
                return Err(OpError::refused(format!("{act}: there is no such release"))
                    .with_hint("pass install: true if it is to be installed then"));
            }
            None => {}
            Some(latest) => {
                settled(&act, &args.release, &found)?;
                let found = contents(context, &args.cluster, &args.release, latest.number)?;
                (image.revision, image.status) = (latest.number, latest.status.clone());
                (image.values, image.manifest) = marks(context, &found)?;
            }
        }
        let preview = preview(context, args, image.revision)?;
        if let Some(version) = &args.version
            && version.trim_start_matches('v') != preview.chart_version.trim_start_matches('v')
        {
            let found = &preview.chart_version;
            return Err(OpError::refused(format!("{act}: chart {} has version {found}, not {version}", args.chart)));
        }
        Ok(json!(Image {
            chart: preview.chart,
            chart_version: preview.chart_version,
            app_version: preview.app_version,
            doubt: preview.doubt,
            changes: json!(preview.changes),
            ..image
        }))
    }

    fn send(context: &WriteContext<'_>, args: UpgradeArgs) -> Result<Send<Upgraded>, OpError> {
        let act = args.act();
        let image = image_of(context.read.before);
        let found = revisions(&context.read, &args.cluster, &args.release)?;
        let now = found.last().map_or(0, |latest| latest.number);
        if now != image.revision {
            let who = run_of_latest(&found).unwrap_or_else(|| "somebody".to_owned());
            return Err(OpError::refused(format!(
                "{act}: {who} has made revision {now} since revision {} was looked at",
                image.revision
            ))
            .with_hint("look at it with `helm history`, then retry: the call looks anew"));
        }
        let mut words = vec!["upgrade".to_owned(), args.release.name.clone(), args.chart.clone()];
        words.extend(args.options());
        let (run, key) = (context.read.run, context.read.key);
        words.push(format!("--labels={RUN_LABEL}={run},{KEY_LABEL}={key}"));
        words.push(format!("--description=muster {key}"));
        // Notes may show passwords.
        words.push("--hide-notes".to_owned());
        words.extend(args.install.then(|| "--install".to_owned()));
        words.extend(args.wait.then(|| "--wait".to_owned()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let command = args.cluster.helm(&args.release.namespace, &words)?;
        // A status that is there already is that of a former try, which made no revision.
        context.forget_child();
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            stdin_text: Some(args.standard_input(&context.read)?.0),
            timeout: supervised(args.timeout),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &UpgradeArgs) -> Result<Found<Upgraded>, OpError> {
        let act = args.act();
        let status = context.children.status(context.key)?;
        if let ChildStatus::Running { .. } = status {
            return Ok(Found::Running(None));
        }
        let image = image_of(context.before);
        let found = revisions(context, &args.cluster, &args.release)?;
        let Some(ours) = made_by(&found, context.key, image.revision) else {
            return Ok(match status {
                ChildStatus::Ended(ended) if ended.code == 0 && !ended.timed_out => Found::CannotTell(format!(
                    "{act}: helm said that it was done, but there is no revision of it; somebody may have uninstalled the release"
                )),
                ChildStatus::Ended(ended) => Found::Failed(explain(&act, ended.code, &ended.stderr_tail)),
                _ => Found::NotDone,
            });
        };
        let number = ours.number;
        if ours.is_pending() {
            return Ok(Found::Partial(format!("helm was killed at revision {number}, which is {}", ours.status)));
        }
        Ok(match ours.status.as_str() {
            "failed" => Found::Failed(match status {
                ChildStatus::Ended(ended) if ended.code != 0 => explain(&act, ended.code, &ended.stderr_tail),
                _ => {
                    let said = history(context, &args.cluster, &args.release)?;
                    let said = said.into_iter().find(|one| one.revision == number).map(|one| one.description);
                    explain(&act, 1, &said.unwrap_or_default())
                }
            }),
            "deployed" | "superseded" if number == image.revision + 1 => Found::Done(image.result(number)),
            "deployed" | "superseded" => Found::Failed(
                OpError::failed(format!(
                    "{act}: it was done as revision {number}, on top of revision {} that somebody made at the same time",
                    number - 1
                ))
                .with_hint("compare the two with `helm get values --revision`; nothing is rolled back over another's work"),
            ),
            other => Found::CannotTell(format!("{act}: revision {number} is {other}")),
        })
    }

    fn undo(args: &UpgradeArgs, before: &Value, key: &str) -> Undo {
        let image = image_of(before);
        let (release, cluster, timeout) = (&args.release, &args.cluster, &args.timeout);
        if image.revision == 0 {
            let args = json!({ "release": release, "cluster": cluster, "timeout": timeout, "made_by": key });
            return Undo::Call { op: "helm.uninstall", args };
        }
        Undo::Call {
            op: "helm.rollback",
            args: json!({
                "release": release, "cluster": cluster, "timeout": timeout, "to": image.revision, "made_by": key,
                "values": image.values, "manifest": image.manifest,
            }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &UpgradeArgs, _result: &Upgraded) -> Result<Value, OpError> {
        let latest = revisions(context, &args.cluster, &args.release)?.pop();
        Ok(json!({ "revision": latest.map(|latest| latest.number) }))
    }

    fn predict(_args: &UpgradeArgs, before: &Value, _key: &str) -> Predicted {
        let image = image_of(before);
        Predicted::Result(json!(image.result(image.revision + 1)))
    }

    fn release(context: &WriteContext<'_>, _args: &UpgradeArgs) {
        context.forget_child();
    }
}
