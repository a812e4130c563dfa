//! A plan against a live target changes nothing: shown by what stands between Muster and its targets.
//!
//! By type this holds already: the engine of a plan has `Host::Planning`, behind which there is a `PlanHost`, and that is a
//! `ReadHost` that foresees: it has no `send`, and `App::plan_engine` builds no `Writer`. What the reading halves of the operations
//! really do, no type says. So every program that a plan may find by its name is a wrapper here that writes its arguments down, every
//! HTTP request goes through a proxy that writes it down, the deployment and its backups are mounted read-only, and what the
//! deployment holds is counted before and after.

#[path = "support/deployment.rs"]
mod deployment;
#[path = "support/omnichat.rs"]
mod omnichat;
#[path = "support/traffic.rs"]
mod traffic;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use muster::model::Value;
use muster::model::status::RunStatus;
use omnichat::Estate;
use sha2::{Digest as _, Sha256};

/// Everything that a shipped playbook, or Muster itself, calls by name, and what such playbooks might call. Nothing else can be
/// found.
const PROGRAMS: [&str; 24] = [
    "podman",
    "docker",
    "psql",
    "pg_dump",
    "pg_restore",
    "pg_isready",
    "tar",
    "make",
    "git",
    "gpg",
    "age",
    "sh",
    "bash",
    "env",
    "find",
    "du",
    "df",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "touch",
    "curl",
    "setsid",
];

/// What stands in a program's place. Its log has one entry a call: its words, and last what it was given to read where that is a
/// script. One write a call, so that calls made at once do not mix.
const WRAPPER: &str = r#"
words() { printf 'PROGRAM'; for word in "$@"; do printf '\037%s' "$word"; done; }
note() { dd of='LOG' oflag=append conv=notrunc bs=1M iflag=fullblock status=none; }
for word in "$@"; do last=$word; done
case "${last:-}" in
-) input=$(mktemp); cat >"$input"; { words "$@"; printf '\037'; cat "$input"; printf '\036'; } | note
   exec 0<"$input"; rm "$input" ;;
*) { words "$@"; printf '\036'; } | note ;;
esac
exec 'REAL' "$@"
"#;

/// The wrappers, and their log.
struct Recorder {
    folder: tempfile::TempDir,
}

impl Recorder {
    fn new() -> Self {
        let recorder = Self { folder: tempfile::tempdir().unwrap() };
        let real = std::env::var("PATH").unwrap();
        std::fs::create_dir(recorder.programs()).unwrap();
        for program in PROGRAMS {
            let Some(found) = std::env::split_paths(&real).map(|at| at.join(program)).find(|path| path.is_file())
            else {
                continue;
            };
            let script = WRAPPER
                .replace("REAL", &found.display().to_string())
                .replace("PROGRAM", program)
                .replace("LOG", &recorder.log().display().to_string());
            let path = recorder.programs().join(program);
            std::fs::write(&path, format!("#!/bin/sh\nPATH='{real}'\n{script}")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::write(recorder.log(), "").unwrap();
        recorder
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("programs")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The calls since the last time.
    fn take(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.log()).unwrap();
        std::fs::write(self.log(), "").unwrap();
        let calls = text.split('\u{1e}').filter(|call| !call.is_empty());
        calls.map(|call| call.split('\u{1f}').map(str::to_owned).collect()).collect()
    }
}

/// An HTTP proxy that is also every server behind it: it answers 200, and writes down what it was asked.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || answer(stream, &log));
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
        if first.starts_with("CONNECT ") {
            // The tunnel ends here too.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            continue;
        }
        log.lock().unwrap().push(first.rsplit_once(' ').map_or(first.clone(), |(asked, _)| asked.to_owned()));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        return;
    }
}

/// Every entry below a folder with all that a write could change: kind, mode, owner, time, contents.
fn entries(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let meta = std::fs::symlink_metadata(&folder).unwrap();
        found.insert(folder.clone(), format!("{:o} {}.{}", meta.mode(), meta.mtime(), meta.mtime_nsec()));
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let sum: String =
                Sha256::digest(std::fs::read(&path).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
            let at = format!("{:o} {}:{} {}.{}", meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
            found.insert(path, format!("{at} {sum}"));
        }
    }
    found
}

/// Whether a call of a program only reads. This list is the reviewed one: whatever else a plan calls is a fault.
fn only_reads(call: &[String]) -> bool {
    let words: Vec<&str> = call.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["podman" | "docker", rest @ ..] => client_reads(rest),
        ["git", "-C", _, "rev-parse", "HEAD"] => true,
        _ => false,
    }
}

/// The container client: what it looks at, and what it runs in a container that runs already.
fn client_reads(words: &[&str]) -> bool {
    let mut rest = match words {
        ["container" | "volume" | "image", "inspect", ..] | ["info" | "ps" | "version", ..] => return true,
        ["exec", rest @ ..] => rest,
        _ => return false,
    };
    while let [option, after @ ..] = rest
        && option.starts_with('-')
    {
        let has_value = ["-e", "--env", "-u", "--user", "-w"].contains(option);
        rest = if has_value { after.get(1..).unwrap_or_default() } else { after };
    }
    match rest.get(1..).unwrap_or_default() {
        ["du" | "df" | "ls" | "pg_isready", ..] => true,
        ["find", words @ ..] => !words.iter().any(|word| ["-delete", "-exec", "-ok", "-fprint"].contains(word)),
        // The one program of a shipped playbook that is a line of shell: the models, summed.
        ["sh", "-ec", script] => {
            *script
                == "cd /root/.ollama && find models/manifests -type f && cd models/blobs && find . -type f -name \
                    'sha256-*' -exec sha256sum {} +"
        }
        // PostgreSQL's client, with the server's own user where none is given, and the statements from the standard input.
        ["sh", "-c", script, "sh", "psql", .., "-f", "-", sql] => {
            script.starts_with("export PGUSER=") && script.ends_with("exec \"$@\"") && statements_read(sql)
        }
        _ => false,
    }
}

/// Statements that the server holds to reading; or of which each begins as only reading ones do.
fn statements_read(sql: &str) -> bool {
    let mut text = sql.trim().to_lowercase();
    // Settings of the session.
    while let Some((first, rest)) = text.split_once(';')
        && first.starts_with("set ")
        && !first.contains("read_only")
    {
        text = rest.trim_start().to_owned();
    }
    let begins = text.lines().next().unwrap_or_default();
    if begins.starts_with("begin ") && begins.contains("read only") {
        let mut after = text.split("commit;").skip(1).map(str::trim);
        return !text.contains("read write") && after.all(|rest| rest.is_empty() || rest.starts_with("\\echo '"));
    }
    // The client says by `\echo` where its answer ends.
    let text: String = text.lines().filter(|line| !line.starts_with("\\echo '")).collect::<Vec<_>>().join("\n");
    let mut statements = text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).peekable();
    statements.peek().is_some()
        && statements.all(|statement| statement.starts_with("select") || statement.starts_with("show"))
}

struct Ground {
    estate: Estate,
    recorder: Recorder,
    proxy: Proxy,
    guarded: bool,
    /// What there was before the first plan: no plan changes it.
    before: OnceCell<Looked>,
}

/// The deployment, and every entry of its folder and of its backups'.
type Looked = (BTreeMap<String, String>, [BTreeMap<PathBuf, String>; 2]);

impl Ground {
    fn new(name: &str) -> Self {
        let estate = Estate::start(name);
        std::fs::create_dir_all(estate.backups()).unwrap();
        let guarded = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
        if !guarded {
            eprintln!("skipped: nothing can be mounted read-only here");
        }
        Self { estate, recorder: Recorder::new(), proxy: Proxy::start(), guarded, before: OnceCell::new() }
    }

    /// `muster plan`, with nothing but wrappers to call, and with these folders mounted read-only.
    fn plan(&self, playbook: &Path, pairs: &[String], sealed: &[PathBuf]) -> Output {
        let store = tempfile::tempdir().unwrap();
        let mut words = vec![env!("CARGO_BIN_EXE_muster").to_owned(), "plan".into(), playbook.display().to_string()];
        words.extend(pairs.iter().flat_map(|pair| ["-p".to_owned(), pair.clone()]));
        words.extend(["-o".to_owned(), "json".to_owned()]);
        let programs = self.recorder.programs().display().to_string();
        let mut command = Command::new(if self.guarded { "unshare" } else { "env" });
        if self.guarded {
            let mounts: String = sealed
                .iter()
                .map(|path| {
                    let path = path.display();
                    format!("mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}' && ! touch '{path}/x' 2>/dev/null && ")
                })
                .collect();
            command.args(["-m", "sh", "-c", &format!("{mounts} PATH=\"$0\" && exec \"$@\""), &programs]);
        } else {
            command.arg(format!("PATH={programs}"));
        }
        command
            .args(words)
            .env("MUSTER_STORE", store.path().join("muster.db"))
            .envs(self.estate.deployment.environment());
        command.env("HTTP_PROXY", self.proxy.url()).env("http_proxy", self.proxy.url()).stdin(Stdio::null());
        command.output().unwrap()
    }
}

/// From now on the server refuses to write, unless it is asked with emphasis.
fn hold_to_reading(estate: &Estate, held: bool) {
    let word = if held { "on" } else { "off" };
    let sql = format!("begin read write; alter role chatbot_user set default_transaction_read_only = {word}; commit");
    estate.deployment.psql("postgres", &sql).unwrap();
}

/// Plans, and holds that all that was called is a reading call and all that there was is there. The plan, and the HTTP requests.
fn plan_and_watch(ground: &Ground, what: &str, playbook: &Path, pairs: &[String]) -> (Value, Vec<String>) {
    let estate = &ground.estate;
    let sealed = [estate.deployment.path().to_owned(), estate.backups()];
    let look = || (estate.picture(), sealed.each_ref().map(|folder| entries(folder)));
    let before = ground.before.get_or_init(look);
    ground.recorder.take();
    let output = ground.plan(playbook, pairs, &sealed);
    let (calls, asked) = (ground.recorder.take(), ground.proxy.take());
    let said = String::from_utf8_lossy(&output.stderr);
    let plan = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {said}"));
    for call in calls {
        assert!(only_reads(&call), "{what}: a plan called {call:?}");
    }
    for request in &asked {
        assert!(request.starts_with("GET ") || request.starts_with("HEAD "), "{what}: a plan asked {request}");
    }
    assert!(look() == *before, "{what}: something has changed");
    (plan, asked)
}

/// Parameters beside those of the deployment.
type Pairs<'p> = &'p [(&'p str, &'p str)];

#[test]
fn a_plan_of_every_shipped_playbook_makes_no_writing_call() {
    let ground = Ground::new("harmless");
    let estate = &ground.estate;
    assert_eq!(estate.run("omnichat-backup", &[]).status(), RunStatus::Succeeded);
    let playbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let made =
        Command::new(playbooks.join("hello-recovery/demo/make-data")).arg(estate.file("hello")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let at = |name: &str| estate.file("hello").join(name).display().to_string();
    let hello = [format!("service={}", at("service")), format!("backup={}", at("backup.tar"))];
    let health = format!("{}/health", ground.proxy.url());
    let variants: [(&str, Pairs<'_>); 8] = [
        ("hello-recovery", &[]),
        ("omnichat-backup", &[]),
        ("omnichat-backup", &[("recipient", "somebody@example.org"), ("encryption", "gpg")]),
        ("omnichat-verify", &[]),
        ("omnichat-verify", &[("against", "live")]),
        ("omnichat-restore", &[("health_url", &health)]),
        ("omnichat-restore", &[("retire", "true")]),
        ("omnichat-restore", &[("restore", "[config]"), ("safety_copy", "false")]),
    ];
    let mut planned = BTreeSet::new();
    hold_to_reading(estate, true);
    for (playbook, extra) in variants {
        let what = format!("{playbook} {extra:?}");
        let pairs = if playbook == "hello-recovery" { hello.to_vec() } else { estate.pairs(playbook, extra) };
        let (plan, _) = plan_and_watch(&ground, &what, &playbooks.join(playbook), &pairs);
        let effects = plan["effects"].as_u64().unwrap();
        assert!(effects > 0 || extra.contains(&("against", "live")), "{what}: there is nothing in it: {plan:#}");
        for step in plan["steps"].as_array().unwrap() {
            let status = step["outcome"]["status"].as_str().unwrap();
            assert!(!["fails", "not_reached"].contains(&status), "{what}: {} {}", step["step"], step["outcome"]);
        }
        planned.insert(playbook);
    }
    hold_to_reading(estate, false);
    let shipped: BTreeSet<String> = std::fs::read_dir(&playbooks)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("playbook.yaml").is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    planned.extend(traffic::ON_AWS);
    planned.extend(traffic::ON_KUBERNETES);
    planned.insert(traffic::ON_A_HOST);
    let planned = |name: &String| planned.contains(name.as_str());
    assert!(shipped.iter().all(planned), "{shipped:?}: planned here, in `aws_ops`, in `helm_ops` or in `pg_ops`");
}

#[test]
fn a_plan_sends_no_effect_of_any_family_even_where_it_is_the_first_call() {
    let ground = Ground::new("first");
    let estate = &ground.estate;
    let name = |plain: &str| estate.deployment.name(plain);
    let (db, web) = (name("open-webui-db"), name("open-webui"));
    let server = format!("server: #{{ container: \"{db}\", user: \"chatbot_user\" }}");
    let file = estate.file("local/.env").display().to_string();
    let (new, url) = (estate.home("backups/new").display().to_string(), ground.proxy.url());
    let image = "localhost/muster-test/postgres:15";
    let effects = [
        format!("host::fs::delete(#{{ path: \"{file}\" }})"),
        format!("host::fs::write_text(#{{ path: \"{file}\", text: \"gone\", replace: true }})"),
        format!("host::fs::rename(#{{ from: \"{file}\", to: \"{file}.old\" }})"),
        format!("host::docker::stop(\"{web}\")"),
        format!("host::docker::exec(#{{ container: \"{web}\", argv: [\"rm\", \"-rf\", \"/app/backend/data\"] }})"),
        format!("host::docker::run(#{{ image: \"{image}\", argv: [\"true\"], network: \"host\" }})"),
        format!("host::docker::copy_out(#{{ container: \"{web}\", path: \"/app\", to: \"{new}\" }})"),
        format!("host::docker::create_container(#{{ image: \"{image}\", name: \"{web}-new\" }})"),
        format!("host::pg::execute(#{{ {server}, database: \"chatbot_db\", sql: \"drop table chat cascade\" }})"),
        format!("host::pg::drop_database(#{{ {server}, database: \"chatbot_db\" }})"),
        format!("host::pg::create_database(#{{ {server}, database: \"another\" }})"),
        format!("host::pg::dump(#{{ {server}, database: \"chatbot_db\", to: \"{new}\" }})"),
        format!("host::exec::run(#{{ argv: [\"rm\", \"-rf\", \"{file}\"] }})"),
        format!("host::http::get(\"{url}/state\"); host::http::post(#{{ url: \"{url}/wreck\", body: \"now\" }})"),
    ];
    for effect in effects {
        let playbook = tempfile::tempdir().unwrap();
        let text = format!(
            "muster: 1\nname: first\nversion: 1.0.0\ntitle: One effect\ndoc: One effect.\ncapabilities: ['*.*']\nsteps:\n  \
             - id: only\n    title: It\n    rollback: '()'\n    script: |\n      {effect};\n"
        );
        std::fs::write(playbook.path().join("playbook.yaml"), text).unwrap();
        let (plan, asked) = plan_and_watch(&ground, &effect, playbook.path(), &[]);
        let step = &plan["steps"][0];
        assert_eq!(plan["effects"], 1, "{effect}: {plan:#}");
        assert_eq!(step["outcome"]["status"], "runs", "{effect}: {step:#}");
        let wanted: &[String] = if effect.contains("http") { &["GET /state".to_owned()] } else { &[] };
        assert_eq!(asked, wanted, "{effect}: the proxy stands between, and sees what is read");
    }
}

#[test]
fn the_list_of_reading_calls_knows_a_writing_one() {
    let call = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    for reads in ["podman container inspect web", "podman exec web du -sk /x", "git -C /srv rev-parse HEAD"] {
        assert!(only_reads(&call(reads)), "{reads}");
    }
    for writes in
        ["podman stop web", "podman exec web rm x", "podman exec web find / -delete", "git -C /srv pull", "rm x"]
    {
        assert!(!only_reads(&call(writes)), "{writes}");
    }
    assert!(statements_read("begin transaction read only;\nselect 1"));
    assert!(statements_read("select 1;\nselect 2"));
    assert!(statements_read(
        "set datestyle = 'ISO'; begin isolation level repeatable read read only;\nselect 1;\ncommit;\n"
    ));
    for writes in [
        "begin read only; select 1; commit; drop table chat",
        "drop table chat",
        "select 1; drop table chat",
        "begin; delete from chat",
        "",
    ] {
        assert!(!statements_read(writes), "{writes}");
    }
}
