//! Secrets of Secrets Manager: read as handles, given new values that nothing shows, and put back, whatever the way to the
//! server does.

use muster::model::fault::ErrorClass;
use muster::model::secret::is_handle;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{Probe, ReadHost, Request, WriteHost};
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::rds::SPOILS;
use crate::rds_sandbox::Sandbox;

const URL: &str = "postgresql://chat:p%40ss-word-1@old.rds.example:5432/chat_db?sslmode=require";

/// The secret of an application, as a document; its first version.
fn secret(ground: &Ground, name: &str) -> String {
    let document = json!({ "database_url": URL, "webui_secret_key": "web-key-123456", "host": "old.rds.example" });
    let body = json!({ "Name": name, "SecretString": document.to_string(), "ClientRequestToken": "0".repeat(32) });
    ground.json("secretsmanager", "secretsmanager.CreateSecret", &body);
    ground.read("secrets.describe", json!({ "secret": name }))["current"].as_str().unwrap().to_owned()
}

/// What really stands there.
fn stands(ground: &Ground, name: &str) -> Value {
    let found = ground.json(
        "secretsmanager",
        "secretsmanager.GetSecretValue",
        &json!({ "SecretId": name, "VersionStage": "AWSCURRENT" }),
    );
    serde_json::from_str(found["SecretString"].as_str().unwrap()).unwrap()
}

fn undo(request: &Request, result: &Value) -> (&'static str, Value) {
    let Backend::Write(entry) = &request.op.backend else { panic!("no effect") };
    let Undo::Call { op, mut args } = (entry.undo)(&request.args, &request.before, &request.key) else {
        panic!("no undo")
    };
    if args["instead_of"] == "$result/version" {
        args["instead_of"] = result["version"].clone();
    }
    (op, args)
}

#[test]
fn a_secret_is_read_as_handles_and_what_they_stand_for_is_redacted() {
    let ground = Ground::new();
    let version = secret(&ground, "seen/app");
    let found = ground.read("secrets.read", json!({ "secret": "seen/app" }));
    assert_eq!((&found["name"], &found["version"]), (&json!("seen/app"), &json!(version)));
    assert_eq!(found["hosts"], json!({ "database_url": "old.rds.example:5432" }));
    assert!(is_handle(&found["value"]) && is_handle(&found["fields"]["database_url"]), "{found}");
    let shown = found.to_string();
    assert!(!shown.contains("p%40ss") && !shown.contains("web-key"), "{shown}");
    let redactor = ground.world.secrets.redactor();
    for confidential in ["web-key-123456", "p%40ss-word-1", "p@ss-word-1", URL] {
        let clean = redactor.scrub(confidential).into_owned();
        assert!(!clean.contains("word-1") && !clean.contains("123456"), "{clean}");
    }
    // The endpoint of a database is looked up elsewhere, and is no secret.
    assert_eq!(redactor.scrub("old.rds.example"), "old.rds.example");
    assert_eq!(ground.world.secrets.resolve(&found["fields"]["database_url"]).unwrap(), URL);
    assert_eq!(ground.world.secrets.resolve(&found["fields"]["host"]).unwrap(), "old.rds.example");
    assert_eq!(redactor.scrub("old.rds.example"), "old.rds.example");
    // A version never changes: it is fetched once.
    assert_eq!(ground.proxy.count("secretsmanager.GetSecretValue"), 1);
    let none = ground.read("secrets.describe", json!({ "secret": "nobody" }));
    assert_eq!((&none["exists"], &none["current"]), (&json!(false), &json!("")));
    let error = ground.world.read("secrets.read", ground.through(json!({ "secret": "nobody" }))).unwrap_err();
    assert!(error.message.contains("there is none") && error.hint.is_some(), "{error:?}");
}

#[test]
fn a_host_is_changed_once_in_a_secret_that_no_script_sees_and_changed_back() {
    let ground = Ground::new();
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let name = format!("put/{place}");
        let first = secret(&ground, &name);
        let before = stands(&ground, &name);
        let args = json!({
            "secret": name, "hosts": { "database_url": "new.rds.example" }, "set": { "host": "new.rds.example" },
        });
        let request = ground.world.ready("secrets.put", ground.through(args.clone()), "k").unwrap();
        ground.proxy.spoil("secretsmanager.PutSecretValue", spoil.clone());
        let done = ground.settle("secrets.put", args, "k").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let now = stands(&ground, &name);
        assert_eq!(now["database_url"], json!(URL.replace("old.rds", "new.rds")), "{spoil:?}");
        assert_eq!((&now["webui_secret_key"], &now["host"]), (&before["webui_secret_key"], &json!("new.rds.example")));
        let described = ground.read("secrets.describe", json!({ "secret": name }));
        assert_eq!((&described["current"], &described["previous"]), (&done["version"], &json!(first)), "{spoil:?}");
        assert_eq!(described["versions"].as_array().unwrap().len(), 2, "{spoil:?}");
        assert_eq!(
            ground.read("secrets.read", json!({ "secret": name }))["hosts"]["database_url"],
            "new.rds.example:5432"
        );
        let written = format!("{:?} {done}", request.before);
        assert!(!written.contains("p%40ss") && !written.contains("web-key"), "{written}");
        let (op, args) = undo(&request, &done);
        ground.proxy.spoil("secretsmanager.UpdateSecretVersionStage", spoil.clone());
        ground.settle(op, args.clone(), "u").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        // Undone twice is undone once.
        ground.settle(op, args, "u").unwrap();
        assert_eq!(stands(&ground, &name), before, "{spoil:?}");
        assert_eq!(ground.read("secrets.describe", json!({ "secret": name }))["current"], json!(first), "{spoil:?}");
    }
}

#[test]
fn a_value_made_of_handles_is_put_whole_and_by_field() {
    let ground = Ground::new();
    secret(&ground, "from/app");
    let handle = ground.read("secrets.read", json!({ "secret": "from/app" }))["fields"]["webui_secret_key"].clone();
    secret(&ground, "to/app");
    let put = json!({ "secret": "to/app", "set": { "copied": handle } });
    ground.settle("secrets.put", put, "k1").unwrap();
    assert_eq!(stands(&ground, "to/app")["copied"], "web-key-123456");
    let sealed = ground.world.secrets.seal(r#"{"only":"field-7654321"}"#).unwrap();
    ground.settle("secrets.put", json!({ "secret": "to/app", "value": sealed }), "k2").unwrap();
    assert_eq!(stands(&ground, "to/app"), json!({ "only": "field-7654321" }));
}

#[test]
fn what_somebody_else_put_is_neither_overwritten_nor_undone() {
    let ground = Ground::new();
    let first = secret(&ground, "shared/app");
    let theirs = |token: &str| {
        let body = json!({ "SecretId": "shared/app", "SecretString": "{}", "ClientRequestToken": token.repeat(32) });
        ground.json("secretsmanager", "secretsmanager.PutSecretValue", &body);
    };
    let args = ground.through(json!({ "secret": "shared/app", "set": { "host": "new" } }));
    let request = ground.world.ready("secrets.put", args.clone(), "k1").unwrap();
    theirs("1");
    let error = ground.world.host.send(&request).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("meanwhile"), "{error}");
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    let request = ground.world.ready("secrets.put", args, "k2").unwrap();
    let done = ground.world.write("secrets.put", request.args.clone(), "k2").unwrap();
    theirs("2");
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::CannotTell { .. }));
    let (op, args) = undo(&request, &done);
    let error = ground.settle(op, args, "u").unwrap_err();
    assert!(error.message.contains("somebody has put version"), "{error}");
    let gone = json!({ "secret": "shared/app", "version": "9".repeat(32) });
    assert!(ground.settle("secrets.use_version", gone, "k").unwrap_err().message.contains("keeps it no longer"));
    assert_ne!(ground.read("secrets.describe", json!({ "secret": "shared/app" }))["current"], json!(first));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent_and_without_a_word_of_the_secret() {
    let ground = Ground::new();
    secret(&ground, "odd/app");
    for (args, fault) in [
        (json!({}), "nothing to put"),
        (json!({ "value": "x", "set": { "a": "b" } }), "a whole value and fields"),
        (json!({ "hosts": { "absent": "new" } }), "no field `absent`"),
        (json!({ "hosts": { "webui_secret_key": "new" } }), "is no URL"),
        (json!({ "hosts": { "database_url": "a/b" } }), "is no host"),
        (json!({ "hosts": { "host": "new" }, "set": { "host": "new" } }), "in both"),
    ] {
        let mut args = args;
        args["secret"] = json!("odd/app");
        let error = ground.settle("secrets.put", args, "k").unwrap_err();
        assert_eq!(error.class, ErrorClass::Refused);
        assert!(error.message.contains(fault) && error.hint.is_some(), "{error:?}");
        assert!(!format!("{error:?}").contains("web-key"), "{error:?}");
    }
    ground.proxy.spoil("secretsmanager.GetSecretValue", Spoil::Instead(400, "AccessDeniedException"));
    let error = ground.world.read("secrets.read", json!({ "secret": "odd/app", "aws": { "region": "us-east-1", "endpoint": format!("{}/", ground.proxy.url()) } }));
    assert_eq!(error.unwrap_err().class, ErrorClass::Refused);
    assert_eq!(ground.proxy.count("secretsmanager.PutSecretValue"), 0);
}

#[test]
fn the_sandbox_reads_puts_and_goes_back_as_aws_does() {
    let world = format!("aws: {{ secrets: {{ app: {{ value: {{ database_url: '{URL}', key: web-key-123456 }} }} }} }}");
    let sandbox = Sandbox::of(&world);
    let before = sandbox.host.world().lock().clone();
    let first = sandbox.read("secrets.describe", json!({ "secret": "app" }))["current"].clone();
    let args = json!({ "secret": "app", "hosts": { "database_url": "new" } });
    let done = sandbox.write("secrets.put", args, "k").unwrap();
    assert_eq!(done["former"], first);
    let found = sandbox.read("secrets.read", json!({ "secret": "app" }));
    assert_eq!((&found["version"], &found["hosts"]["database_url"]), (&done["version"], &json!("new:5432")));
    assert!(is_handle(&found["fields"]["key"]), "{found}");
    assert_eq!(muster::sandbox::diff(&before, &sandbox.host.world().lock()).len(), 1);
    let error = sandbox.write("secrets.put", json!({ "secret": "app", "hosts": { "key": "new" } }), "k2").unwrap_err();
    assert!(error.message.contains("is no URL"), "{error}");
    let back = json!({ "secret": "app", "version": first, "instead_of": done["version"] });
    sandbox.write("secrets.use_version", back, "u").unwrap();
    assert_eq!(muster::sandbox::diff(&before, &sandbox.host.world().lock()), Vec::<String>::new());
}
