//! The family `pg` on a real server in a container: what each operation does, what its probe says at each point at
//! which it can be killed, and what its undo leaves.

mod databases;
mod dump;
mod ground;
#[path = "../live_world/mod.rs"]
mod live_world;
mod restore;
mod server;
mod sql;
#[path = "../support/deployment.rs"]
mod support;
