//! Objects of Kubernetes in the sandbox: what operations decide is the same as on a cluster, since it is the same code.

use std::borrow::Cow;

use serde_json::json;

use super::typed::{args, encode, found};
use super::{Call, Effect, Model};
use crate::model::fault::{OpError, Target};
use crate::model::secret::is_handle;
use crate::model::{Timestamp, Value};
use crate::ops::helm::client::Cluster;
use crate::ops::host::{Polled, Probe};
use crate::ops::k8s::{
    Allowed, Annotate, Apply, CanI, Changed, Create, Created, Delete, Deleted, Differences, Exec, Get, Image, Inside,
    LINES, Label, List, Listed, Logs, Look, MARK, Named, Patch, Printed, Propagation, ReadInside, ReadToFile, Restore,
    RestoreArgs, RunJob, Said, Scale, Scaled, Standing, Step, Tried, WaitFor, cluster_part, conflicts, given, got,
    job_of, job_standing, opened, placed, pruned, sort, wanted,
};
use crate::ops::spec::{Operation, Poll};
use crate::sandbox::World;
use crate::sandbox::content::sha256_hex;
use crate::sandbox::controllers::{self, jobs, pgo};
use crate::sandbox::kubernetes::Kubernetes;
use crate::sandbox::selector::Selector;
use crate::sandbox::veil::unseen;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let change = || {
        let effect = Effect::new(before_change, change, probe_change);
        Model::Write(effect.fingerprint(print_change).known(is_known))
    };
    vec![
        (Get::NAME, Model::Read(get)),
        (List::NAME, Model::Read(list)),
        (CanI::NAME, Model::Read(can_i)),
        (Logs::NAME, Model::Read(logs)),
        (WaitFor::NAME, Model::Wait(wait)),
        (Apply::NAME, change()),
        (Patch::NAME, change()),
        (Annotate::NAME, change()),
        (Label::NAME, change()),
        (Scale::NAME, Model::Write(Effect::new(before_scale, scale, probe_scale).fingerprint(print_scale))),
        (
            Create::NAME,
            Model::Write(Effect::new(before_create, create, probe_create).fingerprint(print_create).known(is_known)),
        ),
        (
            RunJob::NAME,
            Model::Write(Effect::new(before_job, run_job, probe_job).by_child(job_takes).fingerprint(print_job)),
        ),
        (Delete::NAME, Model::Write(Effect::new(before_delete, delete, probe_delete).fingerprint(print_delete))),
        (Restore::NAME, Model::Write(Effect::new(before_restore, restore, probe_restore))),
    ]
}

/// A look at the sandbox's clusters, once controllers have done what they had to until then.
struct View<'w> {
    clusters: Cow<'w, Kubernetes>,
}

impl<'w> View<'w> {
    fn at(world: &'w World, call: &Call<'_>) -> Self {
        Self { clusters: world.kubernetes.settled(call.now, world.manner()) }
    }
}

/// Lets controllers do what they have to until the call.
fn settle(world: &mut World, call: &Call<'_>) {
    let manner = world.manner();
    controllers::settle(&mut world.kubernetes, call.now, manner);
}

fn check(act: &str, named: &Named) -> Result<(), OpError> {
    named.check()?;
    named.kind.built_in().map_or(Ok(()), |served| placed(act, served.namespaced, named.namespace.as_deref()))
}

impl Look for View<'_> {
    fn object(&self, named: &Named) -> Result<Option<Value>, OpError> {
        check(&format!("cannot get {}", named.shown()), named)?;
        Ok(self.clusters.objects.get(&named.key()).map(|held| held.object.clone()))
    }

    fn tried(&self, act: &str, named: &Named, step: &Step, live: Option<&Value>) -> Result<Tried, OpError> {
        check(act, named)?;
        let mut after = step.done_to(live).map_err(|what| OpError::refused(format!("{act}: {what}")))?;
        if let Step::Apply { manifest, force } = step {
            if let Some(live) = live
                && !force
            {
                let owned = conflicts(live, &wanted(manifest), "muster");
                if !owned.is_empty() {
                    let told: Vec<String> =
                        owned.iter().map(|(who, field)| format!("{field} is owned by {who}")).collect();
                    return Err(OpError::refused(format!(
                        "{act}: somebody else owns what it sets: {}",
                        told.join("; ")
                    )));
                }
            }
            if let Some(held) = self.clusters.objects.get(&named.key()) {
                pruned(&mut after, &held.applied, manifest);
            }
        }
        if after["metadata"]["name"] != json!(named.name) || after["kind"].as_str().is_none_or(str::is_empty) {
            return Err(OpError::refused(format!("{act}: an object cannot be given another name or kind")));
        }
        Ok(Tried { after, doubt: String::new() })
    }

    fn kept(&self, _: bool, differences: &Differences) -> Result<Value, OpError> {
        Ok(json!(differences))
    }

    fn opened(&self, kept: &Value) -> Result<Differences, OpError> {
        // A plan over the live system has what was sealed there.
        if is_handle(kept) { Ok(Differences::default()) } else { opened(kept) }
    }
}

/// The identity of the cluster of a call.
pub(super) fn target(call: &Call<'_>) -> Target {
    let cluster: Cluster = call.maybe("cluster").unwrap_or_default();
    let name = cluster.name();
    let sum = sha256_hex(format!("cluster {name}").as_bytes());
    Target { name: format!("kubernetes {name}"), identity: format!("kube-system {}", &sum[..32]) }
}

/// The object that the arguments of an operation name, if they name one.
#[must_use]
pub fn named_by(op: &str, args: &Value) -> Option<Named> {
    let cluster: Cluster =
        args.get("cluster").and_then(|cluster| serde_json::from_value(cluster.clone()).ok()).unwrap_or_default();
    if let Some(object) = args.get("object").filter(|_| [Apply::NAME, Create::NAME, RunJob::NAME].contains(&op)) {
        return Named::of_manifest(object, &cluster).ok();
    }
    let text = |name: &str| args.get(name).and_then(Value::as_str);
    if [Logs::NAME, ReadInside::NAME, ReadToFile::NAME, Exec::NAME].contains(&op) {
        let kind = crate::ops::k8s::Kind::parse("v1/Pod").ok()?;
        let (namespace, name) = (Some(text("namespace")?.to_owned()), text("pod")?.to_owned());
        return Some(Named { kind, namespace, name, cluster });
    }
    let kind = crate::ops::k8s::Kind::parse(text("kind")?).ok()?;
    Some(Named { kind, namespace: text("namespace").map(str::to_owned), name: text("name")?.to_owned(), cluster })
}

fn get(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Get>(call)?;
    encode(&got(View::at(world, call).object(&args.named())?, &args.cluster))
}

fn list(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<List>(call)?;
    let selector =
        Selector::parse(args.labels.as_deref().unwrap_or_default(), args.fields.as_deref().unwrap_or_default());
    let (cluster, kind) = (cluster_part(&args.cluster), args.kind.plain());
    let mut objects = Vec::new();
    let view = View::at(world, call);
    let is_meant = |place: &str| {
        let mut parts = place.split('/');
        parts.next() == Some(&cluster)
            && parts.next().is_some_and(|namespace| args.namespace.as_deref().is_none_or(|wanted| wanted == namespace))
            && parts.next() == Some(&kind)
    };
    if view.clusters.unnamed.keys().any(|place| is_meant(place)) {
        return Err(unseen(&format!("which objects of the kind {} there are", args.kind)));
    }
    for (key, held) in &view.clusters.objects {
        if is_meant(key) && selector.takes(&held.object) {
            objects.push(given(held.object.clone(), &args.cluster));
        }
    }
    sort(&mut objects);
    encode(&Listed { objects })
}

fn can_i(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<CanI>(call)?;
    let sub = args.subresource.map_or(String::new(), |name| format!("/{name}"));
    let asked = format!("{} {}{sub}", args.verb, args.kind.plain());
    let denied = world.kubernetes.denied.contains(&asked);
    let reason = if denied { "the world denies it".to_owned() } else { String::new() };
    encode(&Allowed { allowed: !denied, reason })
}

fn wait(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    let args = args::<WaitFor>(call)?;
    let live = View::at(world, call).object(&args.named())?;
    Ok(match args.judge(live)? {
        Poll::Ready(waited) => Polled::Ready(encode(&waited)?),
        Poll::Pending(progress, again) => Polled::Pending { progress, again },
    })
}

fn logs(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Logs>(call)?;
    let view = View::at(world, call);
    let exists = view.object(&args.named()?)?.is_some();
    let text = view.clusters.logs.get(&format!("{}/{}", args.namespace, args.pod)).filter(|_| exists);
    let lines: Vec<&str> = text.map(|text| text.lines().collect()).unwrap_or_default();
    let wanted = usize::try_from(args.lines.unwrap_or(LINES)).unwrap_or(usize::MAX);
    let last = lines.iter().skip(lines.len().saturating_sub(wanted)).map(|line| format!("{line}\n"));
    encode(&Said { exists, text: last.collect() })
}

/// What a program of an operator's Pod prints; nothing when nobody knows.
///
/// # Errors
/// Failed, for an exit code other than 0 unless any will do.
pub(super) fn printed_inside(world: &World, call: &Call<'_>) -> Result<Option<Value>, OpError> {
    let args = args::<ReadInside>(call)?;
    inside(world, call, &args.inside())
}

/// The same of a program that changes something, with what it changes.
///
/// # Errors
/// Failed, for an exit code other than 0 unless any will do.
pub(super) fn done_inside(world: &mut World, call: &Call<'_>) -> Result<Option<Value>, OpError> {
    let args = args::<Exec>(call)?;
    let done = inside(world, call, &args.inside())?;
    if done.is_some() {
        let settled = View::at(world, call).clusters.into_owned();
        world.kubernetes = pgo::inside::done(settled, &args.inside().named()?.key(), &args.argv, call.now);
    }
    Ok(done)
}

fn inside(world: &World, call: &Call<'_>, program: &Inside<'_>) -> Result<Option<Value>, OpError> {
    let view = View::at(world, call);
    let found = pgo::inside::answer(&view.clusters, &program.named()?.key(), program.argv, call.now);
    found.map(|(code, stdout, stderr)| encode(&program.judge(Printed { code, stdout, stderr })?)).transpose()
}

/// What is impossible when a program cannot be run in the Pod of a call, which has to be there and to run.
///
/// # Errors
/// Refused, when it is not there, or does not run.
pub(super) fn in_running_pod(world: &World, call: &Call<'_>) -> Result<String, OpError> {
    before_exec(world, call)?;
    match call.op {
        ReadInside::NAME => args::<ReadInside>(call)?.inside().act(),
        ReadToFile::NAME => args::<ReadToFile>(call)?.inside().act(),
        _ => args::<Exec>(call)?.inside().act(),
    }
}

pub(super) fn before_exec(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let view = View::at(world, call);
    match call.op {
        ReadInside::NAME => args::<ReadInside>(call)?.inside().image(&view),
        ReadToFile::NAME => args::<ReadToFile>(call)?.inside().image(&view),
        _ => {
            let args = args::<Exec>(call)?;
            args.check_streams()?;
            args.inside().image(&view)
        }
    }
}

/// The image before what a program prints goes into a file.
pub(super) fn before_to_file(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let before = super::fs::before_put(world, call)?;
    before_exec(world, call)?;
    Ok(before)
}

/// What a call changes an object by: its verb, the object, the step.
fn step_of(call: &Call<'_>) -> Result<(&'static str, Named, Step), OpError> {
    let (verb, (named, step)) = match call.op {
        Apply::NAME => ("apply", args::<Apply>(call)?.step()?),
        Patch::NAME => ("patch", args::<Patch>(call)?.step()?),
        Annotate::NAME => ("annotate", Annotate::step(&args::<Annotate>(call)?)?),
        _ => ("label", Label::step(&args::<Label>(call)?)?),
    };
    Ok((verb, named, step))
}

fn before_change(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (verb, named, step) = step_of(call)?;
    encode(&Image::take(&View::at(world, call), verb, &named, &step)?)
}

/// Puts an object there with `stringData` where the server keeps it.
fn put(world: &mut World, named: &Named, mut object: Value, now: Timestamp) -> Value {
    use base64::Engine as _;
    if object["kind"] == "Secret"
        && let Some(text) = object.as_object_mut().and_then(|fields| fields.remove("stringData"))
    {
        for (name, value) in text.as_object().into_iter().flatten() {
            let kept = value.as_str().map(|text| base64::engine::general_purpose::STANDARD.encode(text));
            object["data"][name] = kept.map_or_else(|| value.clone(), |text| json!(text));
        }
    }
    let planned = world.planned;
    world.kubernetes.put(named, object, Some(now), planned)
}

fn change(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    settle(world, call);
    let (verb, named, step) = step_of(call)?;
    let act = format!("cannot {verb} {}", named.shown());
    let image = Image::of(call.before);
    let view = View::at(world, call);
    let live = view.object(&named)?;
    if let Some(done) = image.admits(&view, &act, live.as_ref(), call.key)? {
        return encode(&done);
    }
    let after = view.tried(&act, &named, &step.marked(live.as_ref(), call.key), live.as_ref())?.after;
    let object = put(world, &named, after, call.now);
    if let Step::Apply { manifest, .. } = &step
        && let Some(held) = world.kubernetes.objects.get_mut(&named.key())
    {
        held.applied = manifest.clone();
    }
    encode::<Changed>(&image.result(&object))
}

fn probe_change(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let (verb, named, _) = step_of(call)?;
    found(Image::of(call.before).became(&View::at(world, call), verb, &named, call.key)?)
}

fn print_change(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let (_, named, step) = step_of(call)?;
    Image::of(call.before).print(&View::at(world, call), &named, &step)
}

/// Whether the object bears the call's mark already.
fn is_known(world: &World, call: &Call<'_>) -> bool {
    let held = named_by(call.op, call.args).and_then(|named| world.kubernetes.objects.get(&named.key()));
    held.is_some_and(|held| held.object["metadata"]["annotations"][MARK] == json!(call.key))
}

fn standing(world: &World, named: &Named) -> Standing {
    let held = world.kubernetes.objects.get(&named.key())?;
    let count = held.object["spec"]["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    Some((count, held.object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()))
}

fn before_scale(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Scale>(call)?;
    check("cannot scale", &args.named())?;
    args.image(&standing(world, &args.named()), "")
}

fn scale(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    settle(world, call);
    let args = args::<Scale>(call)?;
    let named = args.named();
    let now = standing(world, &named);
    if let Some(done) = args.admits(call.before, &now)? {
        return encode(&done);
    }
    let live = View::at(world, call).object(&named)?;
    if let Some(mut object) = live {
        object["spec"]["replicas"] = json!(args.replicas);
        put(world, &named, object, call.now);
    }
    encode(&Scaled { replicas: args.replicas, previous: now.map_or(0, |(count, _)| count) })
}

fn probe_scale(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let args = args::<Scale>(call)?;
    found(args.became(call.before, &standing(world, &args.named())))
}

fn print_scale(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!(standing(world, &args::<Scale>(call)?.named())))
}

fn before_create(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Create>(call)?;
    args.image(&View::at(world, call), &args.object, "")
}

fn create(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    settle(world, call);
    let args = args::<Create>(call)?;
    let named = args.named()?;
    let live = View::at(world, call).object(&named)?;
    let object = match live {
        Some(live) if live["metadata"]["annotations"][MARK] == json!(call.key) => live,
        Some(_) => return Err(OpError::refused(format!("cannot create {}: it is there already", named.shown()))),
        None => put(world, &named, crate::ops::k8s::marked(&args.object, call.key), call.now),
    };
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    encode(&Created { uid: text("uid"), resource_version: text("resourceVersion") })
}

fn probe_create(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    found(args::<Create>(call)?.became(&View::at(world, call), call.key)?)
}

fn print_create(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    args::<Create>(call)?.print(&View::at(world, call))
}

fn before_job(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    job_of(&args::<RunJob>(call)?)?;
    before_create(world, call)
}

/// How long the Job runs, with all its tries.
fn job_takes(world: &World, call: &Call<'_>) -> u64 {
    let Ok(args) = args::<RunJob>(call) else { return 0 };
    let Ok(named) = args.named() else { return 0 };
    jobs::takes(&world.kubernetes, &named, &args.object, call.now, world.manner())
}

/// A Job of the sandbox is there from its end on, since nothing looks at it before.
fn run_job(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let began = call.now.saturating_sub(std::time::Duration::from_millis(job_takes(world, call)));
    create(world, &Call { now: began.unwrap_or(call.now), ..*call })?;
    settle(world, call);
    match probe_job(world, call)? {
        Probe::Done { result } => Ok(result),
        Probe::Failed { error } => Err(error),
        _ => Err(OpError::unknown("cannot tell what became of the Job")),
    }
}

fn probe_job(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let named = args::<RunJob>(call)?.named()?;
    found(job_standing(&named, View::at(world, call).object(&named)?.as_ref(), call.key))
}

fn print_job(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let live = View::at(world, call).object(&args::<RunJob>(call)?.named()?)?;
    Ok(json!({ "uid": live.map(|live| live["metadata"]["uid"].clone()) }))
}

fn before_delete(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Delete>(call)?;
    args.image(View::at(world, call).object(&args.named())?.as_ref(), call.run, "")
}

fn delete(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    settle(world, call);
    let args = args::<Delete>(call)?;
    let key = args.named().key();
    let uid = call.earlier("uid");
    let is_it = world.kubernetes.objects.get(&key).is_some_and(|held| held.object["metadata"]["uid"] == json!(uid));
    if is_it {
        world.kubernetes.remove(&key, args.propagation == Propagation::Orphan, call.now);
    }
    encode(&Deleted { deleted: !uid.is_empty() })
}

fn probe_delete(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    found(args::<Delete>(call)?.became(&View::at(world, call), call.before)?)
}

fn print_delete(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let live = View::at(world, call).object(&args::<Delete>(call)?.named())?;
    Ok(json!({ "uid": live.map(|live| live["metadata"]["uid"].clone()) }))
}

fn before_restore(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    args::<Restore>(call)?.image(&View::at(world, call))
}

fn restore(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    settle(world, call);
    let args = args::<Restore>(call)?;
    let named = args.named();
    let view = View::at(world, call);
    let live = view.object(&named)?;
    if let Some((_, step)) = args.due(live.as_ref(), &view.opened(&args.fields)?)? {
        let after = view.tried(&format!("cannot restore {}", named.shown()), &named, &step, live.as_ref())?.after;
        put(world, &named, after, call.now);
    }
    encode(&RestoreArgs::told(call.before))
}

fn probe_restore(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    found(args::<Restore>(call)?.became(&View::at(world, call), call.before)?)
}
