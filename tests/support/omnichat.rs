//! Runs of the shipped OmniChat playbooks against a deployment of real containers.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use muster::app::{App, Settings};
use muster::engine::{NoObserver, RunState};
use muster::model::RunId;
use muster::model::command::{Actor, Order};
use muster::playbook::params::Given;

use crate::deployment::{Deployment, contain};

/// A deployment, a store, and a folder for backups.
pub struct Estate {
    pub deployment: Deployment,
    home: tempfile::TempDir,
}

impl Estate {
    /// Up, with a little in it.
    pub fn start(name: &str) -> Self {
        Self::of(Deployment::start(name))
    }

    /// Up in hybrid mode, with a little in it.
    pub fn start_hybrid(name: &str) -> Self {
        Self::of(Deployment::start_mode(name, "hybrid", crate::deployment::Amount::SMALL))
    }

    fn of(deployment: Deployment) -> Self {
        let estate = Self { deployment, home: tempfile::tempdir().expect("a folder") };
        estate.deployment.wait_for_database();
        estate
    }

    /// A file of the deployment's checkout.
    pub fn file(&self, name: &str) -> PathBuf {
        self.deployment.path().join(name)
    }

    /// A path in a folder beside the deployment.
    pub fn home(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Where backups are kept.
    pub fn backups(&self) -> PathBuf {
        self.home("backups")
    }

    /// The names of what lies there.
    pub fn backup_names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.backups()) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    }

    /// Muster, with the store of this estate.
    pub fn app(&self) -> App {
        let settings = Settings {
            store: self.home("muster.db"),
            supervisor: PathBuf::from(env!("CARGO_BIN_EXE_muster")),
            actor: Actor { name: "tester@here".to_owned() },
            workers: 4,
            script_time: None,
        };
        App::open(settings).expect("the store opens")
    }

    /// The parameters of a playbook for this deployment, as they stand on a command line: `name=value`.
    pub fn pairs(&self, playbook: &str, extra: &[(&str, &str)]) -> Vec<String> {
        let name = |plain: &str| self.deployment.name(plain);
        let mut pairs = BTreeMap::from([
            ("mode", self.deployment.mode().to_owned()),
            ("backup_dir", self.backups().display().to_string()),
            ("db_container", name("open-webui-db")),
            ("ollama_container", name("ollama")),
            ("web_container", name("open-webui")),
        ]);
        if playbook != "omnichat-verify" {
            pairs.insert("deployment", self.deployment.path().display().to_string());
            pairs.insert("project", name(self.deployment.mode()));
        }
        if playbook == "omnichat-restore" {
            // Variables given on make's command line reach the programs it starts.
            let variables: String =
                self.deployment.environment().iter().map(|(name, value)| format!("\"{name}={value}\", ")).collect();
            let mode = self.deployment.mode();
            pairs.insert("up", format!("[make, {variables}{mode}-up]"));
            pairs.insert("up_database", format!("[make, {variables}{mode}-up-db]"));
            if mode == "hybrid" {
                pairs.insert("others", format!("[{}]", name("bedrock-gateway")));
            }
            pairs.insert("health_url", String::new());
        }
        pairs.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// The same, for [`App::prepare`].
    pub fn given(&self, playbook: &str, extra: &[(&str, &str)]) -> Given {
        let mut given = Given::default();
        for pair in self.pairs(playbook, extra) {
            given.add_text(&pair).expect("a parameter");
        }
        given
    }

    fn drive(&self, app: &App, session: muster::app::Session) -> RunState {
        let run = session.run().clone();
        session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
        RunState::fold(&app.records(&run).expect("the journal loads")).expect("the journal folds")
    }

    /// Runs a playbook until it ends or waits for somebody.
    pub fn run(&self, playbook: &str, extra: &[(&str, &str)]) -> RunState {
        let app = self.app();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
        let start = app
            .prepare(&folder.display().to_string(), &self.given(playbook, extra))
            .unwrap_or_else(|error| panic!("{playbook} cannot start: {error:?}"));
        let session = app.start(&start, Arc::new(NoObserver)).expect("the run begins");
        self.drive(&app, session)
    }

    /// Tells a waiting run something, and drives it on.
    pub fn say(&self, run: &RunId, order: Order) -> RunState {
        let app = self.app();
        app.say(run, &app.settings.actor, order).expect("the order is stored");
        let session = app.take(run, Arc::new(NoObserver)).expect("nobody else holds it");
        self.drive(&app, session)
    }

    /// What the deployment is: two equal pictures are two equal deployments. The database has to run.
    pub fn picture(&self) -> BTreeMap<String, String> {
        let mut picture = BTreeMap::new();
        let states = self.deployment.states(&["open-webui-db", "open-webui", "ollama", "bedrock-gateway"]);
        let runs = states.contains(&("open-webui", "running".to_owned()));
        picture.extend(states.into_iter().map(|(container, state)| (format!("container {container}"), state)));
        for database in self.deployment.databases() {
            for (table, digest) in self.deployment.census(&database) {
                picture.insert(format!("database {database} {table}"), digest);
            }
        }
        let image = "localhost/muster-test/postgres:15";
        let volume = format!("{}:/v:ro", self.deployment.name(&format!("{}_ollama-data", self.deployment.mode())));
        let script = r"cd /v && find . -printf '%p %y %m %U:%G\n' | LC_ALL=C sort && find . -type f -exec sha256sum {} + | LC_ALL=C sort";
        let files =
            contain(&["run", "--rm", "--network", "none", "--pull", "never", "-v", &volume, image, "sh", "-c", script]);
        picture.insert("models".to_owned(), files);
        if runs {
            picture.insert("app data".to_owned(), self.deployment.app_data_hash());
        }
        for file in ["Makefile", "local/.env", "hybrid/.env", "hybrid/config.json"] {
            picture.insert(format!("file {file}"), std::fs::read_to_string(self.file(file)).unwrap_or_default());
        }
        picture
    }
}
