//! `muster retry`.

use crate::cli::args::StepArg;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::command::Order;

/// Try a failed step again.
///
/// The failing call is made again; the calls before it keep their results. With --from-start the effects of the attempt
/// are undone first, and the step begins anew.
///
/// Example: muster retry @latest restore
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// Undo this attempt first, then begin the step anew.
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Retry { step: StepPath::of(&args.on.step), from_start: args.from_start };
    order::give(context, &args.on.run, order, args.manner)
}
