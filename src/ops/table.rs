//! The table itself, put together from the families.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::spec::OpEntry;

/// All operations, by full name.
#[must_use]
pub fn table() -> &'static BTreeMap<&'static str, OpEntry> {
    static TABLE: OnceLock<BTreeMap<&'static str, OpEntry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let families = [
            super::ask::entries(),
            super::docker::entries(),
            super::exec::entries(),
            super::fs::entries(),
            super::http::entries(),
            super::log::entries(),
            super::pg::entries(),
            super::rand::entries(),
            super::time::entries(),
        ];
        families.into_iter().flatten().map(|entry| (entry.name, entry)).collect()
    })
}

/// The entry of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static OpEntry> {
    table().get(name)
}
