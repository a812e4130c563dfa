//! The file systems of EFS and the vaults of AWS Backup in a sandbox's account: what they are, what becomes of them as time passes,
//! and looking at them.

use serde::{Deserialize, Serialize};

use super::aws::View;
use super::rds::Course;
use super::world::{Child, Named};
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops::aws::backup::{self, Job, Plan, RecoveryPoint, RestoreJob, Vault, newest_first};
use crate::ops::aws::efs::{self, FileSystem, MountTarget};

/// The vaults of an account, with what is in them and what fills them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Vaults by name.
    pub vaults: Named<Vault>,
    /// Recovery points by ARN.
    pub recovery_points: Named<RecoveryPoint>,
    /// Plans by id.
    pub plans: Named<Plan>,
    /// Backup jobs by id.
    pub jobs: Named<Job>,
    /// Restore jobs by id.
    pub restores: Named<RestoreJob>,
    /// In which state that is not good backup jobs end: `FAILED`.
    pub jobs_end: Option<String>,
    /// In which status that is not good restore jobs end: `ABORTED`.
    pub restores_end: Option<String>,
    /// What becomes of things as time passes, by what they are (`job:1`, `point:arn…`).
    pub courses: Named<Course>,
}

/// The file systems of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Efs {
    /// File systems by id, each with its mount targets and access points.
    pub file_systems: Named<FileSystem>,
    /// What becomes of things as time passes, by what they are (`fs:fs-1`, `target:fsmt-1`).
    pub courses: Named<Course>,
}

impl Backup {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Fills in what `world.yaml` may leave out.
    pub fn complete(&mut self, account: &str, region: &str) {
        for name in self.vaults.keys().cloned().collect::<Vec<_>>() {
            let Some(vault) = self.vaults.get_mut(&name) else { continue };
            vault.exists = true;
            vault.name.clone_from(&name);
            or(&mut vault.arn, &format!("arn:aws:backup:{region}:{account}:backup-vault:{name}"));
        }
        for arn in self.recovery_points.keys().cloned().collect::<Vec<_>>() {
            let Some(point) = self.recovery_points.get_mut(&arn) else { continue };
            point.exists = true;
            point.arn.clone_from(&arn);
            or(&mut point.status, "COMPLETED");
            or(&mut point.resource_type, type_of(&point.resource));
            let at = point.created_at.clone();
            or(&mut point.completed_at, &at);
        }
        for id in self.plans.keys().cloned().collect::<Vec<_>>() {
            let Some(plan) = self.plans.get_mut(&id) else { continue };
            plan.exists = true;
            plan.id.clone_from(&id);
        }
    }
}

impl Efs {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Fills in what `world.yaml` may leave out.
    pub fn complete(&mut self, account: &str, region: &str) {
        for id in self.file_systems.keys().cloned().collect::<Vec<_>>() {
            let Some(found) = self.file_systems.get_mut(&id) else { continue };
            found.exists = true;
            found.id.clone_from(&id);
            or(&mut found.arn, &format!("arn:aws:elasticfilesystem:{region}:{account}:file-system/{id}"));
            or(&mut found.state, "available");
            or(&mut found.performance, "generalPurpose");
            or(&mut found.throughput, "bursting");
            for target in &mut found.mount_targets {
                target.file_system.clone_from(&id);
                or(&mut target.state, "available");
                let subnet = target.subnet.clone();
                or(&mut target.id, &format!("fsmt-{subnet}"));
            }
            for point in &mut found.access_points {
                point.file_system.clone_from(&id);
                or(&mut point.state, "available");
                or(&mut point.path, "/");
            }
        }
    }
}

fn or(text: &mut String, other: &str) {
    if text.is_empty() {
        other.clone_into(text);
    }
}

/// How AWS Backup calls what has this ARN.
pub fn type_of(arn: &str) -> &'static str {
    match arn.split(':').nth(2) {
        Some("elasticfilesystem") => backup::EFS,
        Some("rds") => "RDS",
        _ => "",
    }
}

impl<'w> View<'w> {
    fn backup(&self) -> &'w Backup {
        &self.world.aws.backup
    }

    fn efs(&self) -> &'w Efs {
        &self.world.aws.efs
    }

    /// Whether something is being deleted.
    fn is_going(&self, op: &str, before: &str, id: &str) -> bool {
        let on = |child: &Child| child.ended.is_none() && child.op == op && child.before[before] == id;
        self.world.children.values().any(on)
    }

    fn seen_job(&self, job: &Job) -> Job {
        let mut seen = job.clone();
        if let Some(state) = self.status(&self.backup().courses, &format!("job:{}", job.id)) {
            state.clone_into(&mut seen.state);
        }
        match seen.state.as_str() {
            "COMPLETED" => "100".clone_into(&mut seen.percent),
            "FAILED" | "ABORTED" | "EXPIRED" => "as the world has it".clone_into(&mut seen.message),
            _ => {}
        }
        seen
    }

    fn seen_restore(&self, job: &RestoreJob) -> RestoreJob {
        let mut seen = job.clone();
        if let Some(status) = self.status(&self.backup().courses, &format!("restore:{}", job.id)) {
            status.clone_into(&mut seen.status);
        }
        match seen.status.as_str() {
            "COMPLETED" => "100".clone_into(&mut seen.percent),
            "FAILED" | "ABORTED" => "as the world has it".clone_into(&mut seen.message),
            _ => seen.created_resource.clear(),
        }
        seen
    }

    fn seen_point(&self, point: &RecoveryPoint) -> RecoveryPoint {
        let mut seen = point.clone();
        if let Some(status) = self.status(&self.backup().courses, &format!("point:{}", point.arn)) {
            status.clone_into(&mut seen.status);
        }
        seen
    }

    fn seen_system(&self, found: &FileSystem) -> FileSystem {
        let mut seen = found.clone();
        if let Some(state) = self.status(&self.efs().courses, &format!("fs:{}", found.id)) {
            state.clone_into(&mut seen.state);
        }
        if self.is_going("efs.delete", "id", &found.id) {
            "deleting".clone_into(&mut seen.state);
        }
        for target in &mut seen.mount_targets {
            if let Some(state) = self.status(&self.efs().courses, &format!("target:{}", target.id)) {
                state.clone_into(&mut target.state);
            }
            if self.is_going("efs.delete_mount_target", "id", &target.id) {
                "deleting".clone_into(&mut target.state);
            }
        }
        seen
    }

    /// A file system that a restore will have made is not there before it has.
    fn is_there(&self, found: &FileSystem) -> bool {
        found.created_at.parse::<Timestamp>().map_or(true, |at| at <= self.now)
    }
}

impl backup::Look for View<'_> {
    fn vaults(&self) -> Result<Vec<Vault>, OpError> {
        let count = |name: &str| self.backup().recovery_points.values().filter(|point| point.vault == name).count();
        let seen = |vault: &Vault| Vault {
            recovery_points: i64::try_from(count(&vault.name)).unwrap_or(i64::MAX),
            ..vault.clone()
        };
        Ok(self.backup().vaults.values().map(seen).collect())
    }

    fn forbidden(&self, vault: &str) -> Result<Option<Vec<String>>, OpError> {
        Ok(self.backup().vaults.get(vault).map(|vault| vault.denies.clone()))
    }

    fn points(&self, vault: &str, resource: Option<&str>) -> Result<Vec<RecoveryPoint>, OpError> {
        let fits =
            |one: &&RecoveryPoint| one.vault == vault && resource.is_none_or(|resource| one.resource == resource);
        let listed = |one: &RecoveryPoint| RecoveryPoint {
            owned_by: String::new(),
            made_by: String::new(),
            metadata: Default::default(),
            ..self.seen_point(one)
        };
        let mut all: Vec<RecoveryPoint> = self.backup().recovery_points.values().filter(fits).map(listed).collect();
        newest_first(&mut all);
        Ok(all)
    }

    fn point(&self, vault: &str, arn: &str) -> Result<Option<RecoveryPoint>, OpError> {
        let found = self.backup().recovery_points.get(arn).filter(|one| one.vault == vault);
        Ok(found.map(|one| self.seen_point(one)))
    }

    fn job(&self, id: &str) -> Result<Option<Job>, OpError> {
        Ok(self.backup().jobs.get(id).map(|job| self.seen_job(job)))
    }

    fn jobs(&self, vault: &str, resource: &str) -> Result<Vec<Job>, OpError> {
        let fits = |job: &&Job| job.vault == vault && job.resource == resource;
        Ok(self.backup().jobs.values().filter(fits).map(|job| self.seen_job(job)).collect())
    }

    fn restore(&self, id: &str) -> Result<Option<RestoreJob>, OpError> {
        Ok(self.backup().restores.get(id).map(|job| self.seen_restore(job)))
    }

    fn restores(&self, point: &str) -> Result<Vec<RestoreJob>, OpError> {
        let fits = |job: &&RestoreJob| job.recovery_point == point;
        Ok(self.backup().restores.values().filter(fits).map(|job| self.seen_restore(job)).collect())
    }

    fn plans(&self) -> Result<Vec<Plan>, OpError> {
        let listed = |plan: &Plan| Plan { rules: Vec::new(), ..plan.clone() };
        Ok(self.backup().plans.values().map(listed).collect())
    }

    fn plan(&self, id: &str) -> Result<Option<Plan>, OpError> {
        Ok(self.backup().plans.get(id).cloned())
    }

    fn instant(&self) -> Timestamp {
        self.now
    }
}

impl efs::Look for View<'_> {
    fn file_system(&self, id: &str) -> Result<Option<FileSystem>, OpError> {
        let found = self.efs().file_systems.get(id).filter(|found| self.is_there(found));
        Ok(found.map(|found| self.seen_system(found)))
    }

    fn by_token(&self, token: &str) -> Result<Option<FileSystem>, OpError> {
        let ours = |found: &&FileSystem| found.token == token && self.is_there(found);
        Ok(self.efs().file_systems.values().find(ours).map(|found| self.seen_system(found)))
    }

    fn file_systems(&self) -> Result<Vec<FileSystem>, OpError> {
        let listed = |found: &FileSystem| FileSystem {
            mount_targets: Vec::new(),
            access_points: Vec::new(),
            ..self.seen_system(found)
        };
        Ok(self.efs().file_systems.values().filter(|found| self.is_there(found)).map(listed).collect())
    }

    fn mount_target(&self, id: &str) -> Result<Option<MountTarget>, OpError> {
        let all = self.efs().file_systems.values().flat_map(|found| self.seen_system(found).mount_targets);
        Ok(all.into_iter().find(|one| one.id == id))
    }
}

/// The id of a thing as AWS makes them, from what tells it from others.
pub fn made_id(prefix: &str, from: &str) -> String {
    format!("{prefix}{}", &super::content::sha256_hex(format!("{prefix} {from}").as_bytes())[..17])
}

/// The value under a name of a call's arguments, as text.
pub fn given<'v>(args: &'v Value, name: &str) -> &'v str {
    args.get(name).and_then(Value::as_str).unwrap_or_default()
}
