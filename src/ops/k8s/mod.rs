//! Family `k8s`: objects of Kubernetes, of any kind that a cluster serves.

mod apply;
mod change;
mod client;
mod condition;
mod create;
mod delete;
mod discovery;
mod edit;
mod exec;
mod fault;
mod fields;
mod inside;
mod job;
mod keep;
mod kind;
mod logs;
mod look;
pub(in crate::ops) mod named;
mod patch;
mod read;
mod restore;
mod scale;
mod wait;
mod watch;

use super::spec::{self, OpEntry};

pub use apply::{Apply, ApplyArgs};
pub use change::{Changed, Image};
pub use client::Clusters;
pub use create::{Create, CreateArgs, Created, marked};
pub use delete::{Delete, DeleteArgs, Deleted, Propagation};
pub use edit::{Annotate, Label, NoteArgs, Patch, PatchArgs};
pub use exec::{Exec, ExecArgs};
pub use fields::{Differences, MARK, maker_of, wanted};
pub use inside::{Inside, Printed, ReadInside, ReadInsideArgs};
pub use job::{Ran, RunJob, job_of, standing as job_standing};
pub use keep::{ReadToFile, ReadToFileArgs};
pub use kind::{Kind, Served};
pub use logs::{LINES, Logs, LogsArgs, Said};
pub use look::{Look, Step, Tried, opened, placed, presentable};
pub use named::{Named, cluster_part};
pub use patch::{conflicts, merge, pruned};
pub use read::{Allowed, CanI, Get, GetArgs, Got, List, ListArgs, Listed, given, got, secret_contents, sort};
pub use restore::{Restore, RestoreArgs, Restored};
pub use scale::{Scale, ScaleArgs, Scaled, Standing};
pub use wait::{WaitArgs, WaitFor, Waited};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<Get>(),
        spec::read::<List>(),
        spec::read::<CanI>(),
        spec::read::<Logs>(),
        spec::read::<ReadInside>(),
        spec::wait::<WaitFor>(),
        spec::write::<Apply>(),
        spec::write::<Patch>(),
        spec::write::<Annotate>(),
        spec::write::<Label>(),
        spec::write::<Scale>(),
        spec::write::<Create>(),
        spec::write::<RunJob>(),
        spec::write::<Exec>(),
        spec::write::<ReadToFile>(),
        spec::write::<Delete>(),
        spec::write::<Restore>(),
    ]
}
