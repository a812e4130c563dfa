//! Evidence packed: journals as stored, what they name, and the reports that follow from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::SigningKey;
use super::manifest::{FORMAT, Manifest, Members, NotSo, PackedRun, Purpose, Span, seal};
use crate::access::audit;
use crate::evidence::form::{html, period, run as run_page};
use crate::evidence::material::{Material, bound};
use crate::evidence::period::{Finding, PeriodReport};
use crate::evidence::report::RunReport;
use crate::journal::{Query, Store, StoreError, apart};
use crate::model::{RunId, Value};
use crate::playbook::bundle::hex;

/// The version of the program, which stands in what it makes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const README: &str = "\
This is the evidence of runs of Muster, signed.

  muster audit verify FILE --key PUBLICKEY      checks all of it, without any network and without a store

What is in it:
  manifest.json        every member with its SHA-256, the runs with the end of their hash chains
  signature.json       an Ed25519 signature of: `muster evidence pack`, a zero byte, the bytes of manifest.json
  runs/ID/journal.jsonl the journal as it was stored, a record a line. The hash after a line is SHA-256 of the hash before and the
                       bytes of the line, from 32 zero bytes on; manifest.json names the last. Who started, approved and ordered
                       what, when, with which parameters and with what result, stands there and nowhere else
  runs/ID/report.*     what follows from the journal
  blobs/DIGEST         what journals name by SHA-256: the playbook (bundle), plans, what approvals were of, large results
  period.json, report.* when it is of a period: what was asked for, and what came of it
  audit.jsonl          when it is of a period: the log of who did what, hash-chained too
  redaction.txt        what was taken out before anything was written
";

const REDACTION: &str = "\
Secrets stand in journals as handles: where a secret comes from, never what it is. Literal secrets that were given as parameters stand
there encrypted under the key of the store (`sealed`); that key is not in this file.
What Muster had resolved as a secret, and what the playbook declares as one, was taken out of every record before it was hashed and
written, in plain and in the usual encodings (base64, percent, JSON, shell), and stands there as a mark. Nothing was taken out
afterwards: the hash chain is over the records as they stand here.
A program that printed a secret which Muster had never resolved and the playbook does not declare may have left it in its output.
";

/// What cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run has not begun.
    #[error("run {0} has not begun: there is nothing of it to pack")]
    NotBegun(RunId),
    /// The log of who did what.
    #[error("{0}")]
    Log(String),
    /// The form.
    #[error(transparent)]
    Form(#[from] NotSo),
}

/// The name of a run's member.
#[must_use]
pub fn of_run(run: &RunId, what: &str) -> String {
    format!("runs/{run}/{what}")
}

/// The journal of a run as a member: a line for each record.
#[must_use]
pub fn journal_text(lines: &[String]) -> Vec<u8> {
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

/// A run, taken out of a store.
pub struct Taken {
    /// What the manifest says of it.
    pub packed: PackedRun,
    /// Its journal as stored.
    pub lines: Vec<String>,
    /// What its report follows from.
    pub material: Material,
}

/// Takes a run out of a store, and what its journal names into `blobs`, by digest.
///
/// # Errors
/// When the journal is not what was written, or something that it names is missing.
pub fn take(store: &dyn Store, run: &RunId, blobs: &mut BTreeMap<String, Vec<u8>>) -> Result<Taken, PackError> {
    let stored = store.load(run)?;
    if stored.lines.is_empty() {
        return Err(PackError::NotBegun(run.clone()));
    }
    // Whole only if what is kept apart is there too.
    let records = apart::whole(store, run, &stored)?;
    let head = store.head(run)?;
    let needed = bound(&records).map(|(_, digest)| digest.to_owned()).chain([head.bundle.clone()]);
    for digest in needed.collect::<Vec<_>>() {
        let bytes = store.blob(&digest)?;
        blobs.insert(digest, bytes);
    }
    for digest in stored.lines.iter().flat_map(|line| digests(line)) {
        if !blobs.contains_key(digest) {
            match store.blob(digest) {
                Ok(bytes) => drop(blobs.insert(digest.to_owned(), bytes)),
                // Most digests are of something else than what is stored.
                Err(StoreError::NoSuchBlob(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let material = Material::with(records, stored.hash, |digest| store.blob(digest))?;
    let packed = PackedRun { run: run.clone(), records: stored.lines.len() as u64, hash: hex(&stored.hash) };
    Ok(Taken { packed, lines: stored.lines, material })
}

/// The texts in a line that could be SHA-256 digests.
fn digests(line: &str) -> impl Iterator<Item = &str> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    line.split(move |c| !is_hex(c)).filter(|part| part.len() == 64)
}

/// What a pack is made of.
pub struct Contents {
    /// The period, when it is of one, and what else was found in it.
    pub period: Option<(Span, Vec<Finding>)>,
    /// The runs, oldest first.
    pub runs: Vec<Taken>,
    /// What their journals name.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// The log of who did what, as stored; none in the pack of one run.
    pub log: Vec<Logged>,
}

/// An entry of the log of who did what, as it was stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// Its place.
    pub key: String,
    /// The entry.
    pub body: Value,
}

/// The whole log of who did what, its chain verified.
///
/// # Errors
/// When it is not what was written.
pub fn log(store: &dyn Store) -> Result<Vec<Logged>, PackError> {
    audit::verify(store, |_| {}).map_err(|error| PackError::Log(error.to_string()))?;
    let documents = store.documents(audit::KIND, &Query::default())?;
    Ok(documents.into_iter().map(|document| Logged { key: document.key, body: document.body }).collect())
}

/// The reports that follow from what a pack has in it, by name of their member.
#[must_use]
pub fn reports(period: Option<&(Span, Vec<Finding>)>, runs: &[(RunId, &Material)]) -> Members {
    let mut members = Vec::new();
    let mut all = Vec::new();
    for (run, material) in runs {
        let Some(report) = RunReport::of(material) else { continue };
        members.push((of_run(run, "report.json"), report.json().into_bytes()));
        members.push((of_run(run, "report.html"), html::text(&run_page::page(&report)).into_bytes()));
        all.push(report);
    }
    if let Some((span, findings)) = period {
        let report = PeriodReport::of(span.since, span.until, span.playbook.clone(), &all, findings.clone());
        members.push(("report.json".to_owned(), report.json().into_bytes()));
        members.push(("report.html".to_owned(), html::text(&period::page(&report)).into_bytes()));
    }
    members
}

/// Packs evidence. The same contents and the same key give the same bytes.
///
/// # Errors
/// When something cannot be a member.
pub fn pack(contents: &Contents, key: &SigningKey) -> Result<Vec<u8>, PackError> {
    let mut members: Members = vec![
        ("README.txt".to_owned(), README.as_bytes().to_vec()),
        ("redaction.txt".to_owned(), REDACTION.as_bytes().to_vec()),
    ];
    if let Some((_, findings)) = &contents.period {
        // A list of plain structs.
        let mut text = serde_json::to_vec_pretty(findings).expect("plain data with text keys");
        text.push(b'\n');
        members.push(("findings.json".to_owned(), text));
    }
    members
        .extend(contents.runs.iter().map(|run| (of_run(&run.packed.run, "journal.jsonl"), journal_text(&run.lines))));
    if contents.period.is_some() {
        // Plain structs with text keys.
        let line = |entry: &Logged| serde_json::to_string(entry).expect("plain data with text keys") + "\n";
        members.push(("audit.jsonl".to_owned(), contents.log.iter().map(line).collect::<String>().into_bytes()));
    }
    let runs: Vec<(RunId, &Material)> =
        contents.runs.iter().map(|run| (run.packed.run.clone(), &run.material)).collect();
    members.extend(reports(contents.period.as_ref(), &runs));
    members.extend(contents.blobs.iter().map(|(digest, bytes)| (format!("blobs/{digest}"), bytes.clone())));
    let manifest = Manifest {
        format: FORMAT,
        purpose: Purpose::Evidence,
        made_by: VERSION.to_owned(),
        period: contents.period.as_ref().map(|(span, _)| span.clone()),
        runs: contents.runs.iter().map(|run| run.packed.clone()).collect(),
        members: Vec::new(),
    };
    Ok(seal(manifest, &members, key)?)
}
