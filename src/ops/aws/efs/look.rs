//! Looking at EFS. What operations decide is written once, over this: the live backend asks AWS, the sandbox its world.

use aws_sdk_efs::Client;
use aws_sdk_efs::types::{AccessPointDescription, FileSystemDescription, MountTargetDescription};

use super::file_system::{AccessPoint, FileSystem, MountTarget};
use crate::model::fault::OpError;
use crate::ops::aws::client::Line;
use crate::ops::aws::fault::found;
use crate::ops::aws::rds::{RUN_TAG, text, time};

/// What can be asked of EFS.
pub trait Look {
    /// The file system of this id, with its mount targets and access points.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn file_system(&self, id: &str) -> Result<Option<FileSystem>, OpError>;

    /// The file system that was made with this token.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn by_token(&self, token: &str) -> Result<Option<FileSystem>, OpError>;

    /// The file systems of the account, by name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn file_systems(&self) -> Result<Vec<FileSystem>, OpError>;

    /// The mount target of this id.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn mount_target(&self, id: &str) -> Result<Option<MountTarget>, OpError>;
}

impl Look for Line<'_> {
    fn file_system(&self, id: &str) -> Result<Option<FileSystem>, OpError> {
        let act = format!("cannot describe file system {id}");
        let answer = self.call(&act, |efs: Client| efs.describe_file_systems().file_system_id(id).send());
        let Some(one) = found(answer)?.and_then(|answer| answer.file_systems().first().map(system)) else {
            return Ok(None);
        };
        let mount_targets = self.mount_targets(id)?;
        Ok(Some(FileSystem { mount_targets, access_points: self.access_points(id)?, ..one }))
    }

    fn by_token(&self, token: &str) -> Result<Option<FileSystem>, OpError> {
        let act = format!("cannot look for the file system that was made with {token}");
        let answer = self.call(&act, |efs: Client| efs.describe_file_systems().creation_token(token).send());
        let all = found(answer)?.and_then(|answer| answer.file_systems).unwrap_or_default();
        // A server that knows no tokens answers all there are.
        Ok(all.iter().map(system).find(|one| one.token == token))
    }

    fn file_systems(&self) -> Result<Vec<FileSystem>, OpError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let at = marker.take();
            let answer = self.call("cannot list the file systems", |efs: Client| {
                efs.describe_file_systems().set_marker(at).send()
            })?;
            all.extend(answer.file_systems().iter().map(system));
            match answer.next_marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => break,
            }
        }
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(all)
    }

    fn mount_target(&self, id: &str) -> Result<Option<MountTarget>, OpError> {
        let act = format!("cannot describe mount target {id}");
        let answer = self.call(&act, |efs: Client| efs.describe_mount_targets().mount_target_id(id).send());
        let all = found(answer)?.and_then(|answer| answer.mount_targets).unwrap_or_default();
        all.first().map(|one| self.target_of(one)).transpose()
    }
}

impl Line<'_> {
    fn mount_targets(&self, file_system: &str) -> Result<Vec<MountTarget>, OpError> {
        let act = format!("cannot list the mount targets of {file_system}");
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let at = marker.take();
            let answer = found(self.call(&act, |efs: Client| {
                efs.describe_mount_targets().file_system_id(file_system).set_marker(at).send()
            }))?;
            let Some(answer) = answer else { break };
            for one in answer.mount_targets() {
                all.push(self.target_of(one)?);
            }
            match answer.next_marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => break,
            }
        }
        all.sort_by(|a, b| (&a.subnet, &a.id).cmp(&(&b.subnet, &b.id)));
        Ok(all)
    }

    fn target_of(&self, one: &MountTargetDescription) -> Result<MountTarget, OpError> {
        let id = one.mount_target_id.clone();
        let act = format!("cannot read the security groups of mount target {id}");
        // A target that comes or goes has none to tell.
        let groups = match one.life_cycle_state.as_str() {
            "available" | "updating" => found(
                self.call(&act, |efs: Client| efs.describe_mount_target_security_groups().mount_target_id(&id).send()),
            )?,
            _ => None,
        };
        let mut security_groups = groups.map(|answer| answer.security_groups).unwrap_or_default();
        security_groups.sort();
        Ok(MountTarget {
            id,
            file_system: one.file_system_id.clone(),
            state: one.life_cycle_state.as_str().to_owned(),
            subnet: one.subnet_id.clone(),
            zone: text(one.availability_zone_name()),
            address: text(one.ip_address()),
            security_groups,
        })
    }

    fn access_points(&self, file_system: &str) -> Result<Vec<AccessPoint>, OpError> {
        let act = format!("cannot list the access points of {file_system}");
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let at = token.take();
            let answer = found(self.call(&act, |efs: Client| {
                efs.describe_access_points().file_system_id(file_system).set_next_token(at).send()
            }))?;
            let Some(answer) = answer else { break };
            all.extend(answer.access_points().iter().map(point));
            match answer.next_token {
                Some(next) if !next.is_empty() => token = Some(next),
                _ => break,
            }
        }
        all.sort_by(|a: &AccessPoint, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
        Ok(all)
    }
}

fn system(one: &FileSystemDescription) -> FileSystem {
    let mut tags: std::collections::BTreeMap<String, String> =
        one.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    let owned_by = tags.get(RUN_TAG).cloned().unwrap_or_default();
    tags.retain(|name, _| !name.starts_with("aws:") && !name.starts_with("muster."));
    FileSystem {
        exists: true,
        id: one.file_system_id.clone(),
        arn: text(one.file_system_arn()),
        name: text(one.name()),
        state: one.life_cycle_state.as_str().to_owned(),
        bytes: one.size_in_bytes().map(|size| size.value).unwrap_or_default(),
        encrypted: one.encrypted.unwrap_or_default(),
        kms_key: text(one.kms_key_id()),
        performance: one.performance_mode.as_str().to_owned(),
        throughput: one.throughput_mode.as_ref().map(|mode| mode.as_str().to_owned()).unwrap_or_default(),
        throughput_mib: one.provisioned_throughput_in_mibps.unwrap_or_default(),
        zone: text(one.availability_zone_name()),
        token: one.creation_token.clone(),
        created_at: time(Some(&one.creation_time)),
        mount_targets: Vec::new(),
        access_points: Vec::new(),
        tags,
        owned_by,
    }
}

fn point(one: &AccessPointDescription) -> AccessPoint {
    AccessPoint {
        id: text(one.access_point_id()),
        file_system: text(one.file_system_id()),
        state: one.life_cycle_state.as_ref().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        path: one.root_directory().and_then(|root| root.path.clone()).unwrap_or_else(|| "/".to_owned()),
        uid: one.posix_user().map_or(-1, |user| user.uid),
        gid: one.posix_user().map_or(-1, |user| user.gid),
        makes_folder: one.root_directory().is_some_and(|root| root.creation_info.is_some()),
    }
}
