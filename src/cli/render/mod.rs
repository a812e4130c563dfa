//! What people see of a run: everything here is a fold over its records and never reaches into the engine.

pub mod brief;
pub mod checks;
pub mod choices;
pub mod drill;
pub mod line;
pub mod live;
pub mod look;
pub mod plan;
pub mod settled;
pub mod sheet;
pub mod summary;
pub mod table;
pub mod tree;
pub mod view;
pub mod view_step;
pub mod when;
pub mod world;

#[cfg(test)]
mod tests;
