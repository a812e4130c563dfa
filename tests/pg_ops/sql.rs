//! SQL: queries that only read, and statements that are run once.

use crate::ground::Ground;
use crate::live_world::until;
use crate::support::{contain, container};
use muster::ops::{ErrorClass, Probe, WriteHost};
use serde_json::json;

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
