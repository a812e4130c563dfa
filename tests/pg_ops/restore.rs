//! Restores: all or nothing, whatever dies on the way.

use crate::ground::Ground;
use crate::live_world::until;
use crate::support::{Amount, contain};
use muster::ops::process::ChildStatus;
use muster::ops::{ErrorClass, Probe, ReadHost, WriteHost};
use serde_json::{Value, json};

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
