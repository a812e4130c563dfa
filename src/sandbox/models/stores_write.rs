//! What effects on file systems and their backups do to the sandbox's world, and how long that takes.

use std::time::Duration;

use super::typed::{args, effect, encode};
use super::{Call, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::backup::{
    Before, CreatePlan, CreateSelection, DeletePlan, DeletePoint, DeleteSelection, Deleted, DiscardRestore, Discarded,
    Job, JobStarted, Plan, PlanMade, RecoveryPoint, RestoreJob, Selection, SelectionMade, StartJob, StartRestore,
};
use crate::ops::aws::efs::{
    CreateMountTarget, Delete, DeleteMountTarget, FileSystem, MountTarget, Removed, TargetMade,
};
use crate::ops::aws::entry::{id_of, token};
use crate::ops::spec::Operation;
use crate::sandbox::World;
use crate::sandbox::rds::{Course, later};
use crate::sandbox::stores::{given, made_id, type_of};
use crate::sandbox::veil;
use crate::sandbox::world::Named;

/// How long it is until a job begins.
const BEGINS: Duration = Duration::from_secs(30);
/// How long a file system is backed up.
const BACKUP: Duration = Duration::from_secs(300);
/// How long a file system is restored.
const RESTORE: Duration = Duration::from_secs(480);
/// How long it is until a mount target can be used.
const TARGET: Duration = Duration::from_secs(90);
/// How long it is until something is gone.
const GONE: Duration = Duration::from_secs(30);

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        (StartJob::NAME, Model::Write(effect::<StartJob>(start_job))),
        (DeletePoint::NAME, Model::Write(effect::<DeletePoint>(delete_point).by_child(|_, _| millis(GONE)))),
        (StartRestore::NAME, Model::Write(effect::<StartRestore>(start_restore).known(is_started))),
        (DiscardRestore::NAME, Model::Write(effect::<DiscardRestore>(discard_restore).by_child(ends_in))),
        (CreatePlan::NAME, Model::Write(effect::<CreatePlan>(create_plan))),
        (CreateSelection::NAME, Model::Write(effect::<CreateSelection>(create_selection))),
        (DeletePlan::NAME, Model::Write(effect::<DeletePlan>(delete_plan))),
        (DeleteSelection::NAME, Model::Write(effect::<DeleteSelection>(delete_selection))),
        (CreateMountTarget::NAME, Model::Write(effect::<CreateMountTarget>(create_mount_target))),
        (
            DeleteMountTarget::NAME,
            Model::Write(effect::<DeleteMountTarget>(delete_mount_target).by_child(|_, _| millis(GONE))),
        ),
        (Delete::NAME, Model::Write(effect::<Delete>(delete).by_child(|_, _| millis(GONE)))),
    ]
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text that AWS chooses: made up here, but unknown to a plan.
fn chosen(world: &World, made: String) -> String {
    if world.planned { veil::mark("AWS gives it") } else { made }
}

/// Says what becomes of a thing: which status it has after how long.
fn set_course(courses: &mut Named<Course>, what: String, call: &Call<'_>, steps: &[(Duration, &str)]) {
    let steps = steps.iter().map(|(by, status)| (later(call.now, *by), (*status).to_owned())).collect();
    courses.insert(what, Course { steps, ..Course::default() });
}

fn start_job(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (vault, resource) = (given(call.args, "vault").to_owned(), given(call.args, "resource").to_owned());
    let (account, region) = (world.aws.account.clone(), world.aws.region.clone());
    let id = chosen(world, made_id("", call.key));
    let arn = chosen(world, format!("arn:aws:backup:{region}:{account}:recovery-point:{}", made_id("", call.key)));
    let kind = type_of(&resource).to_owned();
    let source = world.aws.efs.file_systems.get(id_of(&resource)).cloned().unwrap_or_default();
    let mut metadata = std::collections::BTreeMap::new();
    if source.exists {
        metadata.insert("file-system-id".to_owned(), source.id.clone());
        metadata.insert("Encrypted".to_owned(), source.encrypted.to_string());
        metadata.insert("PerformanceMode".to_owned(), source.performance.clone());
        if !source.kms_key.is_empty() {
            metadata.insert("KmsKeyId".to_owned(), source.kms_key.clone());
        }
    }
    let job = Job {
        exists: true,
        id: id.clone(),
        state: "CREATED".to_owned(),
        vault: vault.clone(),
        resource: resource.clone(),
        resource_type: kind.clone(),
        recovery_point: arn.clone(),
        bytes: source.bytes,
        created_at: call.now.to_string(),
        ..Job::default()
    };
    let end = world.aws.backup.jobs_end.clone();
    let result = encode(&JobStarted::of(&job))?;
    let backup = &mut world.aws.backup;
    backup.jobs.insert(id.clone(), job);
    let ends = end.as_deref().unwrap_or("COMPLETED");
    set_course(&mut backup.courses, format!("job:{id}"), call, &[(BEGINS, "RUNNING"), (BEGINS + BACKUP, ends)]);
    if end.is_none() || ends == "PARTIAL" {
        let point = RecoveryPoint {
            exists: true,
            arn: arn.clone(),
            vault,
            resource,
            resource_type: kind,
            status: "CREATING".to_owned(),
            created_at: call.now.to_string(),
            bytes: source.bytes,
            encrypted: true,
            owned_by: call.run.to_string(),
            made_by: token(call.key),
            metadata,
            ..RecoveryPoint::default()
        };
        backup.recovery_points.insert(arn.clone(), point);
        set_course(&mut backup.courses, format!("point:{arn}"), call, &[(BEGINS + BACKUP, ends)]);
    }
    Ok(result)
}

fn delete_point(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (job, point) = (call.earlier("job").to_owned(), call.earlier("recovery_point").to_owned());
    let backup = &mut world.aws.backup;
    // A job is known for a month; that of a backup that is undone is as good as none.
    for (what, id) in [("job", &job), ("point", &point)] {
        backup.courses.remove(&format!("{what}:{id}"));
    }
    backup.jobs.remove(&job);
    backup.recovery_points.remove(&point);
    encode(&Deleted { deleted: !(job.is_empty() && point.is_empty()) })
}

/// AWS takes a token once: the second such call is answered with the first one's job.
fn is_started(world: &World, call: &Call<'_>) -> bool {
    world.aws.backup.restores.contains_key(&made_id("", call.key))
}

fn start_restore(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let point = given(call.args, "recovery_point").to_owned();
    let before = Before::read(call.before);
    let token = token(call.key);
    let id = chosen(world, made_id("", call.key));
    if is_started(world, call) {
        return encode(&before.started(&id, &point, &token));
    }
    let source = world.aws.backup.recovery_points.get(&point).cloned().unwrap_or_default();
    let ends = world.aws.backup.restores_end.clone();
    let (account, region) = (world.aws.account.clone(), world.aws.region.clone());
    let mut created = source.resource.clone();
    if before.prepared.makes && ends.is_none() {
        let fs = chosen(world, made_id("fs-", call.key));
        created = format!("arn:aws:elasticfilesystem:{region}:{account}:file-system/{fs}");
        let metadata = before.metadata(&token);
        let text = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        let made = FileSystem {
            exists: true,
            id: fs.clone(),
            arn: created.clone(),
            state: "available".to_owned(),
            bytes: source.bytes,
            encrypted: text("Encrypted") == "true",
            kms_key: text("KmsKeyId"),
            performance: text("PerformanceMode"),
            throughput: "bursting".to_owned(),
            token: token.clone(),
            created_at: later(call.now, BEGINS).to_string(),
            ..FileSystem::default()
        };
        world.aws.efs.file_systems.insert(fs, made);
    }
    let backup = &mut world.aws.backup;
    let job = RestoreJob {
        exists: true,
        id: id.clone(),
        status: "PENDING".to_owned(),
        recovery_point: point.clone(),
        resource_type: source.resource_type,
        created_resource: created,
        bytes: source.bytes,
        created_at: call.now.to_string(),
        ..RestoreJob::default()
    };
    backup.restores.insert(id.clone(), job);
    let ends = ends.as_deref().unwrap_or("COMPLETED");
    let steps = [(BEGINS, "RUNNING"), (BEGINS + RESTORE, ends)];
    set_course(&mut backup.courses, format!("restore:{id}"), call, &steps);
    encode(&before.started(&id, &point, &token))
}

/// How long it is until a restore that cannot be stopped is over, and what it made is gone.
fn ends_in(world: &World, call: &Call<'_>) -> u64 {
    let course = world.aws.backup.courses.get(&format!("restore:{}", given(call.args, "job")));
    let end = course.and_then(|course| course.steps.last()).map(|(at, _)| *at);
    let left = end.map(|end| Duration::try_from(end.duration_since(call.now)).unwrap_or_default());
    millis(left.unwrap_or_default() + GONE)
}

fn discard_restore(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (job, made_by) = (given(call.args, "job"), given(call.args, "made_by"));
    let made = world.aws.efs.file_systems.values().find(|found| found.token == made_by).map(|found| found.id.clone());
    let done = world.aws.backup.restores.remove(job);
    world.aws.backup.courses.remove(&format!("restore:{job}"));
    if let Some(id) = made {
        world.aws.efs.file_systems.remove(&id);
        return encode(&Discarded { deleted: id, left: String::new() });
    }
    let left = done
        .filter(|job| !job.created_resource.is_empty())
        .map(|job| format!("a folder aws-backup-restore_… on file system {}", id_of(&job.created_resource)));
    encode(&Discarded { deleted: String::new(), left: left.unwrap_or_default() })
}

fn create_plan(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let document = args::<CreatePlan>(call)?.read()?;
    let (account, region) = (world.aws.account.clone(), world.aws.region.clone());
    let id = chosen(world, made_id("", call.key));
    let arn = chosen(world, format!("arn:aws:backup:{region}:{account}:backup-plan:{id}"));
    let plan = Plan {
        exists: true,
        id: id.clone(),
        arn: arn.clone(),
        name: document.backup_plan_name.clone(),
        version: made_id("", &format!("version {}", call.key)),
        created_at: call.now.to_string(),
        rules: document.rules,
        made_by: token(call.key),
        ..Plan::default()
    };
    world.aws.backup.plans.insert(id.clone(), plan);
    encode(&PlanMade { plan: id, arn, name: document.backup_plan_name })
}

fn create_selection(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let plan = given(call.args, "plan").to_owned();
    let id = chosen(world, made_id("", call.key));
    let selection = Selection {
        id: id.clone(),
        name: given(call.args, "name").to_owned(),
        role: given(call.args, "role").to_owned(),
        made_by: token(call.key),
    };
    match world.aws.backup.plans.get_mut(&plan) {
        Some(found) => found.selections.push(selection),
        None => return Err(OpError::refused(format!("cannot add to backup plan {plan}: there is none"))),
    }
    encode(&SelectionMade { plan, selection: id })
}

fn delete_plan(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let deleted = world.aws.backup.plans.remove(call.earlier("id")).is_some();
    encode(&Deleted { deleted })
}

fn delete_selection(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let id = call.earlier("id");
    if let Some(plan) = world.aws.backup.plans.get_mut(given(call.args, "plan")) {
        plan.selections.retain(|one| one.id != id);
    }
    encode(&Deleted { deleted: !id.is_empty() })
}

fn create_mount_target(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (file_system, subnet) = (given(call.args, "file_system").to_owned(), given(call.args, "subnet").to_owned());
    let id = chosen(world, made_id("fsmt-", call.key));
    let mut security_groups: Vec<String> = call.maybe("security_groups").unwrap_or_default();
    security_groups.sort();
    let target = MountTarget {
        id: id.clone(),
        file_system: file_system.clone(),
        state: "creating".to_owned(),
        subnet,
        security_groups,
        ..MountTarget::default()
    };
    let result = encode(&TargetMade::of(&target))?;
    match world.aws.efs.file_systems.get_mut(&file_system) {
        Some(found) => {
            found.mount_targets.push(target);
            found.mount_targets.sort_by(|a, b| (&a.subnet, &a.id).cmp(&(&b.subnet, &b.id)));
        }
        None => return Err(OpError::refused(format!("cannot make a mount target of {file_system}: there is none"))),
    }
    set_course(&mut world.aws.efs.courses, format!("target:{id}"), call, &[(TARGET, "available")]);
    Ok(result)
}

fn delete_mount_target(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let id = call.earlier("id");
    if let Some(found) = world.aws.efs.file_systems.get_mut(call.earlier("file_system")) {
        found.mount_targets.retain(|one| one.id != id);
    }
    world.aws.efs.courses.remove(&format!("target:{id}"));
    encode(&Removed { deleted: !id.is_empty() })
}

fn delete(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let id = call.earlier("id");
    world.aws.efs.courses.remove(&format!("fs:{id}"));
    encode(&Removed { deleted: world.aws.efs.file_systems.remove(id).is_some() })
}
