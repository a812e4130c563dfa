//! Muster: disaster-recovery runbooks that are previewed, executed durably, rolled back and drilled.

pub mod app;
pub mod cli;
pub mod clock;
pub mod engine;
pub mod journal;
pub mod lint;
pub mod model;
pub mod ops;
pub mod plan;
pub mod playbook;
pub mod sandbox;
pub mod script;

#[global_allocator]
static ALLOCATOR: script::memory::Counting = script::memory::Counting;
