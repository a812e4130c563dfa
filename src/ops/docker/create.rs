//! Making a container that stays, and removing one that a run made.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{MountArgs, check_name, push_labels};
use super::client::{KEY_LABEL, RUN_LABEL, client, explain, host_target, pass_environment};
use super::inspect::inspect;
use super::run::{check_image, check_mounts, no_network, ownership};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::Confidential;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `docker.create_container`.
pub struct CreateContainer;

/// A container that goes on by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateContainerArgs {
    /// Its name, which must be free.
    pub name: String,
    /// The image, which must be on this host.
    pub image: String,
    /// The program and its arguments; the image's own when empty.
    #[serde(default)]
    pub argv: Vec<String>,
    /// Its additional environment; values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Confidential>,
    /// What it sees of this host.
    #[serde(default)]
    pub mounts: Vec<MountArgs>,
    /// Folders inside it that live in memory only.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Its network; `none` when absent.
    #[serde(default = "no_network")]
    pub network: String,
    /// Its labels, beside those that say which run made it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A container was made and started.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// Its full id.
    pub id: String,
}

impl Operation for CreateContainer {
    const NAME: &'static str = "docker.create_container";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes and starts a container that goes on by itself, labelled with the run that made it";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = CreateContainerArgs;
    type Output = Created;

    fn resource(args: &CreateContainerArgs) -> String {
        format!("docker/{}", args.name)
    }

    fn touches(args: &CreateContainerArgs, _before: &Value) -> Vec<Touch> {
        let mut touches = vec![Touch::makes(Self::resource(args))];
        touches.extend(super::args::touched(&args.mounts));
        touches
    }

    fn target(context: &ReadContext<'_>, _args: &CreateContainerArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Write for CreateContainer {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the container of that name, if its label holds the key";
    const UNDO_DOC: &'static str = "docker.remove_container, if its label holds the key";

    fn before(context: &ReadContext<'_>, args: &CreateContainerArgs) -> Result<Value, OpError> {
        let act = format!("cannot make container {}", args.name);
        check_name("network", &args.network)?;
        if let Some(name) = [RUN_LABEL, KEY_LABEL].into_iter().find(|name| args.labels.contains_key(*name)) {
            return Err(OpError::refused(format!("{act}: the label {name} is given by Muster itself")));
        }
        let found = inspect(context, &args.name)?;
        if found.exists {
            let owner = match found.owned_by.as_str() {
                "" => "no run made it".to_owned(),
                run => format!("run {run} made it"),
            };
            return Err(OpError::refused(format!("{act}: there is a container of that name already ({owner})"))
                .with_hint("put the run's short id into the name, or remove the old one"));
        }
        check_mounts(context, &act, &args.mounts)?;
        Ok(json!({ "image_id": check_image(context, &act, &args.image)? }))
    }

    fn send(context: &WriteContext<'_>, args: CreateContainerArgs) -> Result<Send<Created>, OpError> {
        let act = format!("cannot make container {}", args.name);
        let mut command = client(["run", "-d", "--name", &args.name, "--network", &args.network, "--pull", "never"]);
        push_labels(&mut command.argv, &args.labels);
        push_labels(&mut command.argv, &ownership(&context.read));
        for mount in &args.mounts {
            command.argv.extend(["--mount".to_owned(), mount.option()?]);
        }
        for folder in &args.tmpfs {
            command.argv.extend(["--tmpfs".to_owned(), folder.clone()]);
        }
        pass_environment(&context.read, &args.env, &mut command.argv, &mut command.env)?;
        command.argv.push(args.image.clone());
        command.argv.extend(args.argv.iter().cloned());
        command.timeout = Some(Duration::from_secs(120));
        command.any_exit = true;
        let ended = context.run_write(&command)?;
        if ended.code != 0 {
            return Err(explain(&act, &args.name, ended.code, &ended.stderr));
        }
        Ok(Send::Done(Created { id: ended.stdout.trim().to_owned() }))
    }

    fn probe(context: &ReadContext<'_>, args: &CreateContainerArgs) -> Result<Found<Created>, OpError> {
        let found = inspect(context, &args.name)?;
        let ours = found.labels.get(KEY_LABEL).is_some_and(|key| key == context.key);
        Ok(if !ours {
            Found::NotDone
        } else if found.never_started() {
            Found::Partial(format!("container {} was made, but never started", args.name))
        } else {
            Found::Done(Created { id: found.id })
        })
    }

    fn undo(args: &CreateContainerArgs, _before: &Value, key: &str) -> Undo {
        Undo::Call { op: "docker.remove_container", args: json!({ "name": args.name, "force": true, "made_by": key }) }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &CreateContainerArgs, _result: &Created) -> Result<Value, OpError> {
        let found = inspect(context, &args.name)?;
        Ok(json!({ "id": found.id }))
    }

    fn predict(_args: &CreateContainerArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "id": unknown("the runtime chooses it") }))
    }

    fn release(_context: &WriteContext<'_>, _args: &CreateContainerArgs) {}
}

/// `docker.remove_container`.
pub struct RemoveContainer;

/// Which container to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveContainerArgs {
    /// Its name.
    pub name: String,
    /// Whether to kill it first if it runs.
    #[serde(default)]
    pub force: bool,
    /// Only if the call with this key made it; another container of that name is left alone.
    #[serde(default)]
    pub made_by: Option<String>,
}

/// Whether something was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Whether it was there.
    pub removed: bool,
}

/// Whether a labelled thing may be removed: `None` when it is not ours to touch, but need not be.
pub(super) fn may_remove(
    act: &str,
    labels: &BTreeMap<String, String>,
    made_by: Option<&str>,
) -> Result<Option<()>, OpError> {
    if let Some(key) = made_by {
        return Ok((labels.get(KEY_LABEL).map(String::as_str) == Some(key)).then_some(()));
    }
    if labels.contains_key(RUN_LABEL) {
        return Ok(Some(()));
    }
    Err(OpError::refused(format!("{act}: no run made it (it has no label {RUN_LABEL})"))
        .with_hint("Muster only removes what Muster made; remove it by hand if it has to go"))
}

impl Operation for RemoveContainer {
    const NAME: &'static str = "docker.remove_container";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes a container that a run made, with its anonymous volumes; others are refused";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = RemoveContainerArgs;
    type Output = Removed;

    fn resource(args: &RemoveContainerArgs) -> String {
        format!("docker/{}", args.name)
    }

    fn target(context: &ReadContext<'_>, _args: &RemoveContainerArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Write for RemoveContainer {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the container with the id of before the call is still there";
    const UNDO_DOC: &'static str = "impossible: the files in it are gone";

    fn before(context: &ReadContext<'_>, args: &RemoveContainerArgs) -> Result<Value, OpError> {
        let act = format!("cannot remove container {}", args.name);
        let found = inspect(context, &args.name)?;
        let ours = found.exists && may_remove(&act, &found.labels, args.made_by.as_deref())?.is_some();
        if ours && found.running && !args.force {
            return Err(
                OpError::refused(format!("{act}: it is running")).with_hint("stop it first, or pass force: true")
            );
        }
        Ok(json!({ "id": if ours { found.id } else { String::new() } }))
    }

    fn send(context: &WriteContext<'_>, args: RemoveContainerArgs) -> Result<Send<Removed>, OpError> {
        let act = format!("cannot remove container {}", args.name);
        let id = text_of(context.read.before, "id");
        if id.is_empty() || inspect(&context.read, &args.name)?.id != id {
            return Ok(Send::Done(Removed { removed: false }));
        }
        // By id: a container that took the name in between is another one.
        let mut command = client(["rm", "-v"]);
        if args.force {
            command.argv.push("-f".to_owned());
        }
        command.argv.push(id);
        command.timeout = Some(Duration::from_secs(60));
        let ended = context.run_write(&ReadCommand { any_exit: true, ..command })?;
        if ended.code != 0 {
            return Err(explain(&act, &args.name, ended.code, &ended.stderr));
        }
        Ok(Send::Done(Removed { removed: true }))
    }

    fn probe(context: &ReadContext<'_>, args: &RemoveContainerArgs) -> Result<Found<Removed>, OpError> {
        let id = text_of(context.before, "id");
        if id.is_empty() {
            return Ok(Found::Done(Removed { removed: false }));
        }
        Ok(if inspect(context, &args.name)?.id == id { Found::NotDone } else { Found::Done(Removed { removed: true }) })
    }

    fn undo(_args: &RemoveContainerArgs, before: &Value, _key: &str) -> Undo {
        if text_of(before, "id").is_empty() {
            Undo::Nothing
        } else {
            Undo::Impossible("the files in a removed container are gone")
        }
    }

    fn fingerprint(
        _context: &ReadContext<'_>,
        _args: &RemoveContainerArgs,
        _result: &Removed,
    ) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &RemoveContainerArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "removed": !text_of(before, "id").is_empty() }))
    }

    fn release(_context: &WriteContext<'_>, _args: &RemoveContainerArgs) {}
}

pub(super) fn text_of(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
