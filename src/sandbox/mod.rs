//! The sandbox: an in-memory world on which rehearsals and tests run the same engine, with models of the operations,
//! virtual time and faults.

pub mod aws;
pub mod content;
pub mod controllers;
pub mod custom;
mod deeds;
pub mod ecs;
pub mod fault;
mod fill;
pub mod helm;
pub mod host;
pub mod kept;
pub mod kubernetes;
pub mod later;
pub mod modelled;
pub mod models;
pub mod overlay;
pub mod postgres;
mod programs;
mod projects;
pub mod rds;
pub mod resources;
pub mod seed;
pub mod seed_file;
pub mod selector;
pub mod shell;
pub mod sight;
pub mod stores;
pub mod tree;
pub mod veil;
pub mod view;
pub mod world;

pub use fault::{Action, Faults, Moment};
pub use host::{SandboxHost, SandboxReader};
pub use modelled::Modelled;
pub use overlay::Overlay;
pub use world::{World, diff};

#[cfg(test)]
mod tests;
