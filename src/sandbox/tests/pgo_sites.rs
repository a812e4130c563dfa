//! Two sites of PostgreSQL on one repository: following, promotion, and two that write where one may.

use serde_json::json;

use super::Stage;
use super::pgo::{L, ready, reason};
use crate::model::Value;
use crate::sandbox::World;

/// Two sites on one bucket: one that writes, one that follows.
pub(super) const SITES: &str = r#"
now: 2026-06-21T12:00:00Z
kubernetes:
  pgo:
    clusters:
      east/hippo:
        databases: { hippo: { orders: [{ rows: 1000 }, { ago: 3h, rows: 1500 }] } }
        backups: [{ ago: 20h }]
        spec: &bucket
          backups:
            pgbackrest:
              configuration: [{ secret: { name: s3 } }]
              global: { repo1-path: /hippo/repo1 }
              repos: [{ name: repo1, s3: { bucket: pg, endpoint: s3.example.com, region: eu-west-1 }, schedules: { full: "0 1 * * 0" } }]
      west/hippo:
        spec: { <<: *bucket, standby: { enabled: true, repoName: repo1 } }
"#;

#[test]
fn a_standby_follows_and_writes_neither_stanza_nor_backup() {
    let stage = Stage::of(World::load(SITES).unwrap());
    let (east, west) = (stage.cluster("east", "hippo"), stage.cluster("west", "hippo"));
    assert_eq!((ready(&east), ready(&west)), (&json!(1), &json!(1)), "{west:#}");
    assert_eq!(east["status"]["patroni"], west["status"]["patroni"]);
    assert_eq!(reason(&west, "PGBackRestReplicaRepoReady"), "StanzaNotCreated");
    // The label proves nothing; what Patroni notes does.
    assert_eq!(stage.role_of("west"), ("master".to_owned(), "standby_leader".to_owned()));
    assert_eq!(stage.rows_of("west/hippo", "hippo.orders"), Some(1500));
    let suspended = |namespace: &str| {
        let args = json!({ "kind": "cronjob", "name": "hippo-repo1-full", "namespace": namespace });
        stage.read("k8s.get", args).unwrap()["object"]["spec"]["suspend"].clone()
    };
    assert_eq!((suspended("east"), suspended("west")), (json!(false), json!(true)));
    assert_eq!(
        stage.primaries(),
        [("s3://pg/hippo/repo1".to_owned(), vec!["current/east/postgrescluster/hippo".to_owned()])]
    );
    // Shut down, then promoted: one writes at any time.
    let before = stage.psql("east", "hippo", "SELECT pg_current_wal_lsn()");
    stage.patch("east", "hippo", json!({ "spec": { "shutdown": true } }));
    stage.pass(30);
    assert_eq!(stage.of_kind("east", "pod"), Vec::<String>::new());
    assert_eq!(suspended("east"), true);
    assert_eq!(stage.cluster("east", "hippo")["status"]["instances"], json!([{ "name": "00" }]));
    assert_eq!(stage.psql("west", "hippo", &format!("SELECT pg_last_wal_replay_lsn() >= '{}'", before.trim())), "t\n");
    stage.patch("west", "hippo", json!({ "spec": { "standby": { "enabled": false } } }));
    stage.pass(200);
    let west = stage.cluster("west", "hippo");
    assert_eq!(stage.role_of("west"), ("master".to_owned(), "master".to_owned()));
    assert_eq!(
        stage.psql("west", "hippo", "SELECT pg_is_in_recovery(), timeline_id FROM pg_control_checkpoint()"),
        "f|2\n"
    );
    assert_eq!(stage.psql("west", "hippo", "select pg_is_in_recovery()"), "f\n");
    assert_eq!(stage.psql("west", "hippo", "SELECT timeline_id FROM pg_control_checkpoint()"), "2\n");
    assert_eq!(stage.psql("west", "hippo", "SELECT count(*) FROM orders"), "1500\n");
    assert_eq!(reason(&west, "PGBackRestReplicaCreate"), "RepoBackupComplete", "{west:#}");
    assert_eq!(suspended("west"), false);
    let config =
        stage.read("k8s.get", json!({ "kind": "endpoints", "name": "hippo-ha-config", "namespace": "west" })).unwrap();
    assert!(!config["object"]["metadata"]["annotations"]["config"].as_str().unwrap().contains("standby_cluster"));
    assert_eq!(stage.primaries()[0].1.len(), 1);
    // And both do as soon as somebody starts the old one again.
    stage.patch("east", "hippo", json!({ "spec": { "shutdown": false } }));
    stage.pass(60);
    assert_eq!(stage.primaries()[0].1.len(), 2);
}

#[test]
fn a_shutdown_without_a_leader_stops_nobody() {
    let stage = Stage::of(World::load(SITES).unwrap());
    stage
        .perform(
            "k8s.delete",
            json!({ "kind": "pod", "name": stage.of_kind("east", "pod")[0], "namespace": "east" }),
            "m-pod",
        )
        .unwrap();
    stage.patch("east", "hippo", json!({ "spec": { "shutdown": true } }));
    stage.pass(2);
    assert_eq!(stage.cluster("east", "hippo")["status"]["startupInstance"], Value::Null);
    let stage = Stage::of(World::load(SITES).unwrap());
    stage.patch("east", "hippo", json!({ "spec": { "shutdown": true, "paused": true } }));
    stage.pass(600);
    assert_eq!(stage.primaries()[0].1.len(), 1, "paused, it goes on writing");
}

#[test]
fn whoever_forgets_that_it_is_a_standby_takes_the_repository_over() {
    let stage = Stage::of(World::load(SITES).unwrap());
    let spec = stage.cluster("east", "hippo")["spec"].clone();
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s3", "namespace": "north" }, "data": {} });
    stage.perform("k8s.create", json!({ "object": secret }), "m-secret").unwrap();
    let metadata = json!({ "name": "hippo", "namespace": "north" });
    let object =
        json!({ "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster", "metadata": metadata, "spec": spec });
    stage.perform("k8s.create", json!({ "object": object }), "m-north").unwrap();
    stage.pass(300);
    let (east, north) = (stage.cluster("east", "hippo"), stage.cluster("north", "hippo"));
    assert_ne!(east["status"]["patroni"]["systemIdentifier"], north["status"]["patroni"]["systemIdentifier"]);
    assert_eq!(stage.primaries()[0].1.len(), 2);
    let pgo = stage.settled().pgo.unwrap();
    assert_eq!(
        pgo.repos["s3://pg/hippo/repo1"].system,
        north["status"]["patroni"]["systemIdentifier"].as_str().unwrap()
    );
    assert_eq!(
        stage.psql("east", "hippo", "SELECT failed_count FROM pg_stat_archiver"),
        "1\n",
        "its owner cannot archive any more"
    );
}

#[test]
fn a_clone_into_the_path_of_its_source_makes_two_that_write_one_archive() {
    let stage = Stage::of(World::load(SITES).unwrap());
    let mut spec = stage.cluster("east", "hippo")["spec"].clone();
    spec["dataSource"] = json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1" } });
    let metadata = json!({ "name": "elephant", "namespace": "east" });
    let object =
        json!({ "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster", "metadata": metadata, "spec": spec });
    stage.perform("k8s.create", json!({ "object": object }), "m-clone").unwrap();
    stage.pass(600);
    assert_eq!(stage.primaries()[0].1.len(), 2);
}

#[test]
fn a_standby_without_its_path_or_its_secret_never_comes_up() {
    for (remove, said) in [("global", "unable to load info file"), ("configuration", "403")] {
        let stage = Stage::of(World::load(SITES).unwrap());
        let mut spec = stage.cluster("west", "hippo")["spec"].clone();
        spec["backups"]["pgbackrest"].as_object_mut().unwrap().remove(remove);
        let metadata = json!({ "name": "late", "namespace": "west" });
        let object = json!({ "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster", "metadata": metadata, "spec": spec });
        stage.perform("k8s.create", json!({ "object": object }), "m-late").unwrap();
        stage.pass(600);
        assert_eq!(ready(&stage.cluster("west", "late")), &Value::Null);
        let pod = stage.of_kind("west", "pod").into_iter().find(|name| name.starts_with("late")).unwrap();
        let text = stage.read("k8s.logs", json!({ "pod": pod, "namespace": "west" })).unwrap()["text"].clone();
        assert!(text.as_str().unwrap().contains(said), "{text}");
    }
}

/// What somebody does who moves from one site to the other.
#[derive(Clone, Copy, PartialEq)]
enum Move {
    Shutdown,
    AwaitShutdown,
    Promote,
}

/// Moves, with the operator gone from one instant to another; whether two ever wrote to one repository.
fn splits(moves: &[Move], dead: Option<(u64, u64)>, slow: u64, paused: bool) -> bool {
    let mut world = World::load(SITES).unwrap();
    world.kubernetes.pgo.as_mut().unwrap().operator.delay_ms = slow;
    let stage = Stage::of(world);
    stage.patch("east", "hippo", json!({ "spec": { "paused": paused } }));
    let (mut left, mut split) = (moves.iter().copied().peekable(), false);
    for second in 0..180 {
        if let Some((from, to)) = dead {
            stage.world.lock().kubernetes.pgo.as_mut().unwrap().operator.dead = (from..to).contains(&second);
            if second == to {
                // Whoever comes back looks at everything.
                for site in ["east", "west"] {
                    let args = json!({ "kind": "postgrescluster", "name": "hippo", "namespace": site, "set": { "back": second.to_string() } });
                    stage.perform("k8s.annotate", args, &format!("m-{site}-{second}")).unwrap();
                }
            }
        }
        let next = left.peek().copied();
        if next == Some(Move::AwaitShutdown) {
            if stage.of_kind("east", "pod").is_empty() {
                left.next();
            }
        } else if let Some(next) = next {
            left.next();
            let (site, spec) = match next {
                Move::Shutdown => ("east", json!({ "shutdown": true })),
                _ => ("west", json!({ "standby": { "enabled": false } })),
            };
            let args =
                json!({ "kind": "postgrescluster", "name": "hippo", "namespace": site, "patch": { "spec": spec } });
            stage.perform("k8s.patch", args, &format!("m-{second}")).unwrap();
        }
        stage.pass(1);
        split |= stage.primaries().iter().any(|(_, who)| who.len() > 1);
    }
    split
}

#[test]
fn two_write_to_one_repository_only_when_nobody_waits_for_the_first_to_be_down() {
    let careful = [Move::Shutdown, Move::AwaitShutdown, Move::Promote];
    let hasty = [Move::Shutdown, Move::Promote];
    assert!(splits(&hasty, None, 1_000, true), "paused, the first goes on");
    assert!(!splits(&careful, None, 1_000, true));
    for slow in [1_000, 20_000] {
        for dead in [None, Some((2, 60)), Some((10, 30))] {
            assert!(!splits(&careful, dead, slow, false), "{dead:?} {slow}");
        }
    }
}
