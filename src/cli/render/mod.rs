//! What people see of a run: everything here is a fold over its records and never reaches into the engine.

pub mod checks;
pub mod drill;
pub mod line;
pub mod live;
pub mod look;
pub mod plan;
pub mod sheet;
pub mod summary;
pub mod table;
pub mod tree;
pub mod world;

pub use crate::evidence::{brief, choices, settled, view, view_step, when};

#[cfg(test)]
mod tests;
