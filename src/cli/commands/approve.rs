//! `muster approve`.

use crate::cli::args::{StepArg, words};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::StepPath;
use crate::model::command::Order;

/// Let a step start that waits for approval.
///
/// Nobody approves what they started. In an emergency --break-glass does away with that rule; it needs a reason and stands
/// in the record as what it is.
///
/// Example: muster approve 7k3f9q retire --role dr-lead -m 'checked the new database'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// The role in which you approve; recorded as asserted, not proven.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Why.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words, required_if_eq("break_glass", "true"))]
    reason: Option<String>,
    /// Approve although you may not.
    #[arg(long)]
    break_glass: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`].
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let order = Order::Approve {
        step: StepPath::of(&args.on.step),
        role: args.role,
        reason: args.reason,
        break_glass: args.break_glass,
    };
    order::give(context, &args.on.run, order, args.manner)
}
