//! The family `pg` on a real server in a container: what each operation does, what its probe says at each point at
//! which it can be killed, and what its undo leaves. And the playbook of a host's own server, `pgbackrest-restore`, with its drills.

mod databases;
#[path = "../support/drilled.rs"]
mod drilled;
mod dump;
#[path = "../support/fidelity.rs"]
mod fidelity;
mod ground;
mod host;
#[path = "../live_world/mod.rs"]
mod live_world;
mod pgbackrest;
mod restore;
#[path = "../support/running.rs"]
mod running;
mod scheduled;
mod server;
mod sql;
#[path = "../support/deployment.rs"]
mod support;
#[path = "../support/traffic.rs"]
mod traffic;
