//! `muster doctor`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::check::LITTLE_ROOM;
use crate::app::tools;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::printer::Format;
use crate::cli::render::look::{Glyph, Tone};
use crate::cli::render::table::Table;
use crate::cli::render::when;
use crate::journal::sqlite::{Options, SqliteStore};
use crate::journal::{Store as _, StoreError};
use crate::model::amount::format_size;
use crate::model::fault::OpError;
use crate::ops::files::nothing;

/// Check what Muster needs: the store, room on the disk, programs, the clock.
///
/// Exits with 1 if something has to be mended before a run can be trusted. Missing programs are only warnings: a playbook
/// may do without them.
///
/// Example: muster doctor -o json
#[derive(clap::Args)]
pub struct Args {
    /// Form of the table.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    verdict: Verdict,
    found: String,
    hint: Option<String>,
}

impl Check {
    fn new(what: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict, found: found.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Does it.
///
/// # Errors
/// When nobody reads the table.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let mut checks = store(&context.settings.store, context);
    checks.push(room(&context.settings.store));
    checks.push(Check::new("muster", Verdict::Good, env!("CARGO_PKG_VERSION")));
    checks.extend(programs());
    checks.push(boot());
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    match args.output {
        Format::Json => context.printer.json(&checks)?,
        Format::Table => context.printer.result(&table(&checks, context))?,
    }
    Ok(if bad { Code::Error } else { Code::Done })
}

fn table(checks: &[Check], context: &Context) -> String {
    let look = context.printer.out;
    let mut table = Table::new(&["", "", "", ""]);
    for check in checks {
        let (glyph, tone) = match check.verdict {
            Verdict::Good => (Glyph::Done, Tone::Good),
            Verdict::Warning => (Glyph::Skipped, Tone::Warn),
            Verdict::Bad => (Glyph::Failed, Tone::Bad),
        };
        let found = if check.verdict == Verdict::Good { check.found.clone() } else { look.paint(tone, &check.found) };
        let hint = check.hint.as_ref().map(|hint| look.paint(Tone::Faint, &format!("({hint})"))).unwrap_or_default();
        table.row([look.glyph(glyph), check.what.clone(), found, hint]);
    }
    table.print(0, str::to_owned)
}

fn store(path: &Path, context: &Context) -> Vec<Check> {
    let name = path.display();
    let store = match SqliteStore::open(path, Options::default()) {
        Ok(store) => store,
        Err(error) => return vec![Check::new("store", Verdict::Bad, error.to_string()).hint(mend(&error))],
    };
    let warnings = store.warnings();
    let mut checks = vec![if warnings.is_empty() {
        Check::new("store", Verdict::Good, format!("{name}, writable"))
    } else {
        Check::new("store", Verdict::Bad, warnings.join("; "))
            .hint("to carry runs on: another by --store or $MUSTER_STORE, or mend this one")
    }];
    match store.verify() {
        Ok(faults) if faults.is_empty() => {
            let runs = store.heads().map(|heads| heads.len()).unwrap_or(0);
            checks.push(Check::new("journals", Verdict::Good, format!("{runs} runs, every hash chain holds")));
        }
        Ok(faults) => checks.extend(
            faults.iter().map(|fault| Check::new("journals", Verdict::Bad, fault.to_string()).hint(mend(fault))),
        ),
        Err(error) => checks.push(Check::new("journals", Verdict::Bad, error.to_string()).hint(mend(&error))),
    }
    // The clock must not be behind what it said when the last record was written.
    let latest = store.heads().ok().and_then(|heads| heads.into_iter().map(|head| head.updated).max());
    let now = context.now();
    checks.push(match latest {
        Some(latest) if latest > now => Check::new(
            "clock",
            Verdict::Bad,
            format!("{}, behind the last record ({})", when::instant(now), when::instant(latest)),
        )
        .hint("set the clock; durations and deadlines would be wrong"),
        _ => Check::new("clock", Verdict::Good, when::instant(now)),
    });
    checks
}

fn mend(error: &StoreError) -> String {
    Failure::from_store(error).hints.into_iter().next().unwrap_or_else(|| "choose another store by --store".to_owned())
}

fn room(path: &Path) -> Check {
    let folder: PathBuf = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned();
    match rustix::fs::statvfs(&folder) {
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            let found = format!("{} free in {}", format_size(free), folder.display());
            if free < LITTLE_ROOM {
                Check::new("disk", Verdict::Bad, found).hint("free some room before you start a run")
            } else {
                Check::new("disk", Verdict::Good, found)
            }
        }
        Err(error) => {
            Check::new("disk", Verdict::Warning, format!("cannot tell the room in {}: {error}", folder.display()))
        }
    }
}

fn programs() -> Vec<Check> {
    let mut checks = Vec::new();
    if let Err(error) = nothing() {
        // Every program would fail for this, and none of them would say so.
        checks.push(Check::new("/dev/null", Verdict::Bad, error.message).hint(error.hint.unwrap_or_default()));
        return checks;
    }
    let told = |what: &str, found: Result<String, OpError>, need: &str| match found {
        Ok(found) => Check::new(what, Verdict::Good, found),
        Err(error) => {
            Check::new(what, Verdict::Warning, error.message).hint(error.hint.unwrap_or_else(|| need.to_owned()))
        }
    };
    checks.push(told("containers", tools::containers(), "for docker.*"));
    for (program, need) in [
        ("psql", "for pg.* outside a container"),
        ("pg_dump", "for pg.* outside a container"),
        ("pg_restore", "for pg.* outside a container"),
        ("age", "for backups encrypted with it"),
        ("gpg", "for backups encrypted with it"),
    ] {
        // What it is for says more than how to get it.
        checks.push(told(program, tools::version(program).map_err(|error| OpError { hint: None, ..error }), need));
    }
    checks
}

fn boot() -> Check {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => Check::new("boot id", Verdict::Good, id.trim()),
        Err(error) => Check::new("boot id", Verdict::Bad, format!("cannot be read: {error}"))
            .hint("without it nobody can tell whether the holder of a run is dead"),
    }
}
