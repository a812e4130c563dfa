//! Where output goes and how it looks: results on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use super::failure::{Failure, Kind};
use super::render::brief;
use super::render::live::Style;
use super::render::look::{Look, Tone};
use crate::app::AppError;
use crate::playbook::diagnostic;

/// Form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Decides once what the terminal can show.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// Standard output.
    pub out: Look,
    /// Standard error.
    pub err: Look,
    /// Whether standard error is a terminal on which a tree can be redrawn.
    live: bool,
}

impl Printer {
    /// Looks at the terminal and at `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM` and the locale. `NO_COLOR` is stronger than
    /// `CLICOLOR_FORCE`, which is stronger than what the terminal is.
    #[must_use]
    pub fn new() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let zero = |name: &str| std::env::var_os(name).is_some_and(|value| value == "0");
        let forced = set("CLICOLOR_FORCE") && !zero("CLICOLOR_FORCE");
        let colour = |terminal: bool| !set("NO_COLOR") && (forced || (terminal && !dumb && !zero("CLICOLOR")));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|it| !it.is_empty());
        let unicode = locale.is_none_or(|locale| {
            let locale = locale.to_string_lossy().to_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        let look = |terminal: bool, width: Option<usize>| Look {
            colour: colour(terminal),
            unicode: unicode || !terminal,
            width: width.filter(|_| terminal).unwrap_or(Look::PLAIN.width).max(40),
        };
        let out = std::io::stdout().is_terminal();
        let err = std::io::stderr().is_terminal();
        let width = |term: console::Term| term.size_checked().map(|(_, width)| usize::from(width));
        Self {
            out: look(out, width(console::Term::stdout())),
            err: look(err, width(console::Term::stderr())),
            live: err && !dumb,
        }
    }

    /// Without colour or redrawing, whatever the terminal.
    #[must_use]
    pub fn plain() -> Self {
        Self { out: Look::PLAIN, err: Look::PLAIN, live: false }
    }

    /// How a run is shown while it goes on.
    #[must_use]
    pub fn style(self, format: Format) -> Style {
        match format {
            Format::Json => Style::Json,
            Format::Table if self.live => Style::Tree,
            Format::Table => Style::Lines,
        }
    }

    /// A result, whole, on standard output.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn result(self, text: &str) -> Result<(), Failure> {
        Self::write(&brief::calm(text))
    }

    /// A result for programs, one or more texts of JSON, on standard output.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn machine(self, json: &str) -> Result<(), Failure> {
        Self::write(&brief::calm_json(json))
    }

    fn write(text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// A result as JSON, indented.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn json(self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::user(format!("cannot write the result as JSON: {error}")))?;
        self.machine(&(text + "\n"))
    }

    /// Something beside the result, on standard error.
    pub fn note(self, text: &str) {
        // Standard error may be closed: that must not stop anything.
        let _ = writeln!(std::io::stderr(), "{}", brief::calm(text));
    }

    /// Something a person should look at, on standard error.
    pub fn warn(self, text: &str) {
        self.note(&format!("{} {text}", self.err.paint(Tone::Warn, "warning:")));
    }

    /// A heading of a table on standard output.
    #[must_use]
    pub fn heading(self, text: &str) -> String {
        self.out.paint(Tone::Faint, text)
    }

    /// How diagnostics look on standard error.
    #[must_use]
    pub fn diagnostics(self) -> diagnostic::Style {
        let graphical = self.err.unicode && self.err.colour;
        diagnostic::Style { color: self.err.colour, graphical, width: self.err.width }
    }

    /// Errors as diagnostics, printed on standard error; what is left to say is only the exit code.
    #[must_use]
    pub fn explain(self, error: AppError) -> Failure {
        match error {
            AppError::Invalid { diagnostics, sources } => {
                self.note(diagnostic::render(&diagnostics, &sources, self.diagnostics()).trim_end());
                Failure::said(Kind::Invalid)
            }
            other => other.into(),
        }
    }
}

impl Default for Printer {
    fn default() -> Self {
        Self::new()
    }
}
