//! A server: what it tells of itself, how it refuses, and being waited for.

use crate::ground::Ground;
use crate::live_world::until;
use crate::support::contain;
use muster::ops::{ErrorClass, Polled, ReadHost};
use serde_json::{Value, json};

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
