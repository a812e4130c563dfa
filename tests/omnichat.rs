//! The playbooks of OmniChat on real PostgreSQL in real containers: backup, verification, recovery, and the way back.

#[path = "support/deployment.rs"]
mod deployment;
#[path = "support/omnichat.rs"]
mod omnichat;

use std::process::Command;

use deployment::contain;
use muster::engine::RunState;
use muster::engine::state::StepStatus;
use muster::model::command::Order;
use muster::model::status::RunStatus;
use omnichat::Estate;

fn run_of(state: &RunState) -> muster::model::RunId {
    state.header.as_ref().expect("the run has begun").run.clone()
}

fn ended(what: &str, wanted: RunStatus, state: &RunState) {
    let steps: Vec<String> = state
        .steps
        .iter()
        .filter(|(_, step)| !matches!(step.status, StepStatus::Succeeded { .. } | StepStatus::Skipped { .. }))
        .map(|(path, step)| format!("{path}: {:?}", step.status))
        .collect();
    assert_eq!(state.status(), wanted, "{what}: {steps:#?} {:?}", state.pauses);
}

/// Loses rows, large objects, models, an upload and settings; and has an upload that no backup has.
fn destroy(estate: &Estate) {
    let wreck = "drop table chat cascade; delete from file; select lo_unlink(oid) from pg_largeobject_metadata";
    estate.deployment.psql("chatbot_db", wreck).unwrap();
    contain(&["exec", &estate.deployment.name("ollama"), "rm", "-rf", "/root/.ollama/models/blobs"]);
    let uploads = "cd /app/backend/data/uploads && rm 1.txt && echo other >2.txt && echo later >later.txt";
    contain(&["exec", &estate.deployment.name("open-webui"), "sh", "-c", uploads]);
    std::fs::write(estate.file("local/.env"), "POSTGRES_USER=chatbot_user\nPOSTGRES_DB=chatbot_db\n").unwrap();
}

#[test]
fn what_was_backed_up_comes_back_after_database_and_models_are_destroyed() {
    let estate = Estate::start("back");
    let before = estate.picture();
    let backup = estate.run("omnichat-backup", &[]);
    ended("backup", RunStatus::Succeeded, &backup);
    assert_eq!(estate.picture(), before, "a backup changes nothing");
    let verification = estate.run("omnichat-verify", &[]);
    ended("verify", RunStatus::Succeeded, &verification);
    assert_eq!(estate.picture(), before, "a verification changes nothing");

    destroy(&estate);
    let restore = estate.run("omnichat-restore", &[]);
    ended("restore", RunStatus::Succeeded, &restore);
    // What is newer than the backup stays, and is all that differs.
    contain(&["exec", &estate.deployment.name("open-webui"), "rm", "/app/backend/data/uploads/later.txt"]);
    ended("verify live", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("against", "live")]));
    let after = estate.picture();
    for (part, wanted) in &before {
        if part != "models" {
            assert_eq!(after.get(part), Some(wanted), "{part}");
        }
    }
    for state in [&backup, &verification, &restore] {
        assert_eq!(estate.deployment.leftovers(run_of(state).as_str()), Vec::<String>::new());
    }
    assert!(!estate.backup_names().iter().any(|name| name.starts_with('.') || name.ends_with(".partial")));
}

#[test]
fn a_restore_that_is_rolled_back_leaves_what_was_there() {
    let estate = Estate::start("undo");
    ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &[]));
    destroy(&estate);
    let (before, backups) = (estate.picture(), estate.backup_names());
    let state = estate.run("omnichat-restore", &[("retire", "true")]);
    ended("restore", RunStatus::Paused, &state);
    assert_ne!(estate.picture(), before);
    let state = estate.say(&run_of(&state), Order::Rollback { to: None, force: false });
    ended("rollback", RunStatus::RolledBack, &state);
    assert_eq!(estate.picture(), before);
    assert_eq!(estate.backup_names(), backups);
    assert_eq!(estate.deployment.leftovers(run_of(&state).as_str()), Vec::<String>::new());
}

#[test]
fn a_total_loss_is_recovered_from_the_backup_alone() {
    let estate = Estate::start("loss");
    ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &[]));
    let before = estate.picture();
    estate.deployment.make("local-destroy");
    std::fs::remove_file(estate.file("local/.env")).unwrap();
    // The Makefile reads the settings itself, as the original's does; only they are put back by the restore.
    ended("restore", RunStatus::Succeeded, &estate.run("omnichat-restore", &[]));
    ended("verify live", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("against", "live")]));
    let after = estate.picture();
    for (part, wanted) in before.iter().filter(|(part, _)| *part != "models") {
        assert_eq!(after.get(part), Some(wanted), "{part}");
    }
}

#[test]
fn a_damaged_backup_is_found_out() {
    let estate = Estate::start("damage");
    ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &[]));
    let folder = estate.backups().join(&estate.backup_names()[0]);
    let damages = [
        ("db-chatbot_db.dump", 0, "0 bytes"),
        ("db-chatbot_db.dump", 3000, "bytes instead of"),
        ("models.tar", 9000, "bytes instead of"),
    ];
    for (file, length, wanted) in damages {
        let whole = std::fs::read(folder.join(file)).unwrap();
        std::fs::write(folder.join(file), &whole[..length]).unwrap();
        let state = estate.run("omnichat-verify", &[]);
        ended(file, RunStatus::RolledBack, &state);
        let said = format!("{:?}", state.steps);
        assert!(said.contains(wanted), "{file}: {said}");
        let state = estate.run("omnichat-restore", &[]);
        ended("a restore refuses it too", RunStatus::Paused, &state);
        std::fs::write(folder.join(file), whole).unwrap();
    }
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    let said = format!("{:?}", estate.run("omnichat-verify", &[]).steps);
    assert!(said.contains("no complete backup"), "{said}");
}

#[test]
fn a_backup_for_a_recipient_holds_nothing_in_plain_and_restores() {
    let estate = Estate::start("crypt");
    let keyring = estate.home("keyring");
    std::fs::create_dir(&keyring).unwrap();
    let made = Command::new("sh")
        .args(["-c", "chmod 0700 \"$GNUPGHOME\" && gpg --batch --quiet --passphrase '' --quick-generate-key backup@example.org default default never"])
        .env("GNUPGHOME", &keyring)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no gpg here");
        return;
    }
    let keyring = keyring.display().to_string();
    let sealed = [("recipient", "backup@example.org"), ("encryption", "gpg"), ("gpg_home", keyring.as_str())];
    ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &sealed));
    let folder = estate.backups().join(&estate.backup_names()[0]);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".gpg") || ["manifest.json", "SHA256SUMS"].contains(&name.as_str()), "{name}");
    }
    ended("verify", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("gpg_home", &keyring)]));
    destroy(&estate);
    ended("restore", RunStatus::Succeeded, &estate.run("omnichat-restore", &[("gpg_home", &keyring)]));
    ended("verify live", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("against", "live")]));
}
