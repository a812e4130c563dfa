//! The playbooks for AWS, live, against a server that answers as AWS does: a run does what its plan said.

use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::playbook::params::Given;
use serde_json::{Value, json};

use crate::fidelity;
use crate::ground::Ground;
use crate::rds::instance;

fn given(pairs: &[(&str, Value)]) -> Given {
    let mut given = Given::default();
    for (name, value) in pairs {
        given.values.insert((*name).to_owned(), Spanned::new(value.clone(), Span::default()));
    }
    given
}

#[test]
fn rds_restore_does_live_what_its_plan_says_and_its_plan_changes_nothing() {
    let ground = Ground::new();
    instance(&ground, "playbook");
    ground.settle("rds.create_snapshot", json!({ "id": "playbook", "snapshot": "playbook-1" }), "snap").unwrap();
    let asked = given(&[
        ("database", json!("playbook")),
        ("new_id", json!("playbook-restored")),
        ("from", json!("snapshot")),
        ("aws", ground.access()),
    ]);
    let home = tempfile::tempdir().unwrap();
    let app = fidelity::app(home.path());
    let start = app.prepare(&fidelity::folder("rds-restore"), &asked).expect("it can be started");
    app.plan(&start, None).expect("it is planned");
    for action in ["Action=Restore", "Action=Modify", "Action=Delete"] {
        assert_eq!(ground.proxy.count(action), 0, "a plan sent {action}");
    }
    let (report, pauses) = fidelity::live(&app, "rds-restore", &asked);
    assert_eq!(report.status, RunStatus::Succeeded, "{pauses:#?}");
    assert_eq!(fidelity::differences(&report), Vec::<String>::new());
    assert_eq!(ground.proxy.count("Action=RestoreDBInstanceFromDBSnapshot"), 1);
    let made = ground.read("rds.instance", json!({ "id": "playbook-restored" }));
    assert_eq!((&made["exists"], &made["status"]), (&json!(true), &json!("available")));
}
