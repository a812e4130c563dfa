//! Records, hash chain, versions, leases, and the store that keeps them.

pub mod record;
pub mod store;

pub use record::{Fact, Outcome, Pause, Record, UndoPlan};
pub use store::{Append, Head, Holder, Lines, Store, StoreError, Taken};
