//! Parameters from the command line: `-p name=value` and `-f file.yaml`.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};

use super::failure::{Failure, Kind};
use super::printer::Printer;
use crate::app::AppError;
use crate::model::span::Source;
use crate::playbook::diagnostic::{Collector, has_errors};
use crate::playbook::params::{FIRST_FILE, Given};
use crate::playbook::yaml::MAX_FILE;

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
            let bytes = read(path).map_err(|error| {
                Failure::new(Kind::Invalid, format!("cannot read parameters from {}: {error}", path.display()))
                    .hint("-f takes a YAML file of names and values; -p NAME=VALUE gives one parameter")
            })?;
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
            given.add_text(text).map_err(|error| Failure::new(Kind::Invalid, error))?;
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

/// The bytes of a parameter file, one more than may be at most: whoever parses them says that it is too large. A pipe is read
/// as long as somebody writes into it (`-f <(sops -d params.yaml)`); a device has no end, and is not read.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    // Opening a pipe that nobody writes into would wait for ever.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no plain file"));
    }
    let mut bytes = Vec::new();
    if kind.is_fifo() {
        let mut first = [0; 1];
        match file.read(&mut first) {
            Ok(0) => return Err(Error::new(ErrorKind::InvalidInput, "it is a pipe that nobody writes into")),
            Ok(_) => bytes.extend(first),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        fcntl_setfl(&file, OFlags::empty())?;
    }
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A duration given as a flag: `90s`, `24h`.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::model::amount::parse_duration(text).map_err(|error| error.to_string())
}
