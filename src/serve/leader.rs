//! One server a store: who serves, whether they live, and how another takes over.
//!
//! Who serves stands in a document, with the process as the store knows holders: its death is known at once, and one that was stopped
//! past its lease is killed before another takes its place, so that two never serve together.

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::journal::document::{Document, Write};
use crate::journal::{Holder, Life, Store, StoreError};
use crate::model::Timestamp;

const KIND: &str = "server";
const KEY: &str = "leader";

/// Who serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The process.
    pub holder: Holder,
    /// Since when.
    pub since: Timestamp,
    /// Where it listens.
    pub address: String,
}

/// What came of trying to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// We serve.
    Ours,
    /// Somebody alive does.
    Theirs(Box<Leader>),
}

/// Who serves by what is written, alive or not.
///
/// # Errors
/// When the store cannot be read.
pub fn written(store: &dyn Store) -> Result<Option<(Document, Leader)>, StoreError> {
    let Some(document) = store.document(KIND, KEY)? else { return Ok(None) };
    // What no version of this program wrote is nobody's.
    let leader = serde_json::from_value(document.body.clone()).ok();
    Ok(leader.map(|leader| (document, leader)))
}

/// Tries to be the one that serves. One that was stopped past its lease is killed first.
///
/// # Errors
/// When the store cannot be written, or a stopped server cannot be killed.
pub fn claim(store: &dyn Store, clock: &dyn Clock, address: &str) -> Result<Claim, StoreError> {
    store.enrol()?;
    let now = clock.now();
    let ours = Leader { holder: store.holder(), since: now, address: address.to_owned() };
    let body = serde_json::to_value(&ours).unwrap_or_default();
    let write = match store.document(KIND, KEY)? {
        None => Write::create(KIND, KEY, body),
        Some(document) => {
            if let Ok(theirs) = serde_json::from_value::<Leader>(document.body.clone()) {
                match store.life(&theirs.holder) {
                    Life::Ours => {}
                    Life::Fresh => return Ok(Claim::Theirs(Box::new(theirs))),
                    Life::Stale => store.kill_stale(&theirs.holder)?,
                    Life::Dead => {}
                }
            }
            Write::replace(KIND, &document, body)
        }
    };
    match store.write_documents(&[write], now) {
        Ok(()) => Ok(Claim::Ours),
        // Another was faster: it serves.
        Err(StoreError::Conflict { .. }) => match written(store)? {
            Some((_, theirs)) => Ok(Claim::Theirs(Box::new(theirs))),
            None => claim(store, clock, address),
        },
        Err(error) => Err(error),
    }
}

/// Serves no more, so that another need not ask whether this process lives.
///
/// # Errors
/// When the store cannot be written: our death says the same.
pub fn resign(store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
    match written(store)? {
        Some((document, leader)) if leader.holder == store.holder() => {
            store.write_documents(&[Write::remove(KIND, &document)], clock.now())
        }
        _ => Ok(()),
    }
}
