//! Databases of the operator's clusters: renamed, closed, dropped by statements, and brought from one cluster to another by a Job.

use serde_json::json;

use super::Stage;
use super::pgo::{WORLD, clone_of};
use crate::clock::Clock;
use crate::model::Value;
use crate::sandbox::World;

impl Stage {
    /// Statements in the leader of a cluster, each a transaction; the error, if there is one.
    fn says(&self, cluster: &str, statements: &[&str]) -> Option<String> {
        let pods = self.of_kind("shop", "pod");
        let pod = pods.iter().find(|name| name.starts_with(&format!("{cluster}-00-"))).unwrap();
        let mut argv = vec!["psql", "-qAtX", "-d", "postgres"];
        statements.iter().for_each(|statement| argv.extend(["-c", statement]));
        let args =
            json!({ "pod": pod, "namespace": "shop", "container": "database", "argv": argv, "repeatable": true });
        self.perform("k8s.exec", args, "m-exec").err().map(|error| format!("{error} {error:?}"))
    }

    /// The time as pgBackRest takes it.
    fn clock_text(&self) -> String {
        self.clock.now().strftime("%Y-%m-%d %H:%M:%S+00").to_string()
    }

    fn loads(&self, job: Value) -> Result<Value, String> {
        let done = self.perform("k8s.run_job", json!({ "object": job }), &format!("m-{}", job["metadata"]["name"]));
        done.map_err(|error| format!("{error} {error:?}"))
    }
}

fn stage() -> Stage {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let mut elephant =
        clone_of(json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1" } }), "elephant");
    elephant["object"]["spec"]["users"] = json!([{ "name": "postgres" }]);
    stage.perform("k8s.create", elephant, "m-clone").unwrap();
    stage.pass(300);
    stage
}

fn job(name: &str, database: &str, words: &[&str]) -> Value {
    let env = |secret: &str| {
        let from = |name: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } });
        json!([from("PGHOST", "host"), from("PGUSER", "user"), from("PGPASSWORD", "password"), { "name": "PGDATABASE", "value": database }])
    };
    let mut restore = vec!["pg_restore", "--exit-on-error"];
    restore.extend(words);
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "backoffLimit": 0, "template": { "spec": {
            "initContainers": [{ "name": "dump", "image": "i", "command": ["pg_dump", "-Fd", "-f", "/d"], "env": env("elephant-pguser-postgres") }],
            "containers": [{ "name": "load", "image": "i", "command": restore, "env": env("hippo-pguser-hippo") }],
        } } },
    })
}

#[test]
fn a_database_in_use_cannot_be_renamed_until_it_is_closed() {
    let stage = stage();
    let rename = "ALTER DATABASE \"hippo\" RENAME TO \"old\"";
    assert!(stage.says("hippo", &[rename]).unwrap().contains("is being accessed by other users"));
    assert_eq!(stage.rows_of("shop/hippo", "hippo.users"), Some(7));
    assert_eq!(stage.says("hippo", &["ALTER DATABASE hippo ALLOW_CONNECTIONS false", rename]), None);
    assert_eq!((stage.rows_of("shop/hippo", "hippo.users"), stage.rows_of("shop/hippo", "old.users")), (None, Some(7)));
    assert_eq!(stage.psql("shop", "old", "SELECT 1"), "", "it is still closed");
    assert_eq!(stage.says("hippo", &["ALTER DATABASE old ALLOW_CONNECTIONS true"]), None);
    assert_eq!(stage.psql("shop", "old", "SELECT count(*) FROM users"), "7\n");
    assert!(stage.psql("shop", "postgres", "SELECT datname FROM pg_database").contains("old\n"));
}

#[test]
fn statements_of_one_transaction_are_done_together_or_not_at_all() {
    let stage = stage();
    let closed = "ALTER DATABASE hippo ALLOW_CONNECTIONS false; ALTER DATABASE other ALLOW_CONNECTIONS false";
    assert_eq!(stage.says("hippo", &[closed]), None);
    let both = "ALTER DATABASE hippo RENAME TO gone; ALTER DATABASE nobody RENAME TO hippo";
    assert!(stage.says("hippo", &[both]).unwrap().contains("does not exist"));
    assert!(stage.says("hippo", &["ALTER DATABASE hippo RENAME TO other"]).unwrap().contains("already exists"));
    let there = stage.psql("shop", "postgres", "SELECT datname FROM pg_database WHERE NOT datistemplate");
    assert_eq!(there, "hippo\nother\npostgres\n");
    assert_eq!(stage.says("hippo", &["DROP DATABASE IF EXISTS nobody", "DROP DATABASE other"]), None);
    let there = stage.psql("shop", "postgres", "SELECT datname FROM pg_database WHERE NOT datistemplate");
    assert_eq!(there, "hippo\npostgres\n");
}

#[test]
fn what_was_renamed_is_under_its_old_name_in_a_restore_to_before() {
    let stage = stage();
    let at = stage.clock_text();
    stage.pass(120);
    let gone = "ALTER DATABASE other ALLOW_CONNECTIONS false; ALTER DATABASE other RENAME TO gone";
    assert_eq!(stage.says("hippo", &[gone]), None);
    stage.pass(180);
    let options = json!(["--type=time", format!("--target='{at}'")]);
    let source = json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1", "options": options } });
    stage.perform("k8s.create", clone_of(source, "before"), "m-before").unwrap();
    stage.pass(300);
    assert_eq!(stage.rows_of("shop/before", "other.things"), Some(3));
    assert_eq!(stage.rows_of("shop/before", "gone.things"), None);
    assert_eq!(stage.rows_of("shop/hippo", "gone.things"), Some(3));
}

#[test]
fn a_job_brings_a_database_over_and_twice_is_as_once() {
    let stage = stage();
    assert_eq!(stage.says("elephant", &["ALTER DATABASE hippo RENAME TO beside"]), None, "nobody uses a clone");
    let words = ["--create", "--clean", "--if-exists", "--role=lent", "--dbname=postgres"];
    let failed = stage.loads(job("first", "beside", &words)).unwrap_err();
    assert!(failed.contains("BackoffLimitExceeded"), "{failed}");
    assert!(stage.said("shop", "first").contains("role \"lent\" does not exist"));
    assert_eq!(stage.says("hippo", &["CREATE ROLE lent SUPERUSER NOLOGIN; GRANT lent TO hippo"]), None);
    for name in ["second", "third"] {
        stage.loads(job(name, "beside", &words)).unwrap();
        assert_eq!(stage.rows_of("shop/hippo", "beside.users"), Some(7), "{name}");
    }
    // Without `--clean` it would be there already.
    stage.loads(job("fourth", "beside", &words[..1])).unwrap_err();
    assert!(stage.said("shop", "fourth").contains("permission denied to create database"));
    stage.loads(job("fifth", "beside", &["--create", "--role=lent"])).unwrap_err();
    assert!(stage.said("shop", "fifth").contains("already exists"));
    // Into the database that is in use, there would be everything twice, or as here nothing.
    stage.loads(job("sixth", "beside", &["--dbname=hippo"])).unwrap_err();
    assert!(stage.said("shop", "sixth").contains("relation \"users\" already exists"));
    assert_eq!(stage.rows_of("shop/hippo", "hippo.users"), Some(7));
    // What is not there cannot be dumped.
    stage.loads(job("seventh", "nobody", &words)).unwrap_err();
    assert!(stage.said("shop", "seventh").contains("database \"nobody\" does not exist"));
}
