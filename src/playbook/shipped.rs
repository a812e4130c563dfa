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
    ("pgo4-backup", "README.md", include_str!("../../playbooks/pgo4-backup/README.md")),
    ("pgo4-backup", "models/pgo.rhai", include_str!("../../playbooks/pgo4-backup/models/pgo.rhai")),
    ("pgo4-backup", "playbook.yaml", include_str!("../../playbooks/pgo4-backup/playbook.yaml")),
    ("pgo4-backup", "tests/backup.yaml", include_str!("../../playbooks/pgo4-backup/tests/backup.yaml")),
    ("pgo4-backup", "world.yaml", include_str!("../../playbooks/pgo4-backup/world.yaml")),
    ("pgo4-restore", "README.md", include_str!("../../playbooks/pgo4-restore/README.md")),
    ("pgo4-restore", "models/pgo.rhai", include_str!("../../playbooks/pgo4-restore/models/pgo.rhai")),
    ("pgo4-restore", "playbook.yaml", include_str!("../../playbooks/pgo4-restore/playbook.yaml")),
    ("pgo4-restore", "tests/restore.yaml", include_str!("../../playbooks/pgo4-restore/tests/restore.yaml")),
    ("pgo4-restore", "world.yaml", include_str!("../../playbooks/pgo4-restore/world.yaml")),
    ("pgo4-schedule", "README.md", include_str!("../../playbooks/pgo4-schedule/README.md")),
    ("pgo4-schedule", "models/pgo.rhai", include_str!("../../playbooks/pgo4-schedule/models/pgo.rhai")),
    ("pgo4-schedule", "playbook.yaml", include_str!("../../playbooks/pgo4-schedule/playbook.yaml")),
    ("pgo4-schedule", "tests/schedule.yaml", include_str!("../../playbooks/pgo4-schedule/tests/schedule.yaml")),
    ("pgo4-schedule", "world.yaml", include_str!("../../playbooks/pgo4-schedule/world.yaml")),
    ("pgbackrest-restore", "README.md", include_str!("../../playbooks/pgbackrest-restore/README.md")),
    (
        "pgbackrest-restore",
        "models/postgres.rhai",
        include_str!("../../playbooks/pgbackrest-restore/models/postgres.rhai"),
    ),
    ("pgbackrest-restore", "playbook.yaml", include_str!("../../playbooks/pgbackrest-restore/playbook.yaml")),
    ("pgbackrest-restore", "tests/restore.yaml", include_str!("../../playbooks/pgbackrest-restore/tests/restore.yaml")),
    ("pgbackrest-restore", "world.yaml", include_str!("../../playbooks/pgbackrest-restore/world.yaml")),
    ("pgo-backup", "README.md", include_str!("../../playbooks/pgo-backup/README.md")),
    ("pgo-backup", "playbook.yaml", include_str!("../../playbooks/pgo-backup/playbook.yaml")),
    ("pgo-backup", "tests/backup.yaml", include_str!("../../playbooks/pgo-backup/tests/backup.yaml")),
    ("pgo-backup", "world.yaml", include_str!("../../playbooks/pgo-backup/world.yaml")),
    ("pgo-clone", "README.md", include_str!("../../playbooks/pgo-clone/README.md")),
    ("pgo-clone", "playbook.yaml", include_str!("../../playbooks/pgo-clone/playbook.yaml")),
    ("pgo-clone", "tests/clone.yaml", include_str!("../../playbooks/pgo-clone/tests/clone.yaml")),
    ("pgo-clone", "world.yaml", include_str!("../../playbooks/pgo-clone/world.yaml")),
    ("pgo-restore-database", "README.md", include_str!("../../playbooks/pgo-restore-database/README.md")),
    ("pgo-restore-database", "playbook.yaml", include_str!("../../playbooks/pgo-restore-database/playbook.yaml")),
    (
        "pgo-restore-database",
        "tests/database.yaml",
        include_str!("../../playbooks/pgo-restore-database/tests/database.yaml"),
    ),
    ("pgo-restore-database", "world.yaml", include_str!("../../playbooks/pgo-restore-database/world.yaml")),
    ("pgo-restore-in-place", "README.md", include_str!("../../playbooks/pgo-restore-in-place/README.md")),
    ("pgo-restore-in-place", "playbook.yaml", include_str!("../../playbooks/pgo-restore-in-place/playbook.yaml")),
    (
        "pgo-restore-in-place",
        "tests/restore.yaml",
        include_str!("../../playbooks/pgo-restore-in-place/tests/restore.yaml"),
    ),
    ("pgo-restore-in-place", "world.yaml", include_str!("../../playbooks/pgo-restore-in-place/world.yaml")),
    ("pgo-standby-promote", "README.md", include_str!("../../playbooks/pgo-standby-promote/README.md")),
    ("pgo-standby-promote", "playbook.yaml", include_str!("../../playbooks/pgo-standby-promote/playbook.yaml")),
    (
        "pgo-standby-promote",
        "tests/promote.yaml",
        include_str!("../../playbooks/pgo-standby-promote/tests/promote.yaml"),
    ),
    ("pgo-standby-promote", "world.yaml", include_str!("../../playbooks/pgo-standby-promote/world.yaml")),
    ("pgo-failback", "README.md", include_str!("../../playbooks/pgo-failback/README.md")),
    ("pgo-failback", "playbook.yaml", include_str!("../../playbooks/pgo-failback/playbook.yaml")),
    ("pgo-failback", "tests/failback.yaml", include_str!("../../playbooks/pgo-failback/tests/failback.yaml")),
    ("pgo-failback", "world.yaml", include_str!("../../playbooks/pgo-failback/world.yaml")),
    ("pgo-standby-create", "README.md", include_str!("../../playbooks/pgo-standby-create/README.md")),
    ("pgo-standby-create", "playbook.yaml", include_str!("../../playbooks/pgo-standby-create/playbook.yaml")),
    ("pgo-standby-create", "tests/create.yaml", include_str!("../../playbooks/pgo-standby-create/tests/create.yaml")),
    ("pgo-standby-create", "world.yaml", include_str!("../../playbooks/pgo-standby-create/world.yaml")),
    ("rds-restore", "README.md", include_str!("../../playbooks/rds-restore/README.md")),
    ("rds-restore", "playbook.yaml", include_str!("../../playbooks/rds-restore/playbook.yaml")),
    ("rds-restore", "tests/restore.yaml", include_str!("../../playbooks/rds-restore/tests/restore.yaml")),
    ("rds-restore", "world.yaml", include_str!("../../playbooks/rds-restore/world.yaml")),
    ("runai-backup", "README.md", include_str!("../../playbooks/runai-backup/README.md")),
    ("runai-backup", "models/runai.rhai", include_str!("../../playbooks/runai-backup/models/runai.rhai")),
    ("runai-backup", "playbook.yaml", include_str!("../../playbooks/runai-backup/playbook.yaml")),
    ("runai-backup", "tests/backup.yaml", include_str!("../../playbooks/runai-backup/tests/backup.yaml")),
    ("runai-backup", "world.yaml", include_str!("../../playbooks/runai-backup/world.yaml")),
    ("runai-recover", "README.md", include_str!("../../playbooks/runai-recover/README.md")),
    ("runai-recover", "models/runai.rhai", include_str!("../../playbooks/runai-recover/models/runai.rhai")),
    ("runai-recover", "playbook.yaml", include_str!("../../playbooks/runai-recover/playbook.yaml")),
    ("runai-recover", "tests/recover.yaml", include_str!("../../playbooks/runai-recover/tests/recover.yaml")),
    ("runai-recover", "world.yaml", include_str!("../../playbooks/runai-recover/world.yaml")),
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
