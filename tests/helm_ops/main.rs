//! The families `helm`, with the real binaries, and `k8s`, against a Kubernetes API server of the tests' own, or against a real cluster.

#[path = "../support/drilled.rs"]
mod drilled;
#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/fidelity.rs"]
mod fidelity;
mod ground;
mod inside;
mod killed;
#[path = "../support/kube/mod.rs"]
mod kube;
#[path = "../live_world/mod.rs"]
mod live_world;
mod objects;
mod operator;
mod others;
mod pgo4;
mod pgo4_restore;
mod pgo5;
mod pgo5_database;
mod pgo5_struck;
mod plans;
mod reads;
mod runai;
mod scheduled;
mod server;
mod upgrades;
mod waits;
