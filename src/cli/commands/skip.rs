//! `muster skip`.

use crate::cli::args::{StepArg, json, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::Value;
use crate::model::command::Order;

/// Go on without a step, and say why.
///
/// The run then ends as `succeeded with exceptions` at best. Steps that use the result of this one are skipped too, unless
/// a result is given.
///
/// Example: muster skip 7k3f9q warm-cache -m 'the cache fills itself'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// Why it can be left out.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// A result for the steps that use this one's, as JSON.
    #[arg(long, value_name = "JSON", value_parser = json)]
    result: Option<Value>,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Skip { step: StepPath::of(&args.on.step), reason: args.reason, result: args.result };
    order::give(context, &args.on.run, order, args.manner)
}
