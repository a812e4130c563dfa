//! Dumps: written whole, checked, undone.

use crate::ground::Ground;
use crate::live_world::until;
use crate::support::{self};
use muster::ops::{ErrorClass, Probe, WriteHost};
use serde_json::json;

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
        // Podman may lose what a program said, which is told as such: asked again, as the engine does.
        let ask = || ground.read("pg.check_dump", json!({ "path": ground.file(name) })).unwrap_err();
        (0..5).map(|_| ask()).find(|error| error.class != ErrorClass::Transient).expect("it comes through")
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
