//! The family `docker` on real containers: what each operation does, what its probe says at each point at which it can
//! be killed, and what its undo leaves.

mod live_world;
#[path = "support/deployment.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use live_world::{LiveWorld, until};
use muster::ops::process::ChildStatus;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{ErrorClass, Polled, Probe, ReadHost, Request, WriteHost};
use serde_json::{Value, json};
use support::{Deployment, contain, container};

const IMAGE: &str = "localhost/muster-test/postgres:15";

/// A deployment and a host to work on it.
struct Ground {
    deployment: Deployment,
    world: LiveWorld,
    dir: tempfile::TempDir,
}

impl Ground {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { deployment: Deployment::start_empty(name), world: LiveWorld::under(dir.path()), dir }
    }

    fn app(&self) -> String {
        self.deployment.name("open-webui")
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A key that no other test process has.
    fn key(&self, word: &str) -> String {
        format!("m-{}{word}", self.deployment.prefix())
    }

    fn probe(&self, request: &Request) -> Probe {
        self.world.host.probe(request).unwrap()
    }

    /// Kills the supervisor of a call and all that it started on this host, as a crash of the host's user session
    /// would.
    fn kill_supervisor(&self, key: &str) {
        let record = std::fs::read_to_string(self.dir.path().join("children").join(key).join("started.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        let pid = record["supervisor"]["pid"].as_i64().unwrap();
        let session = std::process::Command::new("pkill").args(["-KILL", "-s", &pid.to_string()]).status().unwrap();
        assert!(session.success());
        until("the supervisor is gone", || self.world.children.status(key).unwrap() == ChildStatus::Lost);
    }

    fn undo(&self, request: &Request, result: &Value) -> Option<Value> {
        let Backend::Write(entry) = &request.op.backend else { panic!("{} does not write", request.op.name) };
        match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Nothing => None,
            Undo::Impossible(why) => panic!("{why}"),
            Undo::Call { op, args } => {
                let mut args = args;
                if let Some(object) = args.as_object_mut() {
                    for value in object.values_mut() {
                        if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("$result")) {
                            *value = result.pointer(path).cloned().unwrap_or_default();
                        }
                    }
                }
                Some(self.world.write(op, args, &format!("{}-undo", request.key)).unwrap())
            }
        }
    }
}

#[test]
fn what_is_there_is_told_and_what_is_not_is_no_error() {
    let ground = Ground::new("look");
    let host = &ground.world;
    let info = host.read("docker.info", json!({})).unwrap();
    assert!(info["host_id"].as_str().unwrap().len() > 10, "{info}");
    let app = host.read("docker.inspect", json!({ "container": ground.app() })).unwrap();
    assert_eq!((&app["running"], &app["owned_by"]), (&json!(true), &json!("")));
    assert_eq!(app["labels"]["com.docker.compose.service"], "open-webui");
    let db = host.read("docker.inspect", json!({ "container": ground.deployment.db() })).unwrap();
    let mounts = db["mounts"].as_array().unwrap();
    let volume = ground.deployment.name("local_open-webui");
    assert!(mounts.iter().any(|mount| mount["name"] == volume && mount["destination"] == "/var/lib/postgresql/data"));
    assert_eq!(host.read("docker.inspect", json!({ "container": "no-such" })).unwrap()["exists"], false);
    assert_eq!(host.read("docker.volume", json!({ "volume": "no-such" })).unwrap()["exists"], false);
    assert_eq!(host.read("docker.image", json!({ "image": "localhost/no-such:1" })).unwrap()["exists"], false);
    assert_eq!(host.read("docker.image", json!({ "image": IMAGE })).unwrap()["exists"], true);
    let label = format!("com.docker.compose.project={}local", ground.deployment.prefix());
    let list = host.read("docker.list", json!({ "label": label })).unwrap();
    let names: Vec<&str> = list["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ollama", "open-webui", "open-webui-db"].map(|name| ground.deployment.name(name)));
    let target = host.host.target(&host.request("docker.inspect", json!({ "container": "x" }), "")).unwrap().unwrap();
    assert_eq!(target.identity, info["host_id"].as_str().unwrap());
}

#[test]
fn a_program_inside_is_read_with_its_input_and_exit_code() {
    let ground = Ground::new("read");
    let read = |args: Value| ground.world.read("docker.read", args);
    let said = read(json!({ "container": ground.app(), "argv": ["cat"], "stdin": "a\nb" })).unwrap();
    assert_eq!(said, json!({ "code": 0, "stdout": "a\nb", "stderr": "" }));
    let script = ["sh", "-c", "echo $X; exit 3"];
    let said = read(json!({ "container": ground.app(), "argv": script, "env": { "X": "1" }, "any_exit": true }));
    assert_eq!(said.unwrap(), json!({ "code": 3, "stdout": "1\n", "stderr": "" }));
    let error = read(json!({ "container": ground.app(), "argv": ["false"] })).unwrap_err();
    assert_eq!(error.class, ErrorClass::Failed);
    let error = read(json!({ "container": ground.app(), "argv": ["no-such-program"] })).unwrap_err();
    assert!(error.message.contains("does not exist inside the container"), "{error:?}");
    let error = read(json!({ "container": "no-such", "argv": ["true"] })).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("there is no container no-such"), "{error:?}");
}

#[test]
fn a_stopped_container_is_started_and_its_undo_stops_it_again() {
    let ground = Ground::new("start");
    let (host, args) = (&ground.world, json!({ "container": ground.app() }));
    let stop = host.ready("docker.stop", args.clone(), &ground.key("stop")).unwrap();
    assert_eq!(ground.probe(&stop), Probe::NotDone);
    host.host.send(&stop).unwrap();
    assert!(matches!(ground.probe(&stop), Probe::Done { .. }));
    assert_eq!(ground.deployment.state("open-webui"), "exited");

    let error = host.read("docker.read", json!({ "container": ground.app(), "argv": ["true"] })).unwrap_err();
    assert!(error.message.contains("is not running, it is exited"), "{error:?}");
    let polled = host.host.poll(&host.request("docker.wait_healthy", args.clone(), "")).unwrap_err();
    assert!(polled.message.contains("it is exited with exit code"), "{polled:?}");

    let start = host.ready("docker.start", args.clone(), &ground.key("start")).unwrap();
    assert_eq!(ground.probe(&start), Probe::NotDone);
    host.host.send(&start).unwrap();
    let Probe::Done { result } = ground.probe(&start) else { panic!("it is done") };
    assert_eq!(result["was_running"], false);
    ground.undo(&start, &result);
    assert_eq!(ground.deployment.state("open-webui"), "exited");
    ground.undo(&stop, &json!({ "was_running": true }));
    assert_eq!(ground.deployment.state("open-webui"), "running");
    let again = host.ready("docker.start", args, &ground.key("again")).unwrap();
    assert_eq!(ground.undo(&again, &Value::Null), None, "what ran before is not stopped");
}

#[test]
fn a_container_that_was_made_anew_is_not_taken_for_the_old_one() {
    let ground = Ground::new("anew");
    let stop = ground.world.ready("docker.stop", json!({ "container": ground.app() }), &ground.key("stop")).unwrap();
    contain(&["rm", "-f", "-t", "0", &ground.app()]);
    assert!(matches!(ground.probe(&stop), Probe::CannotTell { .. }));
    assert!(ground.world.host.send(&stop).is_err());
}

#[test]
fn a_database_container_is_waited_for_until_it_is_healthy() {
    let ground = Ground::new("healthy");
    let request = ground.world.request("docker.wait_healthy", json!({ "container": ground.deployment.db() }), "");
    until("it is healthy", || matches!(ground.world.host.poll(&request).unwrap(), Polled::Ready(_)));
    // The server that initialises the data answers the health check first, and then stops once.
    ground.deployment.wait_for_database();
}

#[test]
fn a_program_inside_reads_and_writes_files_of_the_host() {
    let ground = Ground::new("exec");
    std::fs::write(ground.file("in"), "hello").unwrap();
    let args = json!({
        "container": ground.app(), "argv": ["sh", "-c", "cat; printf %s \"$X\"; echo done >&2"], "env": { "X": "!" },
        "stdin_file": ground.file("in"), "stdout_file": ground.file("out"),
    });
    let ended = ground.world.write("docker.exec", args.clone(), &ground.key("exec")).unwrap();
    assert_eq!(std::fs::read_to_string(ground.file("out")).unwrap(), "hello!");
    assert_eq!((&ended["code"], &ended["stdout_bytes"]), (&json!(0), &json!(6)));
    assert!(ended["stderr_tail"].as_str().unwrap().contains("done"));
    let error = ground.world.write("docker.exec", args, &ground.key("again")).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    let args = json!({ "container": ground.app(), "argv": ["sh", "-c", "echo why >&2; exit 4"] });
    let error = ground.world.write("docker.exec", args, &ground.key("fails")).unwrap_err();
    assert!(error.message.ends_with("it ended with exit code 4"), "{error:?}");
    assert_eq!(error.detail.as_deref(), Some("why"));
}

#[test]
fn a_program_whose_client_was_killed_is_found_inside_the_container() {
    let ground = Ground::new("orphan");
    let script = "touch /tmp/begun; while [ ! -e /tmp/go ]; do sleep 0.05; done";
    let key = ground.key("exec");
    let request = ground
        .world
        .ready("docker.exec", json!({ "container": ground.app(), "argv": ["sh", "-c", script] }), &key)
        .unwrap();
    assert_eq!(ground.probe(&request), Probe::NotDone, "never sent");
    ground.world.host.send(&request).unwrap();
    assert!(matches!(ground.probe(&request), Probe::Running { .. }));
    // On a busy machine the client takes its time until the program runs.
    until("it has begun", || container(&["exec", &ground.app(), "test", "-e", "/tmp/begun"]).status.success());
    ground.kill_supervisor(&key);
    let Probe::Running { progress: Some(progress) } = ground.probe(&request) else { panic!("it goes on") };
    assert!(progress.contains("goes on"), "{progress}");
    contain(&["exec", &ground.app(), "touch", "/tmp/go"]);
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    let Probe::CannotTell { why } = ground.probe(&request) else { panic!("its exit code is lost") };
    assert!(why.contains("exit code is lost"), "{why}");
}

#[test]
fn a_program_that_dies_with_its_container_is_not_called_done() {
    let ground = Ground::new("dies");
    let args = json!({ "container": ground.app(), "argv": ["sleep", "60"] });
    let request = ground.world.ready("docker.exec", args, &ground.key("exec")).unwrap();
    ground.world.host.send(&request).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    contain(&["kill", "-s", "KILL", &ground.app()]);
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    assert!(matches!(ground.probe(&request), Probe::CannotTell { .. } | Probe::Failed { .. }));
}

#[test]
fn a_one_shot_container_is_gone_when_its_end_is_recorded() {
    let ground = Ground::new("run");
    let volume = ground.deployment.name("local_ollama-data");
    let args = json!({
        "image": IMAGE, "argv": ["sh", "-c", "echo kept >/v/file; echo said"],
        "mounts": [{ "volume": volume, "at": "/v" }],
        "stdout_file": ground.file("out"),
    });
    let ended = ground.world.write("docker.run", args, &ground.key("run")).unwrap();
    assert_eq!(ended["code"], 0);
    assert_eq!(std::fs::read_to_string(ground.file("out")).unwrap(), "said\n");
    assert_eq!(contain(&["exec", &ground.deployment.name("ollama"), "cat", "/root/.ollama/file"]), "kept");
    assert!(!container(&["container", "exists", &format!("muster-{}", ground.key("run"))]).status.success());

    let missing = json!({ "image": IMAGE, "argv": ["true"], "mounts": [{ "volume": "no-such", "at": "/v" }] });
    let error = ground.world.write("docker.run", missing, &ground.key("missing")).unwrap_err();
    assert!(error.message.contains("there is no volume no-such"), "{error:?}");
    let failing = json!({ "image": IMAGE, "argv": ["sh", "-c", "echo why >&2; exit 9"] });
    let error = ground.world.write("docker.run", failing, &ground.key("fails")).unwrap_err();
    assert!(error.message.ends_with("exit code 9"), "{error:?}");
}

#[test]
fn a_one_shot_container_goes_on_and_ends_without_its_client() {
    let ground = Ground::new("alone");
    let key = ground.key("run");
    let flag = ground.deployment.name("local_ollama-data");
    let script = "while [ ! -e /v/go ]; do sleep 0.05; done; echo said; exit 5";
    let args = json!({
        "image": IMAGE, "argv": ["sh", "-c", script], "mounts": [{ "volume": flag, "at": "/v" }], "ok_codes": [5],
    });
    let request = ground.world.ready("docker.run", args, &key).unwrap();
    assert_eq!(ground.probe(&request), Probe::NotDone, "never sent");
    ground.world.host.send(&request).unwrap();
    until("it runs", || {
        let name = format!("muster-{key}");
        container(&["container", "inspect", "--format", "{{.State.Status}}", &name]).stdout.starts_with(b"running")
    });
    ground.kill_supervisor(&key);
    assert!(matches!(ground.probe(&request), Probe::Running { .. }));
    contain(&["exec", &ground.deployment.name("ollama"), "touch", "/root/.ollama/go"]);
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    let Probe::Done { result } = ground.probe(&request) else { panic!("{:?}", ground.probe(&request)) };
    assert_eq!((&result["code"], &result["stdout_tail"]), (&json!(5), &json!("said")));
    ground.world.host.release(&request);
    assert_eq!(ground.probe(&request), Probe::NotDone, "nothing is left of it");
}

#[test]
fn what_became_of_a_call_can_be_asked_after_its_deadline() {
    let ground = Ground::new("late");
    let key = ground.key("exec");
    let args = json!({ "container": ground.app(), "argv": ["sleep", "3"] });
    let mut request = ground.world.ready("docker.exec", args, &key).unwrap();
    request.deadline = muster::model::Timestamp::now().checked_add(Duration::from_millis(900)).ok();
    ground.world.host.send(&request).unwrap();
    until("the deadline has killed the client", || {
        matches!(ground.world.children.status(&key).unwrap(), ChildStatus::Ended(_))
    });
    // The deadline does not reach into the container: what goes on there is told, and afterwards that it cannot be known.
    until("the program inside has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    assert!(matches!(ground.probe(&request), Probe::CannotTell { .. }), "{:?}", ground.probe(&request));
    let args = json!({ "image": IMAGE, "argv": ["sleep", "60"] });
    let mut request = ground.world.ready("docker.run", args, &ground.key("run")).unwrap();
    request.deadline = muster::model::Timestamp::now().checked_add(Duration::from_secs(2)).ok();
    ground.world.host.send(&request).unwrap();
    until("it has ended", || !matches!(ground.probe(&request), Probe::Running { .. }));
    assert!(matches!(ground.probe(&request), Probe::Failed { .. }), "{:?}", ground.probe(&request));
    ground.world.host.release(&request);
    assert_eq!(ground.probe(&request), Probe::NotDone, "nothing is left of it");
}

#[test]
fn a_one_shot_that_was_made_but_never_started_is_sent_anew() {
    let ground = Ground::new("half");
    let key = ground.key("run");
    let name = format!("muster-{key}");
    let request = ground.world.ready("docker.run", json!({ "image": IMAGE, "argv": ["echo", "x"] }), &key).unwrap();
    contain(&["create", "--name", &name, "--network", "none", "--label", &format!("muster.key={key}"), IMAGE, "true"]);
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    let result = ground.world.wait(&request).unwrap();
    assert_eq!(result["stdout_tail"].as_str().unwrap().trim(), "x");
    ground.world.host.release(&request);
}

#[test]
fn a_container_is_made_once_and_its_undo_removes_it() {
    let ground = Ground::new("make");
    let name = ground.deployment.name("scratch");
    let args = json!({
        "name": name, "image": IMAGE, "env": { "POSTGRES_PASSWORD": "x" }, "tmpfs": ["/var/lib/postgresql/data"],
        "labels": { "purpose": "test" },
    });
    let request = ground.world.ready("docker.create_container", args.clone(), &ground.key("make")).unwrap();
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    let Probe::Done { result } = ground.probe(&request) else { panic!("it is there") };
    let seen = ground.world.read("docker.inspect", json!({ "container": name })).unwrap();
    assert_eq!((&seen["id"], &seen["owned_by"]), (&result["id"], &json!(ground.world.run.as_str())));
    let error = ground.world.ready("docker.create_container", args, &ground.key("twice")).unwrap_err();
    assert!(error.message.contains("there is a container of that name already"), "{error:?}");
    ground.undo(&request, &result);
    assert_eq!(ground.deployment.state("scratch"), "");
    ground.undo(&request, &result);
    assert_eq!(ground.probe(&request), Probe::NotDone);
}

#[test]
fn what_muster_did_not_make_it_does_not_remove() {
    let ground = Ground::new("foreign");
    let request = json!({ "name": ground.app(), "force": true });
    let error = ground.world.ready("docker.remove_container", request, &ground.key("rm")).unwrap_err();
    assert!(error.message.contains("no run made it"), "{error:?}");
    let volume = json!({ "volume": ground.deployment.name("local_open-webui") });
    let error = ground.world.ready("docker.remove_volume", volume, &ground.key("rmv")).unwrap_err();
    assert!(error.message.contains("no run made it"), "{error:?}");
    // As an undo of a call that never happened: left alone, without an error.
    let undo = json!({ "name": ground.app(), "force": true, "made_by": "m-other" });
    assert_eq!(ground.world.write("docker.remove_container", undo, &ground.key("undo")).unwrap()["removed"], false);
    assert_eq!(ground.deployment.state("open-webui"), "running");
}

#[test]
fn a_volume_is_made_once_and_its_undo_removes_it() {
    let ground = Ground::new("volume");
    let args = json!({ "volume": ground.deployment.name("scratch") });
    let request = ground.world.ready("docker.create_volume", args.clone(), &ground.key("vol")).unwrap();
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    assert!(matches!(ground.probe(&request), Probe::Done { .. }));
    assert!(ground.world.ready("docker.create_volume", args.clone(), &ground.key("twice")).is_err());
    ground.undo(&request, &json!({}));
    assert_eq!(ground.world.read("docker.volume", args).unwrap()["exists"], false);
    ground.undo(&request, &json!({}));
}

#[test]
fn files_come_out_of_and_go_into_a_stopped_container() {
    let ground = Ground::new("copy");
    contain(&["exec", &ground.app(), "sh", "-c", "echo one >/app/backend/data/uploads/1"]);
    contain(&["stop", "-t", "1", &ground.app()]);
    let out = json!({ "container": ground.app(), "path": "/app/backend/data", "to": ground.file("data.tar") });
    let request = ground.world.ready("docker.copy_out", out, &ground.key("out")).unwrap();
    assert_eq!(ground.probe(&request), Probe::NotDone);
    ground.world.host.send(&request).unwrap();
    let result = ground.world.wait(&request).unwrap();
    let listed = ground.world.read("fs.tar_list", json!({ "archive": ground.file("data.tar") })).unwrap();
    assert!(listed["entries"].to_string().contains("uploads/1"), "{listed}");
    ground.world.host.release(&request);
    // The supervisor was killed after putting the file in place: the file is there, and whole.
    assert_eq!(result["sha256"].as_str().unwrap().len(), 64);

    contain(&["start", &ground.app()]);
    contain(&["exec", &ground.app(), "rm", "/app/backend/data/uploads/1"]);
    let into = json!({ "container": ground.app(), "archive": ground.file("data.tar"), "path": "/app/backend" });
    ground.world.write("docker.copy_in", into.clone(), &ground.key("in")).unwrap();
    assert_eq!(contain(&["exec", &ground.app(), "cat", "/app/backend/data/uploads/1"]), "one");

    let whole = std::fs::read(ground.file("data.tar")).unwrap();
    std::fs::write(ground.file("cut.tar"), &whole[..600]).unwrap();
    let cut = json!({ "container": ground.app(), "archive": ground.file("cut.tar"), "path": "/app/backend" });
    let error = ground.world.ready("docker.copy_in", cut, &ground.key("cut")).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused, "{error:?}");

    ground.undo(&request, &result);
    assert!(!Path::new(&ground.file("data.tar")).exists());
}

fn sha256_of(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_secret_reaches_the_program_and_no_command_line() {
    let ground = Ground::new("secret");
    std::fs::write(ground.file("secret"), "hunter2-very-secret").unwrap();
    let handle = json!({ "$secret": { "provider": "file", "path": ground.file("secret") } });
    let script = "printf %s \"$TOKEN\" | sha256sum; while [ ! -e /tmp/go ]; do sleep 0.05; done";
    let args = json!({ "container": ground.app(), "argv": ["sh", "-c", script], "env": { "TOKEN": handle } });
    let request = ground.world.ready("docker.exec", args, &ground.key("exec")).unwrap();
    ground.world.host.send(&request).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let lines = std::process::Command::new("ps").args(["-eww", "-o", "args"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&lines.stdout).contains("hunter2-very-secret"));
    contain(&["exec", &ground.app(), "touch", "/tmp/go"]);
    let result = ground.world.wait(&request).unwrap();
    let printed = result["stdout_tail"].as_str().unwrap();
    assert!(printed.starts_with(&sha256_of("hunter2-very-secret")), "{printed}");
    ground.world.host.release(&request);
}
