//! What is shown of runs to those who were not there: reports, evidence packs, runs on their way to another store, messages.

pub mod form;
pub mod gather;
pub mod handover;
pub mod material;
pub mod notify;
pub mod pack;
pub mod period;
pub mod report;
pub mod wait;
pub mod words;

#[cfg(test)]
mod tests;
