//! The sandbox: an in-memory world on which rehearsals and tests run the same engine, with models of the operations,
//! virtual time and faults.

pub mod content;
pub mod models;
pub mod postgres;
pub mod resources;
pub mod seed;
pub mod seed_file;
pub mod tree;
pub mod world;

pub use world::World;
