//! `muster logs`.

use std::time::Duration;

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::printer::Format;
use crate::cli::render::line;
use crate::cli::render::view::View;
use crate::journal::{Store as _, apart, chain};

/// How often a followed run is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Print what happened in a run, line by line.
///
/// With -o json: its records, one a line, as they stand in the journal, large results in their place. At the end the
/// journal's hash chain is checked.
///
/// Example: muster logs @latest --follow
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Go on printing until the run ends, or nobody carries it on any more.
    #[arg(short, long)]
    follow: bool,
    /// Form of the lines.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When there is no such run, or its journal cannot be read.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let mut head = context::head_of(store.as_ref(), &args.on.run)?;
    let mut view = View::default();
    let mut seq = 0;
    loop {
        let mut text = String::new();
        for stored in store.tail(&head.run, seq)? {
            let record = context::record_of(store.as_ref(), &head.run, seq, &stored)?;
            seq += 1;
            view.apply(&record);
            match args.output {
                Format::Json if apart::is_whole(&stored) => text.push_str(&(stored + "\n")),
                Format::Json => text.push_str(&(chain::encode(&record) + "\n")),
                Format::Table => {
                    if let Some(line) = line::of(&view, &record, context.printer.out) {
                        text.push_str(&(line + "\n"));
                    }
                }
            }
        }
        match args.output {
            Format::Json => context.printer.machine(&text)?,
            Format::Table => context.printer.result(&text)?,
        }
        if !args.follow || view.end().is_some() {
            // What was printed is what is stored; whether it is what was written, the hash chain says.
            store.load(&head.run)?;
            return Ok(Code::Done);
        }
        if head.holder.is_none() && head.records <= seq {
            let short = head.run.short();
            context.printer.note(&format!("run {short} is parked: nobody carries it on (`muster show {short}`)"));
            return Ok(Code::Done);
        }
        std::thread::sleep(EVERY);
        head = store.head(&head.run)?;
    }
}
