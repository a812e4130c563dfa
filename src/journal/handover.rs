//! A run that another store goes on with: the document that says so. No store lets such a run be taken, or be told anything.

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::store::StoreError;
use crate::model::{RunId, Timestamp};

/// The kind of the document; its key is the run.
pub const KIND: &str = "handover";

/// That a run was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The epoch under which it was held last here: whoever goes on with it holds it under a later one.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What taking a run, or telling it something, comes to when this document says that it was handed over.
#[must_use]
pub fn refusal(run: &RunId, document: &Document) -> StoreError {
    match serde_json::from_value::<HandedOver>(document.body.clone()) {
        Ok(over) => StoreError::HandedOver { run: run.clone(), by: over.by, at: over.at },
        // Whatever it says, it is there: nobody goes on here.
        Err(_) => StoreError::HandedOver { run: run.clone(), by: "somebody".to_owned(), at: document.at },
    }
}
