//! `muster report`.

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::journal::{Fact, Store as _};
use crate::plan::file::PlanFile;
use crate::plan::report::{Report, text};

/// Form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For a pull request or a ticket.
    Markdown,
}

/// Show what came of a run's plan: planned and made, call by call.
///
/// For a run that was started with `muster run --plan`. Each planned effect with its outcome and its time, what was made and not
/// planned, what was planned and not made, and the time it took beside the prediction and the objective. Reads are in the JSON.
///
/// Example: muster report @latest -o markdown
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: ReportFormat,
}

/// Does it.
///
/// # Errors
/// When there is no such run, it has no plan, or its journal is not what was written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), &args.on.run)?;
    store.load(&head.run)?;
    let records = context::records_of(store.as_ref(), &head.run, 0)?;
    let bound = records.iter().filter_map(|record| match &record.fact {
        Fact::PlanBound { plan, .. } => Some(plan),
        _ => None,
    });
    let unreadable = |error| Failure::new(Kind::Internal, format!("cannot read the plan of run {}: {error}", head.run));
    let mut files: Vec<PlanFile> = Vec::new();
    for pin in bound {
        files.push(serde_json::from_slice(&store.blob(&pin.plan)?).map_err(unreadable)?);
    }
    if files.is_empty() {
        return Err(Failure::user(format!("run {} is bound to no plan", head.run))
            .hint("`muster plan PLAYBOOK --out FILE` and `muster run --plan FILE` start one that is; `muster show` shows any run"));
    }
    let report = Report::of(&files, &records)
        .ok_or_else(|| Failure::new(Kind::Internal, format!("the journal of run {} is of no run", head.run)))?;
    match args.output {
        ReportFormat::Json => context.printer.json(&report)?,
        ReportFormat::Table => context.printer.result(&text::plain(&report))?,
        ReportFormat::Markdown => context.printer.result(&text::markdown(&report))?,
    }
    Ok(Code::Done)
}
