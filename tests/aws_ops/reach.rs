//! How an account is reached: what is tried again, what is refused, and what stops a run until there are fresh credentials.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use muster::clock::{Clock, SystemClock};
use muster::model::fault::ErrorClass;
use muster::ops::ReadHost;
use muster::ops::aws::{Access, Line};
use muster::ops::secrets::Secrets;
use serde_json::json;

use crate::faulty::Spoil;
use crate::ground::Ground;

#[test]
fn the_account_and_region_are_the_target_of_a_run() {
    let ground = Ground::new();
    let found = ground.world.read("sts.identity", ground.through(json!({}))).unwrap();
    assert_eq!((found["account"].as_str(), found["region"].as_str()), (Some("123456789012"), Some("us-east-1")));
    let request = ground.world.request("sts.identity", ground.through(json!({})), "");
    let target = ground.world.host.target(&request).unwrap().unwrap();
    assert_eq!(target.identity, format!("account 123456789012 region us-east-1 at {}", ground.proxy.url()));
    // Asked once, for both.
    assert_eq!(ground.proxy.count("Action=GetCallerIdentity"), 1);
}

#[test]
fn a_read_outlasts_whatever_passes() {
    for spoil in [
        Spoil::Instead(400, "Throttling"),
        Spoil::Instead(503, "ServiceUnavailable"),
        Spoil::Afterwards(500, "InternalFailure"),
        Spoil::Unsent,
        Spoil::Unanswered,
        Spoil::Cut(40),
        Spoil::Late(Duration::from_millis(50)),
    ] {
        let ground = Ground::new();
        ground.proxy.spoil("Action=GetCallerIdentity", spoil.clone());
        let found = ground.world.read("sts.identity", ground.through(json!({})));
        assert!(found.is_ok() && ground.proxy.is_done(), "{spoil:?}: {found:?}");
    }
}

#[test]
fn what_is_refused_is_not_asked_again_and_says_why_in_the_words_of_aws() {
    let ground = Ground::new();
    ground.proxy.spoil("Action=GetCallerIdentity", Spoil::Instead(403, "AccessDenied"));
    let error = ground.world.read("sts.identity", ground.through(json!({}))).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    let said = "cannot ask AWS which account this is: AccessDenied: as the test wants it (request r-1)";
    assert_eq!(error.message, said);
    assert!(error.hint.unwrap().contains("IAM action"));
    assert_eq!(ground.proxy.count("Action=GetCallerIdentity"), 1);
}

#[test]
fn expired_credentials_stop_a_run_and_are_looked_for_anew() {
    let ground = Ground::new();
    for code in ["ExpiredToken", "InvalidClientTokenId", "RequestExpired"] {
        ground.proxy.spoil("Action=GetCallerIdentity", Spoil::Instead(403, code));
        let error = ground.world.read("sts.identity", ground.through(json!({}))).unwrap_err();
        assert_eq!(error.class, ErrorClass::Credentials, "{code}");
        assert!(error.message.contains(code) && error.message.contains("get fresh credentials"), "{error}");
    }
    assert!(ground.world.read("sts.identity", ground.through(json!({}))).is_ok());
}

#[test]
fn expired_credentials_are_told_from_what_is_forbidden_where_s3_gives_no_reason() {
    let ground = Ground::new();
    let looks = [("s3.head", ground.object("k")), ("s3.bucket", ground.through(json!({ "bucket": ground.bucket })))];
    for (op, args) in looks {
        for status in [400, 403] {
            ground.proxy.spoil("HEAD /", Spoil::Instead(status, "ExpiredToken"));
            ground.proxy.spoil("Action=GetCallerIdentity", Spoil::Instead(403, "ExpiredToken"));
            let error = ground.world.read(op, args.clone()).unwrap_err();
            assert_eq!(error.class, ErrorClass::Credentials, "{op}: {error}");
            assert!(ground.proxy.is_done() && error.message.contains("get fresh credentials"), "{error}");
            ground.proxy.spoil("HEAD /", Spoil::Instead(status, "AccessDenied"));
            assert_eq!(ground.world.read(op, args.clone()).unwrap_err().class, ErrorClass::Refused, "{op}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_tried_again_later_and_named() {
    let ground = Ground::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let access = json!({ "region": "eu-west-1", "endpoint": format!("http://{closed}") });
    let mut request = ground.world.request("sts.identity", json!({ "aws": access }), "");
    request.deadline = Some(SystemClock.now().saturating_add(Duration::from_millis(500)).unwrap());
    let error = ground.world.host.read(&request).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.starts_with("cannot ask AWS which account this is: no answer"), "{error}");
    request.deadline = Some(SystemClock.now());
    assert!(ground.world.host.read(&request).unwrap_err().message.contains("its time was over before"));
}

#[test]
fn a_line_for_reading_lets_no_call_out_that_writes() {
    let ground = Ground::new();
    let access =
        Access { region: Some("eu-west-1".to_owned()), endpoint: Some(ground.proxy.url()), ..Access::default() };
    let secrets = Secrets::new([9; 32], Arc::clone(&ground.world.redactor));
    let line = Line::reading(&secrets, &access, None, &SystemClock).unwrap();
    let made = line.call("cannot make a session", |sts: aws_sdk_sts::Client| sts.get_session_token().send());
    assert!(made.is_ok());
    let made = line.call("cannot decode", |sts: aws_sdk_sts::Client| {
        sts.decode_authorization_message().encoded_message("x").send()
    });
    let error = muster::ops::OpError::from(made.unwrap_err());
    assert!(error.message.contains("is no call that reads"), "{error}");
    assert_eq!(ground.proxy.count("Action=DecodeAuthorizationMessage"), 0);
}
