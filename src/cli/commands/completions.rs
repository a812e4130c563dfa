//! `muster completions`.

use clap_complete::Shell;

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;

/// Print the completion script of a shell.
///
/// Example: muster completions bash > ~/.local/share/bash-completion/completions/muster
#[derive(clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Does it.
///
/// # Errors
/// When nobody reads it.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::args::command(), "muster", &mut script);
    context.printer.result(&String::from_utf8_lossy(&script))?;
    Ok(Code::Done)
}
