//! `muster resume`.

use std::path::PathBuf;

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::drive::{self, Watch};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::journal::Pause;
use crate::model::command::Order;
use crate::plan::file::PlanFile;

/// Go on with a run that nobody carries on: after a crash, a Ctrl-C or a pause.
///
/// Calls that were in flight are looked up in the world first; nothing that was done is done again.
///
/// Example: muster resume @latest
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Go on under this plan of what is left of the run (`muster plan --run RUN --out FILE`); refused (exit code 8) when that is not
    /// what would be done now. What was approved before counts no more.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    watch: Watch,
}

/// Does it.
///
/// # Errors
/// When there is no such run, it has ended, or somebody alive holds it.
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), &args.on.run)?;
    if head.status.is_terminal() {
        drop(store);
        context.app()?.tidy();
        let short = head.run.short();
        return Err(Failure::user(format!(
            "run {short} has ended ({}): there is nothing to go on with",
            head.status.as_str()
        ))
        .hint(format!("`muster fork {short} --from STEP` starts a new run that keeps the results before a step")));
    }
    if let Some(path) = &args.plan {
        drop(store);
        let app = context.app()?;
        let explain = |error| context.printer.explain(error);
        let file = PlanFile::read(path).map_err(|error| explain(error.into()))?;
        let order = app.rebind(&file, &head.run).map_err(explain)?;
        drop(app);
        return order::give(context, head.run.as_str(), order, Manner { later: false, watch: args.watch });
    }
    let view = context::view_of(store.as_ref(), &head)?;
    let released = |pause: &Pause| {
        matches!(
            pause,
            Pause::Target { .. }
                | Pause::Credentials { .. }
                | Pause::Secret { .. }
                | Pause::InDoubt { .. }
                | Pause::PointOfNoReturn { .. }
                | Pause::RolledBackTo { .. }
        )
    };
    if view.pauses().iter().any(released) {
        drop(store);
        return order::give(context, &args.on.run, Order::Resume, Manner { later: false, watch: args.watch });
    }
    // Whether its holder is alive and well is for the taking to find out: one that was stopped past its lease is not.
    drop(store);
    drive::carry_on(context, &head.run, args.watch, None)
}
