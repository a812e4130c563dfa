//! A backup and a restore of 1 GB of real PostgreSQL, against its own tools on the same disk, and the memory that they take.
//!
//! `cargo bench --bench recovery`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`.

#[path = "../tests/support/deployment.rs"]
mod deployment;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use deployment::{Amount, Deployment, runtime};
use muster::model::Timestamp;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

fn main() {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/setup.sh");
    let ready = Command::new(check).arg("--check").stderr(Stdio::null()).status();
    if !ready.is_ok_and(|status| status.success()) {
        println!("skipped: bench recovery: no containers can run here, or `make deployment` has not been called");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let deployment = Deployment::start_with("bench", Amount::LARGE);
    deployment.wait_for_database();
    let ground = Ground { deployment, home };
    let (dump, restore) = (ground.dump(), ground.restore());
    figure("dump_to_pg_dump", dump.muster / dump.plain, "ratio", 1.25);
    figure("dump_step_with_censuses_to_pg_dump", dump.step / dump.plain, "ratio", 2.5);
    figure("restore_to_pg_restore", restore.muster / restore.plain, "ratio", 1.25);
    figure("restore_step_with_census_to_pg_restore", restore.step / restore.plain, "ratio", 2.5);
    figure("resident_memory_while_1_GB_passes", dump.memory.max(restore.memory), "MB", 100.0);
}

fn figure(name: &str, value: f64, unit: &str, goal: f64) {
    let word = if value <= goal { "ok" } else { "short" };
    println!("bench {name} {value:.2} {unit} goal <= {goal} {word}");
}

/// Seconds, and megabytes.
struct Figures {
    plain: f64,
    muster: f64,
    step: f64,
    memory: f64,
}

struct Ground {
    deployment: Deployment,
    home: tempfile::TempDir,
}

impl Ground {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// One of PostgreSQL's tools in the database's container; its seconds, with what it wrote to a file on the disk.
    fn tool(&self, argv: &[&str], input: Option<&Path>, output: Option<&Path>) -> f64 {
        let begun = Instant::now();
        let mut command = Command::new(runtime());
        command.args(["exec", "-i", "-e", "PGUSER=chatbot_user", &self.deployment.db()]).args(argv);
        command.stdin(input.map_or_else(Stdio::null, |path| File::open(path).expect("the input").into()));
        command.stdout(output.map_or_else(Stdio::null, |path| File::create(path).expect("the output").into()));
        assert!(command.status().is_ok_and(|status| status.success()), "{argv:?}");
        if let Some(path) = output {
            File::open(path).and_then(|file| file.sync_all()).expect("it is on the disk");
        }
        begun.elapsed().as_secs_f64()
    }

    fn plain_dump(&self) -> f64 {
        let file = self.path("plain.dump");
        self.tool(&["pg_dump", "-w", "--format=custom", "chatbot_db"], None, Some(&file))
    }

    fn plain_restore(&self) -> f64 {
        self.deployment.psql("postgres", "create database plain template template0").expect("a database");
        let argv = ["pg_restore", "-w", "--exit-on-error", "--single-transaction", "--no-owner", "-d", "plain"];
        let seconds = self.tool(&argv, Some(&self.path("plain.dump")), None);
        self.deployment.psql("postgres", "drop database plain").expect("it is dropped");
        seconds
    }

    /// The plain tool before and after, so that what the disk does meanwhile meets both; the mean of the two.
    fn dump(&self) -> Figures {
        let first = self.plain_dump();
        let run = self.run("omnichat-backup", &["models=false", "app_data=false"], "pg.dump", "dump");
        Figures { plain: f64::midpoint(first, self.plain_dump()), ..run }
    }

    fn restore(&self) -> Figures {
        let first = self.plain_restore();
        let params = ["restore=[database]", "safety_copy=false", "health_url="];
        let run = self.run("omnichat-restore", &params, "pg.restore", "side");
        Figures { plain: f64::midpoint(first, self.plain_restore()), ..run }
    }

    /// Runs a playbook; how long this call and this step took, by the run's own records, and the most memory that the engine and its
    /// supervisors have had.
    fn run(&self, playbook: &str, extra: &[&str], op: &str, step: &str) -> Figures {
        let name = |plain: &str| self.deployment.name(plain);
        let store = self.path(&format!("{playbook}.db"));
        let pairs = [
            format!("backup_dir={}", self.path("backups").display()),
            format!("deployment={}", self.deployment.path().display()),
            format!("db_container={}", name("open-webui-db")),
            format!("web_container={}", name("open-webui")),
            format!("ollama_container={}", name("ollama")),
            format!("project={}", name("local")),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.arg("run").arg(folder).env("MUSTER_STORE", &store).envs(self.deployment.environment());
        for pair in pairs.iter().map(String::as_str).chain(extra.iter().copied()) {
            command.args(["-p", pair]);
        }
        let log = || File::create(self.path("log")).expect("a log");
        let mut child = command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().expect("the program starts");
        let mut peaks: HashMap<u32, u64> = HashMap::new();
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                break status;
            }
            look_at_memory(child.id(), &mut peaks);
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{playbook}: {}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
        let records = records(&store);
        let between = |first: &dyn Fn(&Value) -> bool, last: &dyn Fn(&Value) -> bool| {
            let begun = records.iter().position(|record| first(&record["fact"])).expect("it began");
            let ended = records[begun..].iter().find(|record| last(&record["fact"])).expect("it ended");
            seconds(ended) - seconds(&records[begun])
        };
        let intent = |fact: &Value| fact["fact"] == "intent" && fact["op"] == op;
        let call =
            records.iter().find(|record| intent(&record["fact"])).expect("it was called")["fact"]["call"].clone();
        let of_step = |fact: &Value| fact["step"].as_str().is_some_and(|path| path.starts_with(&format!("{step}[")));
        Figures {
            plain: 0.0,
            muster: between(&intent, &|fact| fact["fact"] == "ended" && fact["call"] == call),
            step: between(&|fact| fact["fact"] == "step_started" && of_step(fact), &|fact| {
                fact["fact"] == "step_succeeded" && of_step(fact)
            }),
            memory: peaks.values().max().copied().unwrap_or_default() as f64 / 1000.0,
        }
    }
}

fn seconds(record: &Value) -> f64 {
    let at: Timestamp = record["at"].as_str().and_then(|text| text.parse().ok()).expect("a time");
    at.as_nanosecond() as f64 / 1e9
}

fn records(store: &Path) -> Vec<Value> {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store");
    let mut query = connection.prepare("select body from batch order by key").expect("its table");
    let bodies = query.query_map([], |row| row.get::<_, String>(0)).expect("its rows");
    bodies
        .flatten()
        .flat_map(|body| body.lines().map(str::to_owned).collect::<Vec<_>>())
        .flat_map(|line| serde_json::from_str(&line))
        .collect()
}

/// The peaks, in kB, of the engine and of all that runs the same program below it or was started by it.
fn look_at_memory(engine: u32, peaks: &mut HashMap<u32, u64>) {
    let program = std::fs::read_link(format!("/proc/{engine}/exe")).unwrap_or_default();
    for entry in std::fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|found| found == program)
            && let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status"))
            && let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
            let most = peaks.entry(pid).or_default();
            *most = peak.max(*most);
        }
    }
}
