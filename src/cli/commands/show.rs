//! `muster show`.

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::gated;
use crate::cli::printer::Format;
use crate::cli::render::drill;
use crate::cli::render::sheet::{self, Parts};
use crate::journal::Store as _;

/// Show everything about a run: its steps, parameters, targets, and what it waits for.
///
/// The journal's hash chain is checked on the way.
///
/// Example: muster show @latest --calls
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Also every call, with its arguments, outcome and undo.
    #[arg(long)]
    calls: bool,
    /// Also the result of every step.
    #[arg(long)]
    results: bool,
    /// Form of the page.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When there is no such run, or its journal is not what was written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), &args.on.run)?;
    store.load(&head.run)?;
    let view = context::view_of(store.as_ref(), &head)?;
    match args.output {
        Format::Json => context.printer.json(&serde_json::json!({
            "head": head,
            "status": view.status(),
            "started_with": view.header(),
            "targets": view.targets(),
            "steps": view.steps(),
            "calls": if args.calls { view.calls() } else { &[] },
            "pauses": view.pauses(),
            "said": view.commands(),
            "drill": drill::json(&view),
            "end": view.end(),
        }))?,
        Format::Table => {
            let held = head.holder.as_ref().map(|holder| format!("{} (process {})", holder.who, holder.pid));
            let parts = Parts { calls: args.calls, outputs: args.results };
            let look = context.printer.out;
            let gated = gated::all(store.as_ref(), &head, &view, look)?;
            let page = sheet::text(&view, held.as_deref(), parts, context.now(), look);
            context.printer.result(&if gated.is_empty() { page } else { format!("{page}\n{gated}") })?;
        }
    }
    Ok(Code::Done)
}
