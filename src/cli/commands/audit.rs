//! `muster audit`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::schedule::default_path;
use crate::access::{Act, audit};
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::period::Period;
use crate::cli::printer::Format;
use crate::evidence::pack::archive::LARGEST;
use crate::evidence::pack::key::{PublicKey, SigningKey};
use crate::evidence::pack::make::{Contents, PackError, log, pack, take};
use crate::evidence::pack::manifest::Span;
use crate::evidence::pack::verify::verify;
use crate::journal::memory::digest_of;
use crate::journal::sqlite::SqliteStore;
use crate::journal::{Head, Store as _};
use crate::ops::files::write_atomically;

/// Make evidence that others can check, and check it.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(clap::Subcommand)]
enum What {
    Export(Export),
    Verify(Verify),
    /// Print the public key with which evidence from this store is checked.
    ///
    /// The signing key is made at the first use, beside the store, for its owner only. Give the public key to whoever checks, in another
    /// way than the evidence.
    ///
    /// Example: muster audit key > muster.pub
    Key,
}

/// Write the evidence of a run, or of all runs of a period, into one signed file.
///
/// Journals as stored with their hash chains, the playbooks (bundles), plans, what approvals were of, reports in JSON and HTML, and what
/// was redacted; a manifest with the SHA-256 of each, signed with this store's Ed25519 key. The same evidence gives the same bytes.
///
/// Example: muster audit export @latest --out run.tar
///
/// Example: muster audit export --since 90d --out quarter.tar
#[derive(clap::Args)]
struct Export {
    /// The run: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN", required_unless_present = "since", conflicts_with = "since")]
    run: Option<String>,
    #[command(flatten)]
    period: Period,
    /// The file to write. It is not there, or not at all, when something fails.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Check a file of evidence; without one, everything in this store.
///
/// Of a file: its form to the last byte, its signature, the digest of every member, the hash chain of every journal, and that its reports
/// follow from the journals. It needs no network and no store. Without --key it is not known who signed it: the exit code is then 9, and
/// the fingerprint is to be compared. Of a store: the database, the chain of every run, every blob.
///
/// Example: muster audit verify quarter.tar --key muster.pub
#[derive(clap::Args)]
struct Verify {
    /// The file.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whose signature it has to bear: a public key, or a file with one.
    #[arg(long, value_name = "PUBLICKEY|FILE", requires = "file")]
    key: Option<String>,
    /// Form of what was found.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When there is no such run, something is not as it was written, or the file cannot be read or written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    match &args.what {
        What::Export(args) => export(args, context),
        What::Verify(Verify { file: Some(file), key, output }) => check(file, key.as_deref(), *output, context),
        What::Verify(Verify { file: None, output, .. }) => check_store(*output, context),
        What::Key => {
            let key = key_of(context.store()?.as_ref())?.public();
            context.printer.note(&format!("fingerprint: {}", key.fingerprint()));
            context.printer.result(&format!("{key}\n"))?;
            Ok(Code::Done)
        }
    }
}

/// The key with which this store signs.
///
/// # Errors
/// When it cannot be read or made.
pub fn key_of(store: &SqliteStore) -> Result<SigningKey, Failure> {
    SigningKey::of(&store.signing_key()?).map_err(|what| Failure::new(Kind::Internal, what))
}

fn export(args: &Export, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let key = key_of(&store)?;
    let window = args.period.window(context.now())?;
    let on = match &window {
        None => format!("run {}", args.run.as_deref().unwrap_or("@latest")),
        Some(window) => format!("runs from {} to {}", window.since, window.until),
    };
    context.take_away(Arc::clone(&store), Act::ExportEvidence, None, &on)?;
    let (heads, period): (Vec<Head>, _) = match &window {
        None => (vec![context::head_of(store.as_ref(), args.run.as_deref().unwrap_or("@latest"))?], None),
        Some(window) => {
            let (since, until, playbook) = (window.since, window.until, window.playbook.clone());
            let heads = window.heads(store.as_ref())?;
            (heads, Some((Span { since, until, playbook }, window.findings(store.as_ref(), Some(&default_path()))?)))
        }
    };
    let mut blobs = BTreeMap::new();
    let mut runs = Vec::new();
    for head in heads {
        match take(store.as_ref(), &head.run, &mut blobs) {
            Ok(taken) => runs.push(taken),
            // Of a period, a run that has not begun has no evidence; of one that was asked for, that is said.
            Err(PackError::NotBegun(_)) if window.is_some() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let log = if window.is_some() { log(store.as_ref()).map_err(failed)? } else { Vec::new() };
    let count = runs.len();
    let bytes = pack(&Contents { period, runs, blobs, log }, &key).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::user("the evidence is larger than 1 GiB, which nothing would read")
            .hint("choose a shorter period"));
    }
    write(&args.out, &bytes)?;
    context.printer.result(&format!(
        "{}: the evidence of {count} {}, {} bytes, SHA-256 {}\nsigned with {}\n",
        args.out.display(),
        if count == 1 { "run" } else { "runs" },
        bytes.len(),
        digest_of(&bytes),
        key.public()
    ))?;
    Ok(Code::Done)
}

fn failed(error: PackError) -> Failure {
    match error {
        PackError::Store(error) => Failure::from(error),
        other => Failure::user(other.to_string()),
    }
}

/// Writes a file for its owner only, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |what: String| Failure::user(format!("cannot write {}: {what}", path.display()));
    let place = std::path::absolute(path).map_err(|error| cannot(error.to_string()))?;
    write_atomically(&place, bytes, 0o600).map_err(|error| Failure::user(error.message))
}

/// The bytes of a file that is not too long.
///
/// # Errors
/// When it cannot be read, or is.
pub fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| Failure::user(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(Failure::user(format!("cannot read {}: it is no plain file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// The key that a text is, or that stands in the file of this name.
///
/// # Errors
/// When it is neither.
pub fn pinned(text: &str) -> Result<PublicKey, Failure> {
    if let Some(key) = PublicKey::parse(text) {
        return Ok(key);
    }
    let read = std::fs::File::open(text).and_then(|file| {
        let mut found = String::new();
        file.take(1000).read_to_string(&mut found).map(|_| found)
    });
    read.ok().and_then(|found| PublicKey::parse(&found)).ok_or_else(|| {
        Failure::user("--key names no public key, and no file with one")
            .hint("`muster audit key` prints one, on the store that signed")
    })
}

fn check(file: &Path, key: Option<&str>, output: Format, context: &Context) -> Result<Code, Failure> {
    let pinned = key.map(pinned).transpose()?;
    let bytes = bytes_of(file)?;
    let found = verify(&bytes, pinned.as_ref()).map_err(|error| {
        Failure::new(Kind::NeedsPerson, format!("{} is not the evidence that was signed: {error}", file.display()))
            .hint("ask whoever made it for it again, and keep this one")
    })?;
    let known = pinned.is_some();
    let code = if known && found.reports.is_ok() { Code::Done } else { Code::Incomplete };
    if output == Format::Json {
        context.printer.json(&json!({
            "file": file.display().to_string(),
            "sha256": digest_of(&bytes),
            "intact": true,
            "signer": found.signer.to_string(),
            "fingerprint": found.signer.fingerprint(),
            "signer_checked": known,
            "runs": found.runs,
            "members": found.members,
            "reports_made_again": found.reports.as_ref().ok(),
        }))?;
        return Ok(code);
    }
    let mut text = format!(
        "{}: every byte is as it was signed ({} members, SHA-256 {})\n",
        file.display(),
        found.members,
        digest_of(&bytes)
    );
    for run in &found.runs {
        text.push_str(&format!("run {}: {} records, chain {}\n", run.run, run.records, run.hash));
    }
    if let Some(entries) = found.log {
        text.push_str(&format!("log of who did what: {entries} entries, their chain is whole\n"));
    }
    match &found.reports {
        Ok(count) => text.push_str(&format!("reports: {count} follow from the journals\n")),
        Err(version) => text.push_str(&format!("reports: not made again, that takes muster {version}\n")),
    }
    if known {
        text.push_str(&format!("signed with the key given: {}\n", found.signer.fingerprint()));
    } else {
        text.push_str(&format!("signed with a key of which nothing is known here: {}\n", found.signer.fingerprint()));
    }
    context.printer.result(&text)?;
    if !known {
        context.printer.warn("who made it was not checked: anybody can sign with a key of their own");
        context.printer.note(
            "  hint: compare the fingerprint with that of `muster audit key` on their store, or give it by --key",
        );
    }
    Ok(code)
}

fn check_store(output: Format, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let runs = store.heads()?.len();
    let faults = store.verify()?;
    let mut texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.extend(audit::verify(store.as_ref(), |_| {}).err().map(|error| error.to_string()));
    if output == Format::Json {
        let path = store.path().display().to_string();
        context.printer.json(&json!({ "store": path, "runs": runs, "intact": texts.is_empty(), "faults": texts }))?;
    } else if texts.is_empty() {
        let path = store.path().display();
        context.printer.result(&format!(
            "{path}: the journals of {runs} runs and every blob, and the log of who did what, are what was written\n"
        ))?;
    } else {
        context.printer.result(&texts.iter().map(|text| format!("{text}\n")).collect::<String>())?;
    }
    Ok(if texts.is_empty() { Code::Done } else { Code::NeedsPerson })
}
