//! Services of ECS: quiesced and started again, deployed anew, and waited for, whatever the way to the server does.

use muster::model::fault::ErrorClass;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::rds::SPOILS;
use crate::rds_sandbox::Sandbox;

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
const UPDATE: &str = "AmazonEC2ContainerServiceV20141113.UpdateService";
const DESCRIBE: &str = "AmazonEC2ContainerServiceV20141113.DescribeServices";

fn ask(ground: &Ground, call: &str, body: Value) -> Value {
    ground.json("ecs", &format!("{TARGET}.{call}"), &body)
}

/// A service that is to have so many tasks; moto starts none.
fn service(ground: &Ground, name: &str, desired: u32) -> Value {
    ask(ground, "CreateCluster", json!({ "clusterName": "prod" }));
    let container = json!({
        "name": "web", "image": "ghcr.io/open-webui/open-webui:v0.5.18", "memory": 128,
        "environment": [{ "name": "PASSWORD_OF", "value": "never-shown-1" }],
        "secrets": [{ "name": "DATABASE_URL", "valueFrom": "arn:aws:secretsmanager:us-east-1:1:secret:app-a1B2c3:database_url::" }],
    });
    ask(ground, "RegisterTaskDefinition", json!({ "family": name, "containerDefinitions": [container] }));
    let body = json!({ "cluster": "prod", "serviceName": name, "taskDefinition": name, "desiredCount": desired });
    ask(ground, "CreateService", body);
    json!({ "cluster": "prod", "service": name })
}

fn with(args: &Value, more: Value) -> Value {
    let mut args = args.clone();
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

fn undo(request: &Request) -> Undo {
    let Backend::Write(entry) = &request.op.backend else { panic!("no effect") };
    (entry.undo)(&request.args, &request.before, &request.key)
}

#[test]
fn a_service_and_what_it_runs_are_described() {
    let ground = Ground::new();
    let args = service(&ground, "seen", 2);
    let found = ground.read("ecs.service", args.clone());
    assert_eq!((&found["exists"], &found["status"], &found["desired"]), (&json!(true), &json!("ACTIVE"), &json!(2)));
    assert_eq!(
        (&found["deployments"][0]["status"], found["deployments"].as_array().unwrap().len()),
        (&json!("PRIMARY"), 1)
    );
    let definition = ground.read("ecs.task_definition", json!({ "task_definition": found["task_definition"] }));
    assert_eq!((&definition["family"], &definition["revision"]), (&json!("seen"), &json!(1)));
    let container = &definition["containers"][0];
    assert_eq!((&container["name"], &container["variables"]), (&json!("web"), &json!(["PASSWORD_OF"])));
    assert!(container["secrets"]["DATABASE_URL"].as_str().unwrap().ends_with(":database_url::"), "{container}");
    assert!(!definition.to_string().contains("never-shown"), "{definition}");
    assert_eq!(ground.read("ecs.tasks", args), json!({ "running": 0, "tasks": [] }));
    let nobody = json!({ "cluster": "prod", "service": "nobody" });
    assert_eq!(ground.read("ecs.service", nobody.clone())["exists"], false);
    assert_eq!(ground.read("ecs.task_definition", json!({ "task_definition": "nobody" }))["exists"], false);
    let error = ground.settle("ecs.scale", with(&nobody, json!({ "desired": 0 })), "k").unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("there is none in cluster prod") && error.hint.is_some(), "{error:?}");
}

#[test]
fn a_service_is_quiesced_once_and_started_again_by_the_undo() {
    let ground = Ground::new();
    let args = service(&ground, "quiet", 2);
    let desired = || ground.read("ecs.service", args.clone())["desired"].clone();
    for spoil in SPOILS {
        let none = with(&args, json!({ "desired": 0 }));
        let request = ground.world.ready("ecs.scale", ground.through(none.clone()), "k").unwrap();
        ground.proxy.spoil(UPDATE, spoil.clone());
        let done = ground.settle("ecs.scale", none, "k").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_eq!((done, desired()), (json!({ "desired": 0, "former": 2 }), json!(0)), "{spoil:?}");
        let Undo::Call { op, args } = undo(&request) else { panic!("no undo") };
        ground.settle(op, args.clone(), "u").unwrap();
        // Undone twice is undone once.
        ground.settle(op, args, "u").unwrap();
        assert_eq!(desired(), json!(2), "{spoil:?}");
    }
    let same = ground.world.ready("ecs.scale", ground.through(with(&args, json!({ "desired": 2 }))), "k").unwrap();
    assert_eq!(undo(&same), Undo::Nothing);
}

#[test]
fn a_service_is_deployed_anew_once_whatever_the_way_does() {
    let ground = Ground::new();
    let args = service(&ground, "anew", 1);
    let primary = || ground.read("ecs.service", args.clone())["deployments"][0]["id"].clone();
    for spoil in SPOILS {
        let former = primary();
        ground.proxy.spoil(UPDATE, spoil.clone());
        let done = ground.settle("ecs.redeploy", args.clone(), "k").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_ne!(done["deployment"], former, "{spoil:?}");
        assert_eq!((&done["deployment"], &done["former"]), (&primary(), &former), "{spoil:?}");
    }
    let request = ground.world.ready("ecs.redeploy", ground.through(args.clone()), "k").unwrap();
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    ground.proxy.spoil(UPDATE, Spoil::Unanswered);
    assert_eq!(ground.world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Done { .. }));
    assert!(matches!(ground.world.host.send(&request), Ok(Sent::Done(_))));
}

#[test]
fn a_service_is_stable_when_all_its_tasks_are_of_one_deployment() {
    let ground = Ground::new();
    let args = service(&ground, "still", 0);
    let Polled::Ready(found) = ground.poll("ecs.wait_stable", args.clone()).unwrap() else { panic!("not stable") };
    assert_eq!((&found["desired"], &found["running"]), (&json!(0), &json!(0)));
    let id = found["deployments"][0]["id"].clone();
    assert!(matches!(ground.poll("ecs.wait_stable", with(&args, json!({ "deployment": id }))), Ok(Polled::Ready(_))));
    for (from, to, progress) in [
        (r#""rolloutState": "COMPLETED""#, r#""rolloutState": "IN_PROGRESS""#, "0 of 0 run"),
        (r#""desiredCount": 0"#, r#""desiredCount": 2"#, "0 of 2 run"),
    ] {
        ground.proxy.spoil(DESCRIBE, Spoil::Altered(from, to));
        match ground.poll("ecs.wait_stable", args.clone()).unwrap() {
            Polled::Pending { progress: Some(said), .. } => assert!(said.contains(progress), "{said}"),
            other => panic!("{other:?}"),
        }
        assert!(ground.proxy.is_done());
    }
}

#[test]
fn a_deployment_that_fails_or_is_taken_back_ends_the_wait_and_says_why() {
    let ground = Ground::new();
    let args = service(&ground, "broken", 0);
    let (completed, failed) = (r#""rolloutState": "COMPLETED""#, r#""rolloutState": "FAILED""#);
    ground.proxy.spoil(DESCRIBE, Spoil::Altered(completed, failed));
    let error = ground.poll("ecs.wait_stable", args.clone()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Failed);
    assert!(error.message.contains("failed: ECS deployment") && error.hint.is_some(), "{error:?}");
    let back = Spoil::Altered(
        r#""rolloutStateReason": ""#,
        r#""rolloutStateReason": "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1. "#,
    );
    ground.proxy.spoil(DESCRIBE, back);
    let error = ground.poll("ecs.wait_stable", args.clone()).unwrap_err();
    assert!(error.message.contains("circuit breaker"), "{error}");
    // All is as it was before the deployment: the breaker has done its work, and nothing says so any more.
    let gone = with(&args, json!({ "deployment": "ecs-svc/404" }));
    let error = ground.poll("ecs.wait_stable", gone).unwrap_err();
    assert!(error.message.contains("instead of ecs-svc/404"), "{error}");
    let other = with(&args, json!({ "task_definition": "broken:7" }));
    let error = ground.poll("ecs.wait_stable", other).unwrap_err();
    assert!(error.message.contains("instead of broken:7"), "{error}");
    assert!(matches!(
        ground.poll("ecs.wait_stable", with(&args, json!({ "task_definition": "broken:1" }))),
        Ok(Polled::Ready(_))
    ));
}

#[test]
fn the_sandbox_quiesces_starts_and_rolls_out_in_virtual_time() {
    let sandbox = Sandbox::of(
        "aws: { ecs: { services: { prod/web: { desired: 2, task_definition: 'web:7' }, prod/bad: { rollouts_end: FAILED } },
           task_definitions: { 'web:7': { containers: [{ name: web, image: 'x:1' }] } } } }",
    );
    let before = sandbox.host.world().lock().clone();
    let args = json!({ "cluster": "prod", "service": "web" });
    assert_eq!(sandbox.read("ecs.tasks", args.clone())["running"], 2);
    assert_eq!(sandbox.read("ecs.task_definition", json!({ "task_definition": "web" }))["revision"], 7);
    sandbox.write("ecs.scale", with(&args, json!({ "desired": 0 })), "k1").unwrap();
    let (found, seen, _) = sandbox.wait("ecs.wait_stable", args.clone());
    assert_eq!((&found.unwrap()["running"], seen), (&json!(0), vec!["service web: 2 of 0 run".to_owned()]));
    sandbox.write("ecs.scale", with(&args, json!({ "desired": 2 })), "u1").unwrap();
    let (found, seen, _) = sandbox.wait("ecs.wait_stable", args.clone());
    assert_eq!((&found.unwrap()["running"], seen), (&json!(2), vec!["service web: 0 of 2 run, 2 start".to_owned()]));
    assert_eq!(muster::sandbox::diff(&before, &sandbox.host.world().lock()), Vec::<String>::new());
    let done = sandbox.write("ecs.redeploy", args.clone(), "k2").unwrap();
    let (found, _, took) = sandbox.wait("ecs.wait_stable", with(&args, json!({ "deployment": done["deployment"] })));
    assert_eq!(found.unwrap()["deployments"][0]["rollout"], "COMPLETED");
    assert!(took.as_secs() >= 60, "{took:?}");
    let bad = json!({ "cluster": "prod", "service": "bad" });
    sandbox.write("ecs.redeploy", bad.clone(), "k3").unwrap();
    let error = sandbox.wait("ecs.wait_stable", bad).0.unwrap_err();
    assert!(error.message.contains("circuit breaker"), "{error}");
}
