//! The Crunchy PostgreSQL Operator: that it does what it does in life, and above all that its traps are there.

use serde_json::json;

use super::Stage;
use crate::clock::Clock;
use crate::model::Value;
use crate::sandbox::World;
use crate::sandbox::controllers::pgo::{rows, writable_primaries};

pub(super) const L: &str = "postgres-operator.crunchydata.com";

pub(super) const WORLD: &str = r#"
now: 2026-06-21T12:00:00Z
kubernetes:
  pgo:
    clusters:
      shop/hippo:
        databases:
          hippo: { orders: [{ rows: 1000 }, { ago: 4h, rows: 1200 }, { ago: 1h }], users: 7 }
          other: { things: 3 }
        backups: [{ type: full, ago: 26h }, { type: incr, ago: 5h }]
"#;

fn stage() -> Stage {
    Stage::of(World::load(WORLD).unwrap())
}

impl Stage {
    pub(super) fn cluster(&self, namespace: &str, name: &str) -> Value {
        let args = json!({ "kind": "postgrescluster", "name": name, "namespace": namespace });
        self.read("k8s.get", args).unwrap()["object"].clone()
    }

    pub(super) fn patch(&self, namespace: &str, name: &str, patch: Value) {
        let args = json!({ "kind": "postgrescluster", "name": name, "namespace": namespace, "patch": patch });
        let key = format!("m-{}", self.clock.now().as_nanosecond());
        self.perform("k8s.patch", args, &key).unwrap();
        self.pass(1);
    }

    pub(super) fn restores(&self, id: &str, restore: Value) {
        let note = json!({ "annotations": { format!("{L}/pgbackrest-restore"): id } });
        let mut wanted = json!({ "enabled": true, "repoName": "repo1" });
        for (name, value) in restore.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        self.patch(
            "shop",
            "hippo",
            json!({ "metadata": note, "spec": { "backups": { "pgbackrest": { "restore": wanted } } } }),
        );
    }

    pub(super) fn of_kind(&self, namespace: &str, kind: &str) -> Vec<String> {
        let args = json!({ "kind": kind, "namespace": namespace });
        let found = self.read("k8s.list", args).unwrap();
        let names = found["objects"].as_array().unwrap().iter();
        names.map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn rows_of(&self, cluster: &str, table: &str) -> Option<u64> {
        let now = self.clock.now();
        let kubernetes = self.settled();
        let held = kubernetes.pgo.as_ref()?.held(
            &format!("current/{}/postgrescluster/{}", &cluster.split('/').next()?, cluster.split('/').nth(1)?),
            now,
        )?;
        let (database, table) = table.split_once('.')?;
        rows(&held.facts, database, table, now)
    }

    pub(super) fn settled(&self) -> crate::sandbox::kubernetes::Kubernetes {
        let world = self.world.lock();
        world.kubernetes.settled(self.clock.now(), world.manner()).into_owned()
    }

    /// What psql prints in the first Pod of a cluster; nothing when that is not known.
    pub(super) fn psql(&self, namespace: &str, database: &str, sql: &str) -> String {
        let pods = self.of_kind(namespace, "pod");
        let pod = pods.iter().find(|name| name.starts_with("hippo-00-")).unwrap();
        let argv = json!(["psql", "-qAt", "-d", database, "-c", sql]);
        let args = json!({ "pod": pod, "namespace": namespace, "container": "database", "argv": argv });
        self.read("k8s.read", args).map_or_else(|_| String::new(), |said| said["stdout"].as_str().unwrap().to_owned())
    }

    /// What the Pods of Jobs of a namespace have printed, together.
    pub(super) fn said(&self, namespace: &str, part: &str) -> String {
        let pods = self.of_kind(namespace, "pod").into_iter().filter(|name| name.contains(part));
        let said = pods.map(|pod| self.read("k8s.logs", json!({ "pod": pod, "namespace": namespace })).unwrap());
        said.map(|said| said["text"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn primaries(&self) -> Vec<(String, Vec<String>)> {
        writable_primaries(&self.world.lock().kubernetes, self.clock.now()).into_iter().collect()
    }

    pub(super) fn role_of(&self, namespace: &str) -> (String, String) {
        let found = self
            .read("k8s.list", json!({ "kind": "pod", "namespace": namespace, "labels": format!("{L}/data=postgres") }))
            .unwrap();
        let pod = found["objects"].as_array().unwrap().first().cloned().unwrap_or_default();
        let status = pod["metadata"]["annotations"]["status"].as_str().unwrap_or("{}").to_owned();
        let status: Value = serde_json::from_str(&status).unwrap();
        let label = pod["metadata"]["labels"][format!("{L}/role")].as_str().unwrap_or_default().to_owned();
        (label, status["role"].as_str().unwrap_or_default().to_owned())
    }
}

pub(super) fn reason<'v>(cluster: &'v Value, kind: &str) -> &'v str {
    let conditions = cluster["status"]["conditions"].as_array().unwrap().iter();
    conditions.into_iter().find(|one| one["type"] == kind).and_then(|one| one["reason"].as_str()).unwrap_or("none")
}

pub(super) fn ready(cluster: &Value) -> &Value {
    &cluster["status"]["instances"][0]["readyReplicas"]
}

#[test]
fn a_declared_cluster_stands_as_the_operator_would_have_made_it() {
    let stage = stage();
    let hippo = stage.cluster("shop", "hippo");
    assert_eq!(ready(&hippo), 1, "{hippo:#}");
    assert_eq!(hippo["status"]["observedGeneration"], hippo["metadata"]["generation"]);
    assert!(hippo["status"]["patroni"]["systemIdentifier"].is_string());
    assert_eq!(reason(&hippo, "PGBackRestReplicaCreate"), "RepoBackupComplete");
    assert_eq!(reason(&hippo, "PGBackRestRepoHostReady"), "RepoHostReady");
    let repo = &hippo["status"]["pgbackrest"]["repos"][0];
    assert_eq!((&repo["stanzaCreated"], &repo["bound"]), (&json!(true), &json!(true)));
    assert_eq!(hippo["status"]["pgbackrest"]["restore"], Value::Null, "what is zero is not there");
    assert_eq!(stage.of_kind("shop", "sts").len(), 2);
    assert_eq!(stage.role_of("shop"), ("master".to_owned(), "master".to_owned()));
    assert_eq!(stage.rows_of("shop/hippo", "hippo.orders"), None, "it was dropped an hour ago");
    assert_eq!(stage.settled().pgo.unwrap().repos.values().next().unwrap().backups.len(), 2);
    assert!(stage.settled().agenda.is_empty(), "{:?}", stage.settled().agenda);
}

#[test]
fn a_restore_in_place_brings_back_what_was_there_then() {
    let stage = stage();
    let system = stage.cluster("shop", "hippo")["status"]["patroni"]["systemIdentifier"].clone();
    stage.restores("id1", json!({ "options": ["--type=time", "--target='2026-06-21 10:30:00+00'"] }));
    let hippo = stage.cluster("shop", "hippo");
    assert_eq!(reason(&hippo, "PGBackRestoreProgressing"), "RestoreInPlaceRequested");
    assert_eq!(
        hippo["status"]["pgbackrest"],
        json!({ "restore": { "id": "id1", "finished": false } }),
        "all else is wiped"
    );
    stage.pass(15);
    let hippo = stage.cluster("shop", "hippo");
    assert_eq!(reason(&hippo, "PGBackRestoreProgressing"), "ReadyForRestore");
    assert_eq!(
        (&hippo["status"]["patroni"], &hippo["status"]["pgbackrest"]["restore"]["active"]),
        (&Value::Null, &json!(1))
    );
    assert_ne!(hippo["status"]["observedGeneration"], hippo["metadata"]["generation"]);
    assert_eq!(stage.of_kind("shop", "sts"), ["hippo-repo-host"]);
    stage.pass(300);
    let hippo = stage.cluster("shop", "hippo");
    let restore = &hippo["status"]["pgbackrest"]["restore"];
    assert_eq!((&restore["finished"], &restore["succeeded"]), (&json!(true), &json!(1)), "{hippo:#}");
    assert_eq!(reason(&hippo, "PGBackRestoreProgressing"), "none");
    assert_eq!(reason(&hippo, "PostgresDataInitialized"), "PGBackRestRestoreComplete");
    assert_eq!(hippo["status"]["patroni"]["systemIdentifier"], system);
    assert_eq!(hippo["status"]["observedGeneration"], hippo["metadata"]["generation"]);
    assert!(!stage.of_kind("shop", "job").contains(&"hippo-pgbackrest-restore".to_owned()), "never rely on the Job");
    assert_eq!(stage.rows_of("shop/hippo", "hippo.orders"), Some(1200));
    assert_eq!(reason(&hippo, "PGBackRestReplicaCreate"), "RepoBackupComplete");
    let kubernetes = stage.settled();
    let pgo = kubernetes.pgo.unwrap();
    let stanza = pgo.repos.values().next().unwrap();
    assert_eq!(
        (stanza.backups.len(), stanza.wal.last().unwrap().timeline),
        (3, 2),
        "a backup follows, on a timeline of its own"
    );
    // The same id again is ignored without a word.
    stage.restores("id1", json!({ "options": ["--type=time", "--target='2026-06-21 09:00:00+00'"] }));
    stage.pass(60);
    assert_eq!(stage.cluster("shop", "hippo")["status"]["pgbackrest"]["restore"]["id"], "id1");
    assert_eq!(ready(&stage.cluster("shop", "hippo")), 1);
}

#[test]
fn what_is_wrong_with_a_restore_is_found_only_after_the_teardown_and_told_by_an_event_alone() {
    for wrong in [
        json!({ "repoName": "repo3" }),
        json!({ "options": ["--repo=1"] }),
        json!({ "options": ["--target-action=pause"] }),
        json!({ "clusterName": "nobody" }),
    ] {
        let stage = stage();
        stage.restores("id1", wrong.clone());
        stage.pass(3600);
        let hippo = stage.cluster("shop", "hippo");
        assert_eq!(ready(&hippo), &json!(1), "{wrong}: the status still says that it is ready, and it is down");
        assert!(stage.of_kind("shop", "pod").iter().all(|name| name.contains("repo-host")), "{wrong}");
        assert_eq!(hippo["status"]["pgbackrest"]["restore"], json!({ "id": "id1", "finished": false }));
        assert_eq!(reason(&hippo, "PGBackRestoreProgressing"), "ReadyForRestore");
        let events =
            stage.read("k8s.list", json!({ "kind": "event", "namespace": "shop", "fields": "type=Warning" })).unwrap();
        assert_eq!(events["objects"][0]["reason"], "InvalidDataSource", "{wrong}");
    }
}

#[test]
fn a_restore_that_fails_is_finished_and_stays_in_progress_until_its_options_change() {
    let stage = stage();
    // Later than the last backup's stop, but nothing was committed since.
    stage.restores("id1", json!({ "options": ["--type=time", "--target='2026-06-21 23:00:00+00'"] }));
    stage.pass(200);
    let hippo = stage.cluster("shop", "hippo");
    let restore = &hippo["status"]["pgbackrest"]["restore"];
    assert!(restore["failed"].as_u64().unwrap() > 0 && restore["finished"] == false, "{restore}");
    stage.pass(3600);
    let hippo = stage.cluster("shop", "hippo");
    let restore = &hippo["status"]["pgbackrest"]["restore"];
    assert_eq!(
        (&restore["finished"], &restore["succeeded"], &restore["failed"]),
        (&json!(true), &Value::Null, &json!(7))
    );
    assert_eq!(reason(&hippo, "PostgresDataInitialized"), "PGBackRestRestoreFailed");
    assert_eq!(reason(&hippo, "PGBackRestoreProgressing"), "ReadyForRestore");
    let said = stage.said("shop", "pgbackrest-restore");
    assert!(said.contains("recovery ended before configured recovery target was reached"), "{said}");
    stage.restores("id1", json!({ "options": ["--type=time", "--target='2026-06-21 08:00:00+00'"] }));
    stage.pass(600);
    assert_eq!(stage.rows_of("shop/hippo", "hippo.orders"), Some(1200));
    assert_eq!(stage.cluster("shop", "hippo")["status"]["pgbackrest"]["restore"]["succeeded"], 1);
}

#[test]
fn a_restore_that_was_begun_leaves_nothing_to_go_back_to() {
    let stage = stage();
    stage.restores("id1", json!({}));
    stage.pass(4);
    let off = json!({ "spec": { "backups": { "pgbackrest": { "restore": { "enabled": false } } } } });
    stage.patch("shop", "hippo", off.clone());
    stage.pass(120);
    assert_eq!(ready(&stage.cluster("shop", "hippo")), 1, "before the Job it starts on its old data");
    stage.restores("id2", json!({}));
    stage.pass(30);
    stage.patch("shop", "hippo", off);
    stage.pass(3);
    assert!(stage.settled().pgo.unwrap().data.values().all(|data| data.half));
}

pub(super) fn clone_of(source: Value, name: &str) -> Value {
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    json!({ "object": {
        "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster", "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "dataSource": source, "postgresVersion": 14, "instances": [{ "dataVolumeClaimSpec": claim }],
            "backups": { "pgbackrest": { "repos": [{ "name": "repo1", "volume": { "volumeClaimSpec": claim } }] } },
        },
    } })
}

#[test]
fn a_data_source_that_is_left_in_the_spec_rebuilds_the_cluster_from_it_once_a_restore_in_place_is_over() {
    let stage = stage();
    let source = json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1" } });
    stage.perform("k8s.create", clone_of(source, "elephant"), "m-clone").unwrap();
    stage.pass(600);
    let elephant = stage.cluster("shop", "elephant");
    assert_eq!(elephant["status"]["pgbackrest"]["restore"]["id"], "~pgo-bootstrap-elephant");
    assert_eq!(elephant["status"]["pgbackrest"]["restore"]["succeeded"], 1, "{elephant:#}");
    assert_eq!(ready(&elephant), 1);
    assert_eq!(elephant["status"]["patroni"], stage.cluster("shop", "hippo")["status"]["patroni"]);
    assert_eq!(reason(&elephant, "PGBackRestReplicaCreate"), "RepoBackupComplete");
    assert_eq!(stage.rows_of("shop/elephant", "hippo.users"), Some(7));
    let note = json!({ "annotations": { format!("{L}/pgbackrest-restore"): "id1" } });
    let restore = |enabled: bool| json!({ "backups": { "pgbackrest": { "restore": { "enabled": enabled, "repoName": "repo1" } } } });
    stage.patch("shop", "elephant", json!({ "metadata": note, "spec": restore(true) }));
    stage.pass(600);
    assert_eq!(stage.cluster("shop", "elephant")["status"]["pgbackrest"]["restore"]["id"], "id1");
    assert_eq!(ready(&stage.cluster("shop", "elephant")), 1);
    stage.patch("shop", "elephant", json!({ "spec": restore(false) }));
    let elephant = stage.cluster("shop", "elephant");
    assert_eq!(elephant["status"]["pgbackrest"]["restore"]["id"], "~pgo-bootstrap-elephant");
    assert_eq!(reason(&elephant, "PGBackRestoreProgressing"), "RestoreInPlaceRequested", "it is torn down again");
    // Without it nothing happens.
    stage.pass(600);
    stage.patch("shop", "elephant", json!({ "spec": { "dataSource": null } }));
    stage.pass(60);
    let elephant = stage.cluster("shop", "elephant");
    assert_eq!((ready(&elephant), reason(&elephant, "PGBackRestoreProgressing")), (&json!(1), "none"));
    // It goes with all that it has, and leaves its source alone.
    let args = json!({ "kind": "postgrescluster", "name": "elephant", "namespace": "shop" });
    stage.perform("k8s.delete", args, "m-gone").unwrap();
    stage.pass(5);
    assert!(stage.of_kind("shop", "pvc").iter().all(|name| name.starts_with("hippo")));
    let pgo = stage.settled().pgo.unwrap();
    assert_eq!((pgo.data.len(), pgo.repos.len()), (1, 1));
}

#[test]
fn a_restore_of_one_database_in_place_zeroes_every_other() {
    let stage = stage();
    stage.restores("id1", json!({ "options": ["--db-include=hippo", "--type=immediate"] }));
    stage.pass(600);
    let pgo = stage.settled().pgo.unwrap();
    assert_eq!(pgo.data.values().next().unwrap().zeroed, ["other"]);
}

#[test]
fn a_clone_needs_a_source_that_runs() {
    let stage = stage();
    stage.patch("shop", "hippo", json!({ "spec": { "shutdown": true } }));
    stage.pass(60);
    assert_eq!(stage.of_kind("shop", "pod"), Vec::<String>::new());
    let source = json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1" } });
    stage.perform("k8s.create", clone_of(source, "elephant"), "m-clone").unwrap();
    stage.pass(200);
    let failed = stage.cluster("shop", "elephant")["status"]["pgbackrest"]["restore"]["failed"].as_u64();
    assert!(failed > Some(0), "nobody answers at its repository's host");
}

#[test]
fn a_backup_is_made_once_for_each_id_and_not_at_all_without_a_word_when_something_is_missing() {
    let stage = stage();
    let asks = |id: &str, manual: Value| {
        let note = json!({ "annotations": { format!("{L}/pgbackrest-backup"): id } });
        stage.patch(
            "shop",
            "hippo",
            json!({ "metadata": note, "spec": { "backups": { "pgbackrest": { "manual": manual } } } }),
        );
        stage.pass(120);
        stage.cluster("shop", "hippo")["status"]["pgbackrest"]["manualBackup"].clone()
    };
    assert_eq!(asks("a", Value::Null), Value::Null, "without spec.manual nothing happens");
    let done = asks("b", json!({ "repoName": "repo1", "options": ["--type=full"] }));
    assert_eq!((&done["id"], &done["finished"], &done["succeeded"]), (&json!("b"), &json!(true), &json!(1)));
    assert_eq!(reason(&stage.cluster("shop", "hippo"), "PGBackRestManualBackupSuccessful"), "ManualBackupComplete");
    let count = || stage.settled().pgo.unwrap().repos.values().next().unwrap().backups.len();
    assert_eq!(count(), 3);
    assert_eq!(asks("b", json!({ "repoName": "repo1", "options": ["--type=diff"] }))["id"], "b");
    assert_eq!(count(), 3, "the same id is no new backup");
    assert_eq!(asks("c", json!({ "repoName": "repo2" }))["id"], "b");
    let events = stage
        .read("k8s.list", json!({ "kind": "event", "namespace": "shop", "fields": "reason=InvalidBackupRepo" }))
        .unwrap();
    assert_eq!(events["objects"].as_array().unwrap().len(), 1);
    stage.patch("shop", "hippo", json!({ "spec": { "paused": true } }));
    assert_eq!(asks("d", json!({ "repoName": "repo1", "options": null }))["id"], "b", "paused, it does nothing");
    stage.patch("shop", "hippo", json!({ "spec": { "paused": false } }));
    stage.pass(120);
    assert_eq!(
        stage.cluster("shop", "hippo")["status"]["pgbackrest"]["manualBackup"]["id"],
        "d",
        "and at once when it is not"
    );
    assert_eq!(count(), 4);
}

#[test]
fn programs_in_pods_answer_what_recoveries_ask() {
    let stage = stage();
    assert_eq!(
        stage.psql("shop", "hippo", "SELECT datname FROM pg_database WHERE NOT datistemplate"),
        "hippo\nother\npostgres\n"
    );
    assert_eq!(
        stage.psql("shop", "hippo", "SELECT last_archived_time, failed_count FROM pg_stat_archiver;"),
        "2026-06-21 12:00:00+00|0\n"
    );
    assert_eq!(stage.psql("shop", "hippo", "SELECT extract(epoch from now())::bigint AS at"), "1782043200\n");
    let argv = json!(["pgbackrest", "info", "--output=json", "--stanza=db", "--repo=1"]);
    let args = json!({ "pod": "hippo-repo-host-0", "namespace": "shop", "container": "pgbackrest", "argv": argv });
    let said = stage.read("k8s.read", args).unwrap()["stdout"].as_str().unwrap().to_owned();
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told[0]["status"]["code"], 0);
    let backups = told[0]["backup"].as_array().unwrap();
    assert_eq!((&backups[0]["type"], &backups[1]["prior"]), (&json!("full"), &backups[0]["label"]));
    assert_eq!(
        told[0]["db"][0]["system-id"].to_string(),
        stage.psql("shop", "hippo", "SELECT system_identifier FROM pg_control_system()").trim()
    );
    let pod = stage.of_kind("shop", "pod").into_iter().find(|name| name.contains("-00-")).unwrap();
    let unknown = json!({ "pod": pod, "namespace": "shop", "argv": ["psql", "-qAt", "-c", "SELECT everything()"] });
    assert!(stage.read("k8s.read", unknown).unwrap_err().message.contains("the sandbox does not know"));
}

#[test]
fn a_backup_that_a_restore_has_left_behind_leads_nowhere() {
    let stage = stage();
    // A backup after the instant that it goes back to, then back to before that.
    stage.restores("id1", json!({ "options": ["--type=time", "--target='2026-06-21 06:00:00+00'"] }));
    stage.pass(600);
    assert_eq!(stage.psql("shop", "hippo", "SELECT count(*) FROM orders"), "1000\n", "before the second thousand");
    assert_eq!(stage.psql("shop", "hippo", "SELECT timeline_id FROM pg_control_checkpoint()"), "2\n");
    // The backup at 07:00 is on timeline 1, which timeline 2 left at 06:00.
    stage.restores("id2", json!({ "options": ["--type=time", "--target='2026-06-21 11:30:00+00'"] }));
    stage.pass(200);
    let failed = stage.cluster("shop", "hippo")["status"]["pgbackrest"]["restore"]["failed"].as_u64();
    assert!(failed > Some(0));
    let said = stage.said("shop", "pgbackrest-restore");
    assert!(said.contains("is not a child of this server's history"), "{said}");
    stage.restores(
        "id3",
        json!({ "options": ["--type=time", "--target='2026-06-21 10:30:00+00'", "--target-timeline=1"] }),
    );
    stage.pass(600);
    assert_eq!(stage.psql("shop", "hippo", "SELECT count(*) FROM orders"), "1200\n");
}

#[test]
fn a_restore_of_a_cluster_that_is_shut_down_cannot_reach_its_volume() {
    let stage = stage();
    stage.patch("shop", "hippo", json!({ "spec": { "shutdown": true } }));
    stage.pass(60);
    stage.restores("id1", json!({}));
    stage.pass(200);
    let hippo = stage.cluster("shop", "hippo");
    assert!(hippo["status"]["pgbackrest"]["restore"]["failed"].as_u64() > Some(0), "{hippo:#}");
    assert_eq!(stage.of_kind("shop", "sts"), ["hippo-repo-host"]);
}

#[test]
fn a_backup_that_was_asked_for_is_made_again_after_a_restore_when_its_job_is_gone() {
    let stage = stage();
    let note = json!({ "annotations": { format!("{L}/pgbackrest-backup"): "a" } });
    let manual = json!({ "repoName": "repo1", "options": ["--type=full"] });
    stage.patch(
        "shop",
        "hippo",
        json!({ "metadata": note, "spec": { "backups": { "pgbackrest": { "manual": manual } } } }),
    );
    stage.pass(120);
    let full = || {
        stage
            .settled()
            .pgo
            .unwrap()
            .repos
            .values()
            .next()
            .unwrap()
            .backups
            .iter()
            .filter(|one| one.kind == "full")
            .count()
    };
    assert_eq!(full(), 2);
    let job = stage.of_kind("shop", "job").into_iter().find(|name| name.contains("-backup-")).unwrap();
    stage.perform("k8s.delete", json!({ "kind": "job", "name": job, "namespace": "shop" }), "m-job").unwrap();
    stage.restores("id1", json!({}));
    stage.pass(600);
    assert_eq!(full(), 3);
}

#[test]
fn a_secret_that_is_missing_holds_a_restore_up_without_failing_it() {
    let stage = Stage::of(World::load(super::pgo_sites::SITES).unwrap());
    let claim = json!({ "resources": { "requests": { "storage": "1Gi" } } });
    let source = json!({ "pgbackrest": {
        "stanza": "db", "configuration": [{ "secret": { "name": "s3" } }], "global": { "repo1-path": "/hippo/repo1" },
        "repo": { "name": "repo1", "s3": { "bucket": "pg", "endpoint": "s3.example.com", "region": "eu-west-1" } },
    } });
    let mut object = clone_of(source, "rhino");
    object["object"]["spec"]["instances"] = json!([{ "name": "00", "dataVolumeClaimSpec": claim }]);
    stage.perform("k8s.create", object, "m-rhino").unwrap();
    stage.pass(300);
    let restore = || stage.cluster("shop", "rhino")["status"]["pgbackrest"]["restore"].clone();
    assert_eq!((&restore()["active"], &restore()["failed"]), (&json!(1), &Value::Null));
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s3", "namespace": "shop" }, "data": {} });
    stage.perform("k8s.create", json!({ "object": secret }), "m-secret").unwrap();
    stage.pass(400);
    assert_eq!(restore()["succeeded"], 1);
    assert_eq!(stage.rows_of("shop/rhino", "hippo.orders"), Some(1500));
}
