//! What a file system is right now, with the ways to it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a file system is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileSystem {
    /// Whether there is one of that id.
    pub exists: bool,
    /// Its id: `fs-0123456789abcdef0`.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its name tag.
    pub name: String,
    /// `creating`, `available`, `updating`, `deleting`, `error`.
    pub state: String,
    /// Its size, as metered.
    pub bytes: i64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key of that.
    pub kms_key: String,
    /// `generalPurpose` or `maxIO`.
    pub performance: String,
    /// `bursting`, `elastic` or `provisioned`.
    pub throughput: String,
    /// How much is provisioned, in MiB a second; 0 when it is not `provisioned`.
    pub throughput_mib: f64,
    /// The one zone that it is in; empty when it is in all.
    pub zone: String,
    /// What it was made with: two are never made with one token.
    pub token: String,
    /// When it was made.
    pub created_at: String,
    /// Its mount targets; none in lists.
    pub mount_targets: Vec<MountTarget>,
    /// Its access points; none in lists.
    pub access_points: Vec<AccessPoint>,
    /// Its tags, without those that Muster or AWS gave it.
    pub tags: BTreeMap<String, String>,
    /// The run that made it; empty when no run did.
    pub owned_by: String,
}

impl FileSystem {
    /// Whether this run has made it: by the token of one of its calls, or by its tag. What is in it goes with it.
    #[must_use]
    pub fn is_of(&self, run: &str) -> bool {
        !run.is_empty() && (self.owned_by == run || self.token.starts_with(&format!("m-{run}-")))
    }

    /// Its mount target in a subnet: never more than one.
    #[must_use]
    pub fn target_in(&self, subnet: &str) -> Option<&MountTarget> {
        self.mount_targets.iter().find(|one| one.subnet == subnet && one.state != "deleted")
    }
}

/// Where a file system is mounted from in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MountTarget {
    /// Its id: `fsmt-0123456789abcdef0`.
    pub id: String,
    /// The file system.
    pub file_system: String,
    /// `creating`, `available`, `updating`, `deleting`, `error`.
    pub state: String,
    /// Its subnet: one a zone.
    pub subnet: String,
    /// The zone.
    pub zone: String,
    /// Its address.
    pub address: String,
    /// Its security groups.
    pub security_groups: Vec<String>,
}

/// A door to one folder of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessPoint {
    /// Its id: `fsap-0123456789abcdef0`.
    pub id: String,
    /// The file system.
    pub file_system: String,
    /// `creating`, `available`, `updating`, `deleting`, `error`.
    pub state: String,
    /// The folder that it opens.
    pub path: String,
    /// As which user everything is done; -1 when that is left to the client.
    pub uid: i64,
    /// As which group; -1 when that is left to the client.
    pub gid: i64,
    /// Whether the folder is made when it is not there: a wrong path is then an empty folder.
    pub makes_folder: bool,
}
