//! Databases: made, dropped, swapped, closed to sessions.

use std::time::Duration;

use crate::ground::Ground;
use crate::live_world::until;
use crate::support::{self};
use muster::ops::{Probe, WriteHost};
use serde_json::{Value, json};

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

#[test]
fn a_vacuum_that_the_server_does_by_itself_is_no_session_and_holds_nothing_up() {
    let ground = Ground::new("vacuumed");
    let psql = |database: &str, sql: &str| ground.deployment.psql(database, sql).unwrap();
    psql("postgres", "alter system set autovacuum_naptime = 1");
    psql("postgres", "select pg_reload_conf()");
    // So slow that it takes minutes.
    let slow = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, \
                autovacuum_vacuum_cost_limit = 1";
    psql("chatbot_db", &format!("create table worn (id int, filler text) with ({slow})"));
    psql("chatbot_db", "insert into worn select n, repeat('x', 1000) from generate_series(1, 5000) n");
    psql("chatbot_db", "delete from worn where id % 2 = 0");
    let workers = "select count(*) from pg_stat_activity where datname = 'chatbot_db' and usesysid is null";
    until("it is vacuumed", || psql("postgres", workers).trim() == "1");
    let listed = ground.read("pg.databases", json!({})).unwrap();
    let found = listed["databases"].as_array().unwrap().iter().find(|one| one["name"] == "chatbot_db").unwrap();
    assert_eq!((&found["connections"], psql("postgres", workers).trim()), (&json!(0), "1"));
    let renames = json!({ "renames": [{ "from": "chatbot_db", "to": "elsewhere" }] });
    ground.write("pg.rename_databases", renames, "m-away").unwrap();
}
