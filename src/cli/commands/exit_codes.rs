//! `muster exit-codes`.

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;

/// Print what each exit code means.
#[derive(clap::Args)]
#[command(after_help = Code::table())]
pub struct Args {}

/// Does it.
///
/// # Errors
/// When nobody reads it.
pub fn run(_args: &Args, context: &Context) -> Result<Code, Failure> {
    context.printer.result(&Code::table())?;
    Ok(Code::Done)
}
