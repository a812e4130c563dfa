//! The playbook `pgbackrest-restore` on real PostgreSQL: its drill, with what it says of RTO and RPO held against the test's own clock and
//! count; killed, failed and taken back; beside; and the promotion of a standby.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use muster::model::Timestamp;
use muster::model::command::Order;
use muster::model::status::RunStatus;

use crate::host::{PORT, Site, failures, output};
use crate::live_world::until;
use crate::running::Running;

const ROWS: &str = "select count(*) from canary";
const TIMELINE: &str = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

/// A moment after everything so far, of which the clock is past when this returns.
fn moment() -> String {
    let at = Timestamp::now();
    until("the clock is past it", || Timestamp::now() > at);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

#[test]
fn a_table_that_was_dropped_is_back_and_what_is_said_of_rto_and_rpo_is_true() {
    let site = Site::start();
    site.write(3);
    site.pgbackrest(&["--type=incr", "backup"]);
    let (not_before, not_after) = site.write(4);
    let at = moment();
    site.sql(PORT, "drop table canary");
    site.sql(PORT, "create table afterwards ()");

    site.plan(&[("from", "time"), ("at", &at)]);
    let began = Instant::now();
    let state = site.drill(&[("from", "time"), ("at", &at)]);
    let took = i64::try_from(began.elapsed().as_millis()).unwrap();
    assert_eq!(site.sql(PORT, ROWS), "8");
    assert_eq!(site.sql(PORT, "select to_regclass('afterwards') is null and not pg_is_in_recovery()"), "t");
    assert_eq!(site.sql(PORT, TIMELINE), "00000002");

    let report = output(&state, "report");
    assert_eq!(report["canary"]["rows"], 8);
    assert_eq!(report["timeline"], 2);
    let of = |name: &str| report[name].as_i64().unwrap_or_else(|| panic!("{name}: {report}"));
    let target = ms(at.parse().unwrap());
    let lost = (target - ms(not_after) - 1)..=(target - ms(not_before) + 1);
    assert!(lost.contains(&of("rpo_ms")), "{} is said, and it was {lost:?}", of("rpo_ms"));
    assert!(0 < of("outage_ms") && of("outage_ms") <= of("rto_ms") && of("rto_ms") <= took, "{report} in {took} ms");
    // Past the harness, so that whoever reads the log of all tests sees it.
    let said = format!(
        "measured: RTO {} ms, of which {} ms were an outage; RPO {} ms",
        of("rto_ms"),
        of("outage_ms"),
        of("rpo_ms")
    );
    writeln!(std::io::stderr(), "{said}").unwrap();

    // The old data are kept, and the new timeline has a backup of its own.
    assert!(std::path::Path::new(report["kept"].as_str().unwrap()).join("PG_VERSION").exists());
    let label = report["backup"].as_str().unwrap();
    let info = site.pgbackrest(&["info"]);
    assert!(info.contains(&format!("full backup: {label}")), "{label}: {info}");

    killed_during_a_delta_restore_it_goes_on(&site);
    what_cannot_be_recovered_is_taken_back(&site);
    the_old_data_are_overwritten_only_after_an_approval(&site);
}

/// On the second timeline, by the words of the program itself.
fn killed_during_a_delta_restore_it_goes_on(site: &Site) {
    site.write(2);
    site.pgbackrest(&["--type=diff", "backup"]);
    let at = moment();
    site.sql(PORT, "truncate canary");
    // Says that a restore has begun, and waits until it may go on.
    let (wrapper, began, go) = (site.path("wrapper"), site.path("began"), site.path("go"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *\" restore \"*)\n  echo restore >>{began}\n  while [ ! -e {go} ]; do sleep 0.05; done ;;\nesac\nexec pgbackrest \"$@\"\n"
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let pgbackrest = format!("[{wrapper}, --config={}]", site.path("pgbackrest.conf"));
    let more = [
        ("from", "time"),
        ("at", at.as_str()),
        ("method", "delta"),
        ("backup_after", "incr"),
        ("pgbackrest", &pgbackrest),
    ];

    let command = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(words).env("MUSTER_STORE", site.store()).env("HOME", site.home("")).stdin(Stdio::null());
        command
    };
    let mut words = vec!["run".to_owned(), crate::fidelity::folder("pgbackrest-restore")];
    for pair in site.pairs(&more) {
        words.extend(["-p".to_owned(), pair]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut engine = Running::start(command(&words).stdout(Stdio::null()).stderr(Stdio::null()));
    until("the restore has begun", || std::path::Path::new(&began).exists());
    engine.kill().unwrap();
    engine.wait().unwrap();
    std::fs::write(&go, "").unwrap();
    let resumed = command(&["resume", "@latest"]).output().unwrap();
    assert!(
        resumed.status.success(),
        "{}{}",
        String::from_utf8_lossy(&resumed.stdout),
        String::from_utf8_lossy(&resumed.stderr)
    );
    assert_eq!(std::fs::read_to_string(&began).unwrap(), "restore\n", "it was restored once");
    assert_eq!(site.sql(PORT, ROWS), "10");
    assert_eq!(site.sql(PORT, TIMELINE), "00000003");
}

fn what_cannot_be_recovered_is_taken_back(site: &Site) {
    site.write(1);
    let at = moment();
    site.write(1);
    // A segment between the newest backup and the moment is not in the archive.
    let segment = site.sql(PORT, "select pg_walfile_name(pg_current_wal_lsn())");
    site.pgbackrest(&["check"]);
    let find = site.owned(&["find", &site.path("repo/archive"), "-name", &format!("{segment}-*")]);
    assert_eq!(find.lines().count(), 1, "{find}");
    std::fs::rename(&find, site.path("aside")).unwrap();

    let state = site.run(&[("from", "time"), ("at", &at)]);
    assert_eq!(state.status(), RunStatus::Paused);
    let said = format!("{:?}", failures(&state));
    assert!(said.contains("recovery ended before configured recovery target was reached"), "{said}");
    let run = state.header.as_ref().unwrap().run.clone();
    let state = site.say(&run, Order::Rollback { to: None, force: false });
    assert_eq!(state.status(), RunStatus::RolledBack, "{:?}", state.pauses);
    assert_eq!(site.sql(PORT, ROWS), "12");
    assert_eq!(site.sql(PORT, TIMELINE), "00000003");
    std::fs::rename(site.path("aside"), &find).unwrap();

    // A moment before every backup is refused while the server still runs.
    let state = site.run(&[("from", "time"), ("at", "2026-01-01T00:00:00Z")]);
    assert!(format!("{:?}", failures(&state)).contains("one has to have ended before it"), "{:?}", failures(&state));
    assert_eq!(site.sql(PORT, ROWS), "12");
}

fn the_old_data_are_overwritten_only_after_an_approval(site: &Site) {
    // Whatever was committed until the stop is in the archive.
    let (not_before, not_after) = site.write(1);
    let state = site.run(&[("method", "delta"), ("keep", "false"), ("backup_after", "none")]);
    assert_eq!(state.status(), RunStatus::Paused);
    assert!(!site.is_up("data") && std::path::Path::new(&site.path("data/PG_VERSION")).exists());
    let state = site.approve(&state.header.as_ref().unwrap().run, "overwrite");
    assert_eq!(state.status(), RunStatus::Succeeded, "{:?}", failures(&state));
    assert_eq!((site.sql(PORT, ROWS), site.sql(PORT, TIMELINE)), ("13".to_owned(), "00000004".to_owned()));
    let report = output(&state, "report");
    let newest = ms(report["canary"]["at"].as_str().unwrap().parse().unwrap());
    assert!((ms(not_before)..=ms(not_after)).contains(&newest), "{report}");
}

#[test]
fn a_second_server_beside_archives_nothing_and_a_standby_is_promoted_once_the_primary_is_down() {
    let site = Site::start();
    site.write(5);
    site.drill(&[("mode", "beside"), ("new_data", &site.path("beside"))]);
    assert_eq!((site.sql(PORT, ROWS), site.sql(5433, ROWS)), ("6".to_owned(), "6".to_owned()));
    assert_eq!(site.sql(5433, "show archive_mode"), "off");
    assert_eq!(site.sql(PORT, TIMELINE), "00000001", "the first goes on");
    site.postgres("pg_ctl", &["stop", "-w", "-m", "fast", "-D", &site.path("beside")]);

    // A standby that streams.
    let (standby, folder) = (site.path("standby"), site.path(""));
    let primary = format!("host={} port={PORT} user=postgres", folder.trim_end_matches('/'));
    site.owned(&["pg_basebackup", "--no-sync", "-c", "fast", "-X", "stream", "-R", "-D", &standby, "-d", &primary]);
    site.configure("standby.conf", "standby", 5434);
    site.archive("standby", "standby.conf");
    site.postgres("pg_ctl", &["start", "-w", "-D", &standby, "-l", &site.path("standby.log"), "-o", "'-p 5434'"]);
    let pgbackrest = format!("[pgbackrest, --config={}]", site.path("standby.conf"));
    let data = site.path("data");
    let fenced = format!("[test, \"!\", -e, {data}/postmaster.pid]");
    let more = [
        ("mode", "promote"),
        ("data", &standby),
        ("port", "5434"),
        ("pgbackrest", &pgbackrest),
        ("fenced", &fenced),
        ("primary", &format!("{}:{PORT}", folder.trim_end_matches('/'))),
    ];
    let state = site.run(&more);
    assert!(format!("{:?}", failures(&state)).contains("the old primary is not fenced"), "{:?}", failures(&state));
    assert_eq!(site.sql(5434, "select pg_is_in_recovery()"), "t");

    let (not_before, _) = site.write(2);
    site.postgres("pg_ctl", &["stop", "-w", "-m", "fast", "-D", &data]);
    let state = site.drill(&more);
    assert_eq!(site.sql(5434, ROWS), "8");
    assert_eq!(site.sql(5434, "select pg_is_in_recovery()"), "f");
    let report = output(&state, "report");
    let recovered = report["recovered_to"].as_str().unwrap().parse().unwrap();
    assert!(ms(recovered) >= ms(not_before), "{report}");
    assert!(site.is_up("standby") && !site.is_up("data"));
}
