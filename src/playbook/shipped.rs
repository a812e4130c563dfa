//! The playbooks that stand in the binary, so that `muster run omnichat-restore` works on a machine with nothing else.

/// Playbook, file and text of each file of `/playbooks`.
const FILES: &[(&str, &str, &str)] = &[
    ("ai-vault-backup", "README.md", include_str!("../../playbooks/ai-vault-backup/README.md")),
    ("ai-vault-backup", "models/seal.rhai", include_str!("../../playbooks/ai-vault-backup/models/seal.rhai")),
    ("ai-vault-backup", "playbook.yaml", include_str!("../../playbooks/ai-vault-backup/playbook.yaml")),
    ("ai-vault-backup", "tests/backup.yaml", include_str!("../../playbooks/ai-vault-backup/tests/backup.yaml")),
    ("ai-vault-backup", "world.yaml", include_str!("../../playbooks/ai-vault-backup/world.yaml")),
    ("hello-recovery", "README.md", include_str!("../../playbooks/hello-recovery/README.md")),
    ("hello-recovery", "playbook.yaml", include_str!("../../playbooks/hello-recovery/playbook.yaml")),
    ("hello-recovery", "tests/recovery.yaml", include_str!("../../playbooks/hello-recovery/tests/recovery.yaml")),
    ("hello-recovery", "world.yaml", include_str!("../../playbooks/hello-recovery/world.yaml")),
    ("omnichat-aws-backup", "README.md", include_str!("../../playbooks/omnichat-aws-backup/README.md")),
    ("omnichat-aws-backup", "playbook.yaml", include_str!("../../playbooks/omnichat-aws-backup/playbook.yaml")),
    ("omnichat-aws-backup", "tests/backup.yaml", include_str!("../../playbooks/omnichat-aws-backup/tests/backup.yaml")),
    ("omnichat-aws-backup", "world.yaml", include_str!("../../playbooks/omnichat-aws-backup/world.yaml")),
    ("omnichat-aws-restore", "README.md", include_str!("../../playbooks/omnichat-aws-restore/README.md")),
    (
        "omnichat-aws-restore",
        "models/terraform.rhai",
        include_str!("../../playbooks/omnichat-aws-restore/models/terraform.rhai"),
    ),
    ("omnichat-aws-restore", "playbook.yaml", include_str!("../../playbooks/omnichat-aws-restore/playbook.yaml")),
    (
        "omnichat-aws-restore",
        "tests/restore.yaml",
        include_str!("../../playbooks/omnichat-aws-restore/tests/restore.yaml"),
    ),
    ("omnichat-aws-restore", "world.yaml", include_str!("../../playbooks/omnichat-aws-restore/world.yaml")),
    ("omnichat-backup", "README.md", include_str!("../../playbooks/omnichat-backup/README.md")),
    ("omnichat-backup", "playbook.yaml", include_str!("../../playbooks/omnichat-backup/playbook.yaml")),
    ("omnichat-backup", "tests/backup.yaml", include_str!("../../playbooks/omnichat-backup/tests/backup.yaml")),
    ("omnichat-backup", "world.yaml", include_str!("../../playbooks/omnichat-backup/world.yaml")),
    ("omnichat-restore", "README.md", include_str!("../../playbooks/omnichat-restore/README.md")),
    ("omnichat-restore", "playbook.yaml", include_str!("../../playbooks/omnichat-restore/playbook.yaml")),
    ("omnichat-restore", "tests/restore.yaml", include_str!("../../playbooks/omnichat-restore/tests/restore.yaml")),
    ("omnichat-restore", "world.yaml", include_str!("../../playbooks/omnichat-restore/world.yaml")),
    ("omnichat-verify", "README.md", include_str!("../../playbooks/omnichat-verify/README.md")),
    ("omnichat-verify", "playbook.yaml", include_str!("../../playbooks/omnichat-verify/playbook.yaml")),
    ("omnichat-verify", "tests/verify.yaml", include_str!("../../playbooks/omnichat-verify/tests/verify.yaml")),
    ("omnichat-verify", "world.yaml", include_str!("../../playbooks/omnichat-verify/world.yaml")),
    ("ai-vault-restore", "README.md", include_str!("../../playbooks/ai-vault-restore/README.md")),
    ("ai-vault-restore", "playbook.yaml", include_str!("../../playbooks/ai-vault-restore/playbook.yaml")),
    ("ai-vault-restore", "tests/restore.yaml", include_str!("../../playbooks/ai-vault-restore/tests/restore.yaml")),
    ("ai-vault-restore", "world.yaml", include_str!("../../playbooks/ai-vault-restore/world.yaml")),
    ("rds-restore", "README.md", include_str!("../../playbooks/rds-restore/README.md")),
    ("rds-restore", "playbook.yaml", include_str!("../../playbooks/rds-restore/playbook.yaml")),
    ("rds-restore", "tests/restore.yaml", include_str!("../../playbooks/rds-restore/tests/restore.yaml")),
    ("rds-restore", "world.yaml", include_str!("../../playbooks/rds-restore/world.yaml")),
];

/// A file of a shipped playbook.
#[must_use]
pub fn file(playbook: &str, name: &str) -> Option<&'static str> {
    FILES.iter().find(|(of, file, _)| *of == playbook && *file == name).map(|(_, _, text)| *text)
}

/// The names of all files of a shipped playbook.
pub fn files(playbook: &str) -> impl Iterator<Item = &'static str> {
    FILES.iter().filter(move |(of, ..)| *of == playbook).map(|(_, file, _)| *file)
}

/// The name as it stands in the binary, if there is such a playbook.
#[must_use]
pub fn name(name: &str) -> Option<&'static str> {
    names().find(|other| *other == name)
}

/// The names of all shipped playbooks.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter(|(_, file, _)| *file == super::bundle::MAIN).map(|(of, ..)| *of)
}
