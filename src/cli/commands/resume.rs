//! `muster resume`.

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::foreground::{self, Manner};
use crate::journal::Store as _;
use crate::model::command::Order;
use crate::model::status::RunStatus;

/// Carry on a run that nobody carries on: after a crash, a pause, or Ctrl-C.
///
/// Calls whose outcome is not recorded are asked about in the world first; nothing that was done is done again.
///
/// Example: muster resume @latest
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
/// When somebody alive holds it, it has ended, or the engine cannot go on.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = foreground::app(context)?;
    let head = context::head_of(app.store.as_ref(), &args.on.run)?;
    // A pause for credentials, targets or an undo is over once somebody says so.
    if head.status == RunStatus::Paused && head.holder.is_none() && app.store.inbox(&head.run)?.is_empty() {
        app.say(&head.run, Order::Resume)?;
    }
    foreground::take(context, &app, &head.run, args.manner)
}
