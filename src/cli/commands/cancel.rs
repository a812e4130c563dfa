//! `muster cancel`.

use crate::cli::args::RunArg;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::command::Order;

/// Stop a run: calls in flight end, then what it did is undone.
///
/// Example: muster cancel @latest --no-rollback
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// Leave what was done as it is.
    #[arg(long)]
    no_rollback: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Cancel { no_rollback: args.no_rollback };
    order::give(context, &args.on.run, order, args.manner)
}
