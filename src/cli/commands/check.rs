//! `muster check`.

use std::sync::Arc;
use std::time::Duration;

use crate::app::check::Report;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::{ParamArgs, duration};
use crate::cli::printer::Format;
use crate::cli::render::checks;
use crate::cli::render::when;
use crate::cli::sandbox::WorldArgs;
use crate::model::check::Verdict;

/// Find out whether a playbook would work now: its checks, the programs and secrets it needs, its plan.
///
/// For cron and dashboards. Nothing is changed: it only reads, as a plan does. Exits with 0 if every check passes, with 4 if one
/// fails, and with 9 if none fails and one cannot be told. What does not end in time has failed. A check of the playbook's own
/// that asks for a recovery point compares its age with the objective (RPO).
///
/// Example: muster check omnichat-restore -f params.yaml -o json
#[derive(clap::Args)]
pub struct Args {
    /// The playbook: its folder, its name in ./playbooks, or the name of a shipped one.
    #[arg(value_name = "PLAYBOOK")]
    playbook: String,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    world: WorldArgs,
    /// How long all of it may take; each check has its own time within that.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Does it.
///
/// # Errors
/// When the playbook or its parameters are not valid.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let given = args.params.given(context.printer)?;
    let app = Arc::new(context.app()?);
    let explain = |error| context.printer.explain(error);
    let report = if args.world.sandbox {
        let world = app.world_of(&args.playbook, args.world.world.as_deref()).map_err(explain)?;
        let start = app.prepare_in(&args.playbook, given, &world).map_err(explain)?;
        app.check_in(start, world, args.timeout)
    } else {
        let start = app.prepare(&args.playbook, &given).map_err(explain)?;
        app.check(&args.playbook, start, args.timeout)
    };
    match args.output {
        Format::Json => context.printer.json(&report)?,
        Format::Table => context.printer.result(&text(&report, context))?,
    }
    Ok(match report.verdict {
        Verdict::Pass => Code::Done,
        Verdict::Fail => Code::Precondition,
        Verdict::Unknown => Code::Incomplete,
    })
}

fn text(report: &Report, context: &Context) -> String {
    let look = context.printer.out;
    let mut text = checks::lines(&report.checks, look, 0);
    text.push('\n');
    text.push_str(&format!(
        "{} {}{}: {}; checked at {} in {}\n",
        report.playbook,
        report.version,
        if report.world == "sandbox" { " in the sandbox" } else { "" },
        checks::sum(&report.checks),
        when::instant(report.checked_at),
        when::took(Duration::from_millis(report.took_ms)),
    ));
    text
}
