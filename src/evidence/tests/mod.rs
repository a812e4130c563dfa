//! Reports of runs whose records stand here.

mod forms;
pub(in crate::evidence) mod story;
mod traces;
