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
