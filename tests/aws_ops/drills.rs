//! A database of RDS drilled on a schedule by a server that nobody tells anything: what the reports say is held against when AWS was asked
//! and PostgreSQL has answered, by their own clocks, and against the rows that PostgreSQL counts itself.

use std::io::Write;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::application::{DATABASE, PASSWORD, Server, USER};
use crate::deployment;
use crate::drilled::cli::Desk;
use crate::drilled::{Drill, Drilling, Seen, every, instant};
use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::live_world::until;
use crate::rds::instance;
use crate::running::Running;
use crate::scene::databases;

/// What the drills ask the restored database; the remark tells this question from all others.
const CANARY: &str = "select max(at) as at, count(*) as rows from canary /* the newest */";

/// A database of AWS, a snapshot of it, and the PostgreSQL that stands for each.
struct Kept {
    name: &'static str,
    live: Server,
    restored: Server,
}

impl Kept {
    /// Its newest row is as old as said. What was written so far is what the snapshot holds.
    fn with(ground: &Ground, name: &'static str, age: &str) -> Self {
        let (live, restored) = (Server::start(), Server::start());
        let (live, restored) = (live.ready(), restored.ready());
        live.ask(&format!(
            "create table canary (n bigint generated always as identity, at timestamptz not null default clock_timestamp()); \
             insert into canary (at) select clock_timestamp() - interval '{age}' - n * interval '1 second' from generate_series(0, 41) n"
        ));
        instance(ground, name);
        let copy = format!(
            "pg_dump -h {} -U {USER} {DATABASE} | psql -X -q -h {} -U {USER} {DATABASE}",
            live.address, restored.address
        );
        let copied = std::process::Command::new("sh")
            .args(["-c", &copy])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .expect("sh is there");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let snapshot = format!("{name}-1");
        ground.rds("CreateDBSnapshot", &[("DBInstanceIdentifier", name), ("DBSnapshotIdentifier", &snapshot)]);
        ground.proxy.resolve(name, &live.address);
        ground.proxy.resolve_each(&format!("{name}-r-"), &restored.address);
        Self { name, live, restored: restored.keeps_a_log() }
    }

    /// How many rows the restored one has, and the time of the newest, by its own word.
    fn counted(&self) -> (u64, i64) {
        let said = self.restored.ask("select count(*), floor(extract(epoch from max(at)) * 1000)::bigint from canary");
        let (rows, newest) = said.split_once('|').unwrap_or_else(|| panic!("it does not answer: {said}"));
        (rows.parse().expect("a count"), newest.parse().expect("milliseconds"))
    }

    /// When the restored one had answered the question that proves it.
    fn answered(&self) -> Vec<i64> {
        let mut times = Vec::new();
        let mut last = None;
        for line in self.restored.log().lines() {
            if let Some((at, _)) = line.split_once(" UTC ") {
                last = Some(at.to_owned());
            }
            if line.contains("/* the newest */") {
                times.push(instant(&format!("{}Z", last.as_deref().expect("a line with its time"))));
            }
        }
        times
    }

    /// What AWS and PostgreSQL saw of a drill.
    fn seen(&self, ground: &Ground, drill: &Drill) -> Seen {
        let asked: Vec<i64> = ground.proxy.heard(&self.made(drill)).into_iter().map(millis).collect();
        let (first, last) = (asked[0], asked[asked.len() - 1]);
        let answered: Vec<i64> = self.answered().into_iter().filter(|at| (first..=last).contains(at)).collect();
        let [proved] = answered[..] else { panic!("answered at {answered:?}, of {:?}", self.answered()) };
        let after = asked.into_iter().find(|at| *at > proved).expect("it was taken down");
        Seen { touched: first, proved, after }
    }

    /// The name of what a drill makes.
    fn made(&self, drill: &Drill) -> String {
        format!("{}-r-{}", self.name, drill.short())
    }

    fn params(&self, ground: &Ground, more: &Value) -> Value {
        let mut params = json!({
            "database": self.name,
            "from": "snapshot",
            "aws": ground.access(),
            "sql_user": USER,
            "sql_password": format!("file:{}", ground.path("password")),
            "sql_database": DATABASE,
            "sslmode": "prefer",
            "canary": CANARY,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        params
    }
}

fn millis(at: SystemTime) -> i64 {
    i64::try_from(at.duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis()).expect("it fits")
}

/// A desk on which the program finds an account of AWS.
fn desk(ground: &Ground) -> Desk {
    ground.file("password", PASSWORD.as_bytes());
    let desk = Desk::new().env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test-only");
    desk.env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

#[test]
fn a_database_is_drilled_on_schedule_with_the_rto_and_rpo_that_others_measure() {
    deployment::prepare();
    let ground = Ground::alone();
    let shop = Kept::with(&ground, "shop", "0");
    let ledger = Kept::with(&ground, "ledger", "30 hours");
    // The application goes on all the time.
    let mut writer = Running::start(shop.live.client().stdin(Stdio::piped()).stdout(Stdio::null()));
    let rows = || shop.live.ask("select count(*) from canary").parse::<u64>().expect("a count");
    let begun = rows();
    writer
        .stdin
        .take()
        .expect("its input")
        .write_all(b"insert into canary default values \\watch 0.2\n")
        .expect("it listens");
    until("the application writes", || rows() > begun);
    let before = databases(&ground, "");

    let drilling = Drilling::start(
        desk(&ground),
        &[
            ("shop", every(5, "rds-restore", &shop.params(&ground, &json!({})))),
            ("ledger", every(6, "rds-restore", &ledger.params(&ground, &json!({})))),
        ],
    );
    let [fresh, aged] = drilling.until(["shop", "ledger"], 2);

    for (kept, drills) in [(&shop, &fresh), (&ledger, &aged)] {
        let (rows, newest) = kept.counted();
        assert!(drills.len() >= 2);
        for drill in drills {
            drill.has_rto(kept.seen(&ground, drill));
            drill.has_rpo(newest);
            assert_eq!(drill.measured("rows"), &json!(rows), "{:#}", drill.report);
            let left: Vec<String> = databases(&ground, &kept.made(drill)).into_keys().collect();
            assert_eq!(left, Vec::<String>::new());
        }
        let sessions =
            "select count(*) from pg_stat_activity where application_name like 'm%' and pid <> pg_backend_pid()";
        assert_eq!(kept.restored.ask(sessions), "0");
    }
    fresh.iter().for_each(Drill::is_green);
    for drill in &aged {
        drill.has_missed("RPO 1d");
        assert!(drilling.print(&["report", &drill.run, "-o", "junit"]).contains("<failure"), "{}", drill.run);
    }
    drilling.stop();
    assert_eq!(databases(&ground, ""), before);
    assert!(rows() > shop.counted().0, "the application has served on");
}

#[test]
fn what_carries_the_tag_of_a_drill_is_found_and_what_cannot_be_asked_is_told() {
    let ground = Ground::alone();
    instance(&ground, "shop");
    ground.rds("CreateDBSnapshot", &[("DBInstanceIdentifier", "shop"), ("DBSnapshotIdentifier", "shop-1")]);
    let before = databases(&ground, "");
    let desk = desk(&ground);
    let drill = || {
        let aws = format!("aws={}", ground.access());
        let mut command =
            desk.command(&["drill", "rds-restore", "-p", "database=shop", "-p", "from=snapshot", "-p", &aws]);
        Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    // Somebody else makes a snapshot in its name, as soon as it has made something.
    let restores = "Action=RestoreDBInstanceFromDBSnapshot";
    let at_work = drill();
    until("it restores", || ground.proxy.count(restores) == 1);
    let asked = ground.proxy.seen();
    let asked = asked.iter().find(|request| request.contains(restores)).expect("it was just seen");
    let tagged = asked.split("muster.run&").nth(1).and_then(|rest| rest.split("Value=").nth(1)).expect("it is tagged");
    let run: String = tagged.chars().take_while(char::is_ascii_alphanumeric).collect();
    let stray = [
        ("DBInstanceIdentifier", "shop"),
        ("DBSnapshotIdentifier", "stray"),
        ("Tags.Tag.1.Key", "muster.run"),
        ("Tags.Tag.1.Value", run.as_str()),
    ];
    ground.rds("CreateDBSnapshot", &stray);
    let ended = at_work.end();
    let said = String::from_utf8(ended.stdout).expect("text");
    assert_eq!(ended.status.code(), Some(6), "{said}");
    assert!(said.contains("aws rds delete-db-snapshot --db-snapshot-identifier stray"), "{said}");
    ground.rds("DeleteDBSnapshot", &[("DBSnapshotIdentifier", "stray")]);
    assert_eq!(databases(&ground, ""), before);

    // Whoever may not list the snapshots does not hear that nothing is left.
    let listing = "Action=DescribeDBSnapshots&Version=2014-10-31&SnapshotType=manual";
    ground.proxy.spoil_many(listing, 100, Spoil::Instead(403, "AccessDenied"));
    let ended = drill().end();
    let said = String::from_utf8(ended.stdout).expect("text");
    assert_eq!(ended.status.code(), Some(12), "{said}");
    assert!(said.contains("not asked") && said.contains("snapshots of instances of RDS in us-east-1"), "{said}");
    assert_eq!(databases(&ground, ""), before);
}
