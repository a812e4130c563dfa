//! The family `pg` on a real server in a container: what each operation does, what its probe says at each point at
//! which it can be killed, and what its undo leaves.

mod live_world;
#[path = "support/deployment.rs"]
mod support;

use std::time::Duration;

use live_world::{LiveWorld, until};
use muster::ops::process::ChildStatus;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{ErrorClass, OpError, Polled, Probe, ReadHost, Request, WriteHost};
use serde_json::{Value, json};
use support::{Amount, Deployment, contain, container};

/// A deployment with data, and a host to work on it.
struct Ground {
    deployment: Deployment,
    world: LiveWorld,
    dir: tempfile::TempDir,
}

impl Ground {
    fn new(name: &str) -> Self {
        Self::with(name, Amount::SMALL)
    }

    fn with(name: &str, amount: Amount) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { deployment: Deployment::start_with(name, amount), world: LiveWorld::under(dir.path()), dir }
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Arguments with the server added.
    fn args(&self, mut args: Value) -> Value {
        args["server"] = self.deployment.server();
        args
    }

    fn read(&self, op: &str, args: Value) -> Result<Value, OpError> {
        self.world.read(op, self.args(args))
    }

    fn write(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        self.world.write(op, self.args(args), key)
    }

    fn ready(&self, op: &str, args: Value, key: &str) -> Request {
        self.world.ready(op, self.args(args), key).unwrap()
    }

    fn refusal(&self, op: &str, args: Value) -> OpError {
        self.world.ready(op, self.args(args), "m-refused").unwrap_err()
    }

    fn probe(&self, request: &Request) -> Probe {
        self.world.host.probe(request).unwrap()
    }

    fn dump(&self, name: &str) -> String {
        let to = self.file(name);
        self.write("pg.dump", json!({ "database": "chatbot_db", "to": to }), "m-dump").unwrap();
        to
    }

    /// Keeps whatever wants to make a large object in this database waiting, until it is dropped.
    fn hold(&self, database: &str) -> Hold {
        let sql = "begin; lock table pg_largeobject_metadata in share mode; select pg_sleep(600)";
        let child = std::process::Command::new(support::runtime())
            .args(["exec", &self.deployment.db(), "psql", "-U", "chatbot_user", "-d", database, "-c", sql])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let held =
            "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and wait_event = 'PgSleep'";
        until("the table is held", || self.deployment.psql("postgres", held).unwrap() == "1");
        Hold { child, db: self.deployment.db() }
    }

    /// Waits until the restore with this key waits for the table that is held.
    fn wait_for_restore(&self, key: &str) {
        let waits = format!(
            "select count(*) from pg_stat_activity where application_name = '{key}' and wait_event_type = 'Lock'"
        );
        until("pg_restore is at work", || self.deployment.psql("postgres", &waits).unwrap() == "1");
    }

    /// Kills the supervisor of a call and all that it started on this host.
    fn kill_supervisor(&self, key: &str) {
        let record = std::fs::read_to_string(self.dir.path().join("children").join(key).join("started.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        let pid = record["supervisor"]["pid"].as_i64().unwrap();
        assert!(
            std::process::Command::new("pkill").args(["-KILL", "-s", &pid.to_string()]).status().unwrap().success()
        );
        until("the supervisor is gone", || self.world.children.status(key).unwrap() == ChildStatus::Lost);
    }

    fn undo(&self, request: &Request, result: &Value) -> Option<Value> {
        let Backend::Write(entry) = &request.op.backend else { panic!("{} does not write", request.op.name) };
        match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Nothing => None,
            Undo::Impossible(why) => panic!("{why}"),
            Undo::Call { op, args } => {
                let mut args = args;
                for value in args.as_object_mut().unwrap().values_mut() {
                    if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("$result")) {
                        *value = result.pointer(path).cloned().unwrap_or_default();
                    }
                }
                Some(self.world.write(op, args, &format!("{}-undo", request.key)).unwrap())
            }
        }
    }

    /// The files that operations left in the database container.
    fn left_in_container(&self) -> String {
        contain(&["exec", &self.deployment.db(), "sh", "-c", "ls /tmp | grep muster || true"])
    }
}

/// A session that holds a table.
struct Hold {
    child: std::process::Child,
    db: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
            where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
        container(&["exec", &self.db, "psql", "-U", "chatbot_user", "-d", "postgres", "-c", sql]);
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_its_databases_and_their_contents_are_told() {
    let ground = Ground::new("look");
    let server = ground.read("pg.server", json!({})).unwrap();
    assert!(server["version"].as_str().unwrap().starts_with("15."), "{server}");
    let list = ground.read("pg.databases", json!({})).unwrap();
    let names: Vec<&str> = list["databases"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["chatbot_db", "postgres", "template0", "template1"]);
    let target =
        ground.world.host.target(&ground.world.request("pg.server", ground.args(json!({})), "")).unwrap().unwrap();
    assert_eq!(target.identity, server["system_identifier"].as_str().unwrap());

    let plain = ground.read("pg.census", json!({ "database": "chatbot_db" })).unwrap();
    let with =
        |checksums| ground.read("pg.census", json!({ "database": "chatbot_db", "checksums": checksums })).unwrap();
    let chat = plain["tables"].as_array().unwrap().iter().find(|table| table["name"] == "public.chat").unwrap();
    assert_eq!((&chat["rows"], chat.get("checksum"), &plain["large_objects"]), (&json!(40), None, &json!(6)));
    let before = with(true);
    ground.deployment.psql("chatbot_db", "update event_log set what = 'same' where ctid = '(0,1)'").unwrap();
    assert_eq!(with(true), before, "another order of the rows is no difference");
    ground.deployment.psql("chatbot_db", "update event_log set what = 'other' where ctid = '(0,2)'").unwrap();
    assert_ne!(with(true)["tables"], before["tables"]);
    ground.deployment.psql("chatbot_db", "select lo_put(min(oid), 0, 'changed') from pg_largeobject_metadata").unwrap();
    assert_ne!(with(true)["large_objects_checksum"], before["large_objects_checksum"]);
}

#[test]
fn a_query_reads_typed_rows_and_cannot_write() {
    let ground = Ground::new("query");
    let query = |sql: &str| ground.read("pg.query", json!({ "database": "chatbot_db", "sql": sql }));
    let rows = query(
        "select id, archived, null as nothing, 1.5 as half, 'it''s; \"so\"' as text from chat order by id limit 1 -- \
         the first",
    );
    assert_eq!(
        rows.unwrap()["rows"],
        json!([{ "id": "c1", "archived": false, "nothing": null, "half": 1.5, "text": "it's; \"so\"" }])
    );
    assert_eq!(query("select 1 where false;").unwrap()["rows"], json!([]));
    for sql in [
        "select 1; drop table chat",
        "drop table chat",
        "with gone as (delete from chat returning id) select * from gone",
        "select 1) x; drop table chat; select (1",
        "select 1 \\! touch /tmp/muster-escape",
        "select nextval('feedback_seq_seq')",
        "commit",
    ] {
        let error = query(sql).unwrap_err();
        assert!(matches!(error.class, ErrorClass::Refused | ErrorClass::Failed), "{sql}: {error:?}");
    }
    assert_eq!(query("select count(*) as n from chat").unwrap()["rows"][0]["n"], 40);
    assert_eq!(ground.left_in_container(), "");
}

#[test]
fn each_way_of_not_getting_in_has_a_name_of_its_own() {
    let ground = Ground::new("errors");
    let error = ground.read("pg.query", json!({ "database": "nope", "sql": "select 1" })).unwrap_err();
    assert_eq!((error.class, error.message.contains("database \"nope\" does not exist")), (ErrorClass::Refused, true));
    std::fs::write(ground.file("secret"), "wrong-password-1").unwrap();
    let handle = json!({ "$secret": { "provider": "file", "path": ground.file("secret") } });
    let server =
        json!({ "container": ground.deployment.db(), "user": "chatbot_user", "host": "127.0.0.1", "password": handle });
    // Loopback is trusted unless the server says otherwise.
    let hba = "sed -i 's/127.0.0.1\\/32 .*trust/127.0.0.1\\/32 scram-sha-256/' $PGDATA/pg_hba.conf";
    contain(&["exec", &ground.deployment.db(), "sh", "-c", hba]);
    ground.deployment.psql("postgres", "select pg_reload_conf()").unwrap();
    let ask = |server: &Value| ground.world.read("pg.server", json!({ "server": server }));
    let error = ask(&server).unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong-password-1"));
    std::fs::write(ground.file("secret"), "fixture-pw-3f9c2a71").unwrap();
    assert!(ask(&server).is_ok());
    let error = ask(&json!({ "container": ground.deployment.db(), "user": "nobody_known" })).unwrap_err();
    assert!(error.message.contains("role \"nobody_known\" does not exist"), "{error:?}");
    let error = ask(&json!({ "host": "127.0.0.1", "port": 1 })).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error:?}");
    contain(&["stop", "-t", "5", &ground.deployment.db()]);
    let error = ask(&ground.deployment.server()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("not running"), "{error:?}");
    let error = ask(&json!({ "container": "no-such" })).unwrap_err();
    assert!(error.message.contains("no such container"), "{error:?}");
}

#[test]
fn a_server_is_waited_for_until_it_answers() {
    let ground = Ground::new("wait");
    contain(&["restart", "-t", "5", &ground.deployment.db()]);
    let request = ground.world.request("pg.wait_ready", ground.args(json!({ "database": "chatbot_db" })), "");
    until("it answers", || matches!(ground.world.host.poll(&request).unwrap(), Polled::Ready(_)));
}

#[test]
fn a_dump_is_written_whole_checked_and_undone() {
    let ground = Ground::new("dump");
    let to = ground.file("x.dump");
    let request = ground.ready("pg.dump", json!({ "database": "chatbot_db", "to": to }), "m-dump");
    assert_eq!(ground.probe(&request), Probe::NotDone, "never sent");
    ground.world.host.send(&request).unwrap();
    let result = ground.world.wait(&request).unwrap();
    assert!(result["entries"].as_u64().unwrap() > 20, "{result}");
    let checked = ground.read("pg.check_dump", json!({ "path": to })).unwrap();
    assert_eq!(checked, json!({ "entries": result["entries"], "bytes": result["bytes"], "sha256": result["sha256"] }));
    let error = ground.refusal("pg.dump", json!({ "database": "chatbot_db", "to": to }));
    assert!(error.message.contains("exists already"), "{error:?}");
    let error = ground.refusal("pg.dump", json!({ "database": "nope", "to": ground.file("y") }));
    assert!(error.message.contains("there is no database nope"), "{error:?}");
    ground.world.host.release(&request);
    ground.undo(&request, &result);
    assert!(!std::path::Path::new(&to).exists());
}

#[test]
fn a_dump_that_is_no_backup_is_found_out() {
    let ground = Ground::new("bad");
    let whole = std::fs::read(ground.dump("x.dump")).unwrap();
    let check = |name: &str, bytes: &[u8]| {
        std::fs::write(ground.file(name), bytes).unwrap();
        ground.read("pg.check_dump", json!({ "path": ground.file(name) })).unwrap_err()
    };
    for (name, bytes, says) in [
        ("empty", &b""[..], "it is empty (0 bytes)"),
        ("plain", b"--\n-- PostgreSQL database dump\n--\n", "plain SQL dump"),
        ("other", b"hello there, I am a picture", "no dump in custom format"),
        ("head", &whole[..9], ""),
        ("half", &whole[..whole.len() / 2], "cut short or damaged"),
        ("nearly", &whole[..whole.len() - 7], "cut short or damaged"),
    ] {
        let error = check(name, bytes);
        assert!(error.message.contains(says), "{name}: {error:?}");
        assert_eq!(error.class, ErrorClass::Failed, "{name}: {error:?}");
    }
}

#[test]
fn a_dump_whose_supervisor_was_killed_leaves_no_half_file() {
    let ground = Ground::new("killdump");
    let to = ground.file("x.dump");
    // A table that is locked keeps pg_dump waiting.
    let lock = "begin; lock table chat in access exclusive mode; select pg_sleep(600)";
    let mut locker = std::process::Command::new(support::runtime());
    let mut locker = locker
        .args(["exec", &ground.deployment.db(), "psql", "-U", "chatbot_user", "chatbot_db", "-c", lock])
        .spawn()
        .unwrap();
    let locked =
        "select count(*) from pg_locks where relation = 'chat'::regclass and mode = 'AccessExclusiveLock' and granted";
    until("the table is locked", || ground.deployment.psql("chatbot_db", locked).unwrap() == "1");
    let request = ground.ready("pg.dump", json!({ "database": "chatbot_db", "to": to }), "m-dump");
    ground.world.host.send(&request).unwrap();
    let waits = "select count(*) from pg_stat_activity where application_name = 'm-dump'";
    until("pg_dump is at work", || ground.deployment.psql("postgres", waits).unwrap() == "1");
    assert!(matches!(ground.probe(&request), Probe::Running { .. }));
    ground.kill_supervisor("m-dump");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    assert!(!std::path::Path::new(&to).exists());
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> \
         pg_backend_pid()";
    ground.deployment.psql("postgres", end).unwrap();
    let _ = locker.wait();
    ground.world.host.send(&request).unwrap();
    ground.world.wait(&request).unwrap();
    ground.world.host.release(&request);
    let names: Vec<_> = std::fs::read_dir(ground.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the dump and the children: {names:?}");
}

#[test]
fn a_database_is_made_under_its_key_and_found_at_each_step() {
    let ground = Ground::new("create");
    let args = json!({ "database": "side \"x\"", "owner": "chatbot_user", "encoding": "UTF8" });
    let request = ground.ready("pg.create_database", args.clone(), "m-make");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    let tag = format!("muster:{}:m-make", ground.world.run);
    // Killed after the first step, and after the second.
    for step in ["create database \"m-make\"", &format!("comment on database \"m-make\" is '{tag}'")] {
        ground.deployment.psql("postgres", step).unwrap();
        assert!(matches!(ground.probe(&request), Probe::Partial { .. }), "{step}");
    }
    ground.undo(&request, &Value::Null);
    assert_eq!(ground.probe(&request), Probe::NotDone);
    assert_eq!(ground.deployment.databases(), ["chatbot_db"]);

    ground.world.host.send(&request).unwrap();
    let Probe::Done { result } = ground.probe(&request) else { panic!("it is done") };
    assert_eq!(ground.deployment.databases(), ["chatbot_db", "side \"x\""]);
    assert!(ground.refusal("pg.create_database", args).message.contains("already"));
    let long = "x".repeat(64);
    assert!(ground.refusal("pg.create_database", json!({ "database": long })).message.contains("63 bytes"));
    ground.undo(&request, &result);
    ground.undo(&request, &result);
    assert_eq!(ground.deployment.databases(), ["chatbot_db"]);
}

#[test]
fn only_the_tagged_database_is_dropped_by_an_undo() {
    let ground = Ground::new("drop");
    let tagged = json!({ "database": "chatbot_db", "tagged": "muster:other:m-other" });
    assert_eq!(ground.write("pg.drop_database", tagged, "m-drop1").unwrap()["dropped"], false);
    ground.deployment.psql("postgres", "create database old").unwrap();
    let request = ground.ready("pg.drop_database", json!({ "database": "old" }), "m-drop2");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    assert_eq!(ground.probe(&request), Probe::Done { result: json!({ "dropped": true }) });
    ground.deployment.psql("postgres", "create database old").unwrap();
    assert!(matches!(ground.probe(&request), Probe::Done { .. }), "another database of that name is another one");
    for own in ["postgres", "template1"] {
        assert!(
            ground.refusal("pg.drop_database", json!({ "database": own })).message.contains("belongs to the server")
        );
    }
    assert_eq!(ground.deployment.databases(), ["chatbot_db", "old"]);
}

#[test]
fn a_swap_is_all_or_nothing_and_its_undo_swaps_back() {
    let ground = Ground::new("swap");
    ground.deployment.psql("postgres", "create database restored").unwrap();
    let renames = json!([{ "from": "chatbot_db", "to": "chatbot_db_old" }, { "from": "restored", "to": "chatbot_db" }]);
    let args = json!({ "renames": renames, "terminate": true });
    let request = ground.ready("pg.rename_databases", args, "m-swap");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    assert!(ground.undo(&request, &Value::Null).is_some(), "an undo of what never happened changes nothing");
    assert_eq!(ground.deployment.databases(), ["chatbot_db", "restored"]);
    ground.world.host.send(&request).unwrap();
    let Probe::Done { result } = ground.probe(&request) else { panic!("it is done") };
    assert_eq!(ground.deployment.databases(), ["chatbot_db", "chatbot_db_old"]);
    assert_eq!(ground.deployment.psql("chatbot_db_old", "select count(*) from chat").unwrap(), "40");
    ground.undo(&request, &result);
    assert_eq!(ground.deployment.databases(), ["chatbot_db", "restored"]);
    assert_eq!(ground.deployment.psql("chatbot_db", "select count(*) from chat").unwrap(), "40");
    ground.deployment.psql("postgres", "alter database restored rename to elsewhere").unwrap();
    assert!(matches!(ground.probe(&request), Probe::CannotTell { .. }));
    let taken = json!({ "renames": [{ "from": "elsewhere", "to": "chatbot_db" }] });
    assert!(ground.refusal("pg.rename_databases", taken).message.contains("already"));
}

#[test]
fn a_restore_brings_back_all_of_it_and_its_undo_empties_the_database() {
    let ground = Ground::new("restore");
    let dump = ground.dump("x.dump");
    ground.write("pg.create_database", json!({ "database": "it's \\ side" }), "m-make").unwrap();
    let args = json!({ "database": "it's \\ side", "from": dump });
    let request = ground.ready("pg.restore", args.clone(), "m-restore");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    let result = ground.world.wait(&request).unwrap();
    assert!(result["objects"].as_u64().unwrap() > 10);
    assert_eq!(ground.deployment.census("it's \\ side"), ground.deployment.census("chatbot_db"));
    let counted =
        |database: &str| ground.read("pg.census", json!({ "database": database, "checksums": true })).unwrap();
    assert_eq!(counted("it's \\ side"), counted("chatbot_db"));
    let error = ground.refusal("pg.restore", args);
    assert!(error.message.contains("the database is not empty"), "{error:?}");
    ground.world.host.release(&request);
    assert_eq!(ground.left_in_container(), "");
    ground.undo(&request, &result);
    // Empty again: it can be restored into once more, with the same outcome.
    let again = ground.ready("pg.restore", json!({ "database": "it's \\ side", "from": dump }), "m-again");
    ground.world.host.send(&again).unwrap();
    ground.world.wait(&again).unwrap();
    assert_eq!(ground.deployment.census("it's \\ side"), ground.deployment.census("chatbot_db"));
}

#[test]
fn a_restore_whose_supervisor_was_killed_is_followed_to_its_end() {
    let ground = Ground::new("orphan");
    let dump = ground.dump("x.dump");
    ground.write("pg.create_database", json!({ "database": "side" }), "m-make").unwrap();
    let request = ground.ready("pg.restore", json!({ "database": "side", "from": dump }), "m-restore");
    let hold = ground.hold("side");
    ground.world.host.send(&request).unwrap();
    ground.wait_for_restore("m-restore");
    ground.kill_supervisor("m-restore");
    let Probe::Running { progress: Some(progress) } = ground.probe(&request) else { panic!("it goes on") };
    assert!(progress.contains("goes on"), "{progress}");
    drop(hold);
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    assert!(matches!(ground.probe(&request), Probe::Done { .. }), "{:?}", ground.probe(&request));
    assert_eq!(ground.deployment.census("side"), ground.deployment.census("chatbot_db"));
    ground.world.host.release(&request);
    assert_eq!(ground.left_in_container(), "");
}

#[test]
fn a_restore_whose_input_was_cut_off_has_restored_nothing() {
    let ground = Ground::with("cut", Amount { objects: 60, object_bytes: 1_000_000, ..Amount::SMALL });
    let dump = ground.dump("x.dump");
    ground.write("pg.create_database", json!({ "database": "side" }), "m-make").unwrap();
    let request = ground.ready("pg.restore", json!({ "database": "side", "from": dump }), "m-restore");
    // The copy is slow to arrive: the file grows on the way.
    let copied = || {
        let script = "stat -c %s /tmp/muster-m-restore.dump 2>/dev/null || echo 0";
        let size: u64 = contain(&["exec", &ground.deployment.db(), "sh", "-c", script]).parse().unwrap_or(0);
        size
    };
    ground.world.host.send(&request).unwrap();
    until("bytes arrive", || copied() > 0);
    ground.kill_supervisor("m-restore");
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    match ground.probe(&request) {
        // Cut off while it was copied.
        Probe::NotDone => {
            assert_eq!(
                ground.deployment.psql("side", "select count(*) from pg_class where relname = 'chat'").unwrap(),
                "0"
            );
            ground.world.host.send(&request).unwrap();
            ground.world.wait(&request).unwrap();
        }
        // The copy was faster than we were.
        Probe::Done { .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(ground.deployment.census("side"), ground.deployment.census("chatbot_db"));
}

#[test]
fn a_restore_whose_program_was_killed_in_the_container_has_restored_nothing() {
    let ground = Ground::new("killed");
    let dump = ground.dump("x.dump");
    ground.write("pg.create_database", json!({ "database": "side" }), "m-make").unwrap();
    let request = ground.ready("pg.restore", json!({ "database": "side", "from": dump }), "m-restore");
    let hold = ground.hold("side");
    ground.world.host.send(&request).unwrap();
    ground.wait_for_restore("m-restore");
    contain(&["exec", &ground.deployment.db(), "pkill", "-KILL", "pg_restore"]);
    drop(hold);
    let error = ground.world.wait(&request).unwrap_err();
    assert!(error.message.contains("it was killed"), "{error:?}");
    assert_eq!(ground.deployment.psql("side", "select count(*) from pg_class where relname = 'chat'").unwrap(), "0");
    ground.world.host.release(&request);
    assert_eq!(ground.left_in_container(), "");
}

#[test]
fn a_container_that_dies_in_the_middle_of_a_restore_is_asked_when_it_is_back() {
    let ground = Ground::new("dies");
    let dump = ground.dump("x.dump");
    ground.write("pg.create_database", json!({ "database": "side" }), "m-make").unwrap();
    let request = ground.ready("pg.restore", json!({ "database": "side", "from": dump }), "m-restore");
    let hold = ground.hold("side");
    ground.world.host.send(&request).unwrap();
    ground.wait_for_restore("m-restore");
    contain(&["kill", "-s", "KILL", &ground.deployment.db()]);
    until("the client has noticed", || {
        !matches!(ground.world.children.status("m-restore").unwrap(), ChildStatus::Running { .. })
    });
    let error = ground.world.host.probe(&request).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error:?}");
    assert!(error.message.contains("does not run"), "{error:?}");
    drop(hold);
    contain(&["start", &ground.deployment.db()]);
    ground.deployment.wait_for_database();
    assert!(matches!(ground.probe(&request), Probe::Failed { .. }), "{:?}", ground.probe(&request));
    ground.undo(&request, &Value::Null);
    ground.world.host.release(&request);
    assert_eq!(ground.left_in_container(), "");
    let again = ground.ready("pg.restore", json!({ "database": "side", "from": dump }), "m-again");
    ground.world.host.send(&again).unwrap();
    ground.world.wait(&again).unwrap();
    assert_eq!(ground.deployment.census("side"), ground.deployment.census("chatbot_db"));
}

#[test]
fn a_damaged_dump_is_not_half_restored() {
    let ground = Ground::with("damaged", Amount { objects: 20, object_bytes: 100_000, ..Amount::SMALL });
    let whole = std::fs::read(ground.dump("x.dump")).unwrap();
    std::fs::write(ground.file("cut.dump"), &whole[..whole.len() - 50_000]).unwrap();
    ground.write("pg.create_database", json!({ "database": "side" }), "m-make").unwrap();
    let args = json!({ "database": "side", "from": ground.file("cut.dump") });
    let error = ground.write("pg.restore", args, "m-restore").unwrap_err();
    assert!(error.message.contains("cut short or damaged"), "{error:?}");
    assert_eq!(ground.deployment.psql("side", "select count(*) from pg_class where relname = 'chat'").unwrap(), "0");
    // Cut short after it was looked at: what arrives is not what was measured.
    let request = ground.ready("pg.restore", json!({ "database": "side", "from": ground.file("x.dump") }), "m-short");
    std::fs::write(ground.file("x.dump"), &whole[..whole.len() / 2]).unwrap();
    ground.world.host.send(&request).unwrap();
    let error = ground.world.wait(&request).unwrap_err();
    assert!(error.message.contains("did not arrive whole"), "{error:?}");
    assert!(error.detail.unwrap().contains("bytes arrived"));
    std::fs::write(ground.file("x.dump"), &whole).unwrap();
    let into_live = json!({ "database": "chatbot_db", "from": ground.file("x.dump") });
    assert!(ground.refusal("pg.restore", into_live).message.contains("not empty"));
}

#[test]
fn sql_is_run_once_and_the_server_says_what_became_of_it() {
    let ground = Ground::new("execute");
    let sql = "insert into tag (id, user_id) values ('a;b', 'u1'); update tag set name = 'new' where user_id = 'u1'";
    let request = ground.ready("pg.execute", json!({ "database": "chatbot_db", "sql": sql }), "m-exec");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    let sent = ground.world.host.send(&request).unwrap();
    assert_eq!(sent, muster::ops::Sent::Done(json!({ "tag": "UPDATE 8" })));
    // The answer was lost: the server still knows.
    assert_eq!(ground.probe(&request), Probe::Done { result: json!({ "tag": "" }) });
    ground.world.host.release(&request);
    assert_eq!(ground.left_in_container(), "");

    let fails = "update tag set name = 'gone'; insert into tag (id, user_id) values ('a;b', 'u1')";
    let request = ground.ready("pg.execute", json!({ "database": "chatbot_db", "sql": fails }), "m-fails");
    let error = ground.world.host.send(&request).unwrap_err();
    assert!(error.message.contains("duplicate key"), "{error:?}");
    assert_eq!(ground.probe(&request), Probe::NotDone);
    assert_eq!(ground.deployment.psql("chatbot_db", "select count(*) from tag where name = 'gone'").unwrap(), "0");
    for sql in ["commit", "select 1; rollback", "copy tag from stdin", "select 1 \\! rm -rf /", "", "-- nothing"] {
        assert_eq!(
            ground.refusal("pg.execute", json!({ "database": "chatbot_db", "sql": sql })).class,
            ErrorClass::Refused
        );
    }
}

#[test]
fn sql_that_is_still_running_is_seen_by_its_session() {
    let ground = Ground::new("running");
    let sql = "update tag set name = 'slow'; select pg_sleep(600)";
    let request = ground.ready("pg.execute", json!({ "database": "chatbot_db", "sql": sql }), "m-slow");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| ground.world.host.send(&request));
        let session =
            "select count(*) from pg_stat_activity where application_name = 'm-slow' and query like '%pg_sleep%'";
        until("it is at work", || ground.deployment.psql("postgres", session).unwrap() == "1");
        assert!(matches!(ground.probe(&request), Probe::Running { .. }));
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'm-slow'";
        ground.deployment.psql("postgres", end).unwrap();
        let error = sender.join().unwrap().unwrap_err();
        assert_eq!(error.class, ErrorClass::Unknown, "{error:?}");
    });
    until("the session is gone", || !matches!(ground.probe(&request), Probe::Running { .. }));
    assert_eq!(ground.probe(&request), Probe::NotDone);
    contain(&["restart", "-t", "5", &ground.deployment.db()]);
    ground.deployment.wait_for_database();
    container(&["exec", &ground.deployment.db(), "sh", "-c", "rm -f /tmp/muster-*"]);
    assert!(
        matches!(ground.probe(&request), Probe::CannotTell { .. }),
        "a missing note proves nothing after a restart"
    );
}

#[test]
fn sessions_are_ended_and_kept_out_until_the_undo() {
    let ground = Ground::new("sessions");
    let mut other = std::process::Command::new(support::runtime());
    let sql = "select pg_sleep(600)";
    let mut other = other
        .args(["exec", &ground.deployment.db(), "psql", "-U", "chatbot_user", "chatbot_db", "-c", sql])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let count = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'";
    until("somebody is in it", || ground.deployment.psql("postgres", count).unwrap() == "1");
    let renames = json!({ "renames": [{ "from": "chatbot_db", "to": "x" }] });
    assert!(ground.refusal("pg.rename_databases", renames).message.contains("other sessions are in chatbot_db"));

    let allow = ground.ready("pg.allow_connections", json!({ "database": "chatbot_db", "allow": false }), "m-allow");
    assert_eq!(ground.probe(&allow), Probe::NotDone);
    ground.world.host.send(&allow).unwrap();
    assert_eq!(ground.probe(&allow), Probe::Done { result: json!({ "was": true }) });
    let terminate = ground.ready("pg.terminate", json!({ "database": "chatbot_db" }), "m-end");
    assert_eq!(ground.probe(&terminate), Probe::NotDone);
    ground.world.host.send(&terminate).unwrap();
    until("nobody is in it", || matches!(ground.probe(&terminate), Probe::Done { .. }));
    let _ = other.wait();
    assert!(ground.deployment.psql("chatbot_db", "select 1").is_err());
    ground.undo(&allow, &json!({ "was": true }));
    assert_eq!(ground.deployment.psql("chatbot_db", "select 1").unwrap(), "1");
    std::thread::sleep(Duration::from_millis(10));
}
