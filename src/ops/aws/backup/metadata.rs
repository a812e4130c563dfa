//! What a restore is told: what the recovery point says of its source is carried over, and what AWS would leave to its defaults
//! is said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::point::RecoveryPoint;

/// How AWS Backup calls file systems of EFS.
pub const EFS: &str = "EFS";

/// The metadata of a restore, and what is to be said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prepared {
    /// What is sent.
    pub metadata: BTreeMap<String, String>,
    /// What of that was carried over, one line each.
    pub carried: Vec<String>,
    /// What AWS leaves to its defaults, one line each, with what to do.
    pub left: Vec<String>,
    /// Whether a new file system is made.
    pub makes: bool,
}

/// All that AWS demands of a restore of EFS, though its reference calls some of it optional.
const DEMANDED: [&str; 3] = ["file-system-id", "Encrypted", "PerformanceMode"];

/// Puts together what a restore is told. `asked` goes before all that is carried over; `token` tells a file system that this call
/// makes from others.
#[must_use]
pub fn prepare(
    point: &RecoveryPoint,
    asked: &BTreeMap<String, String>,
    items: Option<&[String]>,
    new: bool,
    token: &str,
) -> Prepared {
    let mut prepared = Prepared::default();
    for (name, value) in &point.metadata {
        // What is decided here anew for each restore.
        let decided =
            point.resource_type == EFS && ["newFileSystem", "CreationToken", "ItemsToRestore"].contains(&name.as_str());
        if !decided && !asked.contains_key(name) && !name.starts_with("aws:backup:") {
            prepared.metadata.insert(name.clone(), value.clone());
            prepared.carried.push(format!("{name}: {value}"));
        }
    }
    if point.resource_type == EFS {
        prepared.efs(point, items, new, token);
    }
    prepared.metadata.extend(asked.clone());
    prepared
}

impl Prepared {
    fn efs(&mut self, point: &RecoveryPoint, items: Option<&[String]>, new: bool, token: &str) {
        self.makes = new;
        let mut set = |name: &str, value: String| self.metadata.insert(name.to_owned(), value);
        set("newFileSystem", new.to_string());
        set("CreationToken", token.to_owned());
        if let Some(items) = items.filter(|items| !items.is_empty()) {
            set("ItemsToRestore", serde_json::Value::from(items.to_vec()).to_string());
        }
        let source = crate::ops::aws::entry::id_of(&point.resource).to_owned();
        let encrypted = if point.encrypted || self.metadata.contains_key("KmsKeyId") { "true" } else { "false" };
        for (name, value) in DEMANDED.into_iter().zip([source.as_str(), encrypted, "generalPurpose"]) {
            if !self.metadata.contains_key(name) {
                self.metadata.insert(name.to_owned(), value.to_owned());
                self.carried.push(format!("{name}: {value}"));
            }
        }
        if new {
            self.left = [
                "mount targets: a restore makes none; make them by efs.create_mount_target",
                "access points, file system policy, lifecycle, backup policy: a restore makes none; make them by hand or by IaC",
                "throughput mode: a restored file system has AWS's default; set it by hand or by IaC",
                "tags: the new file system has none of its source's",
            ]
            .map(str::to_owned)
            .to_vec();
        }
        let place = "contents: they lie in a folder aws-backup-restore_… on the file system, never over what is there";
        self.left.push(place.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> RecoveryPoint {
        let metadata =
            [("file-system-id", "fs-1"), ("Encrypted", "true"), ("KmsKeyId", "k"), ("newFileSystem", "true")];
        RecoveryPoint {
            resource: "arn:aws:elasticfilesystem:eu-west-1:1:file-system/fs-1".to_owned(),
            resource_type: EFS.to_owned(),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..RecoveryPoint::default()
        }
    }

    #[test]
    fn all_that_aws_demands_is_sent_and_what_it_would_default_is_said() {
        let prepared = prepare(&point(), &BTreeMap::new(), Some(&["/models".to_owned()]), false, "t");
        let sent: Vec<(&str, &str)> = prepared.metadata.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let wanted = [
            ("CreationToken", "t"),
            ("Encrypted", "true"),
            ("ItemsToRestore", r#"["/models"]"#),
            ("KmsKeyId", "k"),
            ("PerformanceMode", "generalPurpose"),
            ("file-system-id", "fs-1"),
            ("newFileSystem", "false"),
        ];
        assert_eq!(sent, wanted);
        assert!(prepared.carried.contains(&"KmsKeyId: k".to_owned()), "{:?}", prepared.carried);
        assert_eq!(prepared.left.len(), 1);
        let new = prepare(&point(), &BTreeMap::new(), None, true, "t");
        assert!(new.makes && new.left[0].starts_with("mount targets"), "{:?}", new.left);
    }

    #[test]
    fn what_is_asked_for_goes_before_what_is_carried_over() {
        let asked = BTreeMap::from([("KmsKeyId".to_owned(), "other".to_owned())]);
        let prepared = prepare(&point(), &asked, None, true, "t");
        assert_eq!(prepared.metadata["KmsKeyId"], "other");
        assert!(!prepared.carried.iter().any(|line| line.starts_with("KmsKeyId")), "{:?}", prepared.carried);
    }
}
