//! OmniChat drilled on a schedule by a server that nobody tells anything, while the deployment serves on: what the reports say is held
//! against the clock of a program that stands before the container client, and against what is counted in the backup's own dumps.

#[path = "support/deployment.rs"]
mod deployment;
#[path = "support/drilled.rs"]
mod drilled;
#[path = "support/omnichat.rs"]
mod omnichat;
#[path = "support/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use deployment::contain;
use drilled::cli::Desk;
use drilled::{Drill, Drilling, Seen, Witness, every, instant, now};
use muster::model::status::RunStatus;
use omnichat::Estate;
use running::Running;
use serde_json::json;

/// What asks when the newest data were written; the remark tells this question from all others.
const NEWEST: &str = "(select max(at) from canary /* the newest */)";

/// Somebody who writes a row five times a second, each with its time, in one session that lasts as long as the deployment.
fn write_on(estate: &Estate) {
    let make = "create table canary (n bigint generated always as identity, at timestamptz not null default clock_timestamp())";
    estate.deployment.psql("chatbot_db", make).unwrap();
    let session =
        r"echo 'insert into canary default values \watch 0.2' | psql -X -q -U chatbot_user -d chatbot_db >/dev/null";
    contain(&["exec", "-d", &estate.deployment.db(), "sh", "-c", session]);
    let written =
        || estate.deployment.psql("chatbot_db", "select count(*) from canary").unwrap().parse::<u32>().unwrap();
    while written() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// What a backup holds, by PostgreSQL's own tools: all rows of all dumps, and of the canaries how many and the time of the newest.
struct Held {
    rows: u64,
    canaries: u64,
    newest: i64,
}

fn held(estate: &Estate, backup: &str) -> Held {
    let folder = estate.backups().join(backup);
    let (mut rows, mut canaries, mut newest) = (0, 0, i64::MIN);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "dump") {
            continue;
        }
        let output = Command::new("pg_restore").args(["--data-only", "-f", "-"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Rows stand between these two lines, each on a line of its own.
        let mut table = None;
        for line in text.lines() {
            match table {
                None if line.starts_with("COPY ") => table = line.split_whitespace().nth(1),
                None => {}
                Some(_) if line == r"\." => table = None,
                Some(name) => {
                    rows += 1;
                    if name == "public.canary" {
                        canaries += 1;
                        newest = newest.max(instant(line.split('\t').nth(1).unwrap()));
                    }
                }
            }
        }
    }
    Held { rows, canaries, newest }
}

/// When the containers of the deployment were started.
fn started(estate: &Estate) -> String {
    let names = ["open-webui-db", "open-webui", "ollama"].map(|name| estate.deployment.name(name));
    let [db, web, ollama] = &names;
    contain(&["container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}", db, web, ollama])
}

/// Everything that a drill must leave as it is: the deployment but for what is written to it meanwhile, and the backups to the byte.
fn picture(estate: &Estate) -> BTreeMap<String, String> {
    let mut picture = estate.picture();
    picture.remove("database chatbot_db canary");
    picture.insert("started".to_owned(), started(estate));
    let list = Command::new("sh")
        .args([
            "-c",
            "cd \"$1\" && find . -mindepth 1 -printf '%p %m %T@\\n' | sort && find . -type f -exec sha256sum {} + | sort",
            "sh",
        ])
        .arg(estate.backups())
        .output()
        .unwrap();
    picture.insert("backups".to_owned(), String::from_utf8(list.stdout).unwrap());
    picture
}

/// What the container client saw of a drill.
fn seen(witness: &Witness, drill: &Drill) -> Seen {
    // Everything that it makes, it names after itself.
    let calls = witness.calls(&format!("-{}", drill.short()));
    let asked: Vec<usize> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.read.contains("the newest */"))
        .map(|(place, _)| place)
        .collect();
    let [measured] = asked[..] else { panic!("asked {} times: {calls:#?}", asked.len()) };
    let before = &calls[..measured];
    // The recovery is what came before: a database was restored, and models were put in their place.
    for part in [" pg_restore ", " mv -T /v/.muster-"] {
        assert!(before.iter().any(|call| call.args.contains(part)), "{part}: {before:#?}");
    }
    let proved = before.iter().map(|call| call.to).max().unwrap();
    Seen { touched: calls[0].from, proved, after: calls[measured].from }
}

/// The containers and volumes that carry the label of a run or its short name, by the container client itself.
fn left(estate: &Estate, drill: &Drill) -> Vec<String> {
    let mut left = estate.deployment.leftovers(&drill.run);
    let containers = contain(&["ps", "-a", "--format", "{{.Names}}"]);
    let volumes = contain(&["volume", "ls", "--format", "{{.Name}}"]);
    left.extend(
        containers.lines().chain(volumes.lines()).filter(|name| name.contains(drill.short())).map(str::to_owned),
    );
    left
}

/// A desk on which the program finds this container client.
fn desk(client: &str) -> Desk {
    let desk = Desk::new().env("MUSTER_CONTAINER_RUNTIME", client);
    match std::env::var("CONTAINERS_CONF") {
        Ok(conf) => desk.env("CONTAINERS_CONF", &conf),
        Err(_) => desk,
    }
}

#[test]
fn omnichat_is_drilled_on_schedule_with_the_rto_and_rpo_that_others_measure() {
    let estate = Estate::start("drilled");
    // A backup that was made long ago, as far as its data tell.
    let old =
        "create table canary (n bigint, at timestamptz); insert into canary values (1, now() - interval '30 hours')";
    estate.deployment.psql("chatbot_db", old).unwrap();
    assert_eq!(estate.run("omnichat-backup", &[]).status(), RunStatus::Succeeded);
    let stale = &estate.backup_names().remove(0);
    estate.deployment.psql("chatbot_db", "drop table canary").unwrap();
    write_on(&estate);
    assert_eq!(estate.run("omnichat-backup", &[]).status(), RunStatus::Succeeded);
    let fresh = &estate.backup_names().into_iter().find(|name| name != stale).expect("a second backup");
    let (held_stale, held_fresh) = (held(&estate, stale), held(&estate, fresh));
    assert!(held_stale.canaries == 1 && held_fresh.canaries > 1, "rows were written while it was backed up");
    let before = picture(&estate);

    let (witness, client) = Witness::before(&deployment::runtime(), &estate.home("bin"), "podman");
    let desk = desk(&client.display().to_string());
    let params = |backup: &str| {
        json!({
            "deployment": estate.deployment.path(),
            "backup_dir": estate.backups(),
            "backup": backup,
            "newest": NEWEST,
        })
    };
    let began = now();
    let drilling = Drilling::start(
        desk,
        &[
            ("fresh", every(10, "omnichat-restore", &params("latest"))),
            ("stale", every(15, "omnichat-restore", &params(stale))),
        ],
    );
    let [nightly, aged] = drilling.until(["fresh", "stale"], 2);

    for (drills, held) in [(&nightly, &held_fresh), (&aged, &held_stale)] {
        assert!(drills.len() >= 2);
        for drill in drills {
            drill.has_rto(seen(&witness, drill));
            drill.has_rpo(held.newest);
            assert_eq!(drill.measured("rows"), &json!(held.rows), "{:#}", drill.report);
            assert_eq!(left(&estate, drill), Vec::<String>::new());
            assert!(drill.due >= began - 1000, "the clock began it");
        }
    }
    nightly.iter().for_each(Drill::is_green);
    for drill in &aged {
        drill.has_missed("RPO 1d");
        // Whoever reads of it in any form reads that it was missed.
        assert!(drilling.print(&["report", &drill.run, "-o", "junit"]).contains("<failure"), "{}", drill.run);
        assert!(drilling.print(&["report", &drill.run]).contains("misses its objective of"), "{}", drill.run);
    }
    drilling.stop();

    // It has served on: what was there is there, and rows have come all the time.
    assert_eq!(picture(&estate), before);
    let now_there = estate
        .deployment
        .psql("chatbot_db", "select count(*), max(n), extract(epoch from max(at))::bigint from canary")
        .unwrap();
    let fields: Vec<i64> = now_there.split('|').map(|field| field.parse().unwrap()).collect();
    assert_eq!(fields[0], fields[1], "no row is lost");
    let last = nightly.iter().map(Drill::declared).max().unwrap();
    assert!(
        fields[2] * 1000 > last && u64::try_from(fields[0]).unwrap() > held_fresh.canaries,
        "rows came on: {now_there}"
    );
}

#[test]
fn what_carries_the_mark_of_a_drill_is_found_though_no_call_of_it_made_it() {
    let estate = Estate::start("stray");
    assert_eq!(estate.run("omnichat-backup", &[]).status(), RunStatus::Succeeded);
    let before = picture(&estate);
    let desk = desk(&deployment::runtime());
    let pair = |name: &str, path: &Path| format!("{name}={}", path.display());
    let (at, backups) = (pair("deployment", estate.deployment.path()), pair("backup_dir", &estate.backups()));
    let args = ["drill", "omnichat-restore", "-p", &at, "-p", &backups, "-p", "restore=[database]"];
    let mut command = desk.command(&args);
    let mut drill = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    // Somebody else makes things in its name while it is at work.
    let mark = loop {
        let listed = desk.muster(&["ps", "--all", "-o", "json"]);
        let runs: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
        if let Some(run) = runs.pointer("/0/run").and_then(serde_json::Value::as_str) {
            break run.to_owned();
        }
        assert!(drill.try_wait().unwrap().is_none(), "it ended before it had begun");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let label = format!("--label=muster.run={mark}");
    let (volume, container) = (estate.deployment.name("stray-volume"), estate.deployment.name("stray"));
    contain(&["volume", "create", &label, &volume]);
    let image = "localhost/muster-test/postgres:15";
    contain(&["create", "--name", &container, &label, "--network", "none", "--pull", "never", image, "true"]);
    let ended = drill.end();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(6), "{said}");
    let report = desk.muster(&["report", &mark, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let leaks = report["drill"]["leaks"].as_array().unwrap();
    let removals: BTreeMap<&str, &str> =
        leaks.iter().map(|leak| (leak["resource"].as_str().unwrap(), leak["remove"].as_str().unwrap())).collect();
    let (stray, strays) = (format!("docker/{container}"), format!("volume/{volume}"));
    assert_eq!(removals.keys().copied().collect::<Vec<_>>(), [stray.as_str(), strays.as_str()], "{leaks:#?}");
    assert_eq!(report["drill"]["asked"], json!(["containers", "volumes"]), "{report:#}");
    // What it says removes them.
    for command in removals.values() {
        assert!(said.contains(command), "{command}: {said}");
        let removed = Command::new("sh").args(["-c", &command.replacen("docker", &deployment::runtime(), 1)]).output();
        assert!(removed.unwrap().status.success(), "{command}");
    }
    assert_eq!(estate.deployment.leftovers(&mark), Vec::<String>::new());
    assert_eq!(picture(&estate), before);
}
