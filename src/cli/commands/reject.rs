//! `muster reject`.

use crate::cli::args::{StepArg, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::command::Order;

/// Refuse a step that waits for approval: it fails.
///
/// Example: muster reject 7k3f9q retire -m 'row counts differ'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// Why.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words)]
    reason: String,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Reject { step: StepPath::of(&args.on.step), reason: args.reason };
    order::give(context, &args.on.run, order, args.manner)
}
