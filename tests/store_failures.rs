//! A store that cannot be used, or is not what was written: every command says what, why and what to do, with its exit code.

#[path = "support/running.rs"]
mod running;
#[path = "support/cli.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use running::Running;
use support::{Desk, Said};

/// A desk with one run that has stopped at a failed step.
fn stopped() -> Desk {
    let desk = Desk::new();
    let playbook =
        "muster: 1\nname: recover\nversion: 1.0.0\ntitle: Fail\nsteps:\n  - id: prove\n    script: throw \"not yet\"\n";
    desk.file("playbooks/recover/playbook.yaml", playbook);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    desk
}

/// Changes the database behind the program's back.
fn tamper(desk: &Desk, sql: &str) {
    rusqlite::Connection::open(desk.store_path()).expect("it opens").execute_batch(sql).expect("it is changed");
}

fn mode(desk: &Desk, name: &str, mode: u32) {
    std::fs::set_permissions(desk.path().join(name), std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Runs the program as somebody for whom permissions count: root is bound by none.
fn as_user(desk: &Desk, args: &[&str]) -> Said {
    if !rustix::process::getuid().is_root() {
        return desk.muster(args);
    }
    let plain = desk.command(args);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(plain.get_program());
    let output = command.args(args).current_dir(desk.path()).env("MUSTER_STORE", desk.store_path()).output();
    let output = output.expect("setpriv is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&desk.path().display().to_string(), "DESK");
    Said { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn a_store_that_may_only_be_read_can_be_looked_at() {
    let desk = stopped();
    mode(&desk, "muster.db", 0o444);
    mode(&desk, "muster.db.d", 0o555);
    mode(&desk, "", 0o555);
    for args in [&["ps"][..], &["show", "@latest"], &["logs", "@latest"]] {
        let said = as_user(&desk, args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        assert!(said.stderr.contains("read-only"), "{args:?}: {}", said.stderr);
    }
    let resume = as_user(&desk, &["resume", "@latest"]);
    assert_eq!(resume.code, 1, "{resume:?}");
    assert!(resume.stderr.contains("read-only"), "{}", resume.stderr);
    mode(&desk, "", 0o700);
    mode(&desk, "muster.db", 0o600);
    mode(&desk, "muster.db.d", 0o700);
    assert_eq!(desk.muster(&["resume", "@latest"]).code, 7, "nothing is lost");
}

#[test]
fn a_store_that_may_not_even_be_read_is_told_with_its_reason() {
    let desk = stopped();
    mode(&desk, "muster.db", 0);
    mode(&desk, "", 0o755);
    for args in [&["ps"][..], &["run", "recover"], &["resume", "@latest"]] {
        let said = as_user(&desk, args);
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{args:?}: {said:?}");
        assert!(said.stderr.starts_with("error: cannot open store DESK/muster.db: "), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("hint: name another store"), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn a_store_that_is_no_file_is_refused_at_once() {
    let desk = stopped();
    symlink("round", desk.path().join("round")).expect("a link");
    assert!(Command::new("mkfifo").arg(desk.path().join("pipe")).status().expect("mkfifo is there").success());
    for (store, why) in [
        ("playbooks", "it is a folder; a store is a file"),
        ("round", "symbolic links"),
        ("pipe", "it is no plain file"),
        ("/dev/zero", "it is no plain file"),
    ] {
        for args in [&["ps"][..], &["run", "recover"], &["resume", "@latest"]] {
            let said = desk.muster(&[&["--store", store], args].concat());
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{store} {args:?}: {said:?}");
            assert!(said.stderr.starts_with(&format!("error: cannot open store {store}: ")), "{}", said.stderr);
            assert!(said.stderr.contains(why) && said.stderr.contains("hint: name another store"), "{}", said.stderr);
        }
    }
}

#[test]
fn a_store_of_a_later_version_is_left_alone() {
    let desk = stopped();
    tamper(&desk, "INSERT INTO format VALUES (9999, '99.0.0')");
    for args in [&["ps"][..], &["run", "recover"], &["resume", "@latest"], &["doctor"]] {
        let said = desk.muster(args);
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains("use muster 99.0.0 or later"), "{said:?}");
    }
}

#[test]
fn a_journal_that_was_edited_is_found_by_whatever_reads_it() {
    let desk = stopped();
    tamper(&desk, "UPDATE batch SET body = replace(body, 'not yet', 'not ytt')");
    for args in [&["show", "@latest"][..], &["logs", "@latest"], &["resume", "@latest"], &["retry", "@latest", "prove"]]
    {
        let said = desk.muster(args);
        assert_eq!(said.code, 6, "{args:?}: {said:?}");
        assert!(said.stderr.contains("the hash chain breaks"), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("compare the store with its last backup"), "{args:?}: {}", said.stderr);
    }
    let doctor = desk.muster(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("the hash chain breaks"), "{doctor:?}");
    assert_eq!(desk.muster(&["run", "recover"]).code, 7, "another run does not suffer");
}

#[test]
fn a_status_that_the_records_do_not_bear_out_is_found_by_the_doctor() {
    let desk = stopped();
    assert_eq!(desk.muster(&["doctor"]).code, 0);
    tamper(&desk, "UPDATE run SET status = 'succeeded'");
    let doctor = desk.muster(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("is listed as succeeded"), "{}", doctor.stdout);
}

#[test]
fn a_run_whose_records_are_missing_hides_no_other() {
    let desk = stopped();
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    tamper(&desk, "DELETE FROM batch WHERE run = 1");
    let ps = desk.muster(&["ps"]);
    assert_eq!((ps.code, ps.stdout.lines().count()), (0, 3), "{ps:?}");
    assert!(ps.stdout.contains("muster doctor") && ps.stdout.contains("muster retry"), "{}", ps.stdout);
}

#[test]
fn a_damaged_page_stops_everything_and_says_how_to_save_what_is_left() {
    let desk = stopped();
    tamper(&desk, "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = std::fs::read(desk.store_path()).expect("the file");
    for page in bytes.chunks_mut(4096).skip(2) {
        page[..2000].fill(0xa5);
    }
    std::fs::write(desk.store_path(), bytes).expect("it is damaged");
    for args in [&["ps"][..], &["show", "@latest"], &["run", "recover"], &["resume", "@latest"]] {
        let said = desk.muster(args);
        assert_eq!((said.code, said.stdout.as_str()), (6, ""), "{args:?}: {said:?}");
        assert!(said.stderr.contains("restore the store's file from a backup"), "{args:?}: {}", said.stderr);
    }
    assert_eq!(desk.muster(&["doctor"]).code, 1);
}

/// A small disk of its own; gone when it is dropped. `None` where nobody may mount one.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(desk: &Desk) -> Option<Self> {
        let path = desk.path().join("disk");
        std::fs::create_dir(&path).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=10m,mode=700", "tmpfs"]).arg(&path);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        use std::io::Write as _;
        let filler = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("filler"));
        let mut file = filler.expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Cuts the file to nothing before it removes it: a removed file keeps its room while anybody has it open, and a
    /// child that another test has just forked has, until it is a program of its own.
    fn make_room(&self) {
        let path = self.0.join("filler");
        std::fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("a file");
        std::fs::remove_file(path).expect("it is removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

const TWO_WRITES: &str = "muster: 1
name: recover
version: 1.0.0
title: Write, wait, write
capabilities: [time.sleep, { fs.write_text: { path: '${params.folder}/*' } }]
params: { folder: { type: path, default: '.' } }
steps:
  - { id: first, uses: fs.write_text, with: { path: '${params.folder}/a.txt', text: a } }
  - { id: nap, needs: [first], uses: time.sleep, with: { duration: 2s } }
  - { id: second, needs: [nap], uses: fs.write_text, with: { path: '${params.folder}/b.txt', text: b } }
";

#[test]
fn a_disk_that_is_full_stops_a_run_before_its_next_effect_and_room_lets_it_go_on() {
    let desk = Desk::new();
    let Some(disk) = Disk::mount(&desk) else {
        eprintln!("skipped: a small disk can only be mounted by root");
        return;
    };
    let desk = desk.env("MUSTER_STORE", "disk/muster.db");
    desk.file("playbooks/recover/playbook.yaml", TWO_WRITES);
    let mut run = Running::start(desk.command(&["run", "recover"]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut progress = BufReader::new(run.stderr.take().expect("its progress"));
    let mut said = String::new();
    while !said.contains("time.sleep waits") {
        assert!(progress.read_line(&mut said).expect("a line") > 0, "it ended before it waited: {said}");
    }
    disk.fill();
    let ended = run.end();
    progress.read_to_string(&mut said).expect("text");
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("error: no room left on the disk of the store disk/muster.db"), "{said}");
    assert!(said.contains("free some room") && said.contains("muster resume"), "{said}");
    assert!(desk.path().join("a.txt").exists() && !desk.path().join("b.txt").exists());

    // The engine has put its log away when it ended, and so made a little room.
    disk.fill();
    for args in [&["ps"][..], &["show", "@latest"], &["logs", "@latest"]] {
        let look = desk.muster(args);
        assert_eq!(look.code, 0, "looking still works: {look:?}");
    }
    let early = desk.muster(&["resume", "@latest"]);
    assert_eq!(early.code, 1, "{early:?}");
    assert!(early.stderr.contains("no room left"), "{early:?}");
    let new = desk.muster(&["run", "recover"]);
    assert!(new.code == 1 && new.stderr.contains("no room left"), "{new:?}");
    let doctor = desk.muster(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("full"), "{doctor:?}");

    disk.make_room();
    let resume = desk.muster(&["resume", "@latest"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert!(desk.path().join("b.txt").exists());
    assert_eq!(desk.muster(&["logs", "@latest"]).stdout.matches("fs.write_text done").count(), 2, "each was done once");
}

#[test]
fn evidence_is_taken_away_from_a_store_that_cannot_be_written_and_what_is_not_in_the_log_is_said() {
    let desk = Desk::new();
    let Some(disk) = Disk::mount(&desk) else {
        eprintln!("skipped: a small disk can only be mounted by root");
        return;
    };
    let desk = desk.env("MUSTER_STORE", "disk/muster.db");
    desk.file("playbooks/recover/playbook.yaml", &TWO_WRITES.replace("2s", "1ms"));
    assert_eq!(desk.muster(&["run", "recover"]).code, 0);
    let key = desk.muster(&["audit", "key"]).stdout.trim().to_owned();
    let taken = |name: &str| {
        let said = desk.muster(&["audit", "export", "@latest", "--out", name]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stderr.contains("is not in the audit log"), "{said:?}");
        let verified = desk.muster(&["audit", "verify", name, "--key", &key]);
        assert_eq!(verified.code, 0, "{verified:?}");
    };
    disk.fill();
    taken("full.tar");
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0).status();
    assert!(remounted.is_ok_and(|status| status.success()));
    taken("read-only.tar");
}

#[test]
fn a_program_that_is_not_there_is_named_with_what_to_install() {
    let steps = |uses: &str, with: &str| {
        format!(
            "muster: 1\nname: recover\nversion: 1.0.0\ntitle: Look\ncapabilities: [{uses}]\n\
             steps:\n  - {{ id: look, uses: {uses}, with: {with} }}\n"
        )
    };
    let desk = Desk::new().env("PATH", "/nowhere").env("MUSTER_CONTAINER_RUNTIME", "podman");
    for (program, uses, with) in [
        ("podman", "docker.inspect", "{ container: db }"),
        ("psql", "pg.databases", "{ server: { host: 127.0.0.1, user: u } }"),
    ] {
        desk.file("playbooks/recover/playbook.yaml", &steps(uses, with));
        let run = desk.muster(&["run", "recover"]);
        assert_eq!(run.code, 7, "{run:?}");
        assert!(run.stdout.contains(&format!("cannot run {program}: there is no such program here")), "{run:?}");
        assert!(run.stdout.contains(&format!("install {program}")), "{run:?}");
        assert!(run.stdout.contains("muster retry "), "and the run goes on from there: {run:?}");
    }
    let doctor = desk.muster(&["doctor"]);
    assert_eq!(doctor.code, 0, "a playbook may do without them: {doctor:?}");
    assert!(doctor.stdout.contains("cannot run psql: there is no such program here"), "{doctor:?}");
}

#[test]
fn the_doctor_says_what_is_there() {
    let desk = stopped();
    let doctor = desk.muster(&["doctor"]);
    for what in ["muster", "store", "disk", "clock", "containers", "psql"] {
        assert!(doctor.stdout.lines().any(|line| line.split_whitespace().nth(1) == Some(what)), "{}", doctor.stdout);
    }
    // For somebody else too, a program that cannot be started says what is wrong, and not just that it may not.
    mode(&desk, "", 0o755);
    let other = as_user(&desk, &["--store", "/nowhere/x.db", "doctor"]);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(!other.stdout.contains("cannot start"), "{}", other.stdout);
}
