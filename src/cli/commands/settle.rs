//! `muster settle`.

use crate::cli::args::{StepArg, json, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::Value;
use crate::model::command::Order;

/// Settle a call in doubt that the world itself cannot tell about.
///
/// Look first: the engine has asked the world and got no answer. Say what you found, and how.
///
/// Example: muster settle 7k3f9q migrate --done -m 'schema_version says 42'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// It was done.
    #[arg(long, required_unless_present = "not_done", conflicts_with = "not_done")]
    done: bool,
    /// It was not done: it will be sent again.
    #[arg(long, conflicts_with = "result")]
    not_done: bool,
    /// How you know.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// Its result, as JSON, if it was done.
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
    let order =
        Order::Settle { step: StepPath::of(&args.on.step), done: args.done, result: args.result, reason: args.reason };
    order::give(context, &args.on.run, order, args.manner)
}
