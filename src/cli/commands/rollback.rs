//! `muster rollback`.

use crate::cli::args::RunArg;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::command::Order;

/// Undo what a run did, latest effect first.
///
/// Each undo compares the resource with what the run left there, and asks when somebody else has changed it since. A
/// rollback that stopped is taken up again by the same command.
///
/// Example: muster rollback 7k3f9q --to restore
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Stop before undoing this step.
    #[arg(long, value_name = "STEP")]
    to: Option<String>,
    /// Undo what somebody else has changed since, and go past a point of no return.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Rollback { to: args.to.as_deref().map(StepPath::of), force: args.force };
    order::give(context, &args.on.run, order, args.manner)
}
