//! Making a mount target: without one a file system cannot be mounted, and a restore makes none.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_efs::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file_system::{FileSystem, MountTarget};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `efs.create_mount_target`.
pub struct CreateMountTarget;

/// Where a file system is to be mounted from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMountTargetArgs {
    /// The file system, which has to be available.
    pub file_system: String,
    /// The subnet; a file system has one mount target a zone.
    pub subnet: String,
    /// The security groups: without any AWS takes the default one of the VPC, which lets nobody in.
    pub security_groups: Vec<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(CreateMountTargetArgs);

/// A mount target is being made; `efs.wait_available` waits for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetMade {
    /// Its id.
    pub mount_target: String,
    /// The file system.
    pub file_system: String,
    /// The subnet.
    pub subnet: String,
}

impl TargetMade {
    /// As AWS describes it.
    #[must_use]
    pub fn of(found: &MountTarget) -> Self {
        let MountTarget { id, file_system, subnet, .. } = found.clone();
        Self { mount_target: id, file_system, subnet }
    }
}

impl CreateMountTargetArgs {
    fn act(&self) -> String {
        format!("cannot make a mount target of {} in {}", self.file_system, self.subnet)
    }

    /// What a mount target in that subnet, where there was none before, is to the call: AWS knows neither tokens nor tags of
    /// mount targets, so that one on somebody else's file system is not taken for our own.
    fn whose(&self, system: &FileSystem, found: &MountTarget, run: &str) -> Found<TargetMade> {
        let MountTarget { id, security_groups, .. } = found;
        let doubt = |what: &str| Found::CannotTell(format!("{}: there is {id} now, {what}", self.act()));
        if !system.is_of(run) {
            return doubt(
                "on a file system that this run has not made: AWS does not tell whether this call has made it, or somebody else",
            );
        }
        if security_groups.is_empty() && found.state == "creating" {
            return Found::Running(Some(format!("mount target {id} is creating")));
        }
        let asked: BTreeSet<&String> = self.security_groups.iter().collect();
        if asked != security_groups.iter().collect() {
            let theirs = security_groups.join(", ");
            return doubt(&format!("with security groups {theirs}: somebody else has made or changed it"));
        }
        Found::Done(TargetMade::of(found))
    }
}

impl Operation for CreateMountTarget {
    const NAME: &'static str = "efs.create_mount_target";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str =
        "begins to make a mount target of a file system in a subnet, with its security groups said plainly";
    const PERMISSION: &'static str = "elasticfilesystem:CreateMountTarget, elasticfilesystem:Describe* of file systems, ec2:DescribeSubnets, ec2:DescribeNetworkInterfaces, ec2:CreateNetworkInterface; to undo it elasticfilesystem:DeleteMountTarget";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CreateMountTargetArgs;
    type Output = TargetMade;

    fn resource(args: &CreateMountTargetArgs) -> String {
        args.aws.resource("efs", &format!("fs:{}", args.file_system))
    }

    fn touches(args: &CreateMountTargetArgs, _before: &Value) -> Vec<Touch> {
        vec![Touch::changes(Self::resource(args))]
    }

    fn target(context: &ReadContext<'_>, args: &CreateMountTargetArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for CreateMountTarget {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "a mount target in that subnet, where there was none before, with the security groups asked for, on a \
                                     file system that this run has made; AWS tells nothing that would tell one on another \
                                     file system from somebody else's: that is in doubt";
    const UNDO_DOC: &'static str = "efs.delete_mount_target";

    fn image(look: &dyn Look, args: &CreateMountTargetArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        if args.security_groups.is_empty() {
            return Err(OpError::refused(format!("{act}: it has no security groups"))
                .with_hint("name those that let clients in on port 2049"));
        }
        if look.is_unknown(&args.file_system) {
            return Ok(Value::Null);
        }
        let Some(found) = look.file_system(&args.file_system)? else {
            return Err(OpError::refused(format!("{act}: there is no such file system"))
                .with_hint("efs.file_systems lists those that are there; is it the right account and region?"));
        };
        if let Some(one) = found.mount_targets.iter().find(|one| one.subnet == args.subnet) {
            return Err(OpError::refused(format!("{act}: there is one, {}, which is {}", one.id, one.state))
                .with_hint("efs.file_system tells which mount targets there are"));
        }
        match found.state.as_str() {
            "available" => Ok(Value::Null),
            "creating" | "updating" => Err(OpError::transient(format!("{act}: the file system is {}", found.state))
                .with_hint("efs.wait_available waits until it is available")),
            state => {
                Err(OpError::refused(format!("{act}: the file system is {state}"))
                    .with_hint("take another file system"))
            }
        }
    }

    fn act(hands: &Hands<'_, '_>, args: &CreateMountTargetArgs) -> Result<Send<TargetMade>, OpError> {
        let act = args.act();
        let answer = hands.line.call(&act, |efs: Client| {
            efs.create_mount_target()
                .file_system_id(&args.file_system)
                .subnet_id(&args.subnet)
                .set_security_groups(Some(args.security_groups.clone()))
                .send()
        });
        match answer {
            Ok(made) => {
                let (file_system, subnet) = (args.file_system.clone(), args.subnet.clone());
                Ok(Send::Done(TargetMade { mount_target: made.mount_target_id, file_system, subnet }))
            }
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.code.starts_with("MountTargetConflict") => {
                match Self::became(&hands.line, args, hands.of)? {
                    Found::Done(made) => Ok(Send::Done(made)),
                    Found::Running(_) => Ok(Send::Running),
                    Found::CannotTell(why) => Err(OpError::unknown(why)),
                    _ => Err(complaint
                        .with_hint("the file system has one in another subnet of that zone, or of another VPC")
                        .into()),
                }
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &CreateMountTargetArgs, of: Of<'_>) -> Result<Found<TargetMade>, OpError> {
        let Some(system) = look.file_system(&args.file_system)? else { return Ok(Found::NotDone) };
        Ok(match system.target_in(&args.subnet) {
            Some(found) => args.whose(&system, found, of.run),
            None => Found::NotDone,
        })
    }

    fn undoing(args: &CreateMountTargetArgs, _: &Value, key: &str) -> Undo {
        let args = json!({
            "mount_target": "$result/mount_target", "file_system": args.file_system, "subnet": args.subnet,
            "made_by": key, "aws": args.aws,
        });
        Undo::Call { op: "efs.delete_mount_target", args }
    }

    fn print(look: &dyn Look, args: &CreateMountTargetArgs, _: &TargetMade) -> Result<Value, OpError> {
        let system = look.file_system(&args.file_system)?.unwrap_or_default();
        Ok(json!({ "mount_target": system.target_in(&args.subnet).map(|found| &found.id) }))
    }

    fn forecast(args: &CreateMountTargetArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "mount_target": unknown("AWS gives it"), "file_system": args.file_system, "subnet": args.subnet,
        }))
    }
}
