//! `muster kill`.

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::drive;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::command::Order;
use crate::model::status::RunStatus;

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
    let code = order::give(context, &args.on.run, Order::Kill, args.manner)?;
    // If somebody else held it, the programs it had started are still at work.
    let app = context.app()?;
    let head = context::head_of(app.store.as_ref(), &args.on.run)?;
    if head.status == RunStatus::Killed {
        drive::stop_children(context, &app, &head.run)?;
    }
    Ok(code)
}
