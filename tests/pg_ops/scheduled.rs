//! `pgbackrest-restore` drilled on a schedule by a real `muster serve`, with nobody there, beside a real server that goes on being written to.
//! What the reports say is held against the times at which programs were called, against PostgreSQL's own log, and against what
//! psql counts in each restored server before it is stopped.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster::model::Timestamp;
use serde_json::{Value, json};

use crate::drilled::cli::Desk;
use crate::drilled::{Drill, Drilling, Seen, Witness, every, instant, now};
use crate::host::{PORT, Site};
use crate::live_world::until;

const CANARY: &str = "select max(at) as at, count(*) as rows from canary having count(*) > 0";

/// A row that the test has committed.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The time that it was given, which nobody else had.
    at: i64,
    /// Its WAL was in the archive by then.
    archived: i64,
}

/// Commits a row with this time, and waits until its WAL is archived.
fn write(site: &Site, at: i64) -> Row {
    let text = Timestamp::from_millisecond(at).unwrap().strftime("%Y-%m-%d %H:%M:%S%.3f+00").to_string();
    site.sql(PORT, &format!("insert into canary (at) values ('{text}')"));
    let segment = site.sql(PORT, "select pg_walfile_name(pg_current_wal_lsn())");
    site.sql(PORT, "select pg_switch_wal()");
    until("its WAL is archived", || site.sql(PORT, "select last_archived_wal from pg_stat_archiver") >= segment);
    Row { at, archived: now() }
}

/// Who calls programs as the owner of the data, for one schedule: writes down when, and counts in a restored server before it is stopped.
struct Owner {
    witness: Witness,
    program: PathBuf,
    seen: PathBuf,
    port: u16,
}

impl Owner {
    fn of(site: &Site, name: &str, port: u16) -> Self {
        let seen = site.home(name);
        std::fs::create_dir(&seen).unwrap();
        let (owner, data, socket, at) = (site.owner().join(" "), site.path("data"), site.path(""), seen.display());
        let count = "select count(*), floor(extract(epoch from max(at)) * 1000) from canary";
        let script = format!(
            r#"#!/bin/sh
case "$*" in
*"/pg_ctl stop -D {data}.beside-"*)
    {owner} psql -XAtq -h {socket} -p {port} -U postgres -c "{count}" >"{at}/${{PGDATA##*-}}.rows"
    cp "$PGDATA.log" "{at}/${{PGDATA##*-}}.log" ;;
"rm -rf -- "*)
    if [ -e {at}/refuses ]; then
        echo "the test will not have it" >&2
        exit 1
    fi ;;
esac
exec {owner} "$@"
"#
        );
        let real = seen.join("owner");
        std::fs::write(&real, script).unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (witness, program) = Witness::before(&real.display().to_string(), &seen, "witness");
        Self { witness, program, seen, port }
    }

    /// The schedule that uses it.
    fn schedule(&self, site: &Site, seconds: u32, more: &Value) -> Value {
        let mut params = json!({
            "stanza": "main", "data": site.path("data"), "as_owner": [self.program], "bin": site.bin(), "canary": CANARY,
            "pgbackrest": ["pgbackrest", format!("--config={}", site.path("pgbackrest.conf"))],
            "socket": site.path("").trim_end_matches('/'), "new_port": self.port,
        });
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        every(seconds, "pgbackrest-restore", &params)
    }

    /// What psql has counted in the server that a drill restored, before it was stopped: rows, and the time of the newest.
    fn counted(&self, drill: &Drill) -> (usize, i64) {
        let text = std::fs::read_to_string(self.seen.join(format!("{}.rows", drill.short()))).unwrap();
        let (rows, newest) = text.trim().split_once('|').unwrap();
        (rows.parse().unwrap(), newest.parse().unwrap())
    }

    /// When which program was called for a drill.
    fn seen(&self, site: &Site, drill: &Drill) -> Seen {
        let folder = folder_of(site, drill);
        let first = |about: &str, from: i64| {
            let calls = self.witness.calls(about);
            let call = calls.into_iter().find(|call| call.from >= from);
            call.unwrap_or_else(|| panic!("nobody has called `{about}` since {from}: {:#}", drill.report))
        };
        // It begins with a look at the server that is there, and at nothing else of it later.
        let touched = first(&format!("/pg_ctl status -D {} ", site.path("data")), drill.due).from;
        let stop = first(&format!("/pg_ctl stop -D {folder} "), touched).from;
        let asked = self.witness.calls("-v muster=data ").into_iter();
        let proved = asked.filter(|call| (touched..stop).contains(&call.from)).map(|call| call.to).max().unwrap();
        let after = first(&format!("{folder} "), proved).from;
        Seen { touched, proved, after }
    }

    /// The report is true, whatever it says of objectives: times by the programs and by PostgreSQL's log, data by psql.
    fn judge(&self, site: &Site, drill: &Drill) -> (usize, i64, Seen) {
        let (seen, (rows, newest)) = (self.seen(site, drill), self.counted(drill));
        drill.has_rto(seen);
        drill.has_rpo(newest);
        assert_eq!(drill.measured("rows"), rows, "{:#}", drill.report);
        let log = std::fs::read_to_string(self.seen.join(format!("{}.log", drill.short()))).unwrap();
        let line =
            log.lines().find(|line| line.contains("archive recovery complete")).unwrap_or_else(|| panic!("{log}"));
        let recovered = instant(&format!("{}Z", line.split_once(" UTC").unwrap().0));
        assert!((seen.touched..=seen.proved).contains(&recovered), "{recovered}: {seen:?}");
        (rows, newest, seen)
    }
}

fn folder_of(site: &Site, drill: &Drill) -> String {
    format!("{}.beside-{}", site.path("data"), drill.short())
}

/// Neither a server of a drill runs, nor is there anything else of it.
fn is_gone(site: &Site, drill: &Drill, port: u16) {
    let folder = folder_of(site, drill);
    for left in [folder.clone(), format!("{folder}.log"), site.path(&format!(".s.PGSQL.{port}"))] {
        assert!(!Path::new(&left).exists(), "{left} is left");
    }
    no_server_on(&folder);
}

fn no_server_on(folder: &str) {
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(folder), "{line} runs");
    }
}

/// What no drill may change of the first server: since when it runs, on which timeline, which backups it has, that its archive is whole.
fn original(site: &Site) -> [String; 3] {
    let server = "select pg_postmaster_start_time(), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), \
        (select failed_count from pg_stat_archiver), (select system_identifier from pg_control_system()), pg_is_in_recovery()";
    let info: Value = serde_json::from_str(&site.pgbackrest(&["--output=json", "info"])).unwrap();
    let labels: Vec<&Value> = info[0]["backup"].as_array().unwrap().iter().map(|one| &one["label"]).collect();
    let foreign = site.owned(&["find", &site.path("repo/archive"), "-name", "0000000[2-9]*"]);
    [site.sql(PORT, server), format!("{labels:?}"), foreign]
}

#[test]
fn drills_on_a_schedule_tell_the_truth_of_a_server_that_goes_on() {
    let site = Site::start();
    // All that is in the backups is of two hours ago.
    let old = now() - 7_200_000;
    site.sql(PORT, "delete from canary");
    let mut rows = vec![write(&site, old)];
    site.pgbackrest(&["--type=incr", "backup"]);
    rows.push(write(&site, now()));
    let before = original(&site);

    let (fresh, late, leaky) =
        (Owner::of(&site, "fresh", 5433), Owner::of(&site, "late", 5434), Owner::of(&site, "leaky", 5435));
    std::fs::write(leaky.seen.join("refuses"), "").unwrap();
    let drilling = Drilling::start(
        Desk::new(),
        &[
            ("fresh", fresh.schedule(&site, 10, &json!({}))),
            ("late", late.schedule(&site, 15, &json!({ "from": "backup" }))),
            ("leaky", leaky.schedule(&site, 15, &json!({}))),
        ],
    );
    let (rows, over) = (Mutex::new(rows), AtomicBool::new(false));
    let drills = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let row = write(&site, now());
                rows.lock().unwrap().push(row);
                std::thread::sleep(Duration::from_millis(1500));
            }
        });
        let drills =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drilling.until(["late", "leaky", "fresh"], 2)));
        over.store(true, Ordering::SeqCst);
        drills
    });
    let [all_late, all_leaky, all_fresh] = drills.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let rows = rows.into_inner().unwrap();

    let mut counts = Vec::new();
    for drill in &all_fresh {
        let (count, newest, seen) = fresh.judge(&site, drill);
        drill.is_green();
        // All that was archived when it began, and nothing that was written after its proof.
        assert!(
            rows.iter().filter(|row| row.archived <= seen.touched).count() <= count,
            "{count} of {rows:?}: {seen:?}"
        );
        assert_eq!(rows[count - 1].at, newest, "{count} of {rows:?}");
        assert!(newest <= seen.proved, "{newest}: {seen:?}");
        is_gone(&site, drill, fresh.port);
        counts.push(count);
    }
    assert!(
        counts.is_sorted() && counts.first() < counts.last(),
        "each drill finds what was archived by then: {counts:?}"
    );
    for drill in &all_late {
        let (count, newest, _) = late.judge(&site, drill);
        assert_eq!((count, newest), (1, old), "what the backup holds");
        drill.has_missed("RPO");
        is_gone(&site, drill, late.port);
    }
    for drill in &all_leaky {
        leaky.judge(&site, drill);
        let folder = folder_of(&site, drill);
        no_server_on(&folder);
        is_told(drill, &[&folder, &format!("{folder}.log")]);
        is_gone(&site, drill, leaky.port);
    }
    let told = drilling.print(&["report", "--since", "1d"]);
    assert!(told.contains("was left by a drill of pgbackrest-restore"), "{told}");

    // The server that goes on has all that was written to it, and is the one that it was.
    assert_eq!(site.sql(PORT, "select count(*) from canary"), rows.len().to_string());
    assert_eq!(original(&site), before);
    drilling.stop();
}

/// A drill that could not remove these is no success, and says of each with which command it goes; which does it.
fn is_told(drill: &Drill, left: &[&str]) {
    let told = drill.drill();
    assert_eq!((&drill.report["status"], &told["green"]), (&json!("failed"), &json!(false)), "{:#}", drill.report);
    let leaks = told["leaks"].as_array().unwrap();
    let named: Vec<&str> = leaks.iter().filter_map(|leak| leak["resource"].as_str()).collect();
    let wanted: Vec<String> = left.iter().map(|path| format!("fs{path}")).collect();
    assert_eq!(named, wanted, "{told:#}");
    for (leak, path) in leaks.iter().zip(left) {
        assert!(leak["found"].as_str().unwrap().contains("it still stands"), "{leak}");
        let removed = Command::new("sh").args(["-c", leak["remove"].as_str().unwrap()]).status().unwrap();
        assert!(removed.success() && !Path::new(path).exists(), "{leak}");
    }
}
