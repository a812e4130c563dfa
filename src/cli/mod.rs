//! The command line: one file a subcommand, one place for output, errors and exit codes.

pub mod args;
pub mod commands;
pub mod context;
pub mod drive;
pub mod exit;
pub mod failure;
pub mod gated;
pub mod order;
pub mod params;
pub mod period;
pub mod printer;
pub mod render;
pub mod sandbox;

use clap::FromArgMatches as _;
use clap::error::{ContextKind, ContextValue};

use self::args::Cli;
use self::context::Context;
use self::exit::Code;
use self::failure::{Failure, Kind};
use self::printer::Printer;
use self::render::brief;
use crate::app::Settings;

/// How much of an argument is repeated in a message about it.
const LONGEST_ECHO: usize = 200;

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
    let wrong = |mut error: clap::Error| {
        if !error.use_stderr() {
            return error.print().map_or_else(Failure::from, |()| Failure::said(Kind::Closed));
        }
        // clap repeats arguments as they were given, line ends and all.
        let said: Vec<(ContextKind, String)> = error
            .context()
            .filter_map(|(kind, value)| match value {
                ContextValue::String(text) => Some((kind, brief::cut(&brief::one_line(text), LONGEST_ECHO))),
                _ => None,
            })
            .collect();
        for (kind, text) in said {
            error.insert(kind, ContextValue::String(text));
        }
        Printer::new().note(error.render().to_string().trim_end());
        Failure::said(Kind::User)
    };
    if std::env::args_os().len() < 2 {
        let help = args::command().render_help();
        Printer::new().note(help.to_string().trim_end());
        return Err(Failure::said(Kind::User));
    }
    let matches = args::command().try_get_matches().map_err(wrong)?;
    Cli::from_arg_matches(&matches).map_err(wrong)
}
