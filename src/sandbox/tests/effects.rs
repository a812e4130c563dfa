//! Every effect: done, refused, stopped before and after, done by half, undone.

use serde_json::json;

use super::super::{Action, Faults, Moment, diff};
use super::schema::assert_fits;
use super::*;
use crate::model::fault::ErrorClass;

/// Every effect of the table with arguments that the world of these tests allows; `prepare` is done first.
fn effects() -> Vec<(&'static str, Value)> {
    let mount = json!([{ "volume": "models", "at": "/v" }]);
    vec![
        ("fs.write_text", json!({ "path": "/srv/new.txt", "text": "new", "mode": "0640" })),
        ("fs.write_text", json!({ "path": "/srv/data/one.txt", "text": "other", "replace": true })),
        ("fs.write_json", json!({ "path": "/srv/new.json", "value": { "b": 1 } })),
        ("fs.copy", json!({ "from": "/srv/data/one.txt", "to": "/srv/notes.json", "replace": true })),
        ("fs.make_dir", json!({ "path": "/srv/a/b/c" })),
        ("fs.remove_dirs", json!({ "paths": ["/srv/hollow", "/srv/hollow/nothing"] })),
        ("fs.rename", json!({ "from": "/srv/data", "to": "/srv/moved" })),
        ("fs.delete", json!({ "path": "/srv/data", "recursive": true })),
        ("fs.archive", json!({ "from": "/srv/data", "to": "/srv/made.tar", "exclude": ["deep"] })),
        ("fs.unpack", json!({ "archive": "/srv/data.tar", "to": "/srv/unpacked" })),
        ("exec.run", json!({ "argv": ["make", "local-up"], "cwd": "/srv", "timeout": "1m" })),
        (
            "exec.run",
            json!({ "argv": ["age", "--encrypt", "--recipient", "age1x"], "stdin_file": "/srv/data.tar", "stdout_file": "/srv/data.tar.age" }),
        ),
        ("docker.start", json!({ "container": "idle" })),
        ("docker.start", json!({ "container": "web" })),
        ("docker.stop", json!({ "container": "web" })),
        ("docker.exec", json!({ "container": "ollama", "argv": ["mkdir", "/root/.ollama/x"] })),
        (
            "docker.run",
            json!({ "image": "postgres:17", "argv": ["tar", "-C", "/v", "--exclude=*-partial*", "-cf", "-", "."], "mounts": mount, "stdout_file": "/srv/models.tar" }),
        ),
        (
            "docker.run",
            json!({ "image": "postgres:17", "argv": ["mv", "-T", "/v/models", "/v/models.old"], "mounts": mount }),
        ),
        (
            "docker.create_container",
            json!({ "name": "drill-db", "image": "postgres:17", "env": { "POSTGRES_USER": "u", "POSTGRES_DB": "scratch" }, "tmpfs": ["/var/lib/postgresql/data"] }),
        ),
        ("docker.create_volume", json!({ "volume": "scratch" })),
        ("docker.copy_out", json!({ "container": "web", "path": "/app/data", "to": "/srv/web.tar" })),
        ("docker.copy_in", json!({ "container": "web", "archive": "/srv/app.tar", "path": "/app" })),
        ("pg.create_database", json!({ "server": db(), "database": "chat_r", "owner": "chat_user" })),
        ("pg.drop_database", json!({ "server": db(), "database": "spare" })),
        (
            "pg.rename_databases",
            json!({ "server": db(), "renames": [{ "from": "chat", "to": "chat_old" }, { "from": "spare", "to": "chat" }], "terminate": true }),
        ),
        ("pg.dump", json!({ "server": db(), "database": "chat", "to": "/srv/chat.dump" })),
        ("pg.restore", json!({ "server": db(), "database": "spare", "from": "/srv/old.dump" })),
        ("pg.empty_database", json!({ "server": db(), "database": "chat", "oid": 16384 })),
        ("pg.execute", json!({ "server": db(), "database": "chat", "sql": "update chat set x = 1" })),
        ("pg.terminate", json!({ "server": db(), "database": "chat" })),
        ("pg.allow_connections", json!({ "server": db(), "database": "spare", "allow": false })),
        ("http.post", json!({ "url": "http://hooks/x", "body": { "text": "done" } })),
    ]
}

/// Undoes an effect as the engine does; whether it could be.
fn undo(stage: &Stage, request: &Request, result: Option<&Value>) -> bool {
    match stage.undo_of(request, result) {
        Undo::Nothing => true,
        Undo::Impossible(_) => false,
        Undo::Call { op, args } => {
            let done = stage.perform(op, args, "m-undo").unwrap_or_else(|e| panic!("undo of {}: {e}", request.op.name));
            assert_fits(op, &done);
            true
        }
    }
}

fn nothing_left(stage: &Stage, earlier: &World, what: &str) {
    stage.host().finish_run(&stage.run);
    assert_eq!(diff(earlier, &stage.world.lock()), Vec::<String>::new(), "{what}");
}

#[test]
fn every_effect_is_done_answers_in_the_shape_of_the_table_and_is_undone() {
    for (op, args) in effects() {
        let stage = Stage::new();
        let earlier = stage.world.lock().clone();
        let request = stage.intended(op, args.clone(), "m-1").unwrap_or_else(|e| panic!("{op}: {e}"));
        let result = stage.perform(op, args, "m-1").unwrap_or_else(|e| panic!("{op}: {e} {:?}", e.detail));
        assert_fits(op, &result);
        assert_eq!(stage.world.lock().completed("m-1"), 1, "{op}");
        if undo(&stage, &request, Some(&result)) {
            nothing_left(&stage, &earlier, op);
        }
    }
}

/// Goes on after a stop as the engine does: asks, waits, undoes what is done in part, sends what was not done. The result, or
/// nothing when it takes a person.
fn resume(stage: &Stage, host: &SandboxHost, request: &Request) -> Option<Value> {
    for _ in 0..100 {
        match host.probe(request).unwrap_or_else(|e| panic!("{}: {e}", request.op.name)) {
            Probe::Done { result } => return Some(result),
            Probe::Running { .. } => stage.clock.sleep(Duration::from_secs(1)),
            Probe::CannotTell { .. } => return None,
            Probe::Failed { error } => panic!("{}: {error}", request.op.name),
            Probe::Partial { .. } => {
                assert!(undo(stage, request, None), "{} is half done and cannot be undone", request.op.name);
                assert_eq!(host.probe(request), Ok(Probe::NotDone), "{}", request.op.name);
            }
            Probe::NotDone => match host.send(request).unwrap_or_else(|e| panic!("{}: {e}", request.op.name)) {
                Sent::Done(result) => return Some(result),
                Sent::Running => {}
            },
        }
    }
    panic!("{} never ends", request.op.name);
}

#[test]
fn a_stop_at_any_point_of_any_effect_loses_nothing_and_does_nothing_twice() {
    let points = [
        (Moment::Before, Action::Stop),
        (Moment::After, Action::Stop),
        (Moment::Before, Action::Half { stop: true }),
        (Moment::After, Action::Fail(OpError::unknown("connection lost"))),
    ];
    for (op, args) in effects() {
        // What nobody disturbed, to compare with.
        let calm = Stage::new();
        calm.perform(op, args.clone(), "m-1").unwrap();
        for (moment, action) in &points {
            let what = format!("{op} {moment:?} {action:?}");
            let stage = Stage::new();
            let request = stage.intended(op, args.clone(), "m-1").unwrap();
            let host = stage.host().on_send(Faults::at(0, *moment, action.clone()));
            assert!(host.send(&request).is_err(), "{what}");
            let host = host.revive();
            let Some(result) = resume(&stage, &host, &request) else {
                let half = matches!(action, Action::Half { .. });
                let blind = op == "http.post" || half && matches!(op, "exec.run" | "docker.exec" | "docker.copy_in");
                assert!(blind, "{what}: nobody can tell");
                continue;
            };
            assert_fits(op, &result);
            host.release(&request);
            let world = stage.world.lock();
            // Not at all is right for what had nothing to do: that it was done is what the comparison shows.
            assert!(world.completed("m-1") <= 1, "{what}");
            assert_eq!(diff(&calm.world.lock(), &world), Vec::<String>::new(), "{what}");
            assert!(world.children.is_empty(), "{what}");
        }
    }
}

#[test]
fn the_undo_of_an_effect_that_never_happened_or_half_happened_leaves_nothing() {
    for (op, args) in effects() {
        for action in [Action::Stop, Action::Half { stop: true }] {
            let stage = Stage::new();
            let earlier = stage.world.lock().clone();
            let request = stage.intended(op, args.clone(), "m-1").unwrap();
            let host = stage.host().on_send(Faults::at(0, Moment::Before, action.clone()));
            assert!(host.send(&request).is_err());
            if undo(&stage, &request, None) {
                stage.host().release(&request);
                nothing_left(&stage, &earlier, &format!("{op} {action:?}"));
            }
        }
    }
}

#[test]
fn a_stopped_host_answers_nothing_and_a_revived_one_does() {
    let stage = Stage::new();
    let host = stage.host();
    host.stop();
    let request = stage.request("time.now", json!({}), "");
    assert_eq!(host.read(&request).unwrap_err().class, ErrorClass::Unknown);
    assert!(host.reader().read(&request).is_err() && host.is_stopped());
    assert!(host.revive().read(&request).is_ok());
}

#[test]
fn supervised_programs_go_on_while_the_engine_is_down() {
    let stage = Stage::new();
    let request = stage.intended("exec.run", json!({ "argv": ["make", "local-up"], "cwd": "/srv" }), "m-1").unwrap();
    let host = stage.host();
    assert_eq!(host.send(&request), Ok(Sent::Running));
    host.stop();
    assert!(!stage.world.lock().containers.contains_key("gone"));
    stage.clock.sleep(Duration::from_secs(60));
    assert!(matches!(host.revive().probe(&request), Ok(Probe::Done { .. })));
    assert!(stage.world.lock().containers.contains_key("gone"));
}

#[test]
fn preconditions_are_refused_as_the_live_host_refuses_them() {
    let stage = Stage::new();
    let refused = [
        ("fs.write_text", json!({ "path": "/srv/key", "text": "x" })),
        ("fs.write_text", json!({ "path": "/no/folder/x", "text": "x" })),
        ("fs.rename", json!({ "from": "/srv/data", "to": "/srv/key" })),
        ("fs.unpack", json!({ "archive": "/srv/data.tar", "to": "/srv/data" })),
        ("fs.delete", json!({ "path": "/srv/data" })),
        ("fs.archive", json!({ "from": "/srv", "to": "/srv/x.tar" })),
        ("docker.create_container", json!({ "name": "db", "image": "postgres:17" })),
        ("docker.create_container", json!({ "name": "x", "image": "unknown" })),
        ("docker.remove_container", json!({ "name": "web", "force": true })),
        ("docker.remove_volume", json!({ "volume": "models" })),
        ("docker.create_volume", json!({ "volume": "models" })),
        ("docker.exec", json!({ "container": "idle", "argv": ["ls"] })),
        ("docker.run", json!({ "image": "web", "argv": ["ls"], "mounts": [{ "volume": "none", "at": "/v" }] })),
        ("pg.create_database", json!({ "server": db(), "database": "chat" })),
        ("pg.drop_database", json!({ "server": db(), "database": "template1" })),
        ("pg.rename_databases", json!({ "server": db(), "renames": [{ "from": "chat", "to": "old" }] })),
        ("pg.rename_databases", json!({ "server": db(), "renames": [{ "from": "spare", "to": "chat" }] })),
        ("pg.restore", json!({ "server": db(), "database": "chat", "from": "/srv/old.dump" })),
        ("pg.restore", json!({ "server": db(), "database": "spare", "from": "/srv/newer.dump" })),
    ];
    for (op, args) in refused {
        let error = stage.before(op, args.clone()).expect_err(&format!("{op} {args}"));
        assert_eq!(error.class, ErrorClass::Refused, "{op} {args}: {error}");
    }
}

#[test]
fn a_full_disk_fails_what_writes_and_leaves_nothing() {
    let stage = Stage::new();
    stage.world.lock().free = 10;
    let earlier = stage.world.lock().clone();
    for (op, args) in [
        ("pg.dump", json!({ "server": db(), "database": "chat", "to": "/srv/chat.dump" })),
        ("fs.write_text", json!({ "path": "/srv/new.txt", "text": "longer than ten bytes" })),
        ("fs.unpack", json!({ "archive": "/srv/data.tar", "to": "/srv/unpacked" })),
    ] {
        let done = stage.perform(op, args, "m-1");
        if op != "fs.unpack" {
            let error = done.unwrap_err();
            assert!(error.message.contains("no space left"), "{error}");
            assert_eq!(diff(&earlier, &stage.world.lock()), Vec::<String>::new());
            stage.world.lock().children.clear();
        }
    }
}

#[test]
fn a_swap_by_side_restore_and_its_way_back() {
    let stage = Stage::new();
    let census =
        |database: &str| stage.read("pg.census", json!({ "server": db(), "database": database, "checksums": true }));
    let live = census("chat").unwrap();
    stage.perform("docker.stop", json!({ "container": "web" }), "m-1").unwrap();
    stage
        .perform("pg.create_database", json!({ "server": db(), "database": "chat_r", "owner": "chat_user" }), "m-2")
        .unwrap();
    stage
        .perform("pg.restore", json!({ "server": db(), "database": "chat_r", "from": "/srv/old.dump" }), "m-3")
        .unwrap();
    assert_eq!(census("chat_r").unwrap(), live);
    let swap = json!({ "server": db(), "renames": [{ "from": "chat", "to": "chat_old" }, { "from": "chat_r", "to": "chat" }] });
    let request = stage.intended("pg.rename_databases", swap.clone(), "m-4").unwrap();
    let result = stage.perform("pg.rename_databases", swap, "m-4").unwrap();
    assert!(census("chat_r").is_err());
    assert!(undo(&stage, &request, Some(&result)));
    assert!(census("chat_old").is_err());
    assert_eq!(stage.world.lock().completed_twice(), Vec::<&super::super::world::Completed>::new());
}

#[test]
fn models_are_packed_unpacked_beside_and_swapped() {
    let stage = Stage::new();
    let run = |key: &str, argv: Value, streams: Value| {
        let mut args = json!({
            "image": "postgres:17", "argv": argv, "mounts": [{ "volume": "models", "at": "/v" }], "user": "0:0",
        });
        for (name, value) in streams.as_object().unwrap() {
            args[name] = value.clone();
        }
        stage.perform("docker.run", args, key).unwrap_or_else(|e| panic!("{e} {:?}", e.detail))
    };
    let pack = json!([
        "tar",
        "-C",
        "/v",
        "--numeric-owner",
        "--exclude=*-partial*",
        "--exclude=./models.old-*",
        "-cf",
        "-",
        "."
    ]);
    run("m-1", pack, json!({ "stdout_file": "/srv/m.tar" }));
    run("m-2", json!(["mkdir", "-m", "0700", "/v/.muster-x"]), json!({}));
    run(
        "m-3",
        json!(["tar", "-C", "/v/.muster-x", "--numeric-owner", "-xpf", "-"]),
        json!({ "stdin_file": "/srv/m.tar" }),
    );
    run("m-4", json!(["mv", "-T", "/v/models", "/v/models.old-x"]), json!({ "ok_codes": [0, 1] }));
    run("m-5", json!(["mv", "-T", "/v/.muster-x/models", "/v/models"]), json!({}));
    {
        let world = stage.world.lock();
        let files = &world.volumes["models"].files;
        assert!(files.exists("/models/blobs/sha256-aa") && !files.exists("/models/blobs/x-partial"));
        assert!(files.exists("/models.old-x/blobs/x-partial"));
        assert!(world.containers.keys().all(|name| !name.starts_with("muster-")));
    }
    let code = run("m-6", json!(["test", "-e", "/v/.muster-x/models"]), json!({ "ok_codes": [0, 1] }))["code"].clone();
    assert_eq!(code, 1);
    run("m-7", json!(["rm", "-rf", "/v/models.old-x", "/v/.muster-x"]), json!({}));
    assert_eq!(stage.world.lock().volumes["models"].files.list("/").count(), 1);
}

#[test]
fn what_was_encrypted_is_decrypted_to_what_it_was() {
    let stage = Stage::new();
    let stream = |argv: Value, from: &str, to: &str, key: &str| {
        stage.perform("exec.run", json!({ "argv": argv, "stdin_file": from, "stdout_file": to }), key)
    };
    stream(json!(["age", "--encrypt", "--recipient", "age1x"]), "/srv/old.dump", "/srv/x.age", "m-1").unwrap();
    assert!(stage.read("pg.check_dump", json!({ "server": db(), "path": "/srv/x.age" })).is_err());
    stream(json!(["age", "--decrypt", "--identity", "/srv/key"]), "/srv/x.age", "/srv/x.dump", "m-2").unwrap();
    let sum = |path: &str| stage.read("fs.sha256", json!({ "path": path })).unwrap();
    assert_eq!(sum("/srv/x.dump"), sum("/srv/old.dump"));
    assert!(stream(json!(["age", "--decrypt", "--identity", "/none"]), "/srv/x.age", "/srv/y", "m-3").is_err());
}

#[test]
fn a_drill_database_comes_and_goes_with_its_container() {
    let stage = Stage::new();
    let args = json!({ "name": "drill", "image": "postgres:17", "env": { "POSTGRES_USER": "u" } });
    stage.perform("docker.create_container", args, "m-1").unwrap();
    let server = json!({ "container": "drill", "user": "u" });
    stage.wait("pg.wait_ready", json!({ "server": server })).unwrap();
    stage.perform("pg.create_database", json!({ "server": server, "database": "r" }), "m-2").unwrap();
    stage.perform("pg.restore", json!({ "server": server, "database": "r", "from": "/srv/old.dump" }), "m-3").unwrap();
    stage.perform("docker.remove_container", json!({ "name": "drill", "force": true }), "m-4").unwrap();
    assert!(!stage.world.lock().postgres.contains_key("drill"));
}

#[test]
fn compose_and_make_bring_up_what_is_declared_of_a_project() {
    let world = r#"
files:
  /srv/app/Makefile: "up: db\n\tcd local && docker compose up -d\ndb:\n\t@cd local && docker compose up -d webui-db\n"
  /srv/app/local/docker-compose.yml: "services: {}\n"
containers:
  db: { image: "postgres:17", absent: true, labels: { com.docker.compose.project: local, com.docker.compose.service: webui-db }, mounts: [{ volume: pg, at: /var/lib/postgresql/data }] }
  web: { image: web, absent: true, labels: { com.docker.compose.project: local, com.docker.compose.service: web } }
  other: { image: web, absent: true, labels: { com.docker.compose.project: hybrid, com.docker.compose.service: web } }
"#;
    let stage = Stage::of(World::load(world).unwrap());
    let run = |argv: Value, cwd: &str, key: &str| stage.perform("exec.run", json!({ "argv": argv, "cwd": cwd }), key);
    let there = || stage.world.lock().containers.keys().cloned().collect::<Vec<_>>();
    assert!(!stage.world.lock().volumes.contains_key("pg"));
    run(json!(["make", "db"]), "/srv/app", "m-1").unwrap();
    assert_eq!(there(), ["db"]);
    assert!(stage.world.lock().volumes.contains_key("pg") && stage.world.lock().postgres.contains_key("db"));
    run(json!(["make", "-C", "/srv/app", "up"]), "/", "m-2").unwrap();
    assert_eq!(there(), ["db", "web"]);
    run(json!(["docker", "compose", "down"]), "/srv/app/local", "m-3").unwrap();
    assert_eq!(there(), Vec::<String>::new());
    for (argv, cwd) in [
        (json!(["make", "nothing"]), "/srv/app"),
        (json!(["make", "up"]), "/srv"),
        (json!(["docker", "compose", "up", "-d", "nobody"]), "/srv/app/local"),
        (json!(["docker", "compose", "up"]), "/srv/app"),
    ] {
        assert!(run(argv.clone(), cwd, "m-4").is_err(), "{argv}");
    }
}

#[test]
fn an_archive_loses_members_and_a_container_files_but_not_what_is_mounted() {
    let stage = Stage::new();
    let run = |argv: Value, key: &str| {
        stage.perform(
            "exec.run",
            json!({ "argv": argv, "stdin_file": "/srv/app.tar", "stdout_file": format!("/srv/{key}.tar") }),
            key,
        )
    };
    run(json!(["tar", "--delete", "-f", "-", "data/uploads/b.txt"]), "m-1").unwrap();
    let listed = stage.read("fs.tar_list", json!({ "archive": "/srv/m-1.tar" })).unwrap();
    assert!(!listed.to_string().contains("b.txt"), "{listed}");
    assert!(run(json!(["tar", "--delete", "-f", "-", "data/none"]), "m-2").is_err());
    let exec = |container: &str, argv: Value, key: &str| {
        stage.perform("docker.exec", json!({ "container": container, "argv": argv }), key)
    };
    assert!(exec("web", json!(["rm", "-fd", "--", "/app/data/uploads"]), "m-3").is_err(), "it is not empty");
    exec("web", json!(["rm", "-fd", "--", "/app/data/uploads/a.txt", "/app/data/uploads"]), "m-4").unwrap();
    assert!(
        exec("ollama", json!(["rm", "-rf", "/root/.ollama"]), "m-5").unwrap_err().to_string().contains("exit code 1")
    );
    let several = json!({ "container": "ollama", "argv": ["ls", "-d", "--", "/root/.ollama/models", "/root/none"], "any_exit": true });
    assert_eq!(stage.read("docker.read", several).unwrap()["code"], 2);
}
