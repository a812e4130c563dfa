//! Plans of the playbooks on AWS: each of them asks, and changes nothing.

use serde_json::json;

use crate::rds::instance;
use crate::scene::RELEASE;
use crate::traffic::{ON_AWS, writes};
use crate::vault::Vault;

#[test]
fn what_writes_is_told_from_what_reads_in_every_service() {
    let signed = |service: &str| {
        format!("Authorization: AWS4-HMAC-SHA256 Credential=k/20260101/eu-west-1/{service}/aws4_request, …")
    };
    let request = |service: &str, first: &str, more: &str, body: &str| {
        format!("{first} HTTP/1.1\r\n{}{more}\r\n\r\n{body}", signed(service))
    };
    let reads = [
        request("rds", "POST /", "", "Action=DescribeDBInstances&Version=1"),
        request("sts", "POST /", "", "Action=GetCallerIdentity&Version=1"),
        request("secretsmanager", "POST /", "\r\nX-Amz-Target: secretsmanager.GetSecretValue", "{}"),
        request("ecs", "POST /", "\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListServices", "{}"),
        request("s3", "GET /bucket?list-type=2", "", ""),
        request("s3", "HEAD /bucket/key", "", ""),
        request("backup", "GET /restore-jobs/1", "", ""),
    ];
    assert_eq!(writes(&reads), Vec::<String>::new());
    let wrong = [
        request("rds", "POST /", "", "Action=DeleteDBInstance&Version=1"),
        request("rds", "POST /", "", "Version=1&Action=CreateDBSnapshot"),
        request("secretsmanager", "POST /", "\r\nX-Amz-Target: secretsmanager.PutSecretValue", "Action=GetIt"),
        request("s3", "PUT /bucket/key", "", "Action=GetIt"),
        request("s3", "POST /bucket?delete", "", "Action=GetIt"),
        request("backup", "PUT /restore-jobs", "", "{}"),
        "nonsense".to_owned(),
    ];
    let said = ["rds DeleteDBInstance", "rds CreateDBSnapshot", "secretsmanager PutSecretValue"];
    let more = ["s3 PUT /bucket/key", "s3 POST /bucket?delete", "backup PUT /restore-jobs", "nobody nonsense"];
    assert_eq!(writes(&wrong), [&said[..], &more[..]].concat());
}

#[test]
fn a_plan_of_every_playbook_on_aws_changes_nothing() {
    let Some(vault) = Vault::start("harmless") else { return };
    let (scene, ground) = (&vault.scene, &vault.scene.ground);
    instance(ground, "harmless");
    ground.settle("rds.create_snapshot", json!({ "id": "harmless", "snapshot": "harmless-1" }), "snap").unwrap();
    let objects = || ground.read("s3.list", json!({ "bucket": ground.bucket }));
    scene.install(RELEASE, "harmless.aaaaaaaaaa.us-east-1.rds.amazonaws.com");
    let before = (scene.picture("harmless"), objects());
    for playbook in ON_AWS {
        let (own, more) = match playbook {
            "ai-vault-backup" => (vault.pairs(&[]), vec![("retention", json!(false))]),
            "rds-restore" | "ai-vault-restore" => {
                let mut own = [&[("database", json!("harmless"))], &scene.pointed()[..]].concat();
                if playbook == "ai-vault-restore" {
                    own.push(("base_url", json!("http://127.0.0.1:1")));
                }
                let secret = json!(format!("file:{}", ground.file("password", b"never-shown-8")));
                (own, vec![("from", json!("time")), ("set_password", json!(true)), ("sql_password", secret)])
            }
            // On estates of their own, in `omnichat_backup.rs` and `omnichat_restore.rs`.
            "omnichat-aws-backup" | "omnichat-aws-restore" => continue,
            other => panic!("say here with which parameters {other} is planned on this scene"),
        };
        // Planning holds that nothing is asked that writes.
        for pairs in [own.clone(), [own, more].concat()] {
            scene.plan(playbook, &pairs);
        }
    }
    assert_eq!((scene.picture("harmless"), objects()), before);
}
