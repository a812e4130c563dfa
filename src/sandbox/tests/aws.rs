//! The sandbox's AWS account: objects are put, copied, got and deleted, and come back as they were.

use super::schema::assert_fits;
use super::*;
use crate::sandbox::diff;

const WORLD: &str = r#"
files: { /srv/state.json: "{}" }
aws:
  buckets:
    states:
      versioning: enabled
      objects:
        prod/state: [{ content: { text: "old" }, version: v1, etag: e1 }, { content: { text: "new" }, version: v2, etag: e2 }]
    plain: {}
"#;

#[test]
fn what_is_done_to_a_bucket_is_found_by_its_key_and_undone_to_the_last_version() {
    let state = json!({ "bucket": "states", "key": "prod/state" });
    let with = |more: Value| {
        let mut args = state.clone();
        for (name, value) in more.as_object().unwrap() {
            args[name] = value.clone();
        }
        args
    };
    let old = json!({ "from_bucket": "states", "from_key": "prod/state", "from_version": "v1", "replace": true });
    for (op, args) in [
        ("s3.put_file", json!({ "bucket": "plain", "key": "x", "from": "/srv/state.json" })),
        ("s3.put_file", with(json!({ "from": "/srv/state.json", "replace": true }))),
        ("s3.copy", with(old)),
        ("s3.get_file", with(json!({ "version": "v1", "to": "/srv/old.json" }))),
        ("s3.delete", state.clone()),
    ] {
        let stage = Stage::of(World::load(WORLD).unwrap());
        let before = stage.world.lock().clone();
        let request = stage.intended(op, args, "m-1").unwrap();
        assert_eq!(stage.host().probe(&request).unwrap(), Probe::NotDone, "{op}");
        let Sent::Done(result) = stage.host().send(&request).unwrap() else { panic!("{op} is done at once") };
        assert_fits(op, &result);
        assert_eq!(stage.host().probe(&request).unwrap(), Probe::Done { result: result.clone() }, "{op}");
        stage.host().release(&request);
        assert!(!diff(&before, &stage.world.lock()).is_empty(), "{op}");
        let Undo::Call { op: undo, args } = stage.undo_of(&request, Some(&result)) else { panic!("{op} is undone") };
        let undone = stage.perform(undo, args, "m-2").unwrap();
        assert_fits(undo, &undone);
        assert_eq!(diff(&before, &stage.world.lock()), Vec::<String>::new(), "{op}");
    }
}

#[test]
fn what_is_in_a_bucket_is_told_in_the_shape_of_the_table() {
    let stage = Stage::of(World::load(WORLD).unwrap());
    for (op, args) in [
        ("s3.bucket", json!({ "bucket": "none" })),
        ("s3.bucket", json!({ "bucket": "states" })),
        ("s3.head", json!({ "bucket": "states", "key": "none" })),
        ("s3.head", json!({ "bucket": "states", "key": "prod/state", "version": "v1" })),
        ("s3.list", json!({ "bucket": "states", "prefix": "prod/" })),
        ("s3.versions", json!({ "bucket": "states", "key": "prod/state" })),
        ("sts.identity", json!({})),
    ] {
        assert_fits(op, &stage.read(op, args).unwrap());
    }
    let refused =
        stage.before("s3.put_file", json!({ "bucket": "states", "key": "prod/state", "from": "/srv/state.json" }));
    assert!(refused.unwrap_err().message.contains("already"));
    let error = stage.before("s3.delete", json!({ "bucket": "none", "key": "x" })).unwrap_err();
    assert!(error.message.contains("NoSuchBucket"), "{error}");
}

const SECRETS: &str = r#"
aws:
  secrets:
    app: { value: { database_url: "postgres://u:p@old:5432/x", key: k } }
    plain: { value: text }
"#;

/// Each call alone, each after each, and each after two of them: what a plan foresees is what comes.
fn assert_foreseen(world: &str, calls: &[(&'static str, Value)]) {
    let all = 0..calls.len();
    for first in all.clone() {
        for second in all.clone() {
            for third in all.clone() {
                let stage = Stage::of(World::load(world).unwrap());
                super::overlay::compare_in(&stage, calls, &[first, second, third]).unwrap();
            }
        }
    }
}

#[test]
fn secrets_are_foreseen_as_they_come() {
    let first = "00000000-0000-0000-0000-000000000001";
    let led = json!({ "secret": "app", "hosts": { "database_url": "new" } });
    assert_foreseen(
        SECRETS,
        &[
            ("secrets.describe", json!({ "secret": "app" })),
            ("secrets.describe", json!({ "secret": "none" })),
            ("secrets.read", json!({ "secret": "app" })),
            ("secrets.put", led.clone()),
            ("secrets.put", json!({ "secret": "app", "hosts": { "key": "new" } })),
            ("secrets.put", json!({ "secret": "plain", "value": "other" })),
            ("secrets.put", json!({ "secret": "none", "value": "other" })),
            ("secrets.use_version", json!({ "secret": "app", "version": first })),
            ("secrets.use_version", json!({ "secret": "plain", "version": "other" })),
        ],
    );
    let stage = Stage::of(World::load(SECRETS).unwrap());
    let before = stage.world.lock().clone();
    let request = stage.intended("secrets.put", led, "m-1").unwrap();
    assert_eq!(stage.host().probe(&request).unwrap(), Probe::NotDone);
    let Sent::Done(result) = stage.host().send(&request).unwrap() else { panic!("done at once") };
    assert_fits("secrets.put", &result);
    assert_eq!(stage.host().probe(&request).unwrap(), Probe::Done { result: result.clone() });
    for op in ["secrets.describe", "secrets.read"] {
        assert_fits(op, &stage.read(op, json!({ "secret": "app" })).unwrap());
    }
    let Undo::Call { op, args } = stage.undo_of(&request, Some(&result)) else { panic!("it is undone") };
    assert_fits(op, &stage.perform(op, args, "m-2").unwrap());
    assert_eq!(diff(&before, &stage.world.lock()), Vec::<String>::new());
}

const SERVICES: &str = r#"
aws:
  ecs:
    services:
      prod/web: { desired: 2, task_definition: "web:7" }
      prod/bad: { rollouts_end: FAILED }
    task_definitions: { "web:7": { containers: [{ name: web, image: "x:1" }] } }
"#;

#[test]
fn services_are_foreseen_as_they_come() {
    let web = json!({ "cluster": "prod", "service": "web" });
    let none = json!({ "cluster": "prod", "service": "none" });
    let scale = |desired: u32| json!({ "cluster": "prod", "service": "web", "desired": desired });
    let calls = [
        ("ecs.service", web.clone()),
        ("ecs.service", none.clone()),
        ("ecs.tasks", web.clone()),
        ("ecs.task_definition", json!({ "task_definition": "web" })),
        ("ecs.wait_stable", web.clone()),
        ("ecs.scale", scale(0)),
        ("ecs.scale", scale(2)),
        ("ecs.redeploy", web.clone()),
        ("ecs.redeploy", none),
    ];
    assert_foreseen(SERVICES, &calls);
    let stage = Stage::of(World::load(SERVICES).unwrap());
    for op in ["ecs.service", "ecs.tasks"] {
        assert_fits(op, &stage.read(op, web.clone()).unwrap());
    }
    assert_fits("ecs.task_definition", &stage.read("ecs.task_definition", calls[3].1.clone()).unwrap());
    let before = stage.world.lock().clone();
    let request = stage.intended("ecs.scale", scale(0), "m-1").unwrap();
    assert_eq!(stage.host().probe(&request).unwrap(), Probe::NotDone);
    let Sent::Done(result) = stage.host().send(&request).unwrap() else { panic!("done at once") };
    assert_fits("ecs.scale", &result);
    assert_eq!(stage.host().probe(&request).unwrap(), Probe::Done { result: result.clone() });
    let Undo::Call { op, args } = stage.undo_of(&request, Some(&result)) else { panic!("it is undone") };
    assert_fits(op, &stage.perform(op, args, "m-2").unwrap());
    assert_eq!(diff(&before, &stage.world.lock()), Vec::<String>::new());
}
