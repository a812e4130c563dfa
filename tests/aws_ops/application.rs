//! An application with its database: pods that are told of the database by their environment, open sessions there and answer for
//! their health; and PostgreSQL servers of the kind that AWS would have restored, each at an address of this host's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::deployment;
use crate::scene::{RELEASE, Scene};

pub const USER: &str = "chat";
pub const PASSWORD: &str = "never-shown-7";
pub const DATABASE: &str = "ai_vault";

/// A PostgreSQL server at an address of its own, gone with the test.
pub struct Server {
    pub address: String,
    name: String,
    leash: Child,
    aws: Option<Session>,
}

/// Removes the container when the test process is gone, however that ended: what ends a whole group of processes does not end this.
const LEASH: &str = r#"trap '' INT TERM HUP; cat >/dev/null; "$1" rm -f -t 0 "$2" >/dev/null 2>&1"#;

impl Server {
    /// Starts one with an empty database.
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        deployment::prepare();
        let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        // All of 127/8 is this host: every test process has a part of it, every server its own address and the usual port.
        let address = format!("127.{}.{}.{number}", 64 + (process >> 8) % 128, process & 0xff);
        let name = format!("t{process}-aws-{number}");
        let listen = format!("listen_addresses={address}");
        let settings = [("POSTGRES_USER", USER), ("POSTGRES_PASSWORD", PASSWORD), ("POSTGRES_DB", DATABASE)];
        let settings = settings.map(|(name, value)| format!("--env={name}={value}"));
        let mut words = vec!["run", "-d", "--rm", "--pull", "never", "--network", "host", "--name", &name];
        words.extend(settings.iter().map(String::as_str));
        words.extend(["localhost/muster-test/postgres:15", "postgres", "-c", &listen, "-c", "fsync=off"]);
        let leash = Command::new("sh")
            .args(["-c", LEASH, "sh", &deployment::runtime(), &name])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh is there");
        deployment::contain(&words);
        Self { address, name, leash, aws: None }
    }

    /// Waits until it answers.
    pub fn ready(self) -> Self {
        let begun = Instant::now();
        while self.ask("select 1").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} does not come up", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// AWS's own user looks in: a session of it, for as long as the server is kept.
    pub fn looked_after(mut self) -> Self {
        self.ask("create role rdsadmin superuser login password 'never-shown-7'");
        let mut session = Session { user: "rdsadmin", host: String::new(), psql: None };
        assert!(session.follow(&self.address), "AWS gets in");
        self.aws = Some(session);
        self
    }

    /// Has the server vacuum a table by itself, for minutes: a worker that has no user is in the database from now on.
    pub fn is_vacuumed(&self) {
        self.ask("alter system set autovacuum_naptime = 1");
        self.ask("select pg_reload_conf()");
        let slow = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, \
                    autovacuum_vacuum_cost_limit = 1";
        self.ask(&format!("create table worn (id int, filler text) with ({slow})"));
        self.ask("insert into worn select n, repeat('x', 1000) from generate_series(1, 5000) n");
        self.ask("delete from worn where id % 2 = 0");
        crate::live_world::until("it is vacuumed", || self.workers() == "1");
    }

    /// How many workers of the server itself are in the database.
    pub fn workers(&self) -> String {
        self.ask("select count(*) from pg_stat_activity where datname = current_database() and usesysid is null")
    }

    /// Has it write down every question with the time when it was answered.
    pub fn keeps_a_log(self) -> Self {
        for setting in ["log_min_duration_statement = 0", "log_line_prefix = '%m '", "log_timezone = 'UTC'"] {
            self.ask(&format!("alter system set {setting}"));
        }
        self.ask("select pg_reload_conf()");
        self
    }

    /// What it has written down so far.
    pub fn log(&self) -> String {
        let output = deployment::container(&["logs", &self.name]);
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    /// A client that talks to it.
    pub fn client(&self) -> Command {
        psql(USER, &self.address)
    }

    /// The lines that it answers; none when it does not.
    pub fn ask(&self, sql: &str) -> String {
        let output = psql(USER, &self.address).args(["-c", sql]).stdin(Stdio::null()).output().expect("psql is there");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.aws = None;
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}

fn psql(user: &str, address: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-At", "-h", address, "-U", user, "-d", DATABASE]);
    command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5").stderr(Stdio::null());
    command
}

/// The application.
pub struct Application {
    pub url: String,
    slow: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

/// A session, and where it is.
struct Session {
    user: &'static str,
    host: String,
    psql: Option<Child>,
}

impl Default for Session {
    fn default() -> Self {
        Self { user: USER, host: String::new(), psql: None }
    }
}

impl Session {
    /// Goes to the database that the environment names. Whether there is a session then.
    fn follow(&mut self, host: &str) -> bool {
        if host != self.host {
            self.end();
            host.clone_into(&mut self.host);
        }
        if self.psql.is_none() && !host.is_empty() {
            let child = psql(self.user, host).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            self.psql = child.ok().and_then(|mut child| {
                child.stdin.as_mut()?.write_all(b"select 'here';\n").ok()?;
                let mut said = String::new();
                BufReader::new(child.stdout.take()?).read_line(&mut said).ok()?;
                if said.trim() == "here" {
                    return Some(child);
                }
                let _ = child.wait();
                None
            });
        }
        self.psql.is_some()
    }

    fn end(&mut self) {
        if let Some(mut child) = self.psql.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Application {
    /// The pods of [`RELEASE`].
    pub fn start(scene: &Scene) -> Self {
        let look = scene.cluster.looker("deployments.apps", &format!("{RELEASE}-app"));
        let host = move || {
            let found = look();
            let told = found.pointer("/spec/template/spec/containers/0/env/0/value");
            told.and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (slow, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let session = Arc::new(Mutex::new(Session::default()));
        let (late, ended, asked) = (Arc::clone(&slow), Arc::clone(&over), Arc::clone(&session));
        let host = Arc::new(Mutex::new(host));
        let told = Arc::clone(&host);
        // New pods come up whenever the environment changes.
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                if late.load(Ordering::SeqCst) == 0 {
                    let host = told.lock().expect("no test panics here")();
                    session.lock().expect("no test panics here").follow(&host);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let late = Arc::clone(&slow);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut session = asked.lock().expect("no test panics here");
                // The last one is answered by new pods already.
                let left = late.load(Ordering::SeqCst);
                late.store(left.saturating_sub(1), Ordering::SeqCst);
                let well = if left > 1 {
                    session.psql.is_some()
                } else {
                    let host = host.lock().expect("no test panics here")();
                    session.follow(&host)
                };
                let _ = answer(&stream, well);
            }
        });
        Self { url, slow, over }
    }

    /// The old pods stay, and answer this many more questions for their health, well as they are: from the old database.
    pub fn is_slow(&self, questions: usize) {
        self.slow.store(questions + 1, Ordering::SeqCst);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn answer(mut stream: &TcpStream, well: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let health = lines.next().is_some_and(|line| line.starts_with("GET /v1/client/health "));
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let status = if health && well { "200 OK" } else { "503 Unavailable" };
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
}
