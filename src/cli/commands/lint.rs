//! `muster lint`.

use std::path::Path;

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::printer::Format;
use crate::cli::render::brief;
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::lint::{self, codes};
use crate::model::Value;
use crate::model::span::Source;
use crate::playbook::bundle::{Bundle, MAIN};
use crate::playbook::diagnostic::{self, Diagnostic, Severity};
use crate::playbook::lock::{Lock, LockError};
use crate::schedule::file::{FileError, Schedules};

/// Check playbooks, and show everything that is wrong with them.
///
/// Form, types, references, capabilities, scripts: each fault with file, line, and the likely spelling. Without a name, the
/// playbook in this folder, or else all in ./playbooks.
///
/// With -o json, for editors: a list of findings, each with playbook, file, line, column, end_line, end_column (from 1, in
/// characters, the end exclusive), severity (error or warning), code, message, label, hint (or null) and related (places with
/// a label).
///
/// Example: muster lint --locked
///
/// Example: muster lint --explain unknown-key
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks: folders or names. A file is one of schedules: schedules.yaml.
    #[arg(value_name = "PLAYBOOK")]
    playbooks: Vec<String>,
    /// Also fail if the content of a locked version has changed, or a version is not locked.
    #[arg(long)]
    locked: bool,
    /// Lock the versions that are not locked yet, in playbooks.lock beside them.
    #[arg(long, conflicts_with = "locked")]
    lock: bool,
    /// Also fail on warnings.
    #[arg(long)]
    strict: bool,
    /// Explain a code with a wrong and a right example instead; without one, list all codes.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["playbooks", "locked", "lock", "strict"])]
    explain: Option<Option<String>>,
    /// Form of the findings.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When a playbook or lock file cannot be read.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    if let Some(code) = &args.explain {
        return explain(code.as_deref(), args.output, context);
    }
    let names = if args.playbooks.is_empty() { here()? } else { args.playbooks.clone() };
    let mut all = Vec::new();
    let (mut errors, mut warnings) = (0, 0);
    let mut first = None;
    for name in &names {
        let (bundle, found, sources) = check(name)?;
        errors += found.iter().filter(|one| one.severity == Severity::Error).count();
        warnings += found.iter().filter(|one| one.severity == Severity::Warning).count();
        first = first.or(found.first().map(|one| one.code));
        match args.output {
            Format::Json => {
                let items = match diagnostic::to_json(&found, &sources) {
                    Value::Array(items) => items,
                    _ => Vec::new(),
                };
                all.extend(items.into_iter().map(|mut item| {
                    item["playbook"] = name.as_str().into();
                    item
                }));
            }
            Format::Table => {
                let look = context.printer.out;
                let style =
                    diagnostic::Style { color: look.colour, graphical: look.unicode && look.colour, width: look.width };
                context.printer.result(&diagnostic::render(&found, &sources, style))?;
            }
        }
        if let Some(bundle) = bundle
            && (args.locked || args.lock)
        {
            heed_lock(args, name, &bundle)?;
        }
    }
    if args.output == Format::Json {
        context.printer.json(&all)?;
    }
    let playbooks = if names.len() == 1 { "1 playbook".to_owned() } else { format!("{} playbooks", names.len()) };
    let many = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    context.printer.note(&format!("{playbooks} checked: {}, {}", many(errors, "error"), many(warnings, "warning")));
    if let (Some(code), Format::Table) = (first, args.output) {
        context.printer.note(&format!("`muster lint --explain {code}` explains a code, with an example"));
    }
    Ok(if errors > 0 || (args.strict && warnings > 0) { Code::Invalid } else { Code::Done })
}

/// Says what a code means, or lists all.
fn explain(code: Option<&str>, output: Format, context: &Context) -> Result<Code, Failure> {
    let mut known = codes::all();
    if let Some(code) = code {
        let names: Vec<&str> = known.iter().map(|one| one.code).collect();
        if !names.contains(&code) {
            let failure = Failure::user(format!("no finding has the code `{}`", brief::cut(code, 80)));
            return Err(match diagnostic::likely(code, names) {
                Some(likely) => failure.hint(format!("did you mean `{likely}`?")),
                None => failure.hint("`muster lint --explain` lists all codes"),
            });
        }
        known.retain(|one| one.code == code);
    }
    let look = context.printer.out;
    match (output, code) {
        (Format::Json, _) => context.printer.json(&known)?,
        (Format::Table, None) => {
            let mut table = Table::new(&["CODE", "MEANING"]);
            for one in known {
                table.row([one.code.to_owned(), one.meaning.replace('\n', " ")]);
            }
            context.printer.result(&table.print(0, |heading| context.printer.heading(heading)))?;
        }
        (Format::Table, Some(_)) => {
            for one in known {
                let mut text = format!("{}\n{}\n", look.paint(Tone::Strong, one.code), one.meaning);
                for (title, tone, example) in [("wrong", Tone::Bad, one.wrong), ("right", Tone::Good, one.right)] {
                    if !example.is_empty() {
                        text.push_str(&format!("\n{}\n", look.paint(tone, title)));
                        example.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
                    }
                }
                context.printer.result(&text)?;
            }
        }
    }
    Ok(Code::Done)
}

/// The playbook in this folder, or all in ./playbooks.
pub(super) fn here() -> Result<Vec<String>, Failure> {
    if Path::new(MAIN).is_file() {
        return Ok(vec![".".to_owned()]);
    }
    let mut names: Vec<String> = std::fs::read_dir("playbooks")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(MAIN).is_file())
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(Failure::new(Kind::Invalid, format!("there is no {MAIN} here, and no playbook in ./playbooks"))
            .hint("name one, or make one by `muster new NAME`"));
    }
    Ok(names)
}

type Findings = (Option<Bundle>, Vec<Diagnostic>, Vec<Source>);

fn check(name: &str) -> Result<Findings, Failure> {
    let path = Path::new(name);
    if path.is_file() && path.file_name().is_some_and(|name| name != MAIN) {
        return schedules(path);
    }
    match Bundle::load(name) {
        Ok(bundle) => {
            let found = lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
            let sources = bundle.sources.clone();
            Ok((Some(bundle), found, sources))
        }
        Err(error) => match lint::explain(error) {
            Ok((found, sources)) => Ok((None, found, sources)),
            Err(error) => Err(crate::app::AppError::Playbook(error).into()),
        },
    }
}

/// A file that is no playbook is one of schedules.
fn schedules(path: &Path) -> Result<Findings, Failure> {
    match Schedules::load(path) {
        Ok((schedules, sources)) => Ok((None, schedules.check(), sources)),
        Err(FileError::Invalid { diagnostics, sources, .. }) => Ok((None, diagnostics, sources)),
        Err(error) => Err(Failure::new(Kind::Invalid, error.to_string())),
    }
}

fn heed_lock(args: &Args, name: &str, bundle: &Bundle) -> Result<(), Failure> {
    let Some(path) = Lock::beside(name) else { return Ok(()) };
    let wrong = |error: LockError| {
        let failure = Failure::new(Kind::Invalid, error.to_string());
        match error {
            LockError::Changed { .. } => failure.hint("give the playbook a new version, then `muster lint --lock`"),
            LockError::Missing { .. } => failure.hint("`muster lint --lock` locks it"),
            _ => failure,
        }
    };
    let mut lock = Lock::read(&path).map_err(wrong)?;
    let (id, version) = (&bundle.playbook.name.value, &bundle.playbook.version.value);
    if args.lock {
        lock.add(id, version, &bundle.digest);
        lock.write(&path).map_err(wrong)?;
    }
    lock.check(id, version, &bundle.digest).map_err(wrong)
}
