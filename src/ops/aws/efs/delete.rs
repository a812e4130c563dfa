//! Deleting mount targets and file systems.

use std::time::Duration;

use aws_sdk_efs::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file_system::MountTarget;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, filled, run_of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `efs.delete_mount_target`.
pub struct DeleteMountTarget;
/// `efs.delete`.
pub struct Delete;

/// Which mount target to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMountTargetArgs {
    /// Its id; the one in `subnet` when it is not known.
    #[serde(default)]
    pub mount_target: Option<String>,
    /// The file system that it is of.
    pub file_system: String,
    /// Its subnet.
    #[serde(default)]
    pub subnet: Option<String>,
    /// The key of the call that is undone: the one in `subnet` is then deleted only on a file system that its run has made. On
    /// another it may be somebody else's, and is refused.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which file system to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteArgs {
    /// Its id.
    pub file_system: String,
    /// Only if it was made with this token: that of a call.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Whether it may be deleted though no run made it.
    #[serde(default)]
    pub foreign: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DeleteMountTargetArgs, DeleteArgs);

/// Whether something was deleted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Whether it was there, and this call's to delete.
    pub deleted: bool,
}

impl DeleteMountTargetArgs {
    fn meant(&self, look: &dyn Look) -> Result<Option<MountTarget>, OpError> {
        if let Some(id) = filled(self.mount_target.as_deref()) {
            return Ok(look.mount_target(id)?.filter(|one| one.state != "deleted"));
        }
        let Some(subnet) = &self.subnet else { return Ok(None) };
        let Some(system) = look.file_system(&self.file_system)? else { return Ok(None) };
        let found = system.target_in(subnet).cloned();
        let run = self.made_by.as_deref().map(run_of);
        if let (Some(one), true) = (&found, run.is_some_and(|run| !system.is_of(run))) {
            let message = format!(
                "cannot delete mount target {} of {}: AWS does not tell whether this run has made it, or somebody else",
                one.id, self.file_system
            );
            return Err(OpError::refused(message)
                .with_hint("if it is to go, delete it by hand (`aws efs delete-mount-target`), then retry"));
        }
        Ok(found)
    }
}

impl Operation for DeleteMountTarget {
    const NAME: &'static str = "efs.delete_mount_target";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes a mount target: whoever has the file system mounted by it loses it";
    const PERMISSION: &'static str =
        "elasticfilesystem:DeleteMountTarget, elasticfilesystem:DescribeMountTargets, ec2:DeleteNetworkInterface";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DeleteMountTargetArgs;
    type Output = Removed;

    fn resource(args: &DeleteMountTargetArgs) -> String {
        args.aws.resource("efs", &format!("fs:{}", args.file_system))
    }

    fn target(context: &ReadContext<'_>, args: &DeleteMountTargetArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DeleteMountTarget {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the mount target is still there, or being deleted";
    const UNDO_DOC: &'static str = "efs.create_mount_target, in the same subnet with the same security groups";

    fn image(look: &dyn Look, args: &DeleteMountTargetArgs, _: &str) -> Result<Value, OpError> {
        Ok(json!(args.meant(look)?.unwrap_or_default()))
    }

    fn act(hands: &Hands<'_, '_>, args: &DeleteMountTargetArgs) -> Result<Send<Removed>, OpError> {
        let id = hands.of.earlier("id");
        if id.is_empty() {
            return Ok(Send::Done(Removed { deleted: false }));
        }
        let act = format!("cannot delete mount target {id} of {}", args.file_system);
        match hands.line.call(&act, |efs: Client| efs.delete_mount_target().mount_target_id(id).send()) {
            Ok(_) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Removed { deleted: true })),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, _: &DeleteMountTargetArgs, of: Of<'_>) -> Result<Found<Removed>, OpError> {
        let id = of.earlier("id");
        if id.is_empty() {
            return Ok(Found::Done(Removed { deleted: false }));
        }
        Ok(match look.mount_target(id)? {
            Some(found) if found.state == "deleting" => {
                Found::Running(Some(format!("mount target {id} is being deleted")))
            }
            Some(found) if found.state != "deleted" => Found::NotDone,
            _ => Found::Done(Removed { deleted: true }),
        })
    }

    fn undoing(args: &DeleteMountTargetArgs, before: &Value, _: &str) -> Undo {
        let was = MountTarget::deserialize(before).unwrap_or_default();
        if was.id.is_empty() {
            return Undo::Nothing;
        }
        if was.security_groups.is_empty() {
            return Undo::Impossible("it is not known which security groups it had");
        }
        let args = json!({
            "file_system": args.file_system, "subnet": was.subnet, "security_groups": was.security_groups,
            "aws": args.aws,
        });
        Undo::Call { op: "efs.create_mount_target", args }
    }

    fn print(_: &dyn Look, _: &DeleteMountTargetArgs, _: &Removed) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeleteMountTargetArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["id"] != "" }))
    }
}

impl Operation for Delete {
    const NAME: &'static str = "efs.delete";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str =
        "deletes a file system that a run made, others only with foreign: true; it must have no mount targets any more";
    const PERMISSION: &'static str = "elasticfilesystem:DeleteFileSystem, elasticfilesystem:Describe* of file systems";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DeleteArgs;
    type Output = Removed;

    fn resource(args: &DeleteArgs) -> String {
        args.aws.resource("efs", &format!("fs:{}", args.file_system))
    }

    fn target(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Delete {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the file system is still there, or being deleted";
    const UNDO_DOC: &'static str = "impossible: a deleted file system does not come back";

    fn image(look: &dyn Look, args: &DeleteArgs, _: &str) -> Result<Value, OpError> {
        let act = format!("cannot delete file system {}", args.file_system);
        let nothing = Ok(json!({ "id": "" }));
        let Some(found) = look.file_system(&args.file_system)? else { return nothing };
        // A run has no other file systems than those that a restore made with the token of its call.
        let whose = (
            if found.token.starts_with("m-") { found.token.as_str() } else { found.owned_by.as_str() },
            found.token.as_str(),
        );
        if !crate::ops::aws::entry::may_delete(&act, whose, args.made_by.as_deref(), args.foreign)? {
            return nothing;
        }
        if let Some(first) =
            found.mount_targets.iter().find(|one| !["deleting", "deleted"].contains(&one.state.as_str()))
        {
            return Err(OpError::refused(format!("{act}: it has mount target {} in {}", first.id, first.subnet))
                .with_hint("delete its mount targets first, by efs.delete_mount_target"));
        }
        Ok(json!({ "id": found.id }))
    }

    fn act(hands: &Hands<'_, '_>, _: &DeleteArgs) -> Result<Send<Removed>, OpError> {
        let id = hands.of.earlier("id");
        if id.is_empty() {
            return Ok(Send::Done(Removed { deleted: false }));
        }
        let act = format!("cannot delete file system {id}");
        match hands.line.call(&act, |efs: Client| efs.delete_file_system().file_system_id(id).send()) {
            Ok(_) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Removed { deleted: true })),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, _: &DeleteArgs, of: Of<'_>) -> Result<Found<Removed>, OpError> {
        let id = of.earlier("id");
        if id.is_empty() {
            return Ok(Found::Done(Removed { deleted: false }));
        }
        Ok(match look.file_system(id)? {
            Some(found) if found.state == "deleting" => {
                Found::Running(Some(format!("file system {id} is being deleted")))
            }
            Some(found) if found.state != "deleted" => Found::NotDone,
            _ => Found::Done(Removed { deleted: true }),
        })
    }

    fn undoing(_: &DeleteArgs, before: &Value, _: &str) -> Undo {
        match before["id"].as_str() {
            Some("") => Undo::Nothing,
            _ => Undo::Impossible("a deleted file system does not come back"),
        }
    }

    fn print(_: &dyn Look, _: &DeleteArgs, _: &Removed) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeleteArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["id"] != "" }))
    }
}
