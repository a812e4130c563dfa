//! `muster ps`.

use serde::Serialize;

use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::printer::{Format, Printer};
use crate::cli::render::brief::{cut, one_line};
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::cli::render::{choices, when};
use crate::journal::{Head, Store};
use crate::model::Timestamp;
use crate::model::status::RunStatus;

/// List the runs that are under way, and what each waits for.
///
/// A run that nobody holds is parked; NEXT is the command that carries it on, or the first of its choices.
///
/// Example: muster ps --all -o json
#[derive(clap::Args)]
pub struct Args {
    /// Also those that have ended.
    #[arg(short, long)]
    all: bool,
    /// Form of the list.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    head: Head,
    /// Nobody holds it, and it has not ended.
    parked: bool,
    /// The command that takes it further.
    next: Option<String>,
}

/// Does it.
///
/// # Errors
/// When the store cannot be read.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let heads = store.heads()?;
    let ended = heads.iter().filter(|head| head.status.is_terminal()).count();
    let shown = heads.into_iter().filter(|head| args.all || !head.status.is_terminal());
    let rows: Vec<Row> = shown.map(|head| row(store.as_ref(), head)).collect();
    match args.output {
        Format::Json => context.printer.json(&rows)?,
        Format::Table if rows.is_empty() => context.printer.note(&match ended {
            0 => "no runs in this store yet; `muster run PLAYBOOK` starts one".to_owned(),
            1 => "no run is under way; one has ended (`muster ps --all`)".to_owned(),
            n => format!("no run is under way; {n} have ended (`muster ps --all`)"),
        }),
        Format::Table => context.printer.result(&table(&rows, context.now(), context.printer))?,
    }
    Ok(Code::Done)
}

fn row(store: &dyn Store, head: Head) -> Row {
    let parked = head.holder.is_none() && !head.status.is_terminal();
    let short = head.run.short();
    let next = match head.status {
        RunStatus::Paused => {
            // One damaged journal must not hide the other runs.
            match context::view_of(store, &head) {
                Ok(view) => view.pauses().first().and_then(|pause| choices::first(short, pause)),
                Err(_) => Some("muster doctor".to_owned()),
            }
        }
        _ if parked => Some(format!("muster resume {short}")),
        _ => None,
    };
    Row { head, parked, next }
}

fn table(rows: &[Row], now: Timestamp, printer: Printer) -> String {
    let mut table = Table::new(&["RUN", "PLAYBOOK", "STATUS", "STARTED", "UPDATED", "HELD BY", "WAITS FOR", "NEXT"]);
    for Row { head, parked, next } in rows {
        let tone = match head.status {
            RunStatus::Succeeded => Tone::Good,
            RunStatus::Running | RunStatus::Waiting => Tone::Live,
            RunStatus::Failed | RunStatus::Killed => Tone::Bad,
            _ => Tone::Warn,
        };
        let parked = if *parked { ", parked" } else { "" };
        table.row([
            head.run.short().to_owned(),
            format!("{} {}", head.playbook, head.version),
            format!("{}{parked}", printer.out.paint(tone, head.status.as_str())),
            when::relative(head.started, now),
            when::relative(head.updated, now),
            head.holder.as_ref().map(|holder| holder.who.clone()).unwrap_or_default(),
            cut(&one_line(&head.detail), 60),
            next.clone().unwrap_or_default(),
        ]);
    }
    table.print(0, |heading| printer.heading(heading))
}
