//! What one may do is asked long before it is done, and what AWS does not say is never taken for allowed.

use muster::model::fault::ErrorClass;
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::faulty::simulator::ANYBODY;
use crate::ground::Ground;
use crate::rds_sandbox::Sandbox;

const RESTORE: &str = "rds:RestoreDBInstanceFromDBSnapshot";
const DELETE: &str = "rds:DeleteDBInstance";
fn database(name: &str) -> String {
    format!("arn:aws:rds:us-east-1:123456789012:db:{name}")
}

fn denied(found: &Value) -> Vec<(&str, &str)> {
    let all = found["denied"].as_array().unwrap();
    all.iter().map(|one| (one["action"].as_str().unwrap(), one["resource"].as_str().unwrap())).collect()
}

#[test]
fn every_action_on_every_resource_is_asked_about_as_the_role_that_is_taken_on() {
    let ground = Ground::new();
    let made = ground
        .form("iam", "Action=CreateRole&Version=2010-05-08&RoleName=recovery&Path=/ops/&AssumeRolePolicyDocument={}");
    let role = "arn:aws:iam::123456789012:role/ops/recovery";
    assert!(made.contains(role), "{made}");
    ground.proxy.allow(role, "rds:", &database("chat"));
    let mut asked = ground.through(json!({ "actions": [RESTORE, DELETE], "resources": [database("chat-r")] }));
    asked["aws"]["role"] = json!(role);
    let found = ground.world.read("iam.simulate", asked.clone()).unwrap();
    assert_eq!((&found["principal"], &found["told"], &found["allowed"]), (&json!(role), &json!(true), &json!(true)));
    assert_eq!(ground.proxy.count("Action=SimulatePrincipalPolicy"), 2, "all pages are read");
    asked["resources"] = json!([database("chat-r"), database("other")]);
    let found = ground.world.read("iam.simulate", asked.clone()).unwrap();
    let other = database("other");
    assert_eq!(denied(&found), [(RESTORE, other.as_str()), (DELETE, other.as_str())]);
    assert_eq!((&found["allowed"], &found["denied"][0]["why"]), (&json!(false), &json!("no policy allows it")));
    // Everything, for one that may do it only to some.
    asked["resources"] = json!([]);
    let found = ground.world.read("iam.simulate", asked).unwrap();
    assert_eq!(denied(&found), [(RESTORE, "*"), (DELETE, "*")]);
}

#[test]
fn an_answer_that_does_not_come_is_no_permission() {
    let ground = Ground::new();
    ground.proxy.allow(ANYBODY, "rds:", "");
    let asked = || ground.through(json!({ "actions": [RESTORE] }));
    ground.proxy.spoil("Action=SimulatePrincipalPolicy", Spoil::Instead(403, "AccessDenied"));
    let found = ground.world.read("iam.simulate", asked()).unwrap();
    assert_eq!((&found["told"], &found["allowed"]), (&json!(false), &json!(false)));
    assert!(found["why_not"].as_str().unwrap().contains("iam:SimulatePrincipalPolicy"), "{found}");
    let whole = ("<EvalDecision>allowed</EvalDecision>", "<EvalDecision>explicitDeny</EvalDecision>");
    ground.proxy.spoil("Action=SimulatePrincipalPolicy", Spoil::Altered(whole.0, whole.1));
    let found = ground.world.read("iam.simulate", asked()).unwrap();
    assert_eq!((&found["allowed"], &found["denied"][0]["forbidden"]), (&json!(false), &json!(true)));
    let mut nobody = asked();
    nobody["principal"] = json!("arn:aws:iam::123456789012:role/nobody");
    let error = ground.world.read("iam.simulate", nobody).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("nobody") && error.hint.as_deref().unwrap().contains("path"), "{error:?}");
    // A client that was throttled goes slowly afterwards: that comes last.
    for spoil in
        [Spoil::Afterwards(500, "ServiceFailure"), Spoil::Unanswered, Spoil::Cut(90), Spoil::Instead(400, "Throttling")]
    {
        ground.proxy.spoil("Action=SimulatePrincipalPolicy", spoil.clone());
        let found = ground.world.read("iam.simulate", asked()).unwrap();
        assert_eq!((&found["principal"], &found["allowed"]), (&json!(ANYBODY), &json!(true)), "{spoil:?}");
    }
}

#[test]
fn the_sandbox_denies_what_its_world_says_and_allows_the_rest() {
    let sandbox = Sandbox::of("aws: { iam: { denied: ['rds:Delete*'] } }");
    let found = sandbox.read("iam.simulate", json!({ "actions": [RESTORE, DELETE] }));
    assert_eq!((denied(&found), &found["told"]), (vec![(DELETE, "*")], &json!(true)));
    let found = sandbox.read("iam.simulate", json!({ "actions": [RESTORE], "resources": [database("chat")] }));
    assert_eq!(found["allowed"], true);
    let sandbox = Sandbox::of("aws: { iam: { silent: 'nobody may ask' } }");
    let found = sandbox.read("iam.simulate", json!({ "actions": [RESTORE] }));
    assert_eq!(
        (&found["told"], &found["allowed"], &found["why_not"]),
        (&json!(false), &json!(false), &json!("nobody may ask"))
    );
}
