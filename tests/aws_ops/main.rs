//! What operations on AWS do to a server that answers as AWS does, through a proxy that spoils exchanges.

#[path = "../support/aws.rs"]
mod aws;
#[path = "../support/deployment.rs"]
mod deployment;
#[path = "../support/drilled.rs"]
mod drilled;
mod ecs;
mod estate;
#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/fidelity.rs"]
mod fidelity;
mod ground;
#[path = "../support/kube/mod.rs"]
mod kube;
#[path = "../live_world/mod.rs"]
mod live_world;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/traffic.rs"]
mod traffic;
#[path = "../support/vaulting.rs"]
mod vaulting;

mod application;
mod backups;
mod chat;
mod drills;
mod exported;
mod faults;
mod file_systems;
mod killed;
mod objects;
mod omnichat_backup;
mod omnichat_models;
mod omnichat_restore;
mod permissions;
mod plans;
mod playbooks;
mod point;
mod rds;
mod rds_change;
mod rds_restore;
mod rds_sandbox;
mod reach;
mod scene;
mod secrets;
mod stores_sandbox;
mod taken_back;
mod together;
mod vault;
