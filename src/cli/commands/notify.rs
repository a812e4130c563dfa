//! `muster notify`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::evidence::notify::config::Config;
use crate::evidence::notify::outbox::Outbox;
use crate::evidence::notify::send::Http;
use crate::journal::Store;

/// Tell webhooks what happened to runs since the last time.
///
/// For those without a server: run it every minute. Each event (a run waits for somebody, failed, ended, missed its objective; a
/// break-glass approval) is sent at least once, those of a run in order; what a receiver does not take is tried again for a day. What
/// happened before the first time is told to nobody. Exit code 1 when something was not taken.
///
/// Example: muster notify --once --config notify.yaml
#[derive(clap::Args)]
pub struct Args {
    /// Look and send once, and end.
    #[arg(long, required = true)]
    once: bool,
    /// The file that says who is told.
    #[arg(long, value_name = "FILE", default_value = "notify.yaml")]
    config: PathBuf,
}

/// Does it.
///
/// # Errors
/// When the file is not of its form, or the store cannot be read or written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let config = Config::read(&args.config).map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
    let store: Arc<dyn Store> = context.store()?;
    let turn = Outbox::new(store, config, Box::new(Http)).turn(context.now())?;
    context.printer.result(&format!("{} noted, {} sent, {} waiting\n", turn.noted, turn.sent, turn.waiting))?;
    for failed in &turn.failed {
        context.printer.warn(&format!("not taken, and tried again later: {failed}"));
    }
    for lost in &turn.lost {
        context.printer.warn(&format!("given up after a day: {lost}"));
    }
    let taken = turn.failed.is_empty() && turn.lost.is_empty();
    Ok(if taken { Code::Done } else { Code::Error })
}
