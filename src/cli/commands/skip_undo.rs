//! `muster skip-undo`.

use crate::cli::args::{RunArg, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::command::Order;

/// During a rollback: leave the effect standing whose undo failed, and undo the rest.
///
/// Example: muster skip-undo 7k3f9q -m 'the volume is needed for the analysis'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Why it can stay.
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
    let order = Order::SkipUndo { reason: args.reason };
    order::give(context, &args.on.run, order, args.manner)
}
