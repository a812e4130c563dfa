//! What a report is made of: a run's records and what they name. The same material gives the same report, byte for byte.

use crate::journal::{Fact, Record, Store, StoreError, apart};
use crate::model::RunId;
use crate::plan::file::PlanFile;
use crate::playbook::bundle::Bundle;

/// What a report is made of.
pub struct Material {
    /// The run's records, whole and in order.
    pub records: Vec<Record>,
    /// The hash after the last.
    pub hash: [u8; 32],
    /// The bundle that the run is pinned to, if it can be read.
    pub bundle: Option<Bundle>,
    /// The plans that the run was bound to, in order.
    pub plans: Vec<PlanFile>,
}

impl Material {
    /// Of a run in a store, its journal verified.
    ///
    /// # Errors
    /// When the journal is not what was written, or a plan that the run was bound to is missing.
    pub fn of(store: &dyn Store, run: &RunId) -> Result<Self, StoreError> {
        let (records, hash) = apart::journal(store, run)?;
        Self::with(records, hash, |digest| store.blob(digest))
    }

    /// Of these records, with what they name taken from `blob`.
    ///
    /// # Errors
    /// When a plan that the run was bound to is missing or is none.
    pub fn with(
        records: Vec<Record>,
        hash: [u8; 32],
        blob: impl Fn(&str) -> Result<Vec<u8>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut plans = Vec::new();
        for pin in bound(&records) {
            let seq = pin.0;
            let file = serde_json::from_slice(&blob(pin.1)?).map_err(|error| match records.first() {
                Some(Record { fact: Fact::RunStarted { run, .. }, .. }) => {
                    StoreError::Damaged { run: run.clone(), seq, what: format!("its plan cannot be read: {error}") }
                }
                _ => StoreError::NoSuchBlob(pin.1.to_owned()),
            });
            plans.push(file?);
        }
        let digest = records.iter().find_map(|record| match &record.fact {
            Fact::RunStarted { bundle, .. } => Some(bundle.clone()),
            _ => None,
        });
        let bytes = digest.and_then(|digest| blob(&digest).ok());
        let bundle = bytes.and_then(|bytes| Bundle::from_bytes(&bytes).ok());
        Ok(Self { records, hash, bundle, plans })
    }
}

/// The plans that records are bound to: number of the record, digest of the plan file's blob.
pub fn bound(records: &[Record]) -> impl Iterator<Item = (u64, &str)> {
    records.iter().filter_map(|record| match &record.fact {
        Fact::PlanBound { plan, .. } => Some((record.seq, plan.plan.as_str())),
        _ => None,
    })
}
