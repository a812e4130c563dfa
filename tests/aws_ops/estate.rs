//! Estates: what a playbook works on, in an account and a cluster that nobody else uses, and the program itself run there, live, as
//! a process that can be killed. What there is before and after is described whole, so that two runs can be compared.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use muster::engine::RunState;
use muster::journal::{Pause, Store};
use muster::model::StepPath;
use muster::model::status::RunStatus;
use serde_json::{Value, json};

use crate::chat;
use crate::fidelity;
use crate::ground::Ground;
use crate::kube::{self, Cluster};
use crate::rds::instance;
use crate::vaulting::Vaulting;

/// A playbook on an estate.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub playbook: &'static str,
    /// Whether it is swept widely in every test run, and not only where it changes something: what one playbook has tried of the
    /// stdlib that it shares with others is left out by the next.
    pub widely: bool,
    /// Puts there what it works on. Nothing where a program is missing.
    pub stage: fn(&mut Estate) -> Option<()>,
}

/// All that is swept: a playbook more is a line more.
pub const CASES: [Case; 8] = [
    Case { name: "rds-restore", playbook: "rds-restore", widely: false, stage: shop_from_a_snapshot },
    Case { name: "rds-restore-time", playbook: "rds-restore", widely: false, stage: shop_to_a_time },
    Case { name: "rds-restore-cluster", playbook: "rds-restore", widely: false, stage: shop_of_aurora },
    Case { name: "ai-vault-restore", playbook: "ai-vault-restore", widely: false, stage: vault_to_restore },
    Case { name: "ai-vault-backup", playbook: "ai-vault-backup", widely: false, stage: vault_to_back_up },
    Case { name: "omnichat-aws-backup", playbook: "omnichat-aws-backup", widely: true, stage: chat::to_back_up },
    Case { name: "omnichat-aws-restore", playbook: "omnichat-aws-restore", widely: true, stage: chat::to_restore },
    Case { name: "omnichat-aws-restore-swap", playbook: "omnichat-aws-restore", widely: false, stage: chat::to_swap },
];

/// Where a playbook runs.
pub struct Estate {
    pub ground: Ground,
    /// What stands for AWS Backup; nothing where it is not used.
    pub vaulting: Option<Vaulting>,
    cluster: Option<Cluster>,
    release: &'static str,
    playbook: &'static str,
    params: BTreeMap<String, Value>,
}

/// What there is, each part by its name.
pub type Picture = BTreeMap<String, String>;

fn shop(estate: &mut Estate) {
    estate.set("database", json!("shop"));
    estate.set("new_id", json!("shop-restored"));
    estate.set("aws", estate.ground.access());
}

/// An instance, with a snapshot to restore from.
pub fn shop_with_a_snapshot(estate: &mut Estate) -> Option<()> {
    shop(estate);
    instance(&estate.ground, "shop");
    let snapshot = [("DBInstanceIdentifier", "shop"), ("DBSnapshotIdentifier", "shop-1")];
    estate.ground.rds("CreateDBSnapshot", &snapshot);
    estate.set("from", json!("snapshot"));
    Some(())
}

fn shop_from_a_snapshot(estate: &mut Estate) -> Option<()> {
    shop_with_a_snapshot(estate)?;
    estate.release("web", "database.host", "shop.aaaaaaaaaa.us-east-1.rds.amazonaws.com")?;
    estate.repoint();
    estate.set("value_key", json!("database.host"));
    Some(())
}

fn shop_to_a_time(estate: &mut Estate) -> Option<()> {
    shop(estate);
    instance(&estate.ground, "shop");
    estate.set("from", json!("time"));
    Some(())
}

fn shop_of_aurora(estate: &mut Estate) -> Option<()> {
    let cluster = [
        ("DBClusterIdentifier", "shop"),
        ("Engine", "aurora-postgresql"),
        ("EngineVersion", "14.6"),
        ("MasterUsername", "chat"),
        ("MasterUserPassword", "never-shown-1"),
        ("DeletionProtection", "true"),
        ("BackupRetentionPeriod", "7"),
        ("Tags.Tag.1.Key", "team"),
        ("Tags.Tag.1.Value", "chat"),
    ];
    estate.ground.rds("CreateDBCluster", &cluster);
    // The server has it available at its first sight.
    estate.ground.rds("DescribeDBClusters", &[]);
    let member = [
        ("DBInstanceIdentifier", "shop-one"),
        ("DBClusterIdentifier", "shop"),
        ("DBInstanceClass", "db.r6g.large"),
        ("Engine", "aurora-postgresql"),
    ];
    estate.ground.rds("CreateDBInstance", &member);
    let snapshot = [("DBClusterIdentifier", "shop"), ("DBClusterSnapshotIdentifier", "shop-1")];
    estate.ground.rds("CreateDBClusterSnapshot", &snapshot);
    shop(estate);
    estate.set("from", json!("snapshot"));
    Some(())
}

fn vault_to_restore(estate: &mut Estate) -> Option<()> {
    instance(&estate.ground, "vault");
    let snapshot = [("DBInstanceIdentifier", "vault"), ("DBSnapshotIdentifier", "vault-1")];
    estate.ground.rds("CreateDBSnapshot", &snapshot);
    estate.release("vault", "env.gptDataDbHost", "vault.aaaaaaaaaa.us-east-1.rds.amazonaws.com")?;
    estate.set("database", json!("vault"));
    estate.set("from", json!("snapshot"));
    estate.set("base_url", json!(healthy()));
    estate.set("aws", estate.ground.access());
    estate.repoint();
    Some(())
}

/// A vault with its release and Secrets, to be backed up.
pub fn vault_to_back_up(estate: &mut Estate) -> Option<()> {
    instance(&estate.ground, "vault");
    let made = Command::new("age-keygen").arg("-o").arg(estate.ground.path("identity")).output().ok();
    let Some(made) = made.filter(|made| made.status.success()) else {
        println!("skipped: there is no age here");
        return None;
    };
    let said = String::from_utf8(made.stderr).unwrap();
    estate.release("ai-vault-helm-release", "env.gptDataDbHost", "old-host")?;
    let cluster = estate.cluster.as_ref()?;
    for name in ["encryption-key", "gpt-data-db", "support-smtp-login"] {
        cluster.kubectl(&["create", "secret", "generic", name, "--from-literal=key=b2xkZXN0LWtleS1pbi10aGUtdmF1bHQ"]);
    }
    let kube = (json!(cluster.namespace), json!(cluster.kubeconfig), json!(cluster.context));
    estate.set("namespace", kube.0);
    estate.set("kubeconfig", kube.1);
    estate.set("context", kube.2);
    estate.set("region", json!("us-east-1"));
    estate.set("aws_endpoint", json!(estate.ground.proxy.url()));
    estate.set("database", json!("vault"));
    estate.set("bucket", json!(estate.ground.bucket));
    estate.set("work_dir", json!(estate.ground.path("work")));
    estate.set("recipient", json!(said.split("Public key: ").nth(1).unwrap().trim()));
    Some(())
}

/// Where something answers that it is well, as long as this process lives.
pub fn healthy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    url
}

/// What a rollback cannot take back: a release that was put back has a revision more, a job that was stopped is still told of, and a
/// secret keeps the value that nobody reads.
pub const TRACES: [&str; 3] = ["revisions", "jobs", "versions"];

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> &'static Self {
        CASES.iter().find(|case| case.name == name).expect("there is such a case")
    }

    /// The estate as it is before the run. Nothing where a program is missing.
    pub fn start(&self) -> Option<Estate> {
        let ground = Ground::alone();
        std::fs::create_dir(ground.path("work")).unwrap();
        let mut estate = Estate {
            ground,
            vaulting: None,
            cluster: None,
            release: "",
            playbook: self.playbook,
            params: BTreeMap::new(),
        };
        (self.stage)(&mut estate)?;
        Some(estate)
    }
}

impl Estate {
    /// A parameter of the run.
    pub fn set(&mut self, name: &str, value: Value) {
        self.params.insert(name.to_owned(), value);
    }

    /// A parameter that was set; `null` otherwise.
    pub fn param(&self, name: &str) -> Value {
        self.params.get(name).cloned().unwrap_or_default()
    }

    /// Installs a release with a Deployment that is told `value` at `key`, on a cluster of its own.
    fn release(&mut self, name: &'static str, key: &str, value: &str) -> Option<()> {
        let cluster = Cluster::in_memory()?;
        let chart = cluster.folder().join("chart");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 1.2.3\n").unwrap();
        let template = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: web }}\nspec:\n  replicas: 1\n  selector: {{ \
             matchLabels: {{ app: web }} }}\n  template:\n    metadata: {{ labels: {{ app: web }} }}\n    spec: {{ \
             containers: [{{ name: web, image: registry.invalid/web, env: [{{ name: HOST, value: {{{{ .Values.{key} }}}} }}] }}] }}\n"
        );
        std::fs::write(chart.join("templates/all.yaml"), template).unwrap();
        cluster.helm(&["install", name, chart.to_str().unwrap(), "--set", &format!("{key}={value}")]);
        self.wrap_helm();
        self.release = name;
        self.cluster = Some(cluster);
        Some(())
    }

    /// Tells a restore of the release and the account.
    fn repoint(&mut self) {
        let cluster = self.cluster.as_ref().expect("it has a release");
        let release = json!(format!("{}/{}", cluster.namespace, self.release));
        let chart = json!(cluster.folder().join("chart"));
        let place = json!({ "kubeconfig": cluster.kubeconfig, "context": cluster.context });
        self.set("release", release);
        self.set("chart", chart);
        self.set("cluster", place);
    }

    /// The cluster, of an estate that has a release.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("it has a release")
    }

    /// Kills the program that lives.
    pub fn kill(&self) {
        let pid: i32 = std::fs::read_to_string(self.ground.path("pid")).unwrap().parse().unwrap();
        assert!(pid > 1);
        // SAFETY: a signal to a child of this process, which is waited for only after it.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }

    /// Whether its runs change a release.
    pub fn changes_a_release(&self) -> bool {
        self.params.contains_key("release")
    }

    /// Puts a helm before the real one that kills the program where it is told to.
    fn wrap_helm(&self) {
        let folder = self.ground.path("bin");
        let real = kube::tools().expect("it is there");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(real.join("kubectl"), format!("{folder}/kubectl")).unwrap();
        let (real, control) = (real.join("helm"), self.ground.path(""));
        let (real, control) = (real.display(), control.trim_end_matches('/'));
        let text = format!(
            "#!/bin/sh\nkills() {{ case \" $* \" in *' upgrade '*|*' rollback '*) ;; *) return 1 ;; esac; \
             mv '{control}'/kill-$when '{control}'/killed 2>/dev/null && kill -9 \"$(cat '{control}/pid')\"; }}\n\
             when=before; kills \"$@\" && exit 1\n'{real}' \"$@\"; code=$?\nwhen=after; kills \"$@\"\nexit $code\n"
        );
        std::fs::write(format!("{folder}/helm"), text).unwrap();
        std::fs::set_permissions(format!("{folder}/helm"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Has the program killed by the next helm that changes a release: before it does so, or after it.
    pub fn kill_at_helm(&self, when: &str) {
        std::fs::write(self.ground.path(&format!("kill-{when}")), "").unwrap();
    }

    /// The program, on a store of the estate.
    pub fn program(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("muster"));
        let path = format!("{}:{}", self.ground.path("bin"), std::env::var("PATH").unwrap_or_default());
        command.args(args).env("MUSTER_STORE", self.ground.path(store)).env("PATH", path);
        // One attempt more, so that a test does not wait for six.
        command.env("AWS_MAX_ATTEMPTS", "2").env("HOME", self.ground.path("")).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The command that begins a run, with parameters beside those of the estate.
    pub fn begins(&self, store: &str, more: &[(&str, Value)]) -> Command {
        let mut command = self.program(store, &["run", self.playbook]);
        self.params_of(&mut command, more);
        command
    }

    /// The command that plans it.
    pub fn plans(&self, more: &[(&str, Value)]) -> Command {
        let mut command = self.program("plan.db", &["plan", self.playbook]);
        self.params_of(&mut command, more);
        command
    }

    fn params_of(&self, command: &mut Command, more: &[(&str, Value)]) {
        let mut params = self.params.clone();
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        for (name, value) in params {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            command.arg("-p").arg(format!("{name}={text}"));
        }
    }

    /// Lets the program live until it ends or is killed: its exit code, `None` when it was killed, and what it said.
    fn live(&self, mut command: Command) -> (Option<i32>, String) {
        let child = command.spawn().expect("the program starts");
        self.ground.proxy.victim(child.id());
        std::fs::write(self.ground.path("pid"), child.id().to_string()).unwrap();
        let output = child.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Begins a run and lets it live as long as it does; what it asks people to do is done.
    pub fn begin(&self) -> (Option<i32>, String) {
        self.by_hand(self.live(self.begins("muster.db", &[])))
    }

    /// Says something to the run, or resumes it; what it then asks people to do is done.
    pub fn say(&self, args: &[&str]) -> (Option<i32>, String) {
        self.by_hand(self.live(self.program("muster.db", args)))
    }

    fn by_hand(&self, mut last: (Option<i32>, String)) -> (Option<i32>, String) {
        while last.0.is_some()
            && let Some(state) = self.state("muster.db").filter(|state| !state.status().is_terminal())
            && let Some(step) = state.waiting_for_people().iter().find_map(by_hand)
        {
            chat::by_hand(self, step.as_str());
            last = self.live(self.program("muster.db", &["done", "@latest", step.as_str(), "-m", "the test did it"]));
        }
        last
    }

    /// The newest run of a store as its journal has it; `None` when none has begun.
    pub fn state(&self, store: &str) -> Option<RunState> {
        let app = fidelity::app_over(self.ground.path(store).into());
        let head = app.store.heads().expect("it can be read").into_iter().max_by_key(|head| head.started)?;
        Some(RunState::fold(&app.records(&head.run).expect("the journal loads")).expect("the journal folds"))
    }

    /// Carries on what was killed or has paused, until the run has ended: what failed is tried again, once nothing is spoiled any
    /// more. What people were asked meanwhile.
    ///
    /// # Errors
    /// Why it does not come to its end.
    pub fn carry_on(&self, mut last: (Option<i32>, String)) -> Result<Vec<String>, String> {
        let mut asked = Vec::new();
        for _ in 0..40 {
            let Some(state) = self.state("muster.db") else {
                last = self.begin();
                continue;
            };
            if last.0.is_none() {
                last = self.say(&["resume", "@latest"]);
                continue;
            }
            if state.status().is_terminal() {
                return Ok(asked);
            }
            let pauses = state.waiting_for_people();
            asked.push(format!("{pauses:?}"));
            self.ground.proxy.relieve();
            last = match pauses.as_slice() {
                [Pause::StepFailed { step }, ..] => self.say(&["retry", "@latest", step.as_str()]),
                // Steps side by side each say that they wait for them.
                [Pause::Credentials { .. }, ..] => self.say(&["resume", "@latest"]),
                _ => return Err(format!("{:?}: {pauses:?}: {}", state.status(), last.1)),
            };
        }
        Err(format!("it does not come to an end: {asked:?}: {}", last.1))
    }

    /// Whether the run has come to its end, and nothing is left of it.
    pub fn is_rolled_back(&self) -> bool {
        self.state("muster.db").is_some_and(|state| state.status() == RunStatus::RolledBack)
    }

    /// Rolls the run back, however often that has to be said.
    ///
    /// # Errors
    /// Why it does not come to its end.
    pub fn roll_back(&self) -> Result<(), String> {
        let mut said = String::new();
        for _ in 0..5 {
            let state = self.state("muster.db").expect("it has begun");
            said = match state.waiting_for_people().as_slice() {
                _ if state.status() == RunStatus::RolledBack => return Ok(()),
                // What could not be looked at when it was made is undone when somebody says so.
                [Pause::Undo { reason, .. }] if reason.contains("could not be looked at then") => {
                    self.say(&["rollback", "@latest", "--force"]).1
                }
                _ => self.say(&["rollback", "@latest"]).1,
            };
        }
        Err(format!("it is not rolled back: {said}"))
    }

    /// All versions of all objects of a bucket, and what has not come to be one yet.
    pub fn objects_of(&self, bucket: &str) -> String {
        let list = |what: &str| lasting(&self.ground.ask("s3", &format!("GET /{bucket}?{what}"), "", ""));
        format!("{}{}", list("versions"), list("uploads"))
    }

    /// Describes everything that there is in account and cluster.
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        let run = self.state("muster.db").and_then(|state| state.header).map(|header| header.run);
        let mut put = |name: &str, text: String| {
            let text = text.replace(&self.ground.account, "ACCOUNT").replace(&self.ground.bucket, "BUCKET");
            let text = without_chance(&text);
            let text = match &run {
                Some(run) => text.replace(run.as_str(), "RUN").replace(run.short(), "SHORT"),
                None => text,
            };
            // Another attempt has another key.
            let lines = text.lines().map(|line| match line.split_once(" m-RUN-") {
                Some((tag, key)) => {
                    format!("{tag} m-RUN-{}\n", key.trim_end_matches(|c: char| "-r".contains(c) || c.is_ascii_digit()))
                }
                None => format!("{line}\n"),
            });
            picture.insert(name.to_owned(), lines.collect());
        };
        for action in ["DescribeDBInstances", "DescribeDBSnapshots", "DescribeDBClusters", "DescribeDBClusterSnapshots"]
        {
            put(action, lasting(&self.ground.rds(action, &[])));
        }
        put("objects", self.objects_of(&self.ground.bucket));
        let left = std::fs::read_dir(self.ground.path("work")).unwrap().flatten();
        put("files", left.map(|entry| format!("{}\n", entry.path().display())).collect());
        for (name, text) in self.vaulting.iter().flat_map(|vaulting| chat::described(self, vaulting)) {
            put(name, text);
        }
        if let Some(cluster) = &self.cluster {
            // One question for all: a start of the program takes longer than most else here. Helm keeps a Secret for each revision.
            let found: Value =
                serde_json::from_str(&cluster.kubectl(&["get", "deployments,secrets", "-o", "json"])).unwrap();
            let mut revisions = BTreeMap::new();
            for one in found["items"].as_array().unwrap() {
                let (name, labels) = (&one["metadata"]["name"], &one["metadata"]["labels"]);
                match one["kind"].as_str() {
                    Some("Deployment") => put("deployment", format!("{:#}", one["spec"])),
                    _ if labels["owner"] == "helm" => drop(revisions.insert(name.to_string(), &labels["status"])),
                    _ => put(&format!("secret {name}"), format!("{:#}", one["data"])),
                }
            }
            put("revisions", format!("{revisions:#?}"));
        }
        picture
    }
}

/// The step that is to be done by hand, where that is what is waited for.
fn by_hand(pause: &Pause) -> Option<StepPath> {
    match pause {
        Pause::Manual { step } => Some(step.clone()),
        _ => None,
    }
}

/// The endpoints of clusters, without what the server draws for each: `shop.cluster-x3em2x2bhhns.us-east-1…`.
fn without_chance(text: &str) -> String {
    let mut parts = text.split(".cluster-");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(".cluster");
        clean.push_str(part.find('.').map_or(part, |end| &part[end..]));
    }
    clean
}

/// What of an answer in XML is the same in every run: a line each.
fn lasting(answer: &str) -> String {
    const VOLATILE: [&str; 15] = [
        "InstanceCreateTime",
        "SnapshotCreateTime",
        "OriginalSnapshotCreateTime",
        "ClusterCreateTime",
        "EarliestRestorableTime",
        "LatestRestorableTime",
        "DbiResourceId",
        "DbClusterResourceId",
        "HostedZoneId",
        "ReaderEndpoint",
        "RequestId",
        "LastModified",
        "VersionId",
        "ETag",
        "Size",
    ];
    let body = answer.split_once("\r\n\r\n").map_or(answer, |(_, body)| body);
    let mut lines = String::new();
    // The server's own snapshots stay when their database goes, other than those of AWS.
    let own = |item: &&str| !item.contains("SnapshotIdentifier>rds:");
    let items: String = body.split("Snapshot>").filter(own).collect();
    for part in items.split('<') {
        let (tag, text) = part.split_once('>').unwrap_or((part, ""));
        // The server's own snapshots are named by the minute.
        let text = text.trim();
        if !VOLATILE.contains(&tag) && !text.is_empty() {
            lines.push_str(&format!("{tag} {text}\n"));
        }
    }
    lines
}

/// What two pictures differ in; nothing of the parts that are `left_out`.
pub fn differences(one: &Picture, other: &Picture, left_out: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in one {
        let now = other.get(name).map_or("", String::as_str);
        if !left_out.contains(&name.as_str()) && text != now {
            let diff = similar::TextDiff::from_lines(text.as_str(), now);
            let lines = diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
            found.push(format!("{name}: {}", lines.map(|line| format!("{}{line}", line.tag())).collect::<String>()));
        }
    }
    found
}
