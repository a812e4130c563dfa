//! The standard library's modules, as they stand in the binary.

/// Name and text of each module of `/stdlib`.
const MODULES: &[(&str, &str)] = &[
    ("aws_backup", include_str!("../../stdlib/aws_backup.rhai")),
    ("backup", include_str!("../../stdlib/backup.rhai")),
    ("calendar", include_str!("../../stdlib/calendar.rhai")),
    ("ecs", include_str!("../../stdlib/ecs.rhai")),
    ("epoch", include_str!("../../stdlib/epoch.rhai")),
    ("omnichat", include_str!("../../stdlib/omnichat.rhai")),
    ("omnichat_aws_backup", include_str!("../../stdlib/omnichat_aws_backup.rhai")),
    ("omnichat_aws_restore", include_str!("../../stdlib/omnichat_aws_restore.rhai")),
    ("permissions", include_str!("../../stdlib/permissions.rhai")),
    ("pg", include_str!("../../stdlib/pg.rhai")),
    ("pgo4", include_str!("../../stdlib/pgo4.rhai")),
    ("pgbackrest", include_str!("../../stdlib/pgbackrest.rhai")),
    ("pgo", include_str!("../../stdlib/pgo.rhai")),
    ("pgo_database", include_str!("../../stdlib/pgo_database.rhai")),
    ("pgo_restore", include_str!("../../stdlib/pgo_restore.rhai")),
    ("pgo_standby", include_str!("../../stdlib/pgo_standby.rhai")),
    ("pgo4_restore", include_str!("../../stdlib/pgo4_restore.rhai")),
    ("rds", include_str!("../../stdlib/rds.rhai")),
    ("release", include_str!("../../stdlib/release.rhai")),
    ("runai", include_str!("../../stdlib/runai.rhai")),
    ("runai_restore", include_str!("../../stdlib/runai_restore.rhai")),
    ("terraform", include_str!("../../stdlib/terraform.rhai")),
    ("vault_backup", include_str!("../../stdlib/vault_backup.rhai")),
    ("words", include_str!("../../stdlib/words.rhai")),
];

/// The text of a module: `pg` for `stdlib/pg`.
#[must_use]
pub fn module(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(other, _)| *other == name).map(|(_, text)| *text)
}

/// The names of all modules.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}
