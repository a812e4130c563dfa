//! `muster kill`.

use crate::cli::args::RunArg;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::command::Order;

/// Stop a run at once, for good. Calls in flight stay in doubt, and nothing is undone.
///
/// `muster cancel` is the gentle way.
///
/// Example: muster kill 7k3f9q
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Kill;
    order::give(context, &args.on.run, order, args.manner)
}
