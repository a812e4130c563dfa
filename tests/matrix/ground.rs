//! One deployment for many cases: put back between them, and looked at without the program.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::calls::Book;
use crate::deployment::{Deployment, contain, runtime};

/// What a deployment is: two equal pictures are two equal deployments.
pub type Picture = BTreeMap<String, String>;

/// In which state a case begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well, and one backup has outlived the policy.
    Whole,
    /// Rows, large objects, a model and settings are gone; there is a backup.
    Wrecked,
}

/// The deployment, what it is put back from, and the folders of the runs.
pub struct Ground {
    pub deployment: Deployment,
    home: tempfile::TempDir,
    env: [String; 2],
}

const CONTAINERS: [&str; 3] = ["open-webui-db", "open-webui", "ollama"];
const WRECK: &str = "drop table chat cascade; delete from file; select lo_unlink(oid) from pg_largeobject_metadata";
const WRECKED_ENV: &str = "POSTGRES_USER=chatbot_user\nPOSTGRES_DB=chatbot_db\n";

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Ground {
    /// A deployment with a little in it, of which everything that cases begin with is kept.
    pub fn start(name: &str) -> Self {
        let ground = Self {
            deployment: Deployment::start(name),
            home: tempfile::tempdir().expect("a folder"),
            env: [String::new(), WRECKED_ENV.to_owned()],
        };
        ground.deployment.wait_for_database();
        let env = std::fs::read_to_string(ground.deployment.path().join("local/.env")).expect("the settings");
        let ground = Self { env: [env, WRECKED_ENV.to_owned()], ..ground };
        ground.install_wrapper();
        ground.inside("open-webui-db", "rm -rf /tmp/*");
        ground.keep("whole");
        ground.new_case();
        std::fs::create_dir(ground.path("kept")).expect("a folder");
        let made = ground.command("omnichat-backup", &[]).output().expect("the program starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for entry in std::fs::read_dir(ground.backups()).expect("the backups") {
            let from = entry.expect("an entry").path();
            ground.shell(&format!("mv '{}' '{}'", from.display(), ground.path("kept/omnichat-local-first").display()));
        }
        ground.deployment.psql("chatbot_db", WRECK).expect("it can be wrecked");
        ground.inside(
            "ollama",
            "rm -rf /root/.ollama/models/manifests; ls -d /root/.ollama/models/blobs/* | head -n 1 | xargs rm",
        );
        ground.inside(
            "open-webui",
            "cd /app/backend/data && rm uploads/1.txt && echo other >uploads/2.txt && echo new >uploads/new.txt",
        );
        ground.keep("wrecked");
        ground
    }

    /// A path in the folder of the runs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub fn store(&self) -> PathBuf {
        self.path("case/muster.db")
    }

    /// Where the wrapper is told what to do, and says what it did.
    pub fn control(&self) -> PathBuf {
        self.path("control")
    }

    /// The folders that are looked at.
    pub fn roots(&self) -> Vec<PathBuf> {
        vec![self.backups(), self.deployment.path().to_owned()]
    }

    fn shell(&self, script: &str) {
        let done = Command::new("sh").args(["-ec", script]).stdin(Stdio::null()).output().expect("sh is there");
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn inside(&self, container: &str, script: &str) -> String {
        contain(&["exec", &self.deployment.name(container), "sh", "-ec", script])
    }

    fn install_wrapper(&self) {
        let which =
            Command::new("sh").args(["-c", &format!("command -v {}", runtime())]).output().expect("sh is there");
        let real = String::from_utf8_lossy(&which.stdout).trim().to_owned();
        let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/podman.sh"));
        let script = script.expect("the wrapper is beside the tests");
        let script = script.replace("@CONTROL@", &self.control().display().to_string()).replace("@REAL@", &real);
        std::fs::create_dir(self.path("bin")).expect("a folder");
        let file = self.path("bin/podman");
        std::fs::write(&file, script).expect("it is written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    }

    fn keep(&self, name: &str) {
        let sql = [
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'chatbot_db'".to_owned(),
            format!("create database keep_{name} template chatbot_db"),
            format!("alter database keep_{name} is_template true"),
        ];
        let sql: Vec<&str> = sql.iter().map(String::as_str).collect();
        self.deployment.psql_each("postgres", &sql).expect("the database is kept");
        self.inside("ollama", &format!("tar -C /root/.ollama -cpf /keep-{name}.tar ."));
        self.inside("open-webui", &format!("tar -C /app/backend/data -cpf /keep-{name}.tar ."));
    }

    /// A store and a wrapper that know nothing.
    fn new_case(&self) {
        for folder in ["case", "control"] {
            let _ = std::fs::remove_dir_all(self.path(folder));
        }
        for folder in ["case", "control/plan", "control/held"] {
            std::fs::create_dir_all(self.path(folder)).expect("a folder");
        }
        std::fs::write(self.path("control/log"), "").expect("an empty log");
    }

    /// Puts everything back as a case begins with it.
    pub fn reset(&self, state: State) {
        if let Some(book) = Book::read(&self.store()) {
            for stray in self.deployment.leftovers(&book.run) {
                crate::deployment::container(&["rm", "-f", "-t", "0", &stray]);
            }
        }
        let [db, web, models] = CONTAINERS.map(|container| self.deployment.name(container));
        contain(&["start", &db, &web, &models]);
        self.deployment.wait_for_database();
        let name = if state == State::Whole { "whole" } else { "wrecked" };
        let mut sql =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname <> 'postgres';\n".to_owned();
        for database in self.deployment.databases() {
            sql.push_str(&format!("drop database \"{database}\" with (force);\n"));
        }
        sql.push_str(&format!("create database chatbot_db template keep_{name} owner chatbot_user;\n"));
        let sql: Vec<&str> = sql.lines().collect();
        self.deployment.psql_each("postgres", &sql).expect("the database is put back");
        self.inside("ollama", &format!("cd /root/.ollama && find . -mindepth 1 -delete && tar -xpf /keep-{name}.tar"));
        self.inside(
            "open-webui",
            &format!("cd /app/backend/data && find . -mindepth 1 -delete && tar -xpf /keep-{name}.tar"),
        );
        self.inside("open-webui-db", "rm -rf /tmp/*");
        let env = &self.env[usize::from(state == State::Wrecked)];
        std::fs::write(self.deployment.path().join("local/.env"), env).expect("the settings are put back");
        let (backups, kept) = (self.backups(), self.path("kept"));
        self.shell(&format!("rm -rf '{0}'; cp -a '{1}' '{0}'; chmod 0700 '{0}'", backups.display(), kept.display()));
        if state == State::Whole {
            let old = backups.join("omnichat-local-ancient");
            std::fs::rename(backups.join("omnichat-local-first"), &old).expect("it is renamed");
            let manifest = std::fs::read_to_string(old.join("manifest.json")).expect("a manifest");
            let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
            manifest["finished"] = Value::from("2020-01-01T00:00:00Z");
            std::fs::write(old.join("manifest.json"), manifest.to_string()).expect("it is written");
        }
        self.new_case();
    }

    /// The program, told this. A playbook is run with all it needs to know of the deployment.
    pub fn command(&self, playbook: &str, extra: &[&str]) -> Command {
        let name = |plain: &str| self.deployment.name(plain);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
        let mut pairs = vec![
            format!("backup_dir={}", self.backups().display()),
            format!("db_container={}", name("open-webui-db")),
            format!("ollama_container={}", name("ollama")),
            format!("web_container={}", name("open-webui")),
        ];
        if playbook != "omnichat-verify" {
            pairs.push(format!("deployment={}", self.deployment.path().display()));
            pairs.push(format!("project={}", name("local")));
        }
        if playbook == "omnichat-restore" {
            pairs.push("health_url=".to_owned());
        }
        let mut command = self.muster(&["run", &folder.display().to_string()]);
        for pair in pairs.iter().map(String::as_str).chain(extra.iter().copied()) {
            command.args(["-p", pair]);
        }
        command
    }

    /// The program with these arguments, and the wrapper as its container client.
    pub fn muster(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("MUSTER_ACTOR", "alice")
            .env("MUSTER_STORE", self.store())
            .env("MUSTER_CONTAINER_RUNTIME", self.path("bin/podman"))
            .envs(self.deployment.environment())
            .stdin(Stdio::null());
        command
    }

    /// What is there now. The run's own id stands as RUN in names.
    pub fn picture(&self, run: &str) -> Picture {
        let short = run.get(..6).filter(|short| !short.is_empty()).unwrap_or("no run");
        let named = |text: &str| text.replace(run_or(run), "RUN").replace(short, "RUN");
        let mut picture = Picture::new();
        let states = self.deployment.states(&CONTAINERS);
        let runs = |container: &str| states.iter().any(|(name, state)| *name == container && state == "running");
        picture.extend(states.iter().map(|(container, state)| (format!("container {container}"), state.clone())));
        for database in self.deployment.databases() {
            picture
                .insert(format!("database {}", named(&database)), format!("{:?}", self.deployment.census(&database)));
        }
        if runs("ollama") {
            let script = "cd /root/.ollama && find . -printf '%p %y %m %U:%G\\n' | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2";
            picture.insert("models".to_owned(), named(&self.inside("ollama", script)));
        }
        if runs("open-webui") {
            picture.insert("app data".to_owned(), self.deployment.app_data_hash());
        }
        picture.insert("/tmp of the database".to_owned(), named(&self.inside("open-webui-db", "ls -A /tmp")));
        for root in self.roots() {
            self.tree(&root, &root, run, &mut picture);
        }
        if !run.is_empty() {
            picture.insert("left over".to_owned(), self.deployment.leftovers(run).join(" "));
            let path = PathBuf::from(format!("{}.d", self.store().display())).join("children");
            let names: Vec<String> = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            picture.insert("children of the store".to_owned(), names.join(" "));
        }
        picture
    }

    fn tree(&self, root: &Path, folder: &Path, run: &str, picture: &mut Picture) {
        let short = run.get(..6).unwrap_or("no run");
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let meta = std::fs::symlink_metadata(&path).expect("it is there");
            let own = path.to_string_lossy().contains(short);
            let content = if meta.is_dir() {
                self.tree(root, &path, run, picture);
                "folder".to_owned()
            } else if own {
                self.validity(&path)
            } else {
                digest(&std::fs::read(&path).unwrap_or_default())
            };
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            picture.insert(
                format!("file {}", name.replace(short, "RUN")),
                format!("{:o} {content}", meta.mode() & 0o7777),
            );
        }
    }

    /// Whether a file of a backup is what its manifest says.
    fn validity(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().expect("a folder");
        if name == "SHA256SUMS" {
            let checked =
                Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(folder).output();
            return format!("all sums right: {}", checked.expect("sha256sum is there").status.success());
        }
        let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap_or_default();
        let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
        if name == "manifest.json" {
            let exact: Vec<String> = manifest["databases"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| format!("{} {} {}", one["name"], one["exact"], one["census"]["tables"]))
                .collect();
            return format!("manifest {} {exact:?}", manifest["kind"]);
        }
        let listed = manifest["files"].as_array().into_iter().flatten().find(|file| file["name"] == name.as_str());
        let sum = digest(&std::fs::read(path).unwrap_or_default());
        let right = listed.is_some_and(|file| file["sha256"] == sum.as_str());
        format!("as in the manifest: {right}")
    }
}

fn run_or(run: &str) -> &str {
    if run.is_empty() { "no run" } else { run }
}

/// What differs, in a few lines.
pub fn difference(wanted: &Picture, found: &Picture) -> Vec<String> {
    let mut lines = Vec::new();
    for name in wanted.keys().chain(found.keys().filter(|name| !wanted.contains_key(*name))) {
        let (one, other) = (wanted.get(name), found.get(name));
        if one != other {
            lines.push(format!(
                "{name}: {:?}, and it should be {:?}",
                other.map_or("gone", |text| text),
                one.map_or("nothing", |text| text)
            ));
        }
    }
    lines
}
