//! For every shipped playbook, on its sandbox world: the engine stopped after every record, and before, in the middle of and after
//! every effect, and once more while it recovers; and a failure of every effect followed by a rollback.

#[path = "support/variants.rs"]
mod variants;

use std::sync::Arc;
use std::time::Duration;

use muster::clock::{Clock, SimClock};
use muster::engine::{Engine, Host, NoObserver, RunState};
use muster::journal::memory::MemoryStore;
use muster::journal::run_journal::RunJournal;
use muster::journal::{Fact, Head, Store, Taken, apart};
use muster::model::command::{Actor, Command, Order};
use muster::model::secret::Redactor;
use muster::model::span::{Span, Spanned};
use muster::model::status::{Mode, RunStatus};
use muster::model::{RunId, Value};
use muster::playbook::bundle::Bundle;
use muster::playbook::diagnostic::Collector;
use muster::playbook::params::{self, Given, Means};
use muster::playbook::shipped;
use muster::playbook::types::{OnFailure, Template};
use muster::sandbox::Overlay;
use muster::sandbox::content::Content;
use muster::sandbox::controllers::pgo::writable_primaries;
use muster::sandbox::fault::{Action, Faults, Moment};
use muster::sandbox::host::{Hook, SandboxHost};
use muster::sandbox::tree::Node;
use muster::sandbox::world::{Completed, World, diff};
use muster::script::{Program, Scope};
use parking_lot::Mutex;
use variants::Variant;

/// How a run came out: its status, and what it left.
struct Rig {
    program: Arc<Program>,
    params: Value,
    world: Arc<Mutex<World>>,
    clock: Arc<SimClock>,
    store: Arc<MemoryStore>,
    redactor: Arc<Redactor>,
    run: RunId,
}

/// A playbook, compiled, with its parameters and the world it begins in.
#[derive(Clone)]
struct Ground {
    program: Arc<Program>,
    params: Value,
    world: World,
}

/// The playbook on its own world, or on a variant of it.
fn load(name: &str, rollback: bool) -> Ground {
    let Variant { playbook: name, mut world } =
        if shipped::name(name).is_some() { variants::own(name) } else { variants::variant(name) };
    let bundle = Bundle::load(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
    world.models = muster::script::models::compile(&bundle.models).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut playbook = bundle.playbook.clone();
    if rollback {
        for step in &mut playbook.steps {
            step.on_failure = OnFailure::Rollback;
            step.retry = None;
        }
    }
    let program = Program::compile(playbook, bundle.digest.clone(), &bundle.modules).expect("it compiles");
    let mut given = Given::default();
    for (name, value) in &world.params {
        given.values.insert(name.clone(), Spanned::new(value.clone(), Span::default()));
    }
    let evaluate = |template: &Template, scope: &Value| {
        let scope = Scope { params: scope["params"].clone(), ..Scope::default() };
        program.template(template, &scope).map_err(|error| error.to_string())
    };
    let means = Means {
        evaluate: &evaluate,
        seal: &|_| Err("no secrets here".to_owned()),
        matches: &muster::model::glob::matches,
        folder: std::path::Path::new("/"),
    };
    let mut collector = Collector::default();
    let params = params::evaluate(&program.playbook.params, &given, &means, &mut collector);
    let found = collector.finish();
    assert!(found.is_empty(), "{name}: {found:?}");
    Ground { program: Arc::new(program), params, world }
}

impl Rig {
    fn new(ground: &Ground) -> Self {
        let Ground { program, params, world } = ground.clone();
        let clock = Arc::new(SimClock::at(world.now));
        Self {
            program,
            params,
            clock,
            world: Arc::new(Mutex::new(world)),
            store: Arc::new(MemoryStore::new()),
            redactor: Arc::new(Redactor::default()),
            run: RunId::from_entropy(77),
        }
    }

    fn host(&self, hook: Option<Hook>) -> SandboxHost {
        let clock: Arc<dyn muster::clock::Clock> = self.clock.clone();
        let host = SandboxHost::new(Arc::clone(&self.world), clock, Arc::clone(&self.redactor));
        match hook {
            Some(hook) => {
                // The store dies with the engine.
                let store = Arc::clone(&self.store);
                host.on_send(Box::new(move |request, moment| {
                    let action = hook(request, moment);
                    if matches!(action, Action::Stop | Action::Half { stop: true }) {
                        store.stop_after(0);
                    }
                    action
                }))
            }
            None => host,
        }
    }

    /// Takes the run, new or not, and drives it as far as it goes; approvals are given, and what is to be done by hand is said to be.
    fn drive(&self, hook: Option<Hook>) {
        let clock: Arc<dyn muster::clock::Clock> = self.clock.clone();
        let store: Arc<dyn Store> = self.store.clone();
        let engine = Engine::new(
            Host::Full(Arc::new(self.host(hook))),
            clock.clone(),
            Arc::clone(&store),
            Arc::clone(&self.redactor),
        );
        let (world, redactor) = (Arc::clone(&self.world), Arc::clone(&self.redactor));
        let engine = engine.foreseeing(Arc::new(move |_| Arc::new(Overlay::over_run(&world, clock.now(), &redactor))));
        let now = self.world.lock().now;
        let head = Head {
            run: self.run.clone(),
            playbook: self.program.playbook.name.value.clone(),
            version: "1.0.0".to_owned(),
            bundle: self.program.digest.clone(),
            status: RunStatus::Running,
            detail: String::new(),
            started: now,
            updated: now,
            records: 0,
            epoch: 0,
            holder: None,
        };
        if store.head(&self.run).is_err() && store.create(&head).is_err() {
            return;
        }
        let Ok(Taken::Yes { epoch }) = store.take(&self.run) else { return };
        let (journal, records) =
            RunJournal::open(Arc::clone(&store), Arc::clone(&self.redactor), self.run.clone(), epoch)
                .expect("it opens");
        let first = records.is_empty().then(|| Fact::RunStarted {
            format: 1,
            run: self.run.clone(),
            playbook: head.playbook.clone(),
            version: head.version.clone(),
            bundle: head.bundle.clone(),
            mode: Mode::Sandbox,
            params: self.params.clone(),
            by: Actor { name: "sweep".to_owned() },
            seed: 1,
            engine: "test".to_owned(),
            forked_from: None,
            drill: None,
        });
        if engine.adopt(Arc::clone(&self.program), journal, &records, first, Arc::new(NoObserver)).is_err() {
            return;
        }
        engine.run_until_idle();
        for _ in 0..10 {
            let waiting = engine.state(&self.run).map(|state| state.waiting_for_people()).unwrap_or_default();
            let what = match waiting.into_iter().next() {
                Some(muster::journal::Pause::Approval { step }) => Order::Approve {
                    step,
                    role: None,
                    reason: None,
                    break_glass: false,
                    valid_until: None,
                    digest: None,
                },
                Some(muster::journal::Pause::Manual { step }) => {
                    Order::Done { step, evidence: "nothing was done".to_owned(), result: None }
                }
                _ => break,
            };
            let command = Command { by: Actor { name: "approver".to_owned() }, what };
            if store.post(&self.run, &command).is_err() || engine.collect_mail().is_err() {
                break;
            }
            engine.run_until_idle();
        }
    }

    fn after_crash(&self) -> Rig {
        Rig {
            program: Arc::clone(&self.program),
            params: self.params.clone(),
            world: Arc::clone(&self.world),
            clock: Arc::clone(&self.clock),
            store: Arc::new(self.store.survivor()),
            redactor: Arc::clone(&self.redactor),
            run: self.run.clone(),
        }
    }

    fn state(&self) -> RunState {
        RunState::fold(&apart::records(self.store.as_ref(), &self.run).expect("it reads")).expect("it folds")
    }

    fn end(&self) -> (RunStatus, String) {
        let state = self.state();
        (state.status(), state.detail())
    }

    fn nothing_twice(&self, when: &str) {
        let world = self.world.lock();
        // Nobody can see whether a password was set: it is set to the same once more.
        let is_password = |done: &&&Completed| done.op == "rds.modify" && done.key.contains("-password-");
        let twice = world.completed_twice();
        let twice: Vec<_> = twice.iter().filter(|done| !is_password(done)).collect();
        assert!(twice.is_empty(), "{when}: completed twice: {twice:?}");
    }
}

/// Seconds that the operator of PostgreSQL is left to itself, when the engine does not come back.
const LEFT_ALONE: [u64; 4] = [0, 30, 600, 7_200];

impl Rig {
    /// Nowhere do two primaries write to one repository, now or later.
    fn no_split_brain(&self, when: &str) {
        let world = self.world.lock();
        for later in LEFT_ALONE {
            let now = self.clock.now().saturating_add(Duration::from_secs(later)).expect("no time at the end of days");
            for (repository, writers) in writable_primaries(&world.kubernetes, now) {
                assert!(writers.len() < 2, "{when}, {later} s later: {writers:?} write to {repository}");
            }
        }
    }
}

/// The number of effects sent, and of records written, by an undisturbed run.
fn undisturbed(ground: &Ground) -> (Rig, usize, u64) {
    let rig = Rig::new(ground);
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    rig.drive(Some(Box::new(move |_, moment| {
        if moment == Moment::Before {
            counting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        Action::Go
    })));
    let records = rig.state().next_seq;
    let sends = count.load(std::sync::atomic::Ordering::SeqCst);
    (rig, sends, records)
}

/// How a playbook ends on its world, and what of a rollback may stay.
struct Expected {
    status: RunStatus,
    stays: &'static [&'static str],
}

const RECOVERS: Expected = Expected { status: RunStatus::Succeeded, stays: &[] };

/// What a model knows of a database was on a volume that is gone with its namespace.
const RECOVERS_RUNAI: Expected = Expected { status: RunStatus::Succeeded, stays: &["resources.runai/database:"] };

/// A verification says what is wrong with the backup, and cleans up.
const FOUND_OUT: Expected = Expected { status: RunStatus::RolledBack, stays: &[] };
/// A restore from a backup that is wrong waits for somebody.
const REFUSED: Expected = Expected { status: RunStatus::Paused, stays: &[] };
/// What compose has made beside the containers stays when these are removed.
const FROM_NOTHING: Expected = Expected {
    status: RunStatus::Succeeded,
    stays: &["volumes.local_open-webui:", "volumes.local_ollama-data:", "postgres.open-webui-db:"],
};
const FROM_NOTHING_HYBRID: Expected = Expected {
    status: RunStatus::Succeeded,
    stays: &["volumes.hybrid_open-webui:", "volumes.hybrid_ollama-data:", "postgres.open-webui-db:"],
};

/// A service of ECS that was started again is as it was, but for the number of its deployment; a restore job is on record for good, and
/// so is a secret's version that was used.
const RESTORES_AWS: Expected =
    Expected { status: RunStatus::Succeeded, stays: &["aws.ecs.services.", "aws.backup.restores.", "aws.secrets."] };

/// The request for a backup stays: any other would be one more.
const ASKED_FOR_A_BACKUP: Expected = Expected {
    status: RunStatus::Succeeded,
    stays: &["kubernetes.current/postgres-operator/postgrescluster/hippo.metadata.annotations"],
};

/// The backup that was made before stays, with its Job and what stands for it.
const BACKED_UP_BEFORE: Expected = Expected {
    status: RunStatus::Succeeded,
    stays: &[
        "resources.pgbackrest/hippo",
        "kubernetes.current/pgo/job/backrest-backup-hippo",
        "kubernetes.current/pgo/pod/backrest-backup-hippo",
        "kubernetes.current/pgo/pgtask/backrest-backup-hippo",
    ],
};

/// What stands in the way of an undisturbed run: for the message when it does not come to its end.
fn says(rig: &Rig) -> String {
    let state = rig.state();
    format!("{:?} {:#?}", rig.end(), state.pauses)
}

/// What differs between two worlds, but for when a run's backup was made: a stop takes time.
fn differences(one: &World, other: &World) -> Vec<String> {
    let timeless = |world: &World| {
        let mut world = world.clone();
        let paths: Vec<String> = world.files.walk("/").map(|(path, _)| path.to_owned()).collect();
        for path in paths {
            let told: fn(&str) -> bool = match path.rsplit('/').next() {
                Some("manifest.json") => |line| line.contains("\"started\": ") || line.contains("\"finished\": "),
                Some("SHA256SUMS") => |line| line.ends_with("  manifest.json"),
                _ => continue,
            };
            let Some(text) = world.files.content(&path).and_then(Content::text) else { continue };
            let left: Vec<&str> = text.lines().filter(|line| !told(line)).collect();
            let node = Node::file(Content::Text(left.join("\n")), 0o600, None);
            world.files.put(&path, node);
        }
        world
    };
    diff(&timeless(one), &timeless(other))
}

/// The undisturbed run, which has to end as expected.
fn whole(name: &str, expected: &Expected) -> (Ground, World, u64, usize) {
    let ground = load(name, false);
    let (whole, sends, records) = undisturbed(&ground);
    assert_eq!(whole.end().0, expected.status, "{name} undisturbed: {}", says(&whole));
    let end = whole.world.lock().clone();
    (ground, end, records, sends)
}

fn stopped_after_every_record(name: &str, expected: &Expected) {
    let (ground, end, records, _) = whole(name, expected);
    // A second stop while it recovers, on the playbooks' own worlds: the engine is the same on the others, and on those where controllers
    // have much to do.
    let twice = SWEPT.contains(&name) && !name.starts_with("pgo") && !name.starts_with("runai");
    let seconds: &[Option<u64>] = if twice { &[None, Some(1)] } else { &[None] };
    for stop in 0..records {
        for &second in seconds {
            let rig = Rig::new(&ground);
            let when = format!("{name} stopped after {stop} records, then {second:?}");
            rig.store.stop_after(stop);
            rig.drive(None);
            rig.no_split_brain(&when);
            let mut rig = rig.after_crash();
            if let Some(second) = second {
                rig.store.stop_after(second);
                rig.drive(None);
                rig.no_split_brain(&when);
                rig = rig.after_crash();
            }
            rig.drive(None);
            rig.no_split_brain(&when);
            assert_eq!(rig.end().0, expected.status, "{when}: {}", rig.end().1);
            let left = differences(&end, &rig.world.lock());
            assert!(left.is_empty(), "{when}: {left:#?}");
            rig.nothing_twice(&when);
        }
    }
}

fn stopped_around_every_effect(name: &str, expected: &Expected) {
    let (ground, end, _, sends) = whole(name, expected);
    for send in 0..sends {
        for (moment, action) in [
            (Moment::Before, Action::Stop),
            (Moment::Before, Action::Half { stop: true }),
            (Moment::After, Action::Stop),
        ] {
            let rig = Rig::new(&ground);
            let when = format!("{name}: {action:?} {moment:?} effect {send}");
            rig.drive(Some(Faults::at(send, moment, action.clone())));
            rig.no_split_brain(&when);
            let rig = rig.after_crash();
            rig.drive(None);
            rig.no_split_brain(&when);
            let (status, detail) = rig.end();
            assert!(status.is_terminal() || status == RunStatus::Paused, "{when}: {status:?} {detail}");
            // A program that was killed halfway and has no undo waits for a person; everything else comes to the same end.
            if status == RunStatus::Paused && matches!(action, Action::Half { .. }) {
                continue;
            }
            assert_eq!(status, expected.status, "{when}: {detail}");
            let left = differences(&end, &rig.world.lock());
            assert!(left.is_empty(), "{when}: {left:#?}");
            rig.nothing_twice(&when);
        }
    }
}

fn rolled_back_after_a_failure_of_every_effect(name: &str, expected: &Expected) {
    let ground = load(name, true);
    let (undisturbed, sends, _) = undisturbed(&ground);
    let changed = |after: &World| -> Vec<String> {
        let stays = |line: &String| expected.stays.iter().any(|part| line.starts_with(part));
        diff(&ground.world, after).into_iter().filter(|line| !stays(line)).collect()
    };
    // What cannot end well is rolled back without any fault of ours.
    if expected.status != RunStatus::Succeeded {
        assert_eq!(undisturbed.end().0, RunStatus::RolledBack, "{name}: {}", says(&undisturbed));
        let left = changed(&undisturbed.world.lock());
        assert!(left.is_empty(), "{name}: {left:#?}");
    }
    for send in 0..sends {
        let faults: [(&str, Hook); 2] = [
            ("refused", Faults::refused(send)),
            ("half done", Faults::at(send, Moment::Before, Action::Half { stop: false })),
        ];
        for (what, hook) in faults {
            let rig = Rig::new(&ground);
            rig.drive(Some(hook));
            let when = format!("{name}: effect {send} {what}");
            rig.no_split_brain(&when);
            let (status, detail) = rig.end();
            let crossed = rig.state().steps.values().any(|step| step.no_return);
            // What half of an irreversible effect has left, or an undo that was itself refused, is for a person: the run says so.
            let asks = status == RunStatus::Paused && (what == "half done" || detail.starts_with("undo of"));
            if status == RunStatus::Succeeded || crossed || asks {
                continue;
            }
            assert_eq!(status, RunStatus::RolledBack, "{when}: {detail}");
            let left = changed(&rig.world.lock());
            assert!(left.is_empty(), "{when}: {left:#?}");
        }
    }
}

const SWEPT: [&str; 22] = [
    "ai-vault-backup",
    "ai-vault-restore",
    "hello-recovery",
    "omnichat-aws-backup",
    "omnichat-aws-restore",
    "omnichat-backup",
    "omnichat-restore",
    "omnichat-verify",
    "pgo4-backup",
    "pgo4-restore",
    "pgo4-schedule",
    "pgbackrest-restore",
    "pgo-backup",
    "pgo-clone",
    "pgo-restore-database",
    "pgo-restore-in-place",
    "pgo-failback",
    "pgo-standby-create",
    "pgo-standby-promote",
    "rds-restore",
    "runai-backup",
    "runai-recover",
];

#[test]
fn every_shipped_playbook_is_swept() {
    for name in shipped::names() {
        assert!(SWEPT.contains(&name), "{name} is not swept");
    }
}

macro_rules! sweep {
    ($module:ident, $name:literal, $expected:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn stopped_after_every_record_it_comes_to_the_same_end() {
                stopped_after_every_record($name, &$expected);
            }

            #[test]
            fn stopped_around_every_effect_it_comes_to_the_same_end() {
                stopped_around_every_effect($name, &$expected);
            }

            #[test]
            fn a_failure_of_every_effect_is_rolled_back_to_what_was_before() {
                rolled_back_after_a_failure_of_every_effect($name, &$expected);
            }
        }
    };
}

sweep!(ai_vault_backup, "ai-vault-backup", RECOVERS);
sweep!(hello_recovery, "hello-recovery", RECOVERS);
sweep!(omnichat_aws_backup, "omnichat-aws-backup", RECOVERS);
sweep!(omnichat_aws_restore, "omnichat-aws-restore", RESTORES_AWS);
sweep!(omnichat_backup, "omnichat-backup", RECOVERS);
sweep!(omnichat_verify, "omnichat-verify", RECOVERS);
sweep!(omnichat_restore, "omnichat-restore", RECOVERS);
sweep!(pgo_promote_slow, "pgo-promote-slow", RECOVERS);
sweep!(pgo_promote_lost, "pgo-promote-lost", RECOVERS);
sweep!(pgo4_backup, "pgo4-backup", RECOVERS);
sweep!(pgo4_restore, "pgo4-restore", BACKED_UP_BEFORE);
sweep!(pgo4_schedule, "pgo4-schedule", RECOVERS);
sweep!(runai_backup, "runai-backup", RECOVERS);
sweep!(runai_recover, "runai-recover", RECOVERS_RUNAI);
sweep!(pgo_backup, "pgo-backup", RECOVERS);
sweep!(pgo_clone, "pgo-clone", RECOVERS);
sweep!(pgo_restore_database, "pgo-restore-database", RECOVERS);
sweep!(pgo_restore_in_place, "pgo-restore-in-place", ASKED_FOR_A_BACKUP);
sweep!(pgo_failback, "pgo-failback", RECOVERS);
sweep!(pgo_standby_create, "pgo-standby-create", RECOVERS);
sweep!(pgo_standby_promote, "pgo-standby-promote", RECOVERS);
sweep!(rds_restore, "rds-restore", RECOVERS);
sweep!(ai_vault_restore, "ai-vault-restore", RECOVERS);
sweep!(pgbackrest_restore, "pgbackrest-restore", RECOVERS);

// The variants: `tests/worlds`.
sweep!(backup_hybrid, "backup-hybrid", RECOVERS);
sweep!(backup_gpg, "backup-gpg", RECOVERS);
sweep!(verify_age, "verify-age", RECOVERS);
sweep!(verify_gpg, "verify-gpg", RECOVERS);
sweep!(verify_cut_file, "verify-cut-file", FOUND_OUT);
sweep!(verify_cut_dump, "verify-cut-dump", FOUND_OUT);
sweep!(restore_hybrid, "restore-hybrid", RECOVERS);
sweep!(restore_age, "restore-age", RECOVERS);
sweep!(restore_gpg, "restore-gpg", RECOVERS);
sweep!(restore_cut_file, "restore-cut-file", REFUSED);
sweep!(restore_cut_dump, "restore-cut-dump", REFUSED);
sweep!(vault_export, "vault-export", RECOVERS);
sweep!(vault_instance, "vault-instance", RECOVERS);
sweep!(omnichat_aws_schedule, "omnichat-aws-schedule", RECOVERS);
sweep!(restore_total_loss, "restore-total-loss", FROM_NOTHING);
sweep!(restore_hybrid_total_loss, "restore-hybrid-total-loss", FROM_NOTHING_HYBRID);
sweep!(pgbackrest_beside, "pgbackrest-beside", RECOVERS);
sweep!(pgbackrest_delta, "pgbackrest-delta", RECOVERS);
sweep!(pgbackrest_overwrite, "pgbackrest-overwrite", RECOVERS);
sweep!(pgbackrest_lost, "pgbackrest-lost", RECOVERS);
sweep!(pgbackrest_promote, "pgbackrest-promote", RECOVERS);
sweep!(rds_restore_cluster, "rds-restore-cluster", RECOVERS);
sweep!(rds_restore_only, "rds-restore-only", RECOVERS);
sweep!(rds_restore_retire, "rds-restore-retire", RECOVERS);
sweep!(rds_restore_network, "rds-restore-network", REFUSED);
sweep!(ai_vault_restore_instance, "ai-vault-restore-instance", RECOVERS);
sweep!(omnichat_aws_models, "omnichat-aws-models", RESTORES_AWS);
sweep!(omnichat_aws_endpoint, "omnichat-aws-endpoint", RESTORES_AWS);
