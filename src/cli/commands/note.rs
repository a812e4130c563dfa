//! `muster note`.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::{RunArg, words};
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::journal::Store as _;
use crate::model::command::Order;

/// Write something into a run's record.
///
/// A note does not carry a run on: if nobody holds it, the note is taken in when somebody next does.
///
/// Example: muster note @latest 'vendor confirmed the outage, ticket 4711'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// What to write down.
    #[arg(value_name = "TEXT", value_parser = words)]
    text: String,
}

/// Does it.
///
/// # Errors
/// When there is no such run, or it has ended.
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), &args.on.run)?;
    let short = head.run.short().to_owned();
    if head.status.is_terminal() {
        return Err(Failure::user(format!("run {short} has ended ({}): its record is closed", head.status.as_str())));
    }
    let desk = context.desk(Arc::clone(&store));
    let command = desk.say(&context.identity(), &head, Order::Note { text: args.text }, context.now())?;
    // Give a holder a moment, so that `muster show` right after has the note.
    for _ in 0..20 {
        if head.holder.is_none() || !store.inbox(&head.run)?.iter().any(|(_, waiting)| *waiting == command) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let still = store.inbox(&head.run)?.iter().any(|(_, waiting)| *waiting == command);
    let fate = if still { "will be taken in when the run goes on" } else { "taken in" };
    context.printer.note(&format!("note for run {short}: {fate}"));
    Ok(Code::Done)
}
