//! `muster playbook`.

use std::path::Path;

use similar::{ChangeTag, TextDiff};

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::printer::{Format, Printer};
use crate::cli::render::brief::{cut, one_line};
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::cli::render::when;
use crate::journal::Store as _;
use crate::model::amount::format_duration;
use crate::playbook::bundle::{Bundle, MAIN};
use crate::playbook::shipped;
use crate::playbook::types::{Body, ParamType, Playbook};

/// Look at playbooks and their history.
///
/// A playbook is named by its folder, its name in ./playbooks or among the shipped ones, NAME@VERSION for a version that was
/// run with this store, or the digest of a bundle.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to look at.
#[derive(clap::Subcommand)]
enum What {
    /// List the playbooks there are.
    List {
        /// Form of the list.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
    /// Show a playbook's parameters, steps and capabilities.
    Show {
        /// The playbook.
        #[arg(value_name = "PLAYBOOK")]
        playbook: String,
    },
    /// Show what differs between two playbooks, or two versions of one.
    ///
    /// Example: muster playbook diff omnichat-restore@1.0.0 omnichat-restore
    Diff {
        /// The one.
        #[arg(value_name = "A")]
        a: String,
        /// The other.
        #[arg(value_name = "B")]
        b: String,
    },
    /// List the versions of a playbook that were run with this store.
    History {
        /// The playbook's name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Form of the list.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
}

/// Does it.
///
/// # Errors
/// When there is no such playbook.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    match &args.what {
        What::List { output } => list(*output, context.printer)?,
        What::Show { playbook } => {
            let bundle = load(playbook, context)?;
            context.printer.result(&page(&bundle, context.printer))?;
        }
        What::Diff { a, b } => {
            let text = diff(&load(a, context)?, &load(b, context)?, context.printer);
            if text.is_empty() {
                context.printer.note("no difference");
            }
            context.printer.result(&text)?;
        }
        What::History { name, output } => history(name, *output, context)?,
    }
    Ok(Code::Done)
}

fn load(name: &str, context: &Context) -> Result<Bundle, Failure> {
    let stored = |digest: &str| {
        let bytes = context.store()?.blob(digest)?;
        Bundle::from_bytes(&bytes).map_err(|error| Failure::user(format!("bundle {digest}: {error}")))
    };
    if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return stored(name);
    }
    if let Some((id, version)) = name.split_once('@') {
        let known = context.store()?.bundles(id)?;
        // A version that was changed without a new number has several: the latest is meant.
        return match known.iter().rev().find(|(other, ..)| other == version) {
            Some((_, digest, _)) => stored(digest),
            None => Err(Failure::user(format!("{id} {version} was never run with this store"))
                .hint(format!("`muster playbook history {id}` lists the versions that were"))),
        };
    }
    crate::app::prepare::load(name).map_err(|error| context.printer.explain(error))
}

fn list(output: Format, printer: Printer) -> Result<(), Failure> {
    let mut all: Vec<(String, String)> = std::fs::read_dir("playbooks")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(MAIN).is_file())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path.display().to_string())))
        .collect();
    let own: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    all.extend(
        shipped::names()
            .filter(|name| !own.iter().any(|own| own == name))
            .map(|name| (name.to_owned(), "shipped".to_owned())),
    );
    all.sort();
    let rows = all.into_iter().map(|(name, place)| {
        let load =
            if place == "shipped" || Path::new(&place).is_absolute() { name.clone() } else { format!("./{place}") };
        match Bundle::load(&load) {
            Ok(bundle) => (name, bundle.playbook.version.value.clone(), place, bundle.playbook.title.clone()),
            Err(_) => (name, String::new(), place, "not valid: `muster lint` says why".to_owned()),
        }
    });
    match output {
        Format::Json => {
            let rows: Vec<serde_json::Value> = rows
                .map(|(name, version, place, title)| {
                    serde_json::json!({ "name": name, "version": version, "place": place, "title": title })
                })
                .collect();
            printer.json(&rows)
        }
        Format::Table => {
            let mut table = Table::new(&["PLAYBOOK", "VERSION", "PLACE", "TITLE"]);
            rows.for_each(|(name, version, place, title)| table.row([name, version, place, title]));
            if table.is_empty() {
                printer.note("no playbooks in ./playbooks; `muster new NAME` makes one");
                return Ok(());
            }
            printer.result(&table.print(0, |heading| printer.heading(heading)))
        }
    }
}

fn history(name: &str, output: Format, context: &Context) -> Result<(), Failure> {
    let known = context.store()?.bundles(name)?;
    match output {
        Format::Json => {
            let rows: Vec<serde_json::Value> = known
                .iter()
                .map(|(version, digest, at)| serde_json::json!({ "version": version, "digest": digest, "first_run": at }))
                .collect();
            context.printer.json(&rows)
        }
        Format::Table if known.is_empty() => {
            Err(Failure::new(Kind::User, format!("no playbook `{name}` was ever run with this store")))
        }
        Format::Table => {
            let mut table = Table::new(&["VERSION", "FIRST RUN", "DIGEST"]);
            for (version, digest, at) in known {
                table.row([version, when::both(at, context.now()), digest]);
            }
            context.printer.result(&table.print(0, |heading| context.printer.heading(heading)))
        }
    }
}

fn page(bundle: &Bundle, printer: Printer) -> String {
    let playbook = &bundle.playbook;
    let heading = |text: &str| printer.out.paint(Tone::Strong, text);
    let mut text =
        format!("{} {}  {}\n", playbook.name.value, playbook.version.value, heading(&one_line(&playbook.title)));
    text.push_str(&format!("digest {}\n", bundle.digest));
    for (name, objective) in [("RTO", playbook.rto), ("RPO", playbook.rpo)] {
        if let Some(objective) = objective {
            text.push_str(&format!("{name} {}\n", format_duration(objective)));
        }
    }
    if !playbook.doc.is_empty() {
        text.push_str(&format!("\n{}\n", playbook.doc.trim_end()));
    }
    if !playbook.params.is_empty() {
        text.push_str(&format!("\n{}\n", heading("Parameters")));
        let mut table = Table::new(&["", "", "", ""]);
        for param in &playbook.params {
            let must = if param.default.is_none() { "required" } else { "" };
            table.row([param.name.value.clone(), kind(&param.kind), must.to_owned(), one_line(&param.doc)]);
        }
        text.push_str(&table.print(2, str::to_owned));
    }
    text.push_str(&format!("\n{}\n{}", heading("Steps"), steps(playbook).print(2, str::to_owned)));
    text.push_str(&format!("\n{}\n", heading("May use")));
    for grant in &playbook.capabilities {
        let scope: Vec<&str> = grant.scope.iter().map(|(name, _)| name.value.as_str()).collect();
        let scope = if scope.is_empty() { String::new() } else { format!("  (limited by {})", scope.join(", ")) };
        text.push_str(&format!("  {}{scope}\n", grant.pattern.value));
    }
    text
}

fn steps(playbook: &Playbook) -> Table {
    let mut table = Table::new(&["", "", "", ""]);
    for step in &playbook.steps {
        let body = match &step.body {
            Body::Uses { path, .. } => path.value.clone(),
            Body::Script(_) => "script".to_owned(),
            Body::Manual { .. } => "by hand".to_owned(),
        };
        let needs: Vec<&str> = step.needs.iter().map(|need| need.value.as_str()).collect();
        let needs = if needs.is_empty() { String::new() } else { format!("after {}", cut(&needs.join(", "), 40)) };
        let approval = if step.approval.is_some() { "  (approval)" } else { "" };
        table.row([step.id.value.clone(), body, needs, format!("{}{approval}", step.title)]);
    }
    table
}

fn kind(kind: &ParamType) -> String {
    match kind {
        ParamType::String => "string".to_owned(),
        ParamType::Int => "int".to_owned(),
        ParamType::Bool => "bool".to_owned(),
        ParamType::Duration => "duration".to_owned(),
        ParamType::Time => "time".to_owned(),
        ParamType::Size => "size".to_owned(),
        ParamType::Enum(values) => values.join("|"),
        ParamType::List(Some(item)) => format!("list({})", self::kind(item)),
        ParamType::List(None) => "list".to_owned(),
        ParamType::Map(Some(item)) => format!("map({})", self::kind(item)),
        ParamType::Map(None) => "map".to_owned(),
        ParamType::Path => "path".to_owned(),
        ParamType::Secret => "secret".to_owned(),
    }
}

/// The files that differ, as unified diffs.
fn diff(a: &Bundle, b: &Bundle, printer: Printer) -> String {
    let mut names: Vec<&String> = a.files().keys().chain(b.files().keys()).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    for name in names {
        let of = |bundle: &'_ Bundle| bundle.files().get(name).cloned().unwrap_or_default();
        let (old, new) = (of(a), of(b));
        if old == new {
            continue;
        }
        let title =
            |bundle: &Bundle| format!("{name} ({} {})", bundle.playbook.name.value, bundle.playbook.version.value);
        text.push_str(&printer.out.paint(Tone::Strong, &format!("--- {}\n+++ {}", title(a), title(b))));
        text.push('\n');
        let compared = TextDiff::from_lines(&old, &new);
        for hunk in compared.unified_diff().iter_hunks() {
            text.push_str(&format!("{}\n", printer.out.paint(Tone::Live, &hunk.header().to_string())));
            for change in hunk.iter_changes() {
                let (sign, tone) = match change.tag() {
                    ChangeTag::Delete => ("-", Some(Tone::Bad)),
                    ChangeTag::Insert => ("+", Some(Tone::Good)),
                    ChangeTag::Equal => (" ", None),
                };
                let line = format!("{sign}{}", change.value().trim_end_matches('\n'));
                text.push_str(&tone.map_or(line.clone(), |tone| printer.out.paint(tone, &line)));
                text.push('\n');
            }
        }
    }
    text
}
