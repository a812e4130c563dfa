//! The playbooks of OmniChat on real PostgreSQL in real containers: backup, verification, recovery, and the way back.

#[path = "support/omnichat.rs"]
mod omnichat;

use muster::engine::RunState;
use muster::engine::state::StepStatus;
use muster::model::status::RunStatus;
use omnichat::{Deployment, shell};

fn succeeded(what: &str, state: &RunState) {
    let failures: Vec<String> = state
        .steps
        .iter()
        .filter(|(_, step)| !matches!(step.status, StepStatus::Succeeded { .. } | StepStatus::Skipped { .. }))
        .map(|(path, step)| format!("{path}: {:?}", step.status))
        .collect();
    assert_eq!(state.status(), RunStatus::Succeeded, "{what}: {failures:#?} {:?}", state.pauses);
}

fn only_backup(deployment: &Deployment) -> String {
    let names: Vec<String> = std::fs::read_dir(deployment.backups())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("omnichat-local-"))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[test]
fn what_was_backed_up_comes_back_after_database_and_models_are_destroyed() {
    let deployment = Deployment::up("back");
    let before = deployment.picture();
    succeeded("backup", &deployment.run("omnichat-backup", &[]));
    assert_eq!(deployment.picture(), before, "a backup changes nothing");
    succeeded("verify", &deployment.run("omnichat-verify", &[]));
    assert_eq!(deployment.picture(), before, "a verification changes nothing");

    deployment.sql(
        "chatbot_db",
        "drop table chat cascade; delete from file; select lo_unlink(oid) from pg_largeobject_metadata",
    );
    shell(&deployment.prefix, "podman exec ${P}ollama rm -rf /root/.ollama/models/blobs");
    std::fs::write(deployment.checkout().join("local/.env"), "POSTGRES_USER=chatbot_user\nPOSTGRES_DB=chatbot_db\n")
        .unwrap();

    succeeded("restore", &deployment.run("omnichat-restore", &[]));
    succeeded("verify live", &deployment.run("omnichat-verify", &[("against", "live")]));
    let chats = deployment.sql("chatbot_db", "select count(*) from chat").trim().to_owned();
    assert_eq!(chats, "40");
    let left = shell(&deployment.prefix, "podman ps -a --filter label=muster.run -q | wc -l");
    assert_eq!(left.trim(), "0", "one-shot containers are left behind");
}

#[test]
fn a_damaged_backup_is_found_out() {
    let deployment = Deployment::up("damage");
    succeeded("backup", &deployment.run("omnichat-backup", &[("models", "false"), ("app_data", "false")]));
    let folder = deployment.backups().join(only_backup(&deployment));
    let dump = folder.join("db-chatbot_db.dump");
    let whole = std::fs::read(&dump).unwrap();
    for (what, bytes) in [("0 bytes", &whole[..0]), ("bytes instead of", &whole[..whole.len() / 2])] {
        std::fs::write(&dump, bytes).unwrap();
        let state = deployment.run("omnichat-verify", &[]);
        assert_eq!(state.status(), RunStatus::RolledBack);
        let said = format!("{:?}", state.steps);
        assert!(said.contains(what), "{what}: {said}");
    }
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    let said = format!("{:?}", deployment.run("omnichat-verify", &[]).steps);
    assert!(said.contains("no complete backup"), "{said}");
}
