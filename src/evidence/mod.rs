//! What is shown of runs: while they go on, and to those who were not there. Reports, evidence packs, runs on their way to another store.

pub mod brief;
pub mod choices;
pub mod form;
pub mod gather;
pub mod handover;
pub mod material;
pub mod notify;
pub mod pack;
pub mod period;
pub mod report;
pub mod settled;
pub mod trace;
pub mod view;
pub mod view_step;
pub mod wait;
pub mod when;
pub mod window;
pub mod words;

#[cfg(test)]
mod tests;
