//! The playbooks for Run:ai, live: real helm, kubectl and age against the API server of the tests, on which the sandbox's controllers
//! play; PostgreSQL in its Pod is scripted, and what is streamed out of it goes over websockets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster::engine::{NoObserver, RunState};
use muster::model::Value;
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::plan::file::Base;
use muster::playbook::params::Given;
use muster::playbook::shipped;
use serde_json::json;

use crate::fidelity;
use crate::ground::Ground;
use crate::kube::{LOST, Operator};

/// A Run:ai that was installed by helm, on a cluster with the kinds that it needs.
struct Installed {
    ground: Ground,
    _operator: Operator,
}

/// The definition of a kind.
fn definition(group: &str, kind: &str, scope: &str) -> Value {
    let plural =
        if kind.ends_with('s') { format!("{}es", kind.to_lowercase()) } else { format!("{}s", kind.to_lowercase()) };
    let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": scope,
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} }, "schema": schema }],
        },
    })
}

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: { name: {{ .Release.Name }}-credentials, labels: { app: \"run:ai \\\"quoted\\\"\" } }
stringData: { password: {{ .Values.password | quote }} }
";

/// What a playbook's own world says of a key.
fn of_world(playbook: &str, key: &str) -> Value {
    let world: Value = serde_yaml::from_str(shipped::file(playbook, "world.yaml").unwrap()).unwrap();
    world[key].clone()
}

/// A chart of this name, with these objects beside its Secret.
fn chart(ground: &Ground, name: &str, objects: &[Value]) -> String {
    let at = ground.cluster.folder().join(format!("charts/{name}"));
    std::fs::create_dir_all(at.join("templates")).unwrap();
    std::fs::write(at.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 2.20.31\n")).unwrap();
    std::fs::write(at.join("templates/secret.yaml"), SECRET).unwrap();
    let all: Vec<String> = objects.iter().map(Value::to_string).collect();
    std::fs::write(at.join("templates/all.yaml"), all.join("\n---\n")).unwrap();
    at.to_string_lossy().into_owned()
}

impl Installed {
    /// A cluster with the kinds, and with what the world of a playbook has on it; `prepare` comes before controllers do.
    fn with(playbook: &str, prepare: impl FnOnce(&Ground)) -> Option<Self> {
        let ground = Ground::in_memory()?;
        let folder = ground.cluster.folder().to_owned();
        let kinds = [
            ("run.ai", "RunaiConfig", "Namespaced"),
            ("snapshot.storage.k8s.io", "VolumeSnapshot", "Namespaced"),
            ("snapshot.storage.k8s.io", "VolumeSnapshotContent", "Cluster"),
            ("snapshot.storage.k8s.io", "VolumeSnapshotClass", "Cluster"),
        ];
        let all = kinds.map(|(group, kind, scope)| definition(group, kind, scope).to_string()).join("\n---\n");
        std::fs::write(folder.join("kinds.yaml"), all).unwrap();
        ground.cluster.kubectl(&["create", "-f", folder.join("kinds.yaml").to_str().unwrap()]);
        prepare(&ground);
        let world = format!("kubernetes: {}\n", of_world(playbook, "kubernetes"));
        let operator = Operator::start(&ground.cluster, &world, 200)?;
        std::fs::create_dir(folder.join("backups")).unwrap();
        Some(Self { ground, _operator: operator })
    }

    fn new() -> Option<Self> {
        Self::with("runai-backup", |ground| {
            let releases = [
                (
                    "runai-backend",
                    "runai-backend",
                    "control-plane",
                    "global: { domain: runai.example.com }\npassword: correct-horse\n",
                ),
                (
                    "runai",
                    "runai-cluster",
                    "runai-cluster",
                    "cluster: { uid: 5c1f5fd0-3a6f-4f0a-9c4e-2f61c9a7a001 }\npassword: battery-staple\n",
                ),
            ];
            for (namespace, name, of, values) in releases {
                let (at, file) = (chart(ground, of, &[]), ground.cluster.folder().join("values.yaml"));
                std::fs::write(&file, values).unwrap();
                let file = file.to_string_lossy().into_owned();
                ground.cluster.helm(&[
                    "install",
                    name,
                    &at,
                    "--namespace",
                    namespace,
                    "--create-namespace",
                    "-f",
                    &file,
                ]);
            }
        })
    }

    /// PostgreSQL in its Pod. The connection breaks in the middle of so many dumps.
    fn postgres(&self, breaks: u32) {
        let left = AtomicU32::new(breaks);
        self.ground.cluster.inside(move |program| {
            let words: Vec<&str> = program.argv.iter().map(String::as_str).collect();
            let dump = || "PGDMP".repeat(100_000);
            let printed = match words[..] {
                ["pg_restore", ..] => (i32::from(program.stdin != dump().as_bytes()), String::new()),
                [.., "load", _, database] => (
                    i32::from(!database.starts_with("backend_r_") || program.stdin != dump().as_bytes()),
                    String::new(),
                ),
                [.., "-f", "-"] => (0, String::new()),
                [.., "runai", "pg_dumpall", _, "--globals-only"] => (0, "CREATE ROLE grafana;\n".to_owned()),
                [.., "runai", "pg_dump", _, _, "backend"] => {
                    let broken =
                        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                    (if broken { LOST } else { 0 }, dump())
                }
                [.., sql] if sql.contains("pg_database_size") => (0, "500000\n".to_owned()),
                [.., sql] if sql.contains("query_to_xml") => {
                    (0, "grafana.dashboard|12\npublic.projects|2\n".to_owned())
                }
                _ => return None,
            };
            Some((printed.0, printed.1, String::new()))
        });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.ground.cluster.folder().join(name)
    }

    fn tool(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The public key of an identity that is made for this.
    fn recipient(&self) -> String {
        let identity = self.file("identity");
        self.tool("age-keygen", &["-o", identity.to_str().unwrap()]);
        self.tool("age-keygen", &["-y", identity.to_str().unwrap()]).trim().to_owned()
    }

    fn opened(&self, backup: &str, name: &str) -> String {
        let (identity, sealed) = (self.file("identity"), self.file(&format!("backups/{backup}/{name}.age")));
        self.tool("age", &["--decrypt", "--identity", identity.to_str().unwrap(), sealed.to_str().unwrap()])
    }

    fn backups(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.file("backups")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn params(&self, more: &[(&str, Value)]) -> BTreeMap<String, Value> {
        let cluster = &self.ground.cluster;
        let mut params = BTreeMap::from([
            ("backup_dir".to_owned(), json!(self.file("backups"))),
            ("recipient".to_owned(), json!(self.recipient())),
            ("cluster".to_owned(), json!({ "kubeconfig": cluster.kubeconfig, "context": cluster.context })),
        ]);
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        params
    }

    /// Planned, which writes nothing, and run by that plan; how the two differ.
    fn as_planned(&self, playbook: &str, more: &[(&str, Value)]) -> Vec<String> {
        let mut given = Given::default();
        for (name, value) in self.params(more) {
            given.values.insert(name, Spanned::new(value, Span::default()));
        }
        let app = fidelity::app_over(self.file("planned.db"));
        let writes = self.ground.cluster.writes().len();
        let start = app.prepare(&fidelity::folder(playbook), &given).expect("it can be started");
        let (records, program) = app.plan(&start, None).expect("it is planned");
        assert_eq!(self.ground.cluster.writes()[writes..], Vec::<String>::new(), "a plan of {playbook} wrote");
        let file = app.plan_file((&records, &program), playbook, Base::Live, Duration::from_secs(86_400));
        let file = file.expect("a plan");
        let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
        let run = session.run().clone();
        let report = fidelity::finish(&app, &file, session);
        let state = RunState::fold(&app.records(&run).expect("the journal loads")).expect("the journal folds");
        assert_eq!(report.status, RunStatus::Succeeded, "{playbook}: {:#?} {:#?}", state.pauses, state.steps);
        fidelity::differences(&report)
    }

    /// The program itself, on a store of its own.
    fn run(&self, playbook: &str, params: &Value) -> (Option<i32>, String) {
        let file = self.file("params.json");
        std::fs::write(&file, params.to_string()).unwrap();
        self.muster(&["run", &fidelity::folder(playbook), "-f", file.to_str().unwrap()])
    }

    fn muster(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(args).stdin(Stdio::null());
        let output = command.env("MUSTER_STORE", self.file("muster.db")).env("HOME", self.file("")).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }
}

#[test]
fn a_backup_is_made_as_planned_and_what_is_sealed_in_it_makes_the_secrets_again() {
    let Some(at) = Installed::new() else { return };
    at.postgres(0);
    assert_eq!(at.as_planned("runai-backup", &[]), Vec::<String>::new());
    let backups = at.backups();
    let [backup] = backups.as_slice() else { panic!("{backups:?}") };
    assert!(backup.starts_with("runai-") && !backup.contains("partial"), "{backup}");
    assert_eq!(at.opened(backup, "backend.dump").len(), 500_000);
    assert_eq!(at.opened(backup, "globals.sql"), "CREATE ROLE grafana;\n");
    assert!(at.opened(backup, "control-plane-values.yaml").contains("domain: runai.example.com"));
    let folder = at.file(&format!("backups/{backup}"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["cluster"]["uid"], "5c1f5fd0-3a6f-4f0a-9c4e-2f61c9a7a001");
    assert_eq!(manifest["tables"]["after"], json!("grafana.dashboard|12\npublic.projects|2\n"));
    assert_eq!(manifest["bindings"].as_array().unwrap().len(), 2, "{}", manifest["bindings"]);
    assert!(manifest["volumes"][0]["handle"].as_str().unwrap().starts_with("snap-"), "{}", manifest["volumes"]);
    assert!(!manifest.to_string().contains("correct-horse"));
    let sums = at.tool("sh", &["-c", &format!("cd {} && sha256sum --check --quiet SHA256SUMS", folder.display())]);
    assert_eq!(sums, "");
    // The Secrets come back as they were: contents, labels, and whose they are to helm.
    let manifests = at.opened(backup, "control-plane-secrets.yaml");
    assert!(!manifests.contains("sh.helm.release"), "{manifests}");
    let secret = |at: &Installed| {
        let text = at.ground.cluster.kubectl(&[
            "-n",
            "runai-backend",
            "get",
            "secret",
            "runai-backend-credentials",
            "-o",
            "json",
        ]);
        let found: Value = serde_json::from_str(&text).unwrap();
        let metadata = &found["metadata"];
        json!([found["data"], found["type"], metadata["labels"], metadata["annotations"]])
    };
    let before = secret(&at);
    at.ground.cluster.kubectl(&["-n", "runai-backend", "delete", "secret", "runai-backend-credentials"]);
    std::fs::write(at.file("secrets.yaml"), manifests).unwrap();
    at.ground.cluster.kubectl(&["-n", "runai-backend", "create", "-f", at.file("secrets.yaml").to_str().unwrap()]);
    assert_eq!(secret(&at), before);
}

#[test]
fn a_dump_whose_connection_breaks_in_the_middle_is_taken_again() {
    let Some(at) = Installed::new() else { return };
    at.postgres(1);
    let (code, said) = at.run("runai-backup", &json!(at.params(&[("metrics", json!("skip"))])));
    assert_eq!(code, Some(0), "{said}");
    let backups = at.backups();
    assert_eq!(at.opened(&backups[0], "backend.dump").len(), 500_000);
}

/// Something that answers every request; its address.
fn answering() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    url
}

#[test]
fn a_backup_becomes_the_same_run_ai_on_another_cluster() {
    let Some(old) = Installed::new() else { return };
    old.postgres(0);
    let (code, said) = old.run("runai-backup", &json!(old.params(&[])));
    assert_eq!(code, Some(0), "{said}");
    let Some(new) = Installed::with("runai-recover", |_| {}) else { return };
    new.postgres(0);
    std::fs::create_dir(new.file("opened")).unwrap();
    let charts = of_world("runai-recover", "charts");
    let made = |name: &str| chart(&new.ground, name, charts[format!("/charts/{name}")]["objects"].as_array().unwrap());
    let cluster = &new.ground.cluster;
    let params = json!({
        "backup_dir": old.file("backups"), "identity": old.file("identity"), "work_dir": new.file("opened"),
        "chart": made("control-plane"), "cluster_chart": made("runai-cluster"), "url": answering(),
        "cluster": { "kubeconfig": cluster.kubeconfig, "context": cluster.context },
    });
    let (code, said) = new.run("runai-recover", &params);
    assert_eq!(code, Some(7), "{said}");
    let (code, said) = new.muster(&["approve", "@latest", "cluster", "--break-glass", "-m", "the old one is gone"]);
    assert_eq!(code, Some(0), "{said}");
    let get = |namespace: &str, what: &[&str]| {
        let text = cluster.kubectl(&[&["-n", namespace, "get", "-o", "json"], what].concat());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    // The chart has taken over the Secret as it was, and the claim that was filled from the snapshot.
    let secret = get("runai-backend", &["secret", "runai-backend-credentials"]);
    assert_eq!(secret["data"]["password"], "Y29ycmVjdC1ob3JzZQ==");
    let claim = get("runai-backend", &["pvc", "data-runai-backend-thanos-receive-0"]);
    assert_eq!(claim["spec"]["dataSource"]["kind"], "VolumeSnapshot", "{claim}");
    let backend = get("runai-backend", &["deployment", "runai-backend-backend"]);
    assert_eq!(backend["spec"]["replicas"], 2);
    let config = get("runai", &["runaiconfig", "runai"]);
    assert_eq!(config["spec"]["project-controller"]["createNamespaces"], false, "{config}");
    assert_eq!(get("", &["namespace", "research"])["metadata"]["labels"]["runai/queue"], "team-b");
    assert_eq!(get("runai-team-a", &["rolebinding", "team-a-users"])["subjects"][0]["name"], "ada@example.com");
    let values = cluster.helm(&["get", "values", "runai-cluster", "--namespace", "runai"]);
    assert!(values.contains("5c1f5fd0-3a6f-4f0a-9c4e-2f61c9a7a001"), "{values}");
    assert_eq!(std::fs::read_dir(new.file("opened")).unwrap().count(), 0, "the backup lies open there");
}
