//! The Rhai cage: the dialect, its limits, the modules made from the operation table, and programs compiled from playbooks.

pub mod convert;
pub mod current;
pub mod dialect;
pub mod error;
pub mod functions;
pub mod memory;
pub mod program;
pub mod unknown;

pub use current::{Calls, Stop};
pub use error::ScriptError;
pub use program::{Program, Scope};
