//! Records, hash chain, versions, leases, and the store that keeps them.

pub mod apart;
pub mod chain;
#[cfg(test)]
mod contract;
pub mod document;
pub mod handover;
pub mod memory;
pub mod record;
pub mod redact;
pub mod run_journal;
pub mod selection;
pub mod sqlite;
pub mod store;

pub use document::{Document, Expect, Query, Write};
pub use memory::MemoryStore;
pub use record::{Fact, Outcome, Pause, Record, UndoPlan};
pub use run_journal::RunJournal;
pub use selection::{Life, Selection, Wanting};
pub use sqlite::SqliteStore;
pub use store::{Append, Head, Holder, Lines, Store, StoreError, Taken};
