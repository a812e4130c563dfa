//! `muster done`.

use crate::cli::args::{StepArg, json, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::Value;
use crate::model::command::Order;

/// Declare a step done by hand, and say how you know.
///
/// For manual steps, and for failed steps that you have finished yourself.
///
/// Example: muster done 7k3f9q repoint-dns -m 'dig shows 10.0.3.7 from three resolvers'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// How it is known that it was done.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words)]
    evidence: String,
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
    let order = Order::Done { step: StepPath::of(&args.on.step), evidence: args.evidence, result: args.result };
    order::give(context, &args.on.run, order, args.manner)
}
