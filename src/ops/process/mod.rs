//! Programs: short ones that are waited for, and supervised ones that outlive the engine.

mod children;
mod identity;
mod program;
mod short;

pub use children::{ChildStatus, Children, Ended};
pub(super) use children::{GO, GRACE, Launch, Paths, Reply, StartRecord, is_ok};
pub(super) use identity::{ProcessId, boot_id, session_groups};
pub use program::{Captured, ReadCommand, WriteCommand, find_program};
pub(super) use program::{check_program, tail_text};
pub(super) use short::{code_of, run_read, run_write};
