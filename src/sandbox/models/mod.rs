//! What each operation reads and does in the world.

pub mod docker;
pub mod pg;
