//! A store that cannot be used, or is not what was written: every command says what, why and what to do, with its exit code.

#[path = "support/cli.rs"]
mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

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
