//! Muster: disaster-recovery runbooks that are previewed, executed durably, rolled back and drilled.

// What a user can type must not end in a panic: an error names the act, the thing and the fault. Only `cli::printer` talks
// to the terminal. In tests a panic is the report.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::dbg_macro,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod access;
pub mod app;
pub mod cli;
pub mod clock;
pub mod engine;
pub mod evidence;
pub mod journal;
pub mod lint;
pub mod model;
pub mod ops;
pub mod plan;
pub mod playbook;
pub mod sandbox;
pub mod schedule;
pub mod script;
pub mod serve;
pub mod trial;

#[global_allocator]
static ALLOCATOR: script::memory::Counting = script::memory::Counting;
