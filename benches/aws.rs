//! What Muster adds to AWS: to the servers' own waits, in virtual time, and to each call, against the bare SDK on the same server.
//!
//! `cargo bench --bench aws`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`.

#[path = "../tests/support/aws.rs"]
mod aws;
#[path = "../tests/support/fidelity.rs"]
mod fidelity;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::Builder;
use muster::clock::{Clock, SimClock};
use muster::engine::{Engine, Host, NoObserver, RunState};
use muster::journal::memory::MemoryStore;
use muster::journal::record::FORMAT;
use muster::journal::run_journal::RunJournal;
use muster::journal::{Fact, Head, Store, Taken, apart};
use muster::model::RunId;
use muster::model::command::Actor;
use muster::model::span::{Span, Spanned};
use muster::model::status::{Mode, RunStatus};
use muster::playbook::params::Given;
use muster::playbook::shipped;
use muster::sandbox::World;
use muster::sandbox::fault::{Action, Moment};
use muster::sandbox::host::SandboxHost;
use parking_lot::Mutex;
use serde_json::json;

/// How much longer than usual the servers take, each time another: no wait of theirs ends when somebody happens to look.
const ODDS: [u64; 9] = [300, 1_700, 2_900, 4_100, 5_300, 6_700, 7_900, 9_100, 9_900];
/// Calls of each kind in a run.
const CALLS: usize = 100;
/// Of so many rounds the one in the middle counts.
const ROUNDS: usize = 3;

fn main() {
    let restores = ODDS.map(Duration::from_millis).map(restore);
    let added: Duration = restores.iter().map(|(took, servers)| took.saturating_sub(*servers)).sum();
    let servers: Duration = restores.iter().map(|(_, servers)| *servers).sum();
    at_most("restore-added-to-the-servers-waits", added.as_secs_f64() / servers.as_secs_f64() * 100.0, "%", 1.0);
    let (reads, effects) = (0..ROUNDS).map(calls).collect::<(Vec<f64>, Vec<f64>)>();
    at_most("read-added-to-the-sdk", median(reads), "ms", 20.0);
    at_most("effect-added-to-the-sdk", median(effects), "ms", 20.0);
}

fn at_most(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench aws-{name} {value:.2} {unit} goal <= {goal} {}", if value <= goal { "ok" } else { "short" });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A restore of ten minutes and more in the sandbox: how long it takes there, and how long its servers do.
fn restore(odd: Duration) -> (Duration, Duration) {
    let text = shipped::file("rds-restore", "world.yaml").expect("it has a world");
    let rollout = Duration::from_secs(40) + odd;
    let text = text.replace("rolls_out_ms: 40000", &format!("rolls_out_ms: {}", rollout.as_millis()));
    let world = World::load(&text).expect("the world loads");
    let home = tempfile::tempdir().expect("a folder");
    let app = fidelity::app(home.path());
    let start = app.prepare_in(&fidelity::folder("rds-restore"), Given::default(), &world).expect("it can be started");
    let program = app.program(&start.bundle, &start.params).expect("it compiles");
    let (began, clock) = (world.now, Arc::new(SimClock::at(world.now)));
    let clock: Arc<dyn Clock> = clock;
    let (world, servers) = (Arc::new(Mutex::new(world)), Arc::new(Mutex::new(rollout)));
    let host = SandboxHost::new(Arc::clone(&world), Arc::clone(&clock), Arc::clone(&app.redactor)).on_send({
        let (world, servers, clock) = (Arc::clone(&world), Arc::clone(&servers), Arc::clone(&clock));
        Box::new(move |_, moment| {
            // What this effect has begun takes a little longer.
            let now = clock.now();
            let courses = &mut world.lock().aws.rds.courses;
            let begun: Vec<String> = courses.keys().filter(|_| moment == Moment::After).cloned().collect();
            for name in begun {
                let course = courses.get_mut(&name).expect("it was just there");
                let Some((end, _)) = course.steps.last_mut().filter(|(end, _)| *end > now) else { continue };
                *end = end.saturating_add(odd).expect("there is a later");
                *servers.lock() += Duration::try_from(end.duration_since(now)).expect("it is later");
            }
            Action::Go
        })
    });
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let engine = Engine::new(Host::Full(Arc::new(host)), clock, Arc::clone(&store), Arc::clone(&app.redactor));
    let run = RunId::from_entropy(7);
    let (playbook, version) = ("rds-restore".to_owned(), "1.0.0".to_owned());
    let head = Head {
        run: run.clone(),
        playbook: playbook.clone(),
        version: version.clone(),
        bundle: program.digest.clone(),
        status: RunStatus::Running,
        detail: String::new(),
        started: began,
        updated: began,
        records: 0,
        epoch: 0,
        holder: None,
    };
    store.create(&head).expect("a run");
    let Ok(Taken::Yes { epoch }) = store.take(&run) else { panic!("nobody else has it") };
    let (journal, records) =
        RunJournal::open(Arc::clone(&store), Arc::clone(&app.redactor), run.clone(), epoch).expect("it opens");
    let first = Fact::RunStarted {
        format: FORMAT,
        run: run.clone(),
        playbook,
        version,
        bundle: program.digest.clone(),
        mode: Mode::Sandbox,
        params: start.params.clone(),
        by: Actor { name: "bench".to_owned() },
        seed: 1,
        engine: "bench".to_owned(),
        forked_from: None,
        drill: None,
    };
    engine.adopt(program, journal, &records, Some(first), Arc::new(NoObserver)).expect("it begins");
    engine.run_until_idle();
    let records = apart::records(store.as_ref(), &run).expect("it reads");
    let state = RunState::fold(&records).expect("it folds");
    assert_eq!(state.status(), RunStatus::Succeeded, "{:#?}", state.pauses);
    let ended = records.last().expect("it has records").at;
    (Duration::try_from(ended.duration_since(began)).expect("it is later"), *servers.lock())
}

/// The milliseconds that Muster adds to a call that reads, and to one with an effect.
fn calls(round: usize) -> (f64, f64) {
    let server = aws::server();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let url = format!("http://{}", server.address);
    let sdk = runtime.block_on(
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(Builder::new().build_http())
            .endpoint_url(&url)
            .region(Region::new("us-east-1"))
            .load(),
    );
    let rds = aws_sdk_rds::Client::new(&sdk);
    let database = format!("bench-{round}");
    let made = rds.create_db_instance().db_instance_identifier(&database).db_instance_class("db.t3.small");
    let made =
        made.engine("postgres").allocated_storage(20).master_username("bench").master_user_password("bench-only");
    runtime.block_on(made.send()).expect("a database");
    let describe = || drop(runtime.block_on(rds.describe_db_instances().db_instance_identifier(&database).send()));
    let snapshot = |name: &str| drop(runtime.block_on(rds.describe_db_snapshots().db_snapshot_identifier(name).send()));
    let bare_reads = || milliseconds(|| (0..CALLS).for_each(|_| describe()));
    // What an operation asks before, does, and looks at afterwards.
    let bare_effects = |word: &str| {
        milliseconds(|| {
            for number in 0..CALLS {
                let name = format!("{database}-{word}-{number}");
                describe();
                snapshot(&name);
                let taken = rds.create_db_snapshot().db_instance_identifier(&database).db_snapshot_identifier(&name);
                runtime.block_on(taken.send()).expect("a snapshot");
                snapshot(&name);
            }
        })
    };
    let read = "host::rds::instance(#{ id: params.database, aws: params.aws });";
    let take = "host::rds::create_snapshot(#{ id: params.database, snapshot: params.database + `-run-` + n, aws: params.aws });";
    // The bare calls before and after, so that a machine that is busy for a while is so for both.
    let (before, reads, after) = (bare_reads(), run(&database, &url, read), bare_reads());
    let read = reads - f64::midpoint(before, after);
    let (before, effects, after) = (bare_effects("one"), run(&database, &url, take), bare_effects("two"));
    (read, effects - f64::midpoint(before, after))
}

/// How many milliseconds a call of the work takes.
fn milliseconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1000.0 / CALLS as f64
}

/// How many milliseconds each call takes in a run that makes it many times.
fn run(database: &str, url: &str, call: &str) -> f64 {
    let home = tempfile::tempdir().expect("a folder");
    let text = format!(
        "muster: 1\nname: bench-aws\nversion: 1.0.0\ntitle: t\nparams:\n  database: {{ type: string }}\n  \
         aws: {{ type: map }}\ncapabilities:\n  - rds.*\nsteps:\n  - id: all\n    title: t\n    timeout: 1h\n    \
         script: |\n      for n in 0..{CALLS} {{\n          {call}\n      }}\n      true\n"
    );
    std::fs::write(home.path().join("playbook.yaml"), text).expect("a playbook");
    let mut given = Given::default();
    let access = json!({ "region": "us-east-1", "endpoint": url });
    for (name, value) in [("database", json!(database)), ("aws", access)] {
        given.values.insert(name.to_owned(), Spanned::new(value, Span::default()));
    }
    let app = fidelity::app(home.path());
    let start = app.prepare(&home.path().display().to_string(), &given).unwrap_or_else(|error| panic!("{error:?}"));
    let mut ended = None;
    let took = milliseconds(|| {
        let session = app.start(&start, Arc::new(NoObserver)).expect("the run begins");
        let run = session.run().clone();
        session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
        ended = Some(run);
    });
    let records = app.records(&ended.expect("it has run")).expect("the journal loads");
    let state = RunState::fold(&records).expect("the journal folds");
    assert_eq!(state.status(), RunStatus::Succeeded, "{:#?} {:#?}", state.pauses, records.last());
    took
}
