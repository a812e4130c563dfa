//! The command line: one file a subcommand, one place for output, errors and exit codes.

pub mod args;
pub mod commands;
pub mod context;
pub mod drive;
pub mod exit;
pub mod failure;
pub mod order;
pub mod params;
pub mod printer;
pub mod render;
pub mod sandbox;

use clap::FromArgMatches as _;

use self::args::Cli;
use self::context::Context;
use self::exit::Code;
use self::failure::{Failure, Kind};
use self::printer::Printer;
use crate::app::Settings;

/// Parses, calls, prints; the exit code is for `main` to pass on.
#[must_use]
pub fn main() -> Code {
    failure::calm_panics();
    let outcome = std::panic::catch_unwind(|| {
        let printer = Printer::new();
        let result = parse()
            .and_then(|cli| cli.command.run(&Context { settings: Settings::from_environment(cli.store), printer }));
        result.unwrap_or_else(|failure| {
            let text = failure.text(printer.err);
            if !text.is_empty() {
                printer.note(text.trim_end());
            }
            failure.code()
        })
    });
    // The hook has said what there is to say.
    outcome.unwrap_or(Code::Error)
}

fn parse() -> Result<Cli, Failure> {
    let wrong = |error: clap::Error| {
        let printed = error.print();
        match error.kind() {
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => Failure::said(Kind::Closed),
            _ => printed.map_or_else(Failure::from, |()| Failure::said(Kind::User)),
        }
    };
    if std::env::args_os().len() < 2 {
        let help = args::command().render_help();
        Printer::new().note(help.to_string().trim_end());
        return Err(Failure::said(Kind::User));
    }
    let matches = args::command().try_get_matches().map_err(wrong)?;
    Cli::from_arg_matches(&matches).map_err(wrong)
}
