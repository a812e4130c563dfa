//! A run on its way to another store: one signed file with all that going on with it takes, but the secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pack::key::{PublicKey, SigningKey};
use super::pack::make::{VERSION, journal_text, of_run, take};
use super::pack::manifest::{self, Manifest, Members, NotSo, Purpose, open, seal};
use super::pack::verify::unpack;
use super::words::secret;
use crate::engine::RunState;
use crate::evidence::pack::make::PackError;
use crate::journal::{Record, Store, apart};
use crate::model::command::Command;
use crate::model::secret::{HANDLE_KEY, handles_in};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp, Value};
use crate::playbook::bundle::Bundle;

/// The member that says what the file is for.
const NOTE: &str = "handover.json";

/// The version of [`Handover`].
pub const FORMAT: u32 = 1;

/// What whoever takes a run over has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// [`FORMAT`].
    pub format: u32,
    /// The store it comes from will not go on with it.
    pub released: bool,
    /// The epoch under which it was held there last.
    pub epoch: u64,
    /// Who exported it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Where it stood.
    pub status: RunStatus,
    /// What it waited for.
    pub detail: String,
    /// The secrets that it needs, by where they come from.
    pub secrets: Vec<String>,
    /// How many literal secrets are sealed with the key of the store it comes from.
    pub sealed: usize,
    /// What belongs to it and is not in the file.
    pub missing: Vec<String>,
    /// What it had been told and had not heard.
    pub orders: Vec<Command>,
}

impl Handover {
    /// The secrets that a run needs: where they come from, and how many are sealed under the key of its store.
    #[must_use]
    pub fn secrets_of(records: &[Record]) -> (Vec<String>, usize) {
        let mut handles: Vec<Value> = Vec::new();
        for record in records {
            // A record is plain data with text keys.
            let value = serde_json::to_value(record).unwrap_or_default();
            handles.extend(handles_in(&value).into_iter().cloned());
        }
        let mut named: Vec<String> = Vec::new();
        let mut sealed: Vec<Value> = Vec::new();
        for handle in handles {
            let name = secret(&handle);
            if handle[HANDLE_KEY]["provider"] == "sealed" {
                if !sealed.contains(&handle) {
                    sealed.push(handle);
                }
            } else if !named.contains(&name) {
                named.push(name);
            }
        }
        (named, sealed.len())
    }
}

/// Files beside a store that belong to a run: name of the member, content.
pub type Beside = Members;

/// Writes a run into a file.
///
/// # Errors
/// When its journal is not what was written, or something cannot be a member.
pub fn write(
    store: &dyn Store,
    run: &RunId,
    beside: Beside,
    key: &SigningKey,
    note: impl FnOnce(&[Record]) -> Handover,
) -> Result<(Vec<u8>, Handover), PackError> {
    let mut blobs = BTreeMap::new();
    let taken = take(store, run, &mut blobs)?;
    let note = note(&taken.material.records);
    // Plain data with text keys.
    let mut text = serde_json::to_vec_pretty(&note).expect("plain data with text keys");
    text.push(b'\n');
    let mut members: Members =
        vec![(NOTE.to_owned(), text), (of_run(run, "journal.jsonl"), journal_text(&taken.lines))];
    members.extend(blobs.into_iter().map(|(digest, bytes)| (format!("blobs/{digest}"), bytes)));
    members.extend(beside);
    let manifest = Manifest {
        format: manifest::FORMAT,
        purpose: Purpose::Handover,
        made_by: VERSION.to_owned(),
        period: None,
        runs: vec![taken.packed],
        members: Vec::new(),
    };
    Ok((seal(manifest, &members, key)?, note))
}

/// A run as it came.
pub struct Arrived {
    /// What whoever takes it over has to know.
    pub note: Handover,
    /// Who signed it.
    pub signer: PublicKey,
    /// The run.
    pub run: RunId,
    /// Its journal as stored.
    pub lines: Vec<String>,
    /// The hash after the last line.
    pub hash: [u8; 32],
    /// The same as records.
    pub records: Vec<Record>,
    /// Its bundle.
    pub bundle: Bundle,
    /// What its journal names.
    pub blobs: Vec<Vec<u8>>,
    /// Files that belong beside the store: name of the member, content.
    pub beside: Beside,
}

/// Who signed a file, if it is whole.
///
/// # Errors
/// When it is not.
pub fn signer(bytes: &[u8]) -> Result<PublicKey, NotSo> {
    Ok(open(bytes, Purpose::Handover, None)?.signer)
}

/// Reads a run from a file that bears this signature. Everything in it has been checked then: digests, chain, that the records follow each
/// other, that the bundle is one.
///
/// # Errors
/// The first thing that is not as it has to be.
pub fn read(bytes: &[u8], pinned: &PublicKey) -> Result<Arrived, NotSo> {
    let no = |what: String| NotSo(what);
    let opened = open(bytes, Purpose::Handover, Some(pinned))?;
    let [packed] = opened.manifest.runs.as_slice() else {
        return Err(no(format!("it has {} runs in it, not one", opened.manifest.runs.len())));
    };
    let run = packed.run.clone();
    let note = opened.member(NOTE).ok_or_else(|| no(format!("{NOTE} is missing")))?;
    let note: Handover = serde_json::from_slice(note).map_err(|error| no(format!("{NOTE} cannot be read: {error}")))?;
    if note.format != FORMAT {
        return Err(no(format!("it has form {}, and this muster reads {FORMAT}", note.format)));
    }
    let store = unpack(&opened)?;
    let stored = store.load(&run).map_err(|error| no(error.to_string()))?;
    let records = apart::whole(&store, &run, &stored).map_err(|error| no(error.to_string()))?;
    let state = RunState::fold(&records).map_err(|error| no(error.to_string()))?;
    if state.finished.is_some() {
        return Err(no("the run in it has ended".to_owned()));
    }
    let digest = state.header.map(|header| header.bundle).unwrap_or_default();
    let bundle = store.blob(&digest).map_err(|error| no(format!("its bundle is missing: {error}")))?;
    let bundle = Bundle::from_bytes(&bundle).map_err(|error| no(format!("its bundle cannot be read: {error}")))?;
    let all = opened.members.iter();
    let blobs =
        all.clone().filter(|(name, _)| name.starts_with("blobs/")).map(|(_, content)| content.to_vec()).collect();
    let beside = all.filter(|(name, _)| name.starts_with("children/") || name.starts_with("worlds/"));
    let beside = beside.map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    Ok(Arrived {
        note,
        signer: opened.signer,
        run,
        lines: stored.lines,
        hash: stored.hash,
        records,
        bundle,
        blobs,
        beside,
    })
}
