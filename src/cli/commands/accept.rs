//! `muster accept`.

use crate::cli::args::{StepArg, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::command::Order;

/// Accept that a secret has changed since the run first used it: the step goes on with the new value.
///
/// Make sure first that somebody changed it on purpose. To go on with the former value, put it back and use `muster resume`.
///
/// Example: muster accept 7k3f9q restore -m 'rotated this morning by the database team'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// How you know that it is right.
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
    let order = Order::Accept { step: StepPath::of(&args.on.step), reason: args.reason };
    order::give(context, &args.on.run, order, args.manner)
}
