//! Evidence checked, with nothing but the file: form, signature, digests, hash chains, and that the reports follow from the journals.

use super::key::PublicKey;
use super::make::{Logged, VERSION, journal_text, of_run, reports};
use super::manifest::{NotSo, Opened, PackedRun, Purpose, open};
use crate::access::audit;
use crate::evidence::material::Material;
use crate::evidence::period::Finding;
use crate::journal::memory::{MemoryStore, digest_of};
use crate::journal::{Append, Fact, Head, Store as _, Taken, Write, chain};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};
use crate::playbook::bundle::hex;

/// What was found of a pack that is as it was signed.
#[derive(Debug)]
pub struct Verified {
    /// The key that signed it.
    pub signer: PublicKey,
    /// Its runs.
    pub runs: Vec<PackedRun>,
    /// How many members it has.
    pub members: usize,
    /// The reports were made again and are the same. Where they were not, the version of muster that can.
    pub reports: Result<usize, String>,
    /// How many entries the log of who did what has; `None` when it is not in it.
    pub log: Option<u64>,
}

/// Checks a pack; with `pinned`, also who signed it.
///
/// # Errors
/// The first thing that is not as it was, or does not follow.
pub fn verify(bytes: &[u8], pinned: Option<&PublicKey>) -> Result<Verified, NotSo> {
    let opened = open(bytes, Purpose::Evidence, pinned)?;
    let store = unpack(&opened)?;
    let runs = &opened.manifest.runs;
    for run in runs {
        accounted(&opened, &run.run)?;
    }
    let log = logged(&opened, &store)?;
    let reports = if opened.manifest.made_by == VERSION {
        Ok(compare(&opened, &store)?)
    } else {
        // Still: the journals have to be such that they can be read.
        for run in runs {
            material(&store, &run.run)?;
        }
        Err(opened.manifest.made_by.clone())
    };
    Ok(Verified { signer: opened.signer, runs: runs.clone(), members: opened.members.len(), reports, log })
}

/// Checks the chain of the log of who did what, if it is there; how many entries it has.
fn logged(opened: &Opened<'_>, store: &MemoryStore) -> Result<Option<u64>, NotSo> {
    let Some(bytes) = opened.member("audit.jsonl") else { return Ok(None) };
    let no = |what: String| NotSo(format!("the log of who did what: {what}"));
    let text = std::str::from_utf8(bytes).map_err(|error| no(error.to_string()))?;
    let entry = |line: &str| -> Result<Write, NotSo> {
        let entry: Logged = serde_json::from_str(line).map_err(|error| no(error.to_string()))?;
        Ok(Write::create(audit::KIND, entry.key, entry.body))
    };
    let writes: Vec<Write> = text.lines().map(entry).collect::<Result<_, _>>()?;
    store.write_documents(&writes, Timestamp::UNIX_EPOCH).map_err(|error| no(error.to_string()))?;
    audit::verify(store, |_| {}).map(|found| Some(found.entries)).map_err(|error| no(error.to_string()))
}

fn accounted(opened: &Opened<'_>, run: &RunId) -> Result<(), NotSo> {
    let once = opened.manifest.runs.iter().filter(|other| other.run == *run).count() == 1;
    if once { Ok(()) } else { Err(NotSo(format!("run {run} stands in it twice"))) }
}

/// The journals and blobs of a file in a store in memory, each chain recomputed.
///
/// # Errors
/// When a journal is not the one that the manifest names, or a blob is not what its name says.
pub fn unpack(opened: &Opened<'_>) -> Result<MemoryStore, NotSo> {
    let store = MemoryStore::new();
    let cannot = |error: crate::journal::StoreError| NotSo(error.to_string());
    for (name, content) in &opened.members {
        if let Some(digest) = name.strip_prefix("blobs/") {
            if digest_of(content) != digest {
                return Err(NotSo(format!("{name} has another digest")));
            }
            store.put_blob(content).map_err(cannot)?;
        }
    }
    for packed in &opened.manifest.runs {
        let name = of_run(&packed.run, "journal.jsonl");
        let bytes = opened.member(&name).ok_or_else(|| NotSo(format!("{name} is missing")))?;
        let text = std::str::from_utf8(bytes).map_err(|_| NotSo(format!("{name} is no text")))?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let hash = chain::fold_all(&chain::START, lines.iter().map(String::as_str));
        if journal_text(&lines) != bytes || lines.len() as u64 != packed.records || hex(&hash) != packed.hash {
            return Err(NotSo(format!("the hash chain of {name} is not the one that was signed")));
        }
        let head = head_of(&packed.run, &lines)?;
        let updated = head.updated;
        store.create(&head).map_err(cannot)?;
        let Taken::Yes { epoch } = store.take(&packed.run).map_err(cannot)? else {
            return Err(NotSo(format!("run {} stands in it twice", packed.run)));
        };
        let append = Append {
            run: packed.run.clone(),
            epoch,
            first_seq: 0,
            lines,
            blobs: Vec::new(),
            hash,
            consumed: Vec::new(),
            status: head.status,
            detail: String::new(),
            updated,
        };
        store.append(append).map_err(cannot)?;
    }
    Ok(store)
}

/// What the list of runs says of a journal.
///
/// # Errors
/// When its first or its last line is no record, or it does not begin with the start of this run.
pub fn head_of(run: &RunId, lines: &[String]) -> Result<Head, NotSo> {
    let record = |line: Option<&String>| line.and_then(|line| chain::decode(line).ok());
    let no = || NotSo(format!("the journal of run {run} is of no run of that name"));
    let first = record(lines.first()).ok_or_else(no)?;
    let last = record(lines.last()).ok_or_else(no)?;
    let Fact::RunStarted { run: named, playbook, version, bundle, .. } = first.fact else { return Err(no()) };
    if named != *run {
        return Err(no());
    }
    let end = lines.iter().rev().filter(|line| line.contains("\"finished\"")).find_map(|line| {
        match chain::decode(line).ok()?.fact {
            Fact::Finished { status, .. } => Some(status),
            _ => None,
        }
    });
    Ok(Head {
        run: named,
        playbook,
        version,
        bundle,
        status: end.unwrap_or(RunStatus::Paused),
        detail: String::new(),
        started: first.at,
        updated: last.at,
        records: 0,
        epoch: 0,
        holder: None,
    })
}

fn material(store: &MemoryStore, run: &RunId) -> Result<Material, NotSo> {
    Material::of(store, run).map_err(|error| NotSo(error.to_string()))
}

/// Makes the reports again; how many there are.
fn compare(opened: &Opened<'_>, store: &MemoryStore) -> Result<usize, NotSo> {
    let runs = &opened.manifest.runs;
    let materials: Vec<(RunId, Material)> =
        runs.iter().map(|run| Ok((run.run.clone(), material(store, &run.run)?))).collect::<Result<_, NotSo>>()?;
    let period = match &opened.manifest.period {
        None => None,
        Some(span) => {
            let text = opened.member("findings.json").ok_or_else(|| NotSo("findings.json is missing".to_owned()))?;
            let findings: Vec<Finding> = serde_json::from_slice(text)
                .map_err(|error| NotSo(format!("findings.json cannot be read: {error}")))?;
            Some((span.clone(), findings))
        }
    };
    let named: Vec<(RunId, &Material)> = materials.iter().map(|(run, material)| (run.clone(), material)).collect();
    let made = reports(period.as_ref(), &named);
    let is_report = |name: &str| name.ends_with("report.json") || name.ends_with("report.html");
    let stored = opened.members.iter().filter(|(name, _)| is_report(name)).count();
    if stored != made.len() {
        return Err(NotSo(format!("it has {stored} reports, and {} follow from its journals", made.len())));
    }
    for (name, content) in &made {
        if opened.member(name) != Some(content.as_slice()) {
            return Err(NotSo(format!("{name} does not follow from the journal")));
        }
    }
    Ok(made.len())
}
