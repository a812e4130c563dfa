//! A deployment of OmniChat on this host for one test, and runs of the shipped playbooks against it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use muster::app::{App, Ending, Settings};
use muster::engine::{NoObserver, RunState};
use muster::model::command::Actor;
use muster::playbook::params::Given;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment")
}

/// A shell command in the fixture's environment; its output. Panics when it fails.
pub fn shell(prefix: &str, script: &str) -> String {
    let script = format!(". {}/environment.sh; set -euo pipefail; {script}", fixture().display());
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("OMNICHAT_PREFIX", prefix)
        .env("P", prefix)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A deployment that is up and filled; gone when dropped.
pub struct Deployment {
    pub prefix: String,
    pub folder: tempfile::TempDir,
}

impl Deployment {
    /// A small one.
    pub fn up(name: &str) -> Self {
        let prefix = format!("books-{name}-");
        let folder = tempfile::tempdir().expect("a folder");
        let own = Self { prefix, folder };
        shell(&own.prefix, &format!("{}/setup.sh", fixture().display()));
        shell(&own.prefix, &format!("cp -a {}/template {}", fixture().display(), own.checkout().display()));
        own.make("local-destroy");
        own.make("local-up");
        shell(&own.prefix, &format!("{}/seed.sh", fixture().display()));
        own
    }

    pub fn checkout(&self) -> PathBuf {
        self.folder.path().join("omnichat")
    }

    pub fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub fn make(&self, target: &str) {
        shell(&self.prefix, &format!("make -s -C {} {target}", self.checkout().display()));
    }

    /// `psql` in the database's container.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        shell(
            &self.prefix,
            &format!(
                "podman exec ${{P}}open-webui-db psql -X -q -U chatbot_user -d {database} -v ON_ERROR_STOP=1 -Atc \"{statement}\""
            ),
        )
    }

    /// The parameters that every playbook takes here.
    fn common(&self, playbook: &str) -> BTreeMap<&'static str, String> {
        let named = |name: &str| format!("{}{name}", self.prefix);
        let mut given = BTreeMap::from([
            ("backup_dir", self.backups().display().to_string()),
            ("db_container", named("open-webui-db")),
            ("ollama_container", named("ollama")),
        ]);
        if playbook != "omnichat-verify" {
            given.insert("deployment", self.checkout().display().to_string());
            given.insert("web_container", named("open-webui"));
            given.insert("project", named("local"));
        }
        if playbook == "omnichat-restore" {
            let make = |target: &str| {
                let conf = std::env::var("CONTAINERS_CONF")
                    .unwrap_or_else(|_| shell("", "printf %s \"${CONTAINERS_CONF:-}\""));
                let conf = if conf.is_empty() { String::new() } else { format!(", \"CONTAINERS_CONF={conf}\"") };
                format!("[make, \"OMNICHAT_PREFIX={}\"{conf}, {target}]", self.prefix)
            };
            given.insert("up", make("local-up"));
            given.insert("up_database", make("local-up-db"));
            given.insert("health_url", String::new());
        }
        given
    }

    /// An engine's home of its own, with which a run can be taken up again.
    pub fn app(&self) -> App {
        let settings = Settings {
            store: self.folder.path().join("muster.db"),
            supervisor: PathBuf::from(env!("CARGO_BIN_EXE_muster")),
            actor: Actor { name: "tester@here".to_owned() },
            workers: 4,
        };
        App::open(settings).expect("the store opens")
    }

    fn given(&self, playbook: &str, extra: &[(&str, &str)]) -> Given {
        let mut pairs: BTreeMap<&str, String> = self.common(playbook);
        pairs.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut given = Given::default();
        for (name, value) in pairs {
            given.add_text(&format!("{name}={value}")).expect("a parameter");
        }
        given
    }

    /// Runs a playbook until it ends or waits for somebody.
    pub fn run(&self, playbook: &str, extra: &[(&str, &str)]) -> RunState {
        let app = self.app();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
        let start = match app.prepare(&folder.display().to_string(), &self.given(playbook, extra)) {
            Ok(start) => start,
            Err(error) => panic!("{playbook} cannot start: {error:?}"),
        };
        let session = app.start(&start, Arc::new(NoObserver)).expect("the run begins");
        let run = session.run().clone();
        let ending = session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
        let state = RunState::fold(&app.records(&run).expect("records")).expect("a state");
        assert!(matches!(ending, Ending::Ended | Ending::Paused), "{ending:?}");
        state
    }

    /// What the deployment is, as text: rows and contents of every database, files of the volumes and of the checkout, and which
    /// containers run. Two equal texts are two equal deployments.
    pub fn picture(&self) -> String {
        shell(
            &self.prefix,
            &format!(
                r#"
            podman ps -a --filter label=com.docker.compose.project=${{P}}local --format '{{{{.Names}}}} {{{{.State}}}}' | cut -d' ' -f1,2 | sort
            podman volume ls -q --filter name=${{P}} | sort
            psql() {{ podman exec ${{P}}open-webui-db psql -X -q -U chatbot_user -At "$@"; }}
            for d in $(psql -d postgres -c 'select datname from pg_database order by 1'); do
                echo "database $d"
                test $d = template0 || podman exec ${{P}}open-webui-db pg_dump -U chatbot_user --no-comments $d | grep -v -E '^\\(un)?restrict|^--' | sha256sum
            done
            podman run --rm --network none --pull never -v ${{P}}local_ollama-data:/v:ro $MUSTER_TEST_IMAGE sh -c 'cd /v && find . -printf "%p %y %m %U\n" | sort && find . -type f -exec sha256sum {{}} + | sort -k2'
            cd {0} && find . -printf "%p %y %m\n" | sort && find . -type f -exec sha256sum {{}} + | sort -k2
        "#,
                self.checkout().display()
            ),
        )
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("MUSTER_TEST_KEEP").is_some() {
            return;
        }
        self.make("local-destroy");
    }
}
