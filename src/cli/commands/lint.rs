//! `muster lint`.

use std::path::{Path, PathBuf};

use crate::app::AppError;
use crate::app::prepare::load;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::given::style;
use crate::cli::printer::Format;
use crate::model::span::Source;
use crate::playbook::diagnostic::{Diagnostic, has_errors, render, to_json};
use crate::playbook::lock::Lock;

/// Check playbooks: everything that is wrong, with line, caret and what to do about it.
///
/// Example: muster lint playbooks/my-recovery --locked
#[derive(clap::Args)]
pub struct Args {
    /// The playbooks; all of ./playbooks when none is named.
    #[arg(value_name = "PLAYBOOK")]
    playbooks: Vec<String>,
    /// Also fail when content has changed since its version was locked.
    #[arg(long, conflicts_with = "lock")]
    locked: bool,
    /// Write the versions that are not locked yet into the lock file.
    #[arg(long)]
    lock: bool,
    /// The lock file.
    #[arg(long, value_name = "FILE", default_value = "playbooks/playbooks.lock")]
    lock_file: PathBuf,
    /// Form of the findings.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When a playbook has errors, or is not as it was locked.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let names = if args.playbooks.is_empty() { all(Path::new("playbooks"))? } else { args.playbooks.clone() };
    let mut lock = Lock::read(&args.lock_file).map_err(|error| Failure::user(error.to_string()))?;
    let mut wrong = false;
    let mut reports = Vec::new();
    for name in &names {
        match load(name) {
            Ok(bundle) => {
                let found = crate::lint::lint(&bundle.playbook, &bundle.modules, &bundle.sources);
                wrong |= has_errors(&found);
                show(args, context, name, &found, &bundle.sources, &mut reports)?;
                let (title, version) = (&bundle.playbook.name.value, &bundle.playbook.version.value);
                if args.locked {
                    if let Err(error) = lock.check(title, version, &bundle.digest) {
                        wrong = true;
                        context
                            .printer
                            .note(&format!("error: {error}\n  hint: give it a new version, then `muster lint --lock`"));
                    }
                }
                if args.lock && !has_errors(&found) {
                    lock.add(title, version, &bundle.digest);
                }
            }
            Err(AppError::Invalid { diagnostics, sources }) => {
                wrong = true;
                show(args, context, name, &diagnostics, &sources, &mut reports)?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    if args.lock {
        lock.write(&args.lock_file).map_err(|error| Failure::user(error.to_string()))?;
    }
    if args.output == Format::Json {
        context.printer.json(&reports)?;
    } else if !wrong {
        let count = names.len();
        context
            .printer
            .result(&format!("{count} playbook{} checked, no errors\n", if count == 1 { "" } else { "s" }))?;
    }
    if wrong { Err(Failure::said(Kind::Invalid)) } else { Ok(Code::Done) }
}

fn show(
    args: &Args,
    context: &Context,
    name: &str,
    found: &[Diagnostic],
    sources: &[Source],
    reports: &mut Vec<serde_json::Value>,
) -> Result<(), Failure> {
    if args.output == Format::Json {
        reports.push(serde_json::json!({ "playbook": name, "diagnostics": to_json(found, sources) }));
    } else if !found.is_empty() {
        context.printer.note(render(found, sources, style(context.printer)).trim_end());
    }
    Ok(())
}

/// The playbooks of a folder.
fn all(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Failure::user(format!("cannot list {}: {error}", folder.display())).hint("name the playbooks to check")
    })?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join("playbook.yaml").is_file())
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    Ok(names)
}
