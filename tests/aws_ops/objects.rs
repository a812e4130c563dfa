//! Objects of S3: what is put there is found again whatever became of the answer, and goes away without a trace.

use std::time::Duration;

use muster::model::fault::ErrorClass;
use muster::ops::{Probe, ReadHost, Sent, WriteHost};
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;

/// Nine megabytes and a bit: two parts.
const LARGE: usize = (9 << 20) + 5;

fn put(ground: &Ground, from: &str, key: &str) -> Value {
    ground.through(json!({ "from": from, "bucket": ground.bucket, "key": key }))
}

#[test]
fn a_file_goes_there_and_comes_back_the_same() {
    let ground = Ground::new();
    for (name, contents) in [("small", b"abc".to_vec()), ("large", vec![b'x'; LARGE]), ("none", Vec::new())] {
        let (from, to) = (ground.file(name, &contents), ground.path(&format!("{name}.back")));
        let mut args = put(&ground, &from, name);
        args["encryption"] = json!("aws:kms");
        let stored = ground.world.write("s3.put_file", args, &format!("m-{name}")).unwrap();
        assert_eq!(stored["bytes"], contents.len(), "{name}");
        let head = ground.world.read("s3.head", ground.object(name)).unwrap();
        assert_eq!((&head["made_by"], &head["sha256"]), (&json!(format!("m-{name}")), &stored["sha256"]));
        assert_eq!((&head["encryption"], &head["version"]), (&json!("aws:kms"), &stored["version"]));
        let mut args = ground.object(name);
        args["to"] = json!(to);
        let got = ground.world.write("s3.get_file", args, &format!("m-get-{name}")).unwrap();
        assert_eq!((&got["sha256"], &got["bytes"]), (&stored["sha256"], &stored["bytes"]));
        assert_eq!(std::fs::read(&to).unwrap(), contents);
    }
    assert!(ground.proxy.count("partNumber=") >= 2, "the large one goes in parts");
}

#[test]
fn an_answer_that_is_lost_is_found_by_the_probe_and_nothing_is_put_there_twice() {
    for (name, contents, needle) in
        [("small", b"abc".to_vec(), "PUT /"), ("large", vec![b'x'; LARGE], "<CompleteMultipartUpload")]
    {
        for spoil in [Spoil::Unanswered, Spoil::Afterwards(500, "InternalError"), Spoil::Cut(0)] {
            let ground = Ground::new();
            let from = ground.file(name, &contents);
            let request = ground.world.ready("s3.put_file", put(&ground, &from, name), "m-put").unwrap();
            ground.proxy.spoil(needle, spoil.clone());
            let sent = ground.world.host.send(&request);
            assert!(ground.proxy.is_done(), "{name} {spoil:?}");
            // A body that S3 need not answer with may be missing without harm.
            if let Err(error) = &sent {
                assert_eq!(error.class, ErrorClass::Unknown, "{name} {spoil:?}: {error:?}");
            }
            let found = ground.world.host.probe(&request).unwrap();
            assert!(matches!(&found, Probe::Done { result } if result["bytes"] == contents.len()), "{found:?}");
            assert_eq!(ground.versions(name).len(), 1, "{name} {spoil:?}");
        }
    }
}

#[test]
fn what_never_arrived_is_known_not_to_be_done_and_is_sent_again() {
    for spoil in [Spoil::Unsent, Spoil::Instead(500, "InternalError")] {
        let ground = Ground::new();
        let from = ground.file("x", b"abc");
        let request = ground.world.ready("s3.put_file", put(&ground, &from, "x"), "m-put").unwrap();
        ground.proxy.spoil("PUT /", spoil);
        assert_eq!(ground.world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
        assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
        assert!(matches!(ground.world.host.send(&request).unwrap(), Sent::Done(_)));
    }
}

#[test]
fn throttling_is_outlasted_and_a_refusal_is_not() {
    let ground = Ground::new();
    let from = ground.file("x", b"abc");
    ground.proxy.spoil("PUT /", Spoil::Instead(503, "SlowDown"));
    ground.proxy.spoil("PUT /", Spoil::Late(Duration::from_millis(20)));
    ground.world.write("s3.put_file", put(&ground, &from, "x"), "m-1").unwrap();
    ground.proxy.spoil("PUT /", Spoil::Instead(403, "AccessDenied"));
    let error = ground.world.write("s3.put_file", put(&ground, &from, "y"), "m-2").unwrap_err();
    assert!(error.class == ErrorClass::Refused && error.message.contains("AccessDenied"), "{error}");
    ground.proxy.spoil("PUT /", Spoil::Instead(400, "ExpiredToken"));
    let error = ground.world.write("s3.put_file", put(&ground, &from, "y"), "m-3").unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials);
}

#[test]
fn an_upload_that_was_begun_is_partial_and_its_undo_ends_it() {
    let ground = Ground::new();
    let from = ground.file("large", &vec![b'x'; LARGE]);
    let request = ground.world.ready("s3.put_file", put(&ground, &from, "large"), "m-put").unwrap();
    // The answer to the request that begins it is lost, and with it the name of the upload.
    ground.proxy.spoil("POST /", Spoil::Unanswered);
    assert_eq!(ground.world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
    let found = ground.world.host.probe(&request).unwrap();
    assert!(matches!(&found, Probe::Partial { what } if what.contains("not finished")), "{found:?}");
    assert_eq!(ground.undo(&request, &Value::Null).unwrap(), json!({ "removed": false, "uploads": 1 }));
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    // A part that is lost is sent again, and nothing is left behind.
    ground.proxy.spoil("partNumber=2", Spoil::Unanswered);
    let Sent::Done(stored) = ground.world.host.send(&request).unwrap() else { panic!("it is done at once") };
    assert_eq!(ground.undo(&request, &stored).unwrap(), json!({ "removed": true, "uploads": 0 }));
    assert!(ground.versions("large").is_empty());
}

#[test]
fn what_is_there_is_not_replaced_unasked_and_comes_back_when_it_was() {
    let ground = Ground::new();
    let (old, new) = (ground.file("old", b"old"), ground.file("new", b"new"));
    ground.world.write("s3.put_file", put(&ground, &old, "x"), "m-1").unwrap();
    let error = ground.world.ready("s3.put_file", put(&ground, &new, "x"), "m-2").unwrap_err();
    assert!(error.class == ErrorClass::Refused && error.message.contains("already"), "{error}");
    let before = ground.versions("x");
    let mut args = put(&ground, &new, "x");
    args["replace"] = json!(true);
    let request = ground.world.ready("s3.put_file", args, "m-3").unwrap();
    let Sent::Done(stored) = ground.world.host.send(&request).unwrap() else { panic!("it is done at once") };
    // Somebody puts another one on top: it is found all the same, and only ours goes.
    let mut theirs = put(&ground, &old, "x");
    theirs["replace"] = json!(true);
    let theirs = ground.world.write("s3.put_file", theirs, "m-4").unwrap();
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Done { result } if result == stored));
    ground.undo(&request, &stored).unwrap();
    let left: Vec<String> = ground.versions("x");
    assert_eq!(left.len(), before.len() + 1);
    assert!(left.contains(&theirs["version"].as_str().unwrap().to_owned()));
}

#[test]
fn a_stream_that_breaks_off_is_taken_up_where_it_did() {
    let ground = Ground::new();
    let contents: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let from = ground.file("x", &contents);
    ground.world.write("s3.put_file", put(&ground, &from, "x"), "m-1").unwrap();
    let mut args = ground.object("x");
    args["to"] = json!(ground.path("back"));
    ground.proxy.spoil("GET /", Spoil::Cut(100_000));
    // Not the question for versions of the bucket, which is asked before.
    ground.world.write("s3.get_file", args.clone(), "m-2").unwrap();
    assert!(ground.proxy.is_done() && ground.proxy.count("range: bytes=100000-") == 1);
    assert_eq!(std::fs::read(ground.path("back")).unwrap(), contents);
    args["to"] = json!(ground.path("none"));
    args["key"] = json!("no-such");
    let error = ground.world.ready("s3.get_file", args, "m-3").unwrap_err();
    assert!(error.class == ErrorClass::Refused && error.message.contains("there is no object"), "{error}");
}

#[test]
fn an_older_version_is_brought_back_by_a_copy_to_its_own_name() {
    let ground = Ground::new();
    let (old, new) = (ground.file("old", b"old"), ground.file("new", b"newer"));
    let first = ground.world.write("s3.put_file", put(&ground, &old, "state"), "m-1").unwrap();
    let mut args = put(&ground, &new, "state");
    args["replace"] = json!(true);
    ground.world.write("s3.put_file", args, "m-2").unwrap();
    let args = ground.through(json!({
        "from_bucket": ground.bucket, "from_key": "state", "from_version": first["version"],
        "bucket": ground.bucket, "key": "state", "replace": true,
    }));
    let request = ground.world.ready("s3.copy", args, "m-3").unwrap();
    ground.proxy.spoil("x-amz-copy-source", Spoil::Unanswered);
    assert_eq!(ground.world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
    let Probe::Done { result } = ground.world.host.probe(&request).unwrap() else { panic!("it was done") };
    assert_eq!((&result["sha256"], &result["bytes"]), (&first["sha256"], &json!(3)));
    assert_eq!(ground.versions("state").len(), 3);
    ground.undo(&request, &result).unwrap();
    assert_eq!(ground.world.read("s3.head", ground.object("state")).unwrap()["bytes"], 5);
}

#[test]
fn a_deleted_object_is_hidden_by_one_marker_and_comes_back_without_it() {
    let ground = Ground::new();
    let from = ground.file("x", b"abc");
    ground.world.write("s3.put_file", put(&ground, &from, "x"), "m-1").unwrap();
    let before = ground.versions("x");
    let request = ground.world.ready("s3.delete", ground.object("x"), "m-2").unwrap();
    ground.proxy.spoil("DELETE /", Spoil::Unanswered);
    assert_eq!(ground.world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
    let Probe::Done { result } = ground.world.host.probe(&request).unwrap() else { panic!("it was done") };
    assert_eq!(ground.world.read("s3.head", ground.object("x")).unwrap()["exists"], false);
    // Also when nobody knows the marker: the call may have failed before it was told.
    assert_eq!(ground.undo(&request, &Value::Null).unwrap(), json!({ "removed": true }));
    assert_eq!(ground.undo(&request, &result).unwrap(), json!({ "removed": false }));
    assert_eq!(ground.versions("x"), before);
    let nothing = ground.world.write("s3.delete", ground.object("no-such"), "m-3").unwrap();
    assert_eq!(nothing, json!({ "deleted": false, "marker": "" }));
}

#[test]
fn a_bucket_says_how_it_is_set_and_what_is_in_it() {
    let ground = Ground::new();
    let bucket = |name: &str| ground.world.read("s3.bucket", ground.through(json!({ "bucket": name }))).unwrap();
    assert_eq!(bucket(&ground.bucket)["versioning"], "enabled");
    assert_eq!(bucket("no-such-bucket")["exists"], false);
    let from = ground.file("x", b"abc");
    for key in ["a/1", "a/2", "b"] {
        ground.world.write("s3.put_file", put(&ground, &from, key), &format!("m-{}", key.replace('/', "-"))).unwrap();
    }
    let list = |max: usize| {
        let args = ground.through(json!({ "bucket": ground.bucket, "prefix": "a/", "max": max }));
        ground.world.read("s3.list", args).unwrap()
    };
    assert_eq!((list(10)["objects"].as_array().unwrap().len(), &list(10)["more"]), (2, &json!(false)));
    assert_eq!((&list(1)["objects"][0]["key"], &list(1)["more"]), (&json!("a/1"), &json!(true)));
}
