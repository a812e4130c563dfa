//! The family `helm`, with the real binaries, against a Kubernetes API server of the tests' own, or against a real cluster.

mod ground;
mod killed;
#[path = "../support/kube/mod.rs"]
mod kube;
#[path = "../live_world/mod.rs"]
mod live_world;
mod others;
mod plans;
mod reads;
mod server;
mod upgrades;
