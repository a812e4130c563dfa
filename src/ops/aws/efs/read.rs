//! Reading file systems, and waiting until they can be mounted: EFS has no waiters of its own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file_system::FileSystem;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Awaits, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Poll};

/// How long until a file system is asked about again.
const AGAIN: Duration = Duration::from_secs(5);

/// `efs.file_system`.
pub struct DescribeFileSystem;
/// `efs.file_systems`.
pub struct ListFileSystems;
/// `efs.wait_available`.
pub struct WaitAvailable;

/// Which file system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSystemArgs {
    /// Its id: `fs-0123456789abcdef0`.
    pub file_system: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Where to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(FileSystemArgs, ListArgs);

/// The file systems found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FileSystems {
    /// By name.
    pub file_systems: Vec<FileSystem>,
}

impl Operation for DescribeFileSystem {
    const NAME: &'static str = "efs.file_system";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "what a file system is: state, size, encryption, throughput, mount targets, access points";
    const PERMISSION: &'static str = "elasticfilesystem:DescribeFileSystems, elasticfilesystem:DescribeMountTargets, elasticfilesystem:DescribeMountTargetSecurityGroups, elasticfilesystem:DescribeAccessPoints";
    const TYPICAL: Duration = Duration::from_millis(600);
    type Args = FileSystemArgs;
    type Output = FileSystem;

    fn resource(args: &FileSystemArgs) -> String {
        args.aws.resource("efs", &format!("fs:{}", args.file_system))
    }

    fn target(context: &ReadContext<'_>, args: &FileSystemArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeFileSystem {
    fn ask(look: &dyn Look, args: &FileSystemArgs) -> Result<FileSystem, OpError> {
        Ok(look.file_system(&args.file_system)?.unwrap_or_default())
    }
}

impl Operation for ListFileSystems {
    const NAME: &'static str = "efs.file_systems";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists the file systems of the account";
    const PERMISSION: &'static str = "elasticfilesystem:DescribeFileSystems";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ListArgs;
    type Output = FileSystems;

    fn resource(args: &ListArgs) -> String {
        args.aws.resource("efs", "fs:*")
    }

    fn target(context: &ReadContext<'_>, args: &ListArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListFileSystems {
    fn ask(look: &dyn Look, _: &ListArgs) -> Result<FileSystems, OpError> {
        Ok(FileSystems { file_systems: look.file_systems()? })
    }
}

impl Operation for WaitAvailable {
    const NAME: &'static str = "efs.wait_available";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str =
        "waits until a file system and all its mount targets are available; fails at once when one never will be";
    const PERMISSION: &'static str = "elasticfilesystem:DescribeFileSystems, elasticfilesystem:DescribeMountTargets, elasticfilesystem:DescribeMountTargetSecurityGroups, elasticfilesystem:DescribeAccessPoints";
    const TYPICAL: Duration = Duration::from_secs(90);
    type Args = FileSystemArgs;
    type Output = FileSystem;

    fn resource(args: &FileSystemArgs) -> String {
        args.aws.resource("efs", &format!("fs:{}", args.file_system))
    }

    fn target(context: &ReadContext<'_>, args: &FileSystemArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitAvailable {
    fn ask(look: &dyn Look, args: &FileSystemArgs) -> Result<Poll<FileSystem>, OpError> {
        let Some(found) = look.file_system(&args.file_system)? else {
            return Err(OpError::refused(format!("cannot wait for file system {}: there is none", args.file_system))
                .with_hint("efs.file_systems lists those that are there; is it the right account and region?"));
        };
        let own = (format!("file system {}", found.id), found.state.as_str());
        let targets = found
            .mount_targets
            .iter()
            .map(|one| (format!("mount target {} in {}", one.id, one.subnet), one.state.as_str()));
        let mut waits = None;
        for (what, state) in std::iter::once(own).chain(targets) {
            match state {
                "available" => {}
                "error" | "deleting" | "deleted" => {
                    let (why, choices) = match state {
                        "error" => (
                            "AWS could not make it",
                            "look for free addresses in its subnet; delete it and make it anew",
                        ),
                        _ => ("somebody deletes it", "find out who; make it anew"),
                    };
                    return Err(OpError::failed(format!("{what} will not become available: it is {state}: {why}"))
                        .with_hint(choices));
                }
                _ => waits = waits.or(Some(format!("{what} is {state}"))),
            }
        }
        Ok(match waits {
            None => Poll::Ready(found),
            waits => Poll::Pending(waits, AGAIN),
        })
    }
}
