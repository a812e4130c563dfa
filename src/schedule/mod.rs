//! Schedules: when playbooks are run by themselves, what becomes of every tick, and what a person should know of those that did
//! not run.
//!
//! 1. Every due tick has exactly one durable fate: a run, skipped and why, or missed and why.
//! 2. A tick has one run at most, on any number of servers: the run's id is made of schedule and instant.
//! 3. What is to be done is decided by a pure function over what is stored (`decide`); `Scheduler::turn` stores it, then does it.

pub mod blackout;
mod check;
pub mod decide;
pub mod file;
pub mod findings;
pub mod forecast;
pub mod people;
pub mod scheduler;
pub mod standing;
pub mod tick;
pub mod timing;

#[cfg(test)]
mod tests;
