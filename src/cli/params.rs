//! Parameters from the command line: `-p name=value` and `-f file.yaml`.

use std::path::PathBuf;

use super::failure::Failure;
use super::printer::Printer;
use crate::app::AppError;
use crate::model::span::Source;
use crate::playbook::diagnostic::{Collector, has_errors};
use crate::playbook::params::{FIRST_FILE, Given};

/// Parameters.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ParamArgs {
    /// A parameter; may be given again and again. Goes before files.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// A YAML file with parameters; may be given again, later files go before earlier ones.
    #[arg(short = 'f', long = "params", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ParamArgs {
    /// What was given, added to `given`.
    ///
    /// # Errors
    /// When a file cannot be read or is no map, or a parameter has no value.
    pub fn add_to(&self, given: &mut Given, printer: Printer) -> Result<(), Failure> {
        let mut collector = Collector::default();
        for path in &self.files {
            let bytes = std::fs::read(path)
                .map_err(|error| Failure::user(format!("cannot read parameters from {}: {error}", path.display())))?;
            given.add_file(&path.display().to_string(), &bytes, &mut collector);
        }
        let diagnostics = collector.finish();
        if has_errors(&diagnostics) {
            // Spans of files begin at this number: the places before it belong to playbooks.
            let nothing = Source { name: String::new(), text: "".into() };
            let mut sources = vec![nothing; usize::from(FIRST_FILE)];
            sources.extend(given.files.iter().cloned());
            return Err(printer.explain(AppError::Invalid { diagnostics, sources }));
        }
        for text in &self.params {
            given.add_text(text).map_err(Failure::user)?;
        }
        Ok(())
    }

    /// What was given.
    ///
    /// # Errors
    /// As [`ParamArgs::add_to`].
    pub fn given(&self, printer: Printer) -> Result<Given, Failure> {
        let mut given = Given::default();
        self.add_to(&mut given, printer)?;
        Ok(given)
    }
}
