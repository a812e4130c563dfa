//! Supervised programs: they outlive the engine, are told exactly from those that never ran, and end with all they started.

mod live_world;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use live_world::{LiveWorld, lives, until};
use muster::ops::process::ChildStatus;
use muster::ops::{ErrorClass, Probe, ReadHost, Sent, WriteHost};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const KEY: &str = "m-run-step-1-0";

fn sh(script: &str) -> Value {
    json!({ "argv": ["sh", "-c", script] })
}

fn with(mut args: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

fn pid_in(path: &Path) -> i32 {
    until("a pid", || std::fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// The supervisor of a child, as its start record says.
fn supervisor_of(folder: &Path, key: &str) -> i32 {
    let text = std::fs::read_to_string(folder.join("children").join(key).join("started.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    i32::try_from(record["supervisor"]["pid"].as_i64().unwrap()).unwrap()
}

/// Runs a test of this file as another process: the engine that is killed.
fn engine(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env("ENGINE_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "is the engine that another test kills"]
fn engine_that_launches_and_hangs() {
    let folder = PathBuf::from(std::env::var_os("ENGINE_FOLDER").unwrap());
    let world = LiveWorld::under(&folder);
    let script =
        format!("while [ ! -e {0}/go ]; do sleep 0.02; done; echo ran >> {0}/count; echo out", folder.display());
    let request = world.ready("exec.run", sh(&script), KEY).unwrap();
    assert_eq!(world.host.send(&request).unwrap(), Sent::Running);
    println!("launched");
    std::thread::sleep(Duration::from_secs(100));
}

#[test]
fn a_program_outlives_the_killed_engine_and_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine("engine_that_launches_and_hangs", dir.path());
    let mut lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("launched")));
    engine.kill().unwrap();
    engine.wait().unwrap();

    let world = LiveWorld::under(dir.path());
    let request = world.request("exec.run", sh("exit 9"), KEY);
    assert!(matches!(world.host.probe(&request).unwrap(), Probe::Running { .. }));
    // Sent again under the same key it is not started again.
    assert_eq!(world.host.send(&request).unwrap(), Sent::Running);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let result = world.wait(&request).unwrap();
    assert_eq!((result["code"].as_i64(), result["stdout_tail"].as_str()), (Some(0), Some("out\n")));
    assert_eq!(world.host.send(&request).unwrap(), Sent::Running);
    assert_eq!(std::fs::read_to_string(dir.path().join("count")).unwrap(), "ran\n");

    world.host.release(&request);
    world.host.release(&request);
    assert_eq!(world.host.probe(&request).unwrap(), Probe::NotDone);
    assert!(world.children.keys().unwrap().is_empty());
}

#[test]
fn what_was_never_started_is_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    assert_eq!(world.children.status(KEY).unwrap(), ChildStatus::Never);
    let error = world.write("exec.run", json!({ "argv": ["no-such-program"] }), KEY).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.hint.unwrap().contains("no-such-program"));
    assert_eq!(world.children.status(KEY).unwrap(), ChildStatus::Never);
    for wrong in ["", "../x", "a/b", "A"] {
        assert_eq!(world.children.status(wrong).unwrap_err().class, ErrorClass::Refused, "{wrong}");
    }
}

#[test]
fn a_killed_supervisor_leaves_a_running_child_and_then_a_lost_one() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let script = format!("echo $$ > {}/pid; exec sleep 1000", dir.path().display());
    let request = world.ready("exec.run", sh(&script), KEY).unwrap();
    world.host.send(&request).unwrap();
    let child = pid_in(&dir.path().join("pid"));
    let supervisor = supervisor_of(dir.path(), KEY);
    kill(supervisor);
    until("the supervisor is gone", || !lives(supervisor));
    assert!(matches!(world.host.probe(&request).unwrap(), Probe::Running { .. }));
    kill(child);
    until("the child is gone", || !lives(child));
    assert_eq!(world.children.status(KEY).unwrap(), ChildStatus::Lost);
    assert!(matches!(world.host.probe(&request).unwrap(), Probe::CannotTell { .. }));
    // A person may say that it is to be sent again.
    let again = world.request("exec.run", sh("echo again"), KEY);
    world.host.send(&again).unwrap();
    assert_eq!(world.wait(&again).unwrap()["stdout_tail"], "again\n");
}

#[test]
fn a_status_of_another_boot_is_a_lost_child() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let folder = dir.path().join("children").join(KEY);
    std::fs::create_dir_all(&folder).unwrap();
    let record = json!({ "boot_id": "another", "supervisor": { "pid": 1, "start": 0 }, "part": null });
    std::fs::write(folder.join("started.json"), record.to_string()).unwrap();
    assert_eq!(world.children.status(KEY).unwrap(), ChildStatus::Lost);
}

#[test]
fn the_deadline_kills_children_and_grandchildren() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    // One obeys SIGTERM, one does not, and one is in a process group of its own.
    let script = format!(
        "trap '' TERM; (trap - TERM; exec sleep 1000) & echo $! > {0}/a; set -m; (trap '' TERM; exec sleep 1000) & \
         echo $! > {0}/b; while :; do sleep 0.1; done",
        dir.path().display()
    );
    let request = world.ready("exec.run", with(sh(&script), json!({ "timeout": "500ms" })), KEY).unwrap();
    world.host.send(&request).unwrap();
    let (a, b) = (pid_in(&dir.path().join("a")), pid_in(&dir.path().join("b")));
    let error = world.wait(&request).unwrap_err();
    assert!(error.message.contains("in time"), "{error}");
    until("the grandchildren are gone", || !lives(a) && !lives(b));
}

#[test]
fn kill_all_ends_the_children_of_one_run_alone() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let requests: Vec<_> = ["m-one-a", "m-one-b", "m-two-a"]
        .map(|key| {
            let request = world.ready("exec.run", sh("sleep 1000"), key).unwrap();
            world.host.send(&request).unwrap();
            request
        })
        .into();
    assert_eq!(world.children.kill_all("m-one-").unwrap(), 2);
    for request in &requests[..2] {
        let error = world.wait(request).unwrap_err();
        assert!(error.message.contains("143"), "{error}");
    }
    assert!(matches!(world.host.probe(&requests[2]).unwrap(), Probe::Running { .. }));
    assert_eq!(world.children.kill_all("m-").unwrap(), 1);
    assert_eq!(world.children.kill_all("m-").unwrap(), 0);
}

#[test]
fn a_large_stream_passes_through_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::File::create(&input).unwrap().set_len(1 << 30).unwrap();
    let script = format!("cat; while [ ! -e {}/go ]; do sleep 0.02; done", dir.path().display());
    let streams = json!({ "stdin_file": input, "stdout_file": output });
    let request = world.ready("exec.run", with(sh(&script), streams), KEY).unwrap();
    world.host.send(&request).unwrap();
    until(
        "the stream is through",
        || matches!(world.children.status(KEY).unwrap(), ChildStatus::Running { stdout_bytes } if stdout_bytes == 1 << 30),
    );
    assert!(!output.exists(), "the file appears only when it is whole");
    let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor_of(dir.path(), KEY))).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(peak < 64 << 10, "the supervisor took {peak} KiB");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let result = world.wait(&request).unwrap();
    assert_eq!(result["stdout_bytes"], 1u64 << 30);
    // That of 1 GiB of zeros.
    assert_eq!(result["stdout_sha256"], "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14");
    let meta = output.metadata().unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (1 << 30, 0o600));
}

#[test]
fn an_output_appears_only_after_a_good_end() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let output = dir.path().join("out");
    let to = json!({ "stdout_file": output });
    let error = world.write("exec.run", with(sh("echo half; exit 3"), to.clone()), "m-bad").unwrap_err();
    assert!(error.message.contains("exit code 3"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the children's folder is there");
    let args = with(sh("echo whole; exit 3"), json!({ "stdout_file": output, "ok_codes": [0, 3] }));
    assert_eq!(world.write("exec.run", args, "m-good").unwrap()["code"], 3);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "whole\n");
    let error = world.write("exec.run", with(sh("echo other"), to.clone()), "m-over").unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&output, &link).unwrap();
    let args = with(sh("echo other"), json!({ "stdout_file": link, "replace": true }));
    assert_eq!(world.write("exec.run", args, "m-link").unwrap_err().class, ErrorClass::Refused);
    world.write("exec.run", with(with(sh("echo other"), to), json!({ "replace": true })), "m-replace").unwrap();
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "other\n");
}

#[test]
fn a_file_that_came_meanwhile_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let output = dir.path().join("out");
    let script = format!("echo theirs > {}; echo ours", output.display());
    let error = world.write("exec.run", with(sh(&script), json!({ "stdout_file": output })), KEY).unwrap_err();
    assert!(error.message.contains("cannot write"), "{error}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "theirs\n");
}

#[test]
fn an_output_that_cannot_be_written_ends_the_program_with_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    // A limit on the size of files stands in for a full disk. The supervisor has it from the process that starts it.
    let output = dir.path().join("out");
    let mut limited = Command::new("sh");
    limited.arg("-c").arg("trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"").arg(std::env::current_exe().unwrap());
    limited.args(["engine_that_launches_a_flood", "--exact", "--ignored"]).env("ENGINE_FOLDER", dir.path());
    assert!(limited.stdout(Stdio::null()).status().unwrap().success());
    let request = world.request("exec.run", sh(""), KEY);
    let error = world.wait(&request).unwrap_err();
    assert!(error.message.contains("cannot write its output"), "{error}");
    assert!(!output.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the children's folder is there");
}

#[test]
#[ignore = "is the engine of another test"]
fn engine_that_launches_a_flood() {
    let folder = PathBuf::from(std::env::var_os("ENGINE_FOLDER").unwrap());
    let world = LiveWorld::under(&folder);
    let args = with(sh("exec cat /dev/zero"), json!({ "stdout_file": folder.join("out") }));
    let request = world.ready("exec.run", args, KEY).unwrap();
    assert_eq!(world.host.send(&request).unwrap(), Sent::Running);
}

#[test]
fn secrets_reach_the_program_and_no_file_and_no_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    std::fs::write(dir.path().join("secret"), "correct-horse-battery\n").unwrap();
    let handle = json!({ "$secret": { "provider": "file", "path": dir.path().join("secret") } });
    let script = format!(
        "printf %s \"$PASSWORD\" | wc -c > {0}/length; while [ ! -e {0}/go ]; do sleep 0.02; done",
        dir.path().display()
    );
    let request = world.ready("exec.run", with(sh(&script), json!({ "env": { "PASSWORD": handle } })), KEY).unwrap();
    world.host.send(&request).unwrap();
    until("it ran", || std::fs::read_to_string(dir.path().join("length")).is_ok_and(|text| text.trim() == "21"));
    let supervisor = supervisor_of(dir.path(), KEY);
    let command_line = std::fs::read(format!("/proc/{supervisor}/cmdline")).unwrap();
    let environment = std::fs::read(format!("/proc/{supervisor}/environ")).unwrap();
    let mut files = vec![command_line, environment];
    files.extend(
        std::fs::read_dir(dir.path().join("children").join(KEY))
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap()),
    );
    assert!(files.len() > 3);
    for bytes in &files {
        assert!(!String::from_utf8_lossy(bytes).contains("correct-horse"));
    }
    let mode = dir.path().join("children").join(KEY).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::write(dir.path().join("go"), "").unwrap();
    world.wait(&request).unwrap();
    assert!(world.redactor.scrub("correct-horse-battery").contains("redacted"));
}

#[test]
fn a_program_gets_a_clean_environment_and_no_files_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let _held = std::fs::File::create(dir.path().join("held")).unwrap();
    let args =
        json!({ "argv": ["sh", "-c", "env | cut -d= -f1 | sort; echo; ls /proc/self/fd"], "env": { "GIVEN": "1" } });
    let result = world.write("exec.run", args, KEY).unwrap();
    let text = result["stdout_tail"].as_str().unwrap();
    let (names, files) = text.split_once("\n\n").unwrap();
    assert!(names.contains("GIVEN") && names.contains("PATH") && !names.contains("CARGO"), "{names}");
    // The three streams, and the folder that `ls` reads.
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn a_broken_pipe_ends_a_program_as_usual() {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    // With SIGPIPE ignored `yes` would complain of it instead of ending silently.
    let result = world.write("exec.run", sh("yes | head -n 1; echo end"), KEY).unwrap();
    assert_eq!((&result["stdout_tail"], &result["stderr_tail"]), (&json!("y\nend\n"), &json!("")));
}

#[test]
fn two_launches_of_one_key_start_one_program() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("echo ran >> {0}/count; while [ ! -e {0}/go ]; do sleep 0.02; done", dir.path().display());
    let worlds: Vec<_> = (0..6).map(|_| LiveWorld::under(dir.path())).collect();
    std::thread::scope(|scope| {
        for world in &worlds {
            scope.spawn(|| {
                let request = world.ready("exec.run", sh(&script), KEY).unwrap();
                assert_eq!(world.host.send(&request).unwrap(), Sent::Running);
            });
        }
    });
    std::fs::write(dir.path().join("go"), "").unwrap();
    worlds[0].wait(&worlds[0].request("exec.run", sh(&script), KEY)).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("count")).unwrap(), "ran\n");
}

#[test]
fn a_supervisor_that_is_not_told_to_start_starts_nothing() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    let ran = dir.path().join("ran");
    let command = json!({
        "argv": ["touch", ran], "env": { "PATH": std::env::var("PATH").unwrap() }, "cwd": null, "stdin": null, "stdout": null,
        "replace": false, "stdout_mode": null, "timeout": null, "ok_codes": [],
    });
    let launch = json!({ "key": KEY, "folder": dir.path().join("children").join(KEY), "command": command });
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("__supervise")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = supervisor.stdin.take().unwrap();
    writeln!(to, "{launch}").unwrap();
    let mut ready = [0; 7];
    supervisor.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"\"Ready\"");
    // It holds the key already, so that nobody takes it for never started.
    assert!(matches!(world.children.status(KEY).unwrap(), ChildStatus::Running { .. }));
    // The engine dies here.
    drop(to);
    supervisor.wait().unwrap();
    assert_eq!(world.children.status(KEY).unwrap(), ChildStatus::Never);
    assert!(!ran.exists());
}
