//! Volumes: listing them, making one, and removing one that a run made.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::push_labels;
use super::client::{KEY_LABEL, call, client, explain, host_target};
use super::create::{Removed, may_remove};
use super::read::{VolumeArgs, volume};
use super::run::ownership;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Read, Repeat, Send, Undo, Write};

/// `docker.volumes`.
pub struct ListVolumes;

/// Which volumes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumesArgs {
    /// Only those with this label: `name` or `name=value`.
    #[serde(default)]
    pub label: Option<String>,
}

/// The volumes of this host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VolumeList {
    /// By name.
    pub volumes: Vec<ListedVolume>,
}

/// One volume of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListedVolume {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Operation for ListVolumes {
    const NAME: &'static str = "docker.volumes";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the volumes of this host, by name";
    const PERMISSION: &'static str = "podman or docker";
    type Args = VolumesArgs;
    type Output = VolumeList;

    fn resource(_args: &VolumesArgs) -> String {
        "volume".to_owned()
    }

    fn target(context: &ReadContext<'_>, _args: &VolumesArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for ListVolumes {
    fn read(context: &ReadContext<'_>, args: VolumesArgs) -> Result<VolumeList, OpError> {
        let mut argv = ["volume", "ls", "--format", "{{.Name}}"].map(str::to_owned).to_vec();
        if let Some(label) = &args.label {
            argv.extend(["--filter".to_owned(), format!("label={label}")]);
        }
        let seen = call(context, "cannot list volumes", "", client(argv))?;
        let mut names: Vec<&str> = seen.stdout.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut volumes = Vec::with_capacity(names.len());
        for name in names {
            // One that has gone since the list was taken is not listed.
            let found = volume(context, name)?;
            if found.exists {
                volumes.push(ListedVolume { name: name.to_owned(), labels: found.labels });
            }
        }
        Ok(VolumeList { volumes })
    }
}

/// `docker.create_volume`.
pub struct CreateVolume;

/// A volume was made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VolumeMade {}

impl Operation for CreateVolume {
    const NAME: &'static str = "docker.create_volume";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes an empty volume, labelled with the run that made it";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = VolumeArgs;
    type Output = VolumeMade;

    fn resource(args: &VolumeArgs) -> String {
        format!("volume/{}", args.volume)
    }

    fn target(context: &ReadContext<'_>, _args: &VolumeArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

fn is_ours(context: &ReadContext<'_>, name: &str) -> Result<bool, OpError> {
    Ok(volume(context, name)?.labels.get(KEY_LABEL).is_some_and(|key| key == context.key))
}

impl Write for CreateVolume {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "the volume of that name, if its label holds the key";
    const UNDO_DOC: &'static str = "docker.remove_volume, if its label holds the key";

    fn before(context: &ReadContext<'_>, args: &VolumeArgs) -> Result<Value, OpError> {
        if volume(context, &args.volume)?.exists {
            return Err(OpError::refused(format!("cannot make volume {}: it is there already", args.volume))
                .with_hint("put the run's short id into the name, or remove the old one"));
        }
        Ok(json!({}))
    }

    fn send(context: &WriteContext<'_>, args: VolumeArgs) -> Result<Send<VolumeMade>, OpError> {
        let act = format!("cannot make volume {}", args.volume);
        let mut command = client(["volume", "create"]);
        push_labels(&mut command.argv, &ownership(&context.read));
        command.argv.push(args.volume.clone());
        let ended = context.run_write(&ReadCommand { any_exit: true, ..command })?;
        if ended.code != 0 {
            return Err(explain(&act, &args.volume, ended.code, &ended.stderr));
        }
        // Docker answers success for a volume that another made a moment ago.
        if !is_ours(&context.read, &args.volume)? {
            return Err(OpError::refused(format!("{act}: somebody else has just made it")));
        }
        Ok(Send::Done(VolumeMade {}))
    }

    fn probe(context: &ReadContext<'_>, args: &VolumeArgs) -> Result<Found<VolumeMade>, OpError> {
        Ok(if is_ours(context, &args.volume)? { Found::Done(VolumeMade {}) } else { Found::NotDone })
    }

    fn undo(args: &VolumeArgs, _before: &Value, key: &str) -> Undo {
        Undo::Call { op: "docker.remove_volume", args: json!({ "volume": args.volume, "made_by": key }) }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &VolumeArgs, _result: &VolumeMade) -> Result<Value, OpError> {
        Ok(json!({ "labels": volume(context, &args.volume)?.labels }))
    }

    fn predict(_args: &VolumeArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({}))
    }

    fn release(_context: &WriteContext<'_>, _args: &VolumeArgs) {}
}

/// `docker.remove_volume`.
pub struct RemoveVolume;

/// Which volume to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveVolumeArgs {
    /// Its name.
    pub volume: String,
    /// Only if the call with this key made it; another volume of that name is left alone.
    #[serde(default)]
    pub made_by: Option<String>,
}

impl Operation for RemoveVolume {
    const NAME: &'static str = "docker.remove_volume";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes a volume that a run made, with all that is in it; others are refused";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = RemoveVolumeArgs;
    type Output = Removed;

    fn resource(args: &RemoveVolumeArgs) -> String {
        format!("volume/{}", args.volume)
    }

    fn target(context: &ReadContext<'_>, _args: &RemoveVolumeArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

fn was_ours(before: &Value) -> bool {
    before.get("ours").and_then(Value::as_bool).unwrap_or_default()
}

impl RemoveVolume {
    fn may(context: &ReadContext<'_>, args: &RemoveVolumeArgs) -> Result<bool, OpError> {
        let act = format!("cannot remove volume {}", args.volume);
        let found = volume(context, &args.volume)?;
        Ok(found.exists && may_remove(&act, &found.labels, args.made_by.as_deref())?.is_some())
    }
}

impl Write for RemoveVolume {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the volume is still there";
    const UNDO_DOC: &'static str = "impossible: what was in it is gone";

    fn before(context: &ReadContext<'_>, args: &RemoveVolumeArgs) -> Result<Value, OpError> {
        Ok(json!({ "ours": Self::may(context, args)? }))
    }

    fn send(context: &WriteContext<'_>, args: RemoveVolumeArgs) -> Result<Send<Removed>, OpError> {
        if !was_ours(context.read.before) || !Self::may(&context.read, &args)? {
            return Ok(Send::Done(Removed { removed: false }));
        }
        let command = ReadCommand { timeout: Some(Duration::from_secs(300)), ..client(["volume", "rm", &args.volume]) };
        let ended = context.run_write(&ReadCommand { any_exit: true, ..command })?;
        if ended.code != 0 {
            let act = format!("cannot remove volume {}", args.volume);
            return Err(explain(&act, &args.volume, ended.code, &ended.stderr));
        }
        Ok(Send::Done(Removed { removed: true }))
    }

    fn probe(context: &ReadContext<'_>, args: &RemoveVolumeArgs) -> Result<Found<Removed>, OpError> {
        if !was_ours(context.before) {
            return Ok(Found::Done(Removed { removed: false }));
        }
        Ok(if volume(context, &args.volume)?.exists { Found::NotDone } else { Found::Done(Removed { removed: true }) })
    }

    fn undo(_args: &RemoveVolumeArgs, before: &Value, _key: &str) -> Undo {
        if was_ours(before) { Undo::Impossible("what was in a removed volume is gone") } else { Undo::Nothing }
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &RemoveVolumeArgs, _result: &Removed) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &RemoveVolumeArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "removed": was_ours(before) }))
    }

    fn release(_context: &WriteContext<'_>, _args: &RemoveVolumeArgs) {}
}
