//! Reports of runs whose records stand here.

mod forms;
pub mod story;
