//! The Rhai cage: the dialect, its limits, the modules made from the operation table, and programs compiled from playbooks.

pub mod convert;
pub mod current;
pub mod dialect;
mod edits;
pub mod error;
pub mod functions;
mod lex;
pub mod memory;
pub mod models;
pub mod program;
pub mod question;
mod rounds;
mod strict;
pub mod unknown;
#[cfg(test)]
mod unknown_tests;
mod weave;
#[cfg(test)]
mod weave_tests;

pub use current::{Calls, Stop};
pub use error::ScriptError;
pub use program::{Program, Scope};
