//! The engine: runs programs against a host, with every step of the way in the journal.
//!
//! Three invariants, tested for every shipped playbook (`tests/kill_sweep.rs`):
//!
//! 1. No effect is sent before its intent is durable.
//! 2. For *every* prefix of a journal, resuming ends in succeeded, rolled back or waiting for a person, never in "cannot load".
//! 3. Replaying a complete journal makes no host call.
//!
//! Starting a run is recovering from an empty journal: there is no second path. State changes only in
//! [`state::RunState::apply`]; what to do next is decided by [`decide`] from the state alone; the world is reached only
//! through [`effect`], which writes the intent before and the outcome after, [`mod@wait`], and [`follow`], which finds out what
//! became of a call that has the first but not the last.

pub mod ahead;
pub mod attempt;
pub mod bound;
pub mod call;
pub mod capability;
pub mod cell;
mod checks;
pub mod command;
pub mod decide;
pub mod difference;
pub mod drill;
pub mod drill_report;
pub mod driver;
pub mod effect;
pub mod entry;
pub mod error;
pub mod fence;
pub mod follow;
pub mod foresee;
pub mod gate;
pub mod gateway;
pub mod paths;
pub mod rest;
pub mod schedule;
mod scope;
mod secrets;
pub mod standing;
mod started;
pub mod state;
pub mod step;
mod suppose;
mod sweep;
pub mod unwind;
pub mod wait;
mod way;
mod ways;

#[cfg(test)]
mod tests;

pub use ahead::Foresight;
pub use cell::{NoObserver, Observer, Rest};
pub use driver::{Engine, Host};
pub use error::EngineError;
pub use state::RunState;
