//! `muster report`.

use super::schedule::default_path;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::period::Period;
use crate::evidence::form::{html, junit, markdown, page::Page, period, run as run_page, table};
use crate::evidence::material::Material;
use crate::evidence::report::RunReport;

/// Form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// For a browser: one file that fetches nothing.
    Html,
    /// For a pull request or a ticket.
    Markdown,
    /// For programs.
    Json,
    /// For whatever shows the results of tests.
    Junit,
}

/// Show what came of a run, or of all runs of a period.
///
/// Of a run: what ran and who started it, its steps with times and attempts, what failed and what was done about it, approvals,
/// rollbacks, waits for people, and the time it took beside the objective; planned and made, call by call, when it was started
/// with `muster run --plan`. Of a period (--since): every live run with its objective kept or missed, the trend of each playbook,
/// and findings. The report follows from the journal alone: the same journal gives the same report.
///
/// Example: muster report @latest -o html > report.html
///
/// Example: muster report --since 30d -o markdown
#[derive(clap::Args)]
pub struct Args {
    /// The run: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN", required_unless_present = "since", conflicts_with = "since")]
    run: Option<String>,
    #[command(flatten)]
    period: Period,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: ReportFormat,
}

/// Does it.
///
/// # Errors
/// When there is no such run, or its journal is not what was written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    if let Some(window) = args.period.window(context.now())? {
        let (report, runs) = window.report(store.as_ref(), Some(&default_path()))?;
        return show(args.output, context, &period::page(&report), || report.json(), || junit::period(&report, &runs));
    }
    let head = context::head_of(store.as_ref(), args.run.as_deref().unwrap_or("@latest"))?;
    let material = Material::of(store.as_ref(), &head.run)?;
    let report = RunReport::of(&material)
        .ok_or_else(|| Failure::new(Kind::Internal, format!("the journal of run {} is of no run", head.run)))?;
    show(args.output, context, &run_page::page(&report), || report.json(), || junit::run(&report))
}

fn show(
    form: ReportFormat,
    context: &Context,
    page: &Page,
    json: impl Fn() -> String,
    junit: impl Fn() -> String,
) -> Result<Code, Failure> {
    match form {
        ReportFormat::Table => context.printer.result(&table::text(page))?,
        ReportFormat::Html => context.printer.result(&html::text(page))?,
        ReportFormat::Markdown => context.printer.result(&markdown::text(page))?,
        ReportFormat::Json => context.printer.machine(&json())?,
        ReportFormat::Junit => context.printer.result(&junit())?,
    }
    Ok(Code::Done)
}
