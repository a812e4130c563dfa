//! The command line: one file a subcommand, one place for output, errors and exit codes.

pub mod exit;
pub mod render;
