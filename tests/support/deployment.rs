//! A deployment like OmniChat's local mode, of real containers, under a prefix of its own: up and filled when it is
//! made, gone when it is dropped.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A deployment. Its containers are `<prefix>open-webui-db`, `<prefix>open-webui` and `<prefix>ollama`.
pub struct Deployment {
    folder: tempfile::TempDir,
    prefix: String,
    mode: &'static str,
}

/// How much is put into a deployment: the arguments of `seed.sh`.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub chats: u32,
    pub objects: u32,
    pub object_bytes: u32,
    pub models: u32,
    pub model_bytes: u32,
}

impl Amount {
    /// Enough to see what is lost.
    pub const SMALL: Self = Self { chats: 40, objects: 6, object_bytes: 4000, models: 2, model_bytes: 20_000 };
    /// About 1 GB of database.
    pub const LARGE: Self =
        Self { chats: 40_000, objects: 400, object_bytes: 2_000_000, models: 4, model_bytes: 25_000_000 };
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment")
}

/// Sets up what containers need here; once a process.
pub fn prepare() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let setup = Command::new(sources().join("setup.sh")).output().expect("bash is there");
        let said = String::from_utf8_lossy(&setup.stderr);
        assert!(setup.status.success(), "the image of the test deployment cannot be made:\n{said}");
        let mut ask = Command::new("bash");
        ask.args(["-c", r#". "$1"; printf %s "${CONTAINERS_CONF:-}""#, "bash"]).arg(sources().join("environment.sh"));
        let conf = String::from_utf8(ask.output().expect("bash is there").stdout).expect("a path");
        if !conf.is_empty() {
            // SAFETY: all that reads the environment in this process does so through the standard library's lock.
            unsafe { std::env::set_var("CONTAINERS_CONF", conf) };
        }
    });
}

/// The container client.
pub fn runtime() -> String {
    std::env::var("MUSTER_CONTAINER_RUNTIME").unwrap_or_else(|_| "podman".to_owned())
}

/// Calls the container client.
pub fn container(args: &[&str]) -> Output {
    Command::new(runtime()).args(args).stdin(Stdio::null()).output().expect("the container client is there")
}

/// Calls the container client, which has to succeed; what it prints.
pub fn contain(args: &[&str]) -> String {
    let output = container(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Deployment {
    /// Brings one up, with a little in it. The name tells it from others of the same test process.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, Amount::SMALL)
    }

    /// Brings one up, with so much in it.
    pub fn start_with(name: &str, amount: Amount) -> Self {
        Self::start_mode(name, "local", amount)
    }

    /// Brings one up in this mode, `local` or `hybrid`, with so much in it.
    pub fn start_mode(name: &str, mode: &'static str, amount: Amount) -> Self {
        let deployment = Self::up(name, mode, &format!("{mode}-up"));
        deployment.fill(&amount);
        deployment
    }

    /// Brings up the database alone, with so much in it.
    pub fn start_database(name: &str, amount: Amount) -> Self {
        let deployment = Self::up(name, "local", "local-up-db");
        deployment.fill(&Amount { models: 0, ..amount });
        deployment
    }

    /// Brings one up, with nothing in it.
    pub fn start_empty(name: &str) -> Self {
        Self::up(name, "local", "local-up")
    }

    fn fill(&self, amount: &Amount) {
        let numbers = [amount.chats, amount.objects, amount.object_bytes, amount.models, amount.model_bytes];
        self.finish(Command::new(sources().join("seed.sh")).args(numbers.map(|number| number.to_string())));
    }

    fn up(name: &str, mode: &'static str, target: &str) -> Self {
        prepare();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copied = Command::new("cp").arg("-r").arg(sources().join("template/.")).arg(folder.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "the template can be copied");
        let deployment = Self { folder, prefix: format!("t{}-{name}-", std::process::id()), mode };
        deployment.make(target);
        deployment
    }

    /// `local` or `hybrid`.
    pub fn mode(&self) -> &'static str {
        self.mode
    }

    /// The folder with the Makefile.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the containers' and volumes' names start with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of one of the containers or volumes: `open-webui-db`, `local_ollama-data`.
    pub fn name(&self, plain: &str) -> String {
        format!("{}{plain}", self.prefix)
    }

    /// The database container.
    pub fn db(&self) -> String {
        self.name("open-webui-db")
    }

    /// The environment in which the Makefile, and a program that calls it, has to be run.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([
            ("OMNICHAT_PREFIX".to_owned(), self.prefix.clone()),
            ("CONTAINER_RUNTIME".to_owned(), runtime()),
        ]);
        if let Ok(conf) = std::env::var("CONTAINERS_CONF") {
            env.insert("CONTAINERS_CONF".to_owned(), conf);
        }
        env
    }

    fn finish(&self, command: &mut Command) {
        let output = command.envs(self.environment()).stdin(Stdio::null()).output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }

    /// Calls a target of the deployment's Makefile.
    pub fn make(&self, target: &str) {
        self.finish(Command::new("make").arg("-C").arg(self.path()).arg(target));
    }

    /// The server, as the `pg` operations want it.
    pub fn server(&self) -> Value {
        json!({ "container": self.db(), "user": "chatbot_user" })
    }

    /// Asks (or tells) a database; the lines it answers.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.psql_each(database, &[sql])
    }

    /// The same of several, one after the other and each by itself, in one call of the client.
    pub fn psql_each(&self, database: &str, statements: &[&str]) -> Result<String, String> {
        let db = self.db();
        let mut argv =
            vec!["exec", &db, "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", "chatbot_user", "-d", database];
        argv.extend(statements.iter().flat_map(|sql| ["-c", *sql]));
        let output = container(&argv);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Waits until the server answers.
    pub fn wait_for_database(&self) {
        let begun = Instant::now();
        while !self.psql("chatbot_db", "show listen_addresses").is_ok_and(|text| !text.is_empty()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the database does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is in a database: rows and a checksum a table, and of the large objects. Counted without Muster, in one call.
    pub fn census(&self, database: &str) -> BTreeMap<String, String> {
        let table = "format('select count(*) || '' '' || coalesce(md5(string_agg(t::text, ''|'' order by t::text)), '''') as c from %I t', relname)";
        let sql = format!(
            "select relname, (xpath('/table/row/c/text()', query_to_xml({table}, false, false, '')))[1]::text from pg_class \
             where relkind = 'r' and relnamespace = 'public'::regnamespace \
             union all select 'large objects', count(*) || ' ' || coalesce(md5(string_agg(oid || md5(lo_get(oid)), '|' order by oid)), '') \
             from pg_largeobject_metadata"
        );
        let counted = self.psql(database, &sql).unwrap_or_else(|error| panic!("{database} cannot be counted: {error}"));
        let pair = |line: &str| line.rsplit_once('|').map(|(name, count)| (name.to_owned(), count.to_owned()));
        counted.lines().map(|line| pair(line).expect("a table and its sum")).collect()
    }

    /// The names of all databases but the server's own.
    pub fn databases(&self) -> Vec<String> {
        let sql = "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1";
        self.psql("postgres", sql).expect("the databases are listed").lines().map(str::to_owned).collect()
    }

    /// The same as [`Self::state`] of each of these, asked in one call.
    pub fn states<'n>(&self, plain: &[&'n str]) -> Vec<(&'n str, String)> {
        let names: Vec<String> = plain.iter().map(|plain| self.name(plain)).collect();
        let mut argv = vec!["container", "inspect", "--format", "{{.Name}} {{.State.Status}}"];
        argv.extend(names.iter().map(String::as_str));
        // It says what it knows of those that are there, also when another is not.
        let said = String::from_utf8_lossy(&container(&argv).stdout).into_owned();
        let listed: BTreeMap<&str, &str> =
            said.lines().filter_map(|line| line.trim_start_matches('/').split_once(' ')).collect();
        let state = |name: &String| listed.get(name.as_str()).copied().unwrap_or_default().to_owned();
        plain.iter().zip(&names).map(|(plain, name)| (*plain, state(name))).collect()
    }

    /// `running`, `exited`, …; empty when there is no such container.
    pub fn state(&self, plain: &str) -> String {
        let output = container(&["container", "inspect", "--format", "{{.State.Status}}", &self.name(plain)]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A digest of all files of a volume, with their names.
    pub fn volume_hash(&self, plain: &str) -> String {
        let volume = format!("{}:/v:ro", self.name(plain));
        let script = "cd /v && find . -type f | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum";
        let image = "localhost/muster-test/postgres:15";
        contain(&["run", "--rm", "--network", "none", "--pull", "never", "-v", &volume, image, "sh", "-c", script])
    }

    /// A digest of the files that open-webui keeps in its own container.
    pub fn app_data_hash(&self) -> String {
        let script = "cd /app/backend/data && find . -type f | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum";
        contain(&["exec", &self.name("open-webui"), "sh", "-c", script])
    }

    /// Its containers and volumes, whatever their state.
    fn still_there(&self) -> Vec<String> {
        let list = |argv: &[&str]| String::from_utf8_lossy(&container(argv).stdout).into_owned();
        let (mut names, volumes) =
            (list(&["ps", "-a", "--format", "{{.Names}}"]), list(&["volume", "ls", "--format", "{{.Name}}"]));
        names.push_str(&volumes);
        names.lines().filter(|name| name.starts_with(&self.prefix)).map(str::to_owned).collect()
    }

    /// The containers and volumes that a run has made and not removed.
    pub fn leftovers(&self, run: &str) -> Vec<String> {
        let label = format!("label=muster.run={run}");
        let containers = contain(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
        let volumes = contain(&["volume", "ls", "--filter", &label, "--format", "{{.Name}}"]);
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::env::var_os("MUSTER_TEST_KEEP").is_some() {
            eprintln!("kept: {} with prefix {}", self.path().display(), self.prefix);
            return;
        }
        let begun = Instant::now();
        loop {
            let mut make = Command::new("make");
            make.arg("-C").arg(self.path()).arg(format!("{}-destroy", self.mode)).envs(self.environment());
            let made = make.stdin(Stdio::null()).output();
            let still = self.still_there();
            if still.is_empty() {
                return;
            }
            // What a call that is still under way holds is let go of soon.
            if begun.elapsed() > Duration::from_secs(30) {
                let said = made.map_or_else(
                    |error| error.to_string(),
                    |output| String::from_utf8_lossy(&output.stderr).into_owned(),
                );
                let what = format!("the deployment {} outlives its test: {}: {said}", self.prefix, still.join(" "));
                assert!(std::thread::panicking(), "{what}");
                eprintln!("{what}");
                return;
            }
            // Containers of runs that a test has left behind keep the volumes.
            for volume in still.iter().filter(|name| name.contains(&format!("{}_", self.mode))) {
                let users = container(&["ps", "-aq", "--filter", &format!("volume={volume}")]);
                for user in String::from_utf8_lossy(&users.stdout).lines() {
                    container(&["rm", "-f", "-v", "-t", "0", user]);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
