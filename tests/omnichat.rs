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
fn hybrid_mode_is_restored_with_its_config_and_lost_and_restored_again() {
    let estate = Estate::start_hybrid("hybrid");
    let before = estate.picture();
    ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &[]));
    assert_eq!(estate.picture(), before, "a backup changes nothing");
    let archive = estate.backups().join(&estate.backup_names()[0]).join("webui-data.tar");
    let listed = Command::new("tar").arg("-tf").arg(archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("data/uploads/1.txt") && !listed.contains("config.json"), "{listed}");
    ended("verify", RunStatus::Succeeded, &estate.run("omnichat-verify", &[]));

    // Written over in place: the container has the file itself mounted.
    std::fs::write(estate.file("hybrid/config.json"), "{}\n").unwrap();
    let upload = ["exec", &estate.deployment.name("open-webui"), "rm", "/app/backend/data/uploads/1.txt"];
    contain(&upload);
    let state = estate.run("omnichat-restore", &[("retire", "true")]);
    ended("restore", RunStatus::Paused, &state);
    let config = || std::fs::read_to_string(estate.file("hybrid/config.json")).unwrap_or_default();
    assert_eq!(Some(&config()), before.get("file hybrid/config.json"));
    let state = estate.say(&run_of(&state), Order::Rollback { to: None, force: false });
    ended("rollback", RunStatus::RolledBack, &state);
    assert_eq!(config(), "{}\n");

    estate.deployment.make("hybrid-destroy");
    std::fs::remove_file(estate.file("hybrid/.env")).unwrap();
    std::fs::remove_file(estate.file("hybrid/config.json")).unwrap();
    ended("restore from nothing", RunStatus::Succeeded, &estate.run("omnichat-restore", &[]));
    ended("verify live", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("against", "live")]));
    let after = estate.picture();
    for (part, wanted) in before.iter().filter(|(part, _)| *part != "models") {
        assert_eq!(after.get(part), Some(wanted), "{part}");
    }
}

/// A key for `gpg`, in a keyring of its own; whether it could be made.
fn make_gpg_key(keyring: &std::path::Path) -> bool {
    std::fs::create_dir(keyring).unwrap();
    Command::new("sh")
        .args(["-c", "chmod 0700 \"$GNUPGHOME\" && gpg --batch --quiet --passphrase '' --quick-generate-key backup@example.org default default never"])
        .env("GNUPGHOME", keyring)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A key for `age`: its file and the recipient; `None` when there is no `age`.
fn make_age_key(file: &std::path::Path) -> Option<String> {
    Command::new("age-keygen").arg("-o").arg(file).output().ok().filter(|output| output.status.success())?;
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix("# public key: "))?.to_owned())
}

#[test]
fn a_backup_for_a_recipient_holds_nothing_in_plain_and_restores() {
    let estate = Estate::start("crypt");
    let (keyring, identity) = (estate.home("keyring"), estate.home("key.txt"));
    let has_gpg = make_gpg_key(&keyring);
    let recipient = make_age_key(&identity);
    let (keyring, identity) = (keyring.display().to_string(), identity.display().to_string());
    type Given<'a> = (&'a str, &'a str);
    let mut ways: Vec<(&str, Vec<Given<'_>>, Given<'_>)> = Vec::new();
    if has_gpg {
        let sealed = vec![("recipient", "backup@example.org"), ("encryption", "gpg"), ("gpg_home", keyring.as_str())];
        ways.push(("gpg", sealed, ("gpg_home", keyring.as_str())));
    } else {
        eprintln!("skipped: there is no gpg here");
    }
    match &recipient {
        Some(recipient) => ways.push(("age", vec![("recipient", recipient.as_str())], ("identity", identity.as_str()))),
        None => eprintln!("skipped: there is no age here"),
    }
    for (method, sealed, opens) in ways {
        let earlier = estate.backup_names();
        ended("backup", RunStatus::Succeeded, &estate.run("omnichat-backup", &sealed));
        let new = estate.backup_names().into_iter().find(|name| !earlier.contains(name)).expect("a new backup");
        for entry in std::fs::read_dir(estate.backups().join(&new)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_sealed = name.ends_with(&format!(".{method}"));
            assert!(is_sealed || ["manifest.json", "SHA256SUMS"].contains(&name.as_str()), "{name}");
        }
        ended("verify", RunStatus::Succeeded, &estate.run("omnichat-verify", &[("backup", &new), opens]));
        destroy(&estate);
        ended("restore", RunStatus::Succeeded, &estate.run("omnichat-restore", &[("backup", &new), opens]));
        let live = [("backup", new.as_str()), ("against", "live")];
        ended("verify live", RunStatus::Succeeded, &estate.run("omnichat-verify", &live));
    }
}
