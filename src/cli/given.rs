//! Parameters from the command line.

use std::path::PathBuf;

use super::failure::{Failure, Kind};
use super::printer::Printer;
use crate::model::span::Source;
use crate::playbook::diagnostic::{Collector, Diagnostic, Style, has_errors, render};
use crate::playbook::params::{FIRST_FILE, Given};

/// A playbook with its parameters.
#[derive(clap::Args, Clone, Debug)]
pub struct PlaybookArgs {
    /// The playbook: a folder, a name in ./playbooks, or the name of a shipped one.
    #[arg(value_name = "PLAYBOOK")]
    pub playbook: String,
    #[command(flatten)]
    pub params: ParamArgs,
}

/// Parameters.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ParamArgs {
    /// A parameter; may be given again and again.
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// A YAML file of parameters.
    #[arg(short = 'f', long = "params", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl ParamArgs {
    /// What was given.
    ///
    /// # Errors
    /// When a file cannot be read or is no map, or a parameter has no `=`.
    pub fn read(&self, printer: Printer) -> Result<Given, Failure> {
        let mut given = Given::default();
        let mut collector = Collector::default();
        for file in &self.files {
            let bytes = std::fs::read(file).map_err(|error| {
                Failure::new(Kind::Invalid, format!("cannot read parameters {}: {error}", file.display()))
            })?;
            given.add_file(&file.display().to_string(), &bytes, &mut collector);
        }
        for text in &self.param {
            given.add_text(text).map_err(|error| Failure::new(Kind::Invalid, error))?;
        }
        let diagnostics = collector.finish();
        if has_errors(&diagnostics) {
            let mut sources = vec![Source { name: String::new(), text: "".into() }; usize::from(FIRST_FILE)];
            sources.extend(given.files.iter().cloned());
            return Err(invalid(&diagnostics, &sources, printer));
        }
        Ok(given)
    }
}

/// How diagnostics look here.
#[must_use]
pub fn style(printer: Printer) -> Style {
    Style { color: printer.err.colour, graphical: printer.err.unicode && printer.err.colour, width: printer.err.width }
}

/// A failure that shows everything that is wrong.
#[must_use]
pub fn invalid(diagnostics: &[Diagnostic], sources: &[Source], printer: Printer) -> Failure {
    printer.note(render(diagnostics, sources, style(printer)).trim_end());
    Failure::said(Kind::Invalid)
}
