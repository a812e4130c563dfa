//! Reviews: what was done in an emergency against the rules is looked at afterwards, by somebody else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::AccessError;
use crate::journal::{Document, Query, Store, Write};
use crate::model::{RunId, StepPath, Timestamp};

/// The kind of document a review is.
pub const KIND: &str = "review";

/// Something that somebody else has to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// The number of the audit entry that it came from.
    pub id: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who broke the glass.
    pub who: String,
    /// The playbook of the run.
    pub playbook: String,
    /// The run.
    #[schemars(with = "String")]
    pub run: RunId,
    /// The step that was approved.
    #[schemars(with = "String")]
    pub step: StepPath,
    /// The reason that was given.
    pub reason: String,
    /// Who has closed it, and with what word.
    pub closed: Option<Closed>,
}

/// The end of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// Who.
    pub by: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What they found.
    pub word: String,
}

impl Review {
    /// Keys are ordered as the reviews are.
    pub(super) fn key(id: u64) -> String {
        format!("{id:016}")
    }

    pub(super) fn of(document: &Document) -> Result<Self, AccessError> {
        serde_json::from_value(document.body.clone()).map_err(|error| AccessError::Document {
            kind: KIND,
            key: document.key.clone(),
            what: error.to_string(),
        })
    }

    pub(super) fn body(&self) -> Result<serde_json::Value, AccessError> {
        serde_json::to_value(self).map_err(|error| AccessError::Document {
            kind: KIND,
            key: Self::key(self.id),
            what: error.to_string(),
        })
    }

    pub(super) fn open(&self) -> Result<Write, AccessError> {
        Ok(Write::create(KIND, Self::key(self.id), self.body()?))
    }
}

/// All reviews, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn all(store: &dyn Store) -> Result<Vec<Review>, AccessError> {
    let query = Query { newest_first: true, ..Query::default() };
    store.documents(KIND, &query)?.iter().map(Review::of).collect()
}
