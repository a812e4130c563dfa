//! What effects on RDS do to the sandbox's world, and how long that takes.

use std::time::Duration;

use super::typed::{args, effect, encode};
use super::{Call, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::rds::{
    Before, CreateClusterInstance, CreateSnapshot, Database, Delete, DeleteSnapshot, Deleted, Kind, Member,
    MemberBefore, MemberMade, Modified, Modify, Rename, Renamed, RestoreFromSnapshot, RestoreToPointInTime, Restored,
    Settings, Snapshot, SnapshotMade,
};
use crate::ops::spec::Operation;
use crate::sandbox::World;
use crate::sandbox::rds::{Course, later, made_id};
use crate::sandbox::veil;
use crate::sandbox::world::Completed;

/// How long a snapshot is being taken.
const SNAPSHOT: Duration = Duration::from_secs(180);
/// How long it is until a snapshot is gone.
const SNAPSHOT_GONE: Duration = Duration::from_secs(2);
/// How long a database is being made.
const CREATE: Duration = Duration::from_secs(480);
/// How long its first backup takes.
const FIRST_BACKUP: Duration = Duration::from_secs(120);
/// How much longer it takes to play logs back.
const PLAY_BACK: Duration = Duration::from_secs(300);
/// How long it is until a database is gone.
const GONE: Duration = Duration::from_secs(300);
/// How long a modification takes.
const MODIFY: Duration = Duration::from_secs(60);
/// How long it is until AWS knows a database by another name.
const RENAME: Duration = Duration::from_secs(120);

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        (CreateSnapshot::NAME, Model::Write(effect::<CreateSnapshot>(create_snapshot))),
        (
            DeleteSnapshot::NAME,
            Model::Write(effect::<DeleteSnapshot>(delete_snapshot).by_child(|_, _| millis(SNAPSHOT_GONE))),
        ),
        (RestoreFromSnapshot::NAME, Model::Write(effect::<RestoreFromSnapshot>(restore_from_snapshot))),
        (RestoreToPointInTime::NAME, Model::Write(effect::<RestoreToPointInTime>(restore_to_point_in_time))),
        (CreateClusterInstance::NAME, Model::Write(effect::<CreateClusterInstance>(create_cluster_instance))),
        (Modify::NAME, Model::Write(effect::<Modify>(modify).known(is_same_password))),
        (Rename::NAME, Model::Write(effect::<Rename>(rename).by_child(|_, _| millis(RENAME)))),
        (Delete::NAME, Model::Write(effect::<Delete>(delete).by_child(|_, _| millis(GONE)))),
    ]
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text that AWS chooses: made up here, but unknown to a plan.
fn chosen(world: &World, made: impl FnOnce() -> String) -> String {
    if world.planned { veil::mark("AWS chooses it") } else { made() }
}

/// The ARN of what is so called: `db:chat`.
fn arn_of(world: &World, what: &str) -> String {
    chosen(world, || format!("arn:aws:rds:{}:{}:{what}", world.aws.region, world.aws.account))
}

/// Says what becomes of a thing: which status it has after how long.
fn set_course(world: &mut World, what: String, call: &Call<'_>, steps: &[(Duration, &str)]) {
    let steps = steps.iter().map(|(by, status)| (later(call.now, *by), (*status).to_owned())).collect();
    world.aws.rds.courses.insert(what, Course { steps, ..Course::default() });
}

fn create_snapshot(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<CreateSnapshot>(call)?;
    take_snapshot(world, call, args.kind, &args.id, &args.snapshot).and_then(|made| encode(&SnapshotMade::of(&made)))
}

/// Begins to take a snapshot of a database that is there.
fn take_snapshot(world: &mut World, call: &Call<'_>, kind: Kind, of: &str, name: &str) -> Result<Snapshot, OpError> {
    let act = format!("cannot take snapshot {name}");
    let Some(source) = world.aws.rds.databases(kind).get(of) else {
        return Err(OpError::refused(format!("{act}: there is no {} {of}", kind.word())));
    };
    if world.aws.rds.snapshots(kind).contains_key(name) {
        return Err(OpError::refused(format!("{act}: there is a snapshot of that name")));
    }
    let made = Snapshot {
        exists: true,
        id: name.to_owned(),
        arn: arn_of(world, &kind.snapshot(name)),
        status: "creating".to_owned(),
        percent: 0,
        made: "manual".to_owned(),
        source: of.to_owned(),
        source_resource_id: source.resource_id.clone(),
        created_at: call.now.to_string(),
        data_until: call.now.to_string(),
        engine: source.engine.clone(),
        engine_version: source.engine_version.clone(),
        storage_gb: source.storage_gb,
        encrypted: source.encrypted,
        kms_key: source.kms_key.clone(),
        owned_by: call.run.to_string(),
        made_by: call.key.to_owned(),
    };
    world.aws.rds.snapshots_mut(kind).insert(name.to_owned(), made.clone());
    set_course(world, kind.snapshot(name), call, &[(SNAPSHOT, "available")]);
    Ok(made)
}

fn delete_snapshot(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<DeleteSnapshot>(call)?;
    if call.earlier("identity").is_empty() {
        return encode(&Deleted { deleted: false });
    }
    world.aws.rds.snapshots_mut(args.kind).remove(&args.snapshot);
    world.aws.rds.courses.remove(&args.kind.snapshot(&args.snapshot));
    encode(&Deleted { deleted: true })
}

/// What AWS gives a database that is restored without being told otherwise.
fn defaults(kind: Kind, engine: &str, version: &str) -> Settings {
    let major = version.split('.').next().unwrap_or_default();
    let instance = kind == Kind::Instance;
    Settings {
        security_groups: Some(vec!["sg-default".to_owned()]),
        subnet_group: Some("default".to_owned()),
        parameter_group: Some(format!("default.{engine}{major}")),
        multi_az: instance.then_some(false),
        publicly_accessible: instance.then_some(false),
        deletion_protection: Some(false),
        backup_retention_days: Some(1),
        iam_authentication: Some(false),
        ..Settings::default()
    }
}

/// Begins to make a database.
fn make(
    world: &mut World,
    call: &Call<'_>,
    kind: Kind,
    id: &str,
    takes: Duration,
    like: Option<&Database>,
) -> Result<Value, OpError> {
    if world.aws.rds.databases(kind).contains_key(id) {
        return Err(OpError::refused(format!("cannot restore {} {id}: there is one already", kind.word())));
    }
    let before = Before::read(call.before);
    let carried = before.carried;
    let settings = defaults(kind, &before.engine, &before.engine_version).overlaid(&carried.settings);
    let mut made = Database {
        exists: true,
        id: id.to_owned(),
        arn: arn_of(world, &kind.of(id)),
        status: "creating".to_owned(),
        resource_id: chosen(world, || made_id(kind, call.key)),
        engine: before.engine,
        engine_version: before.engine_version,
        port: settings.port.unwrap_or(5432),
        username: like.map(|like| like.username.clone()).unwrap_or_default(),
        database_name: like.map(|like| like.database_name.clone()).unwrap_or_default(),
        storage_gb: like.map(|like| like.storage_gb).unwrap_or_default(),
        encrypted: like.is_some_and(|like| like.encrypted),
        kms_key: like.map(|like| like.kms_key.clone()).unwrap_or_default(),
        created_at: call.now.to_string(),
        parameters: "in-sync".to_owned(),
        settings,
        owned_by: call.run.to_string(),
        made_by: call.key.to_owned(),
        ..Database::default()
    };
    world.aws.rds.name_endpoints(kind, &mut made);
    let result = Restored {
        id: made.id.clone(),
        resource_id: made.resource_id.clone(),
        settings: carried.settings,
        carried_over: carried.carried.clone(),
        not_carried_over: carried.left.clone(),
    };
    world.aws.rds.databases_mut(kind).insert(id.to_owned(), made);
    let ends = world.aws.rds.restores_end.get(id).cloned();
    let steps: Vec<(Duration, &str)> = match &ends {
        Some(status) => vec![(takes, status)],
        None => vec![(takes, "backing-up"), (takes + FIRST_BACKUP, "available")],
    };
    set_course(world, kind.of(id), call, &steps);
    if let Some(course) = world.aws.rds.courses.get_mut(&kind.of(id)) {
        (course.carried, course.left) = (carried.carried, carried.left);
    }
    encode(&result)
}

fn restore_from_snapshot(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<RestoreFromSnapshot>(call)?;
    let source = world.aws.rds.snapshots(args.kind).get(&args.snapshot).map(|found| found.source.clone());
    let like = source.and_then(|source| world.aws.rds.databases(args.kind).get(&source).cloned());
    make(world, call, args.kind, &args.id, CREATE, like.as_ref())
}

fn restore_to_point_in_time(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<RestoreToPointInTime>(call)?;
    let like = world.aws.rds.databases(args.kind).get(&args.source).cloned();
    make(world, call, args.kind, &args.id, CREATE + PLAY_BACK, like.as_ref())
}

fn delete(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Delete>(call)?;
    if call.earlier("resource_id").is_empty() {
        return encode(&Deleted { deleted: false });
    }
    if let Some(name) = &args.final_snapshot {
        take_snapshot(world, call, args.kind, &args.id, name)?;
    }
    let removed = world.aws.rds.databases_mut(args.kind).remove(&args.id);
    world.aws.rds.courses.remove(&args.kind.of(&args.id));
    if let Some(cluster) = removed.and_then(|removed| world.aws.rds.clusters.get_mut(&removed.cluster)) {
        cluster.members.retain(|member| member.id != args.id);
        if !cluster.members.iter().any(|member| member.writer)
            && let Some(first) = cluster.members.first_mut()
        {
            first.writer = true;
        }
    }
    encode(&Deleted { deleted: true })
}

fn create_cluster_instance(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<CreateClusterInstance>(call)?;
    if world.aws.rds.instances.contains_key(&args.id) {
        return Err(OpError::refused(format!("cannot make instance {}: there is one already", args.id)));
    }
    let before = MemberBefore::read(call.before);
    let mut made = Database {
        exists: true,
        id: args.id.clone(),
        arn: arn_of(world, &Kind::Instance.of(&args.id)),
        status: "creating".to_owned(),
        resource_id: chosen(world, || made_id(Kind::Instance, call.key)),
        engine: before.engine.clone(),
        engine_version: before.engine_version.clone(),
        port: 5432,
        cluster: args.cluster.clone(),
        created_at: call.now.to_string(),
        parameters: "in-sync".to_owned(),
        settings: defaults(Kind::Instance, &before.engine, &before.engine_version).overlaid(&before.settings),
        owned_by: call.run.to_string(),
        made_by: call.key.to_owned(),
        ..Database::default()
    };
    world.aws.rds.name_endpoints(Kind::Instance, &mut made);
    let result = MemberMade { id: made.id.clone(), resource_id: made.resource_id.clone(), settings: before.settings };
    if let Some(cluster) = world.aws.rds.clusters.get_mut(&args.cluster) {
        let writer = !cluster.members.iter().any(|member| member.writer);
        cluster.members.push(Member { id: args.id.clone(), writer });
    }
    let ends = world.aws.rds.restores_end.get(&args.id).cloned();
    world.aws.rds.instances.insert(args.id.clone(), made);
    set_course(world, Kind::Instance.of(&args.id), call, &[(CREATE, ends.as_deref().unwrap_or("available"))]);
    encode(&result)
}

/// The same password, set once more.
fn is_same_password(world: &World, call: &Call<'_>) -> bool {
    let is_this = |done: &Completed| done.key == call.key && done.op == call.op;
    !call.args["password"].is_null() && world.effects.iter().any(is_this)
}

fn modify(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Modify>(call)?;
    let resource_id = call.earlier("resource_id");
    let found = world.aws.rds.databases_mut(args.kind).get_mut(&args.id);
    let left_alone = resource_id.is_empty();
    match found {
        Some(found) if !left_alone && found.resource_id == resource_id => {
            found.settings = found.settings.overlaid(&args.settings);
            "available".clone_into(&mut found.status);
            let what = args.kind.of(&args.id);
            let former = world.aws.rds.courses.get(&what).cloned().unwrap_or_default();
            set_course(world, what.clone(), call, &[(Duration::ZERO, "modifying"), (MODIFY, "available")]);
            if let Some(course) = world.aws.rds.courses.get_mut(&what) {
                (course.carried, course.left) = (former.carried, former.left);
            }
        }
        _ if left_alone => {}
        _ => return Err(OpError::refused(format!("cannot modify {}: it is gone, or another", args.id))),
    }
    encode(&Modified { id: args.id.clone(), resource_id: resource_id.to_owned(), settings: args.settings })
}

fn rename(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Rename>(call)?;
    let resource_id = call.earlier("resource_id").to_owned();
    let result = encode(&Renamed { id: args.to.clone(), resource_id });
    if call.before["already"] == true {
        return result;
    }
    if world.aws.rds.databases(args.kind).contains_key(&args.to) {
        return Err(OpError::refused(format!("cannot rename {}: there is a {} already", args.id, args.to)));
    }
    let arn = arn_of(world, &args.kind.of(&args.to));
    let Some(mut found) = world.aws.rds.databases_mut(args.kind).remove(&args.id) else {
        return Err(OpError::refused(format!("cannot rename {}: there is none", args.id)));
    };
    found.id.clone_from(&args.to);
    found.arn = arn;
    world.aws.rds.name_endpoints(args.kind, &mut found);
    for instance in found.members.iter().map(|member| member.id.clone()).collect::<Vec<_>>() {
        if let Some(instance) = world.aws.rds.instances.get_mut(&instance) {
            instance.cluster.clone_from(&args.to);
        }
    }
    if let Some(cluster) = world.aws.rds.clusters.get_mut(&found.cluster) {
        for member in cluster.members.iter_mut().filter(|member| member.id == args.id) {
            member.id.clone_from(&args.to);
        }
    }
    world.aws.rds.databases_mut(args.kind).insert(args.to.clone(), found);
    if let Some(course) = world.aws.rds.courses.remove(&args.kind.of(&args.id)) {
        world.aws.rds.courses.insert(args.kind.of(&args.to), course);
    }
    result
}
