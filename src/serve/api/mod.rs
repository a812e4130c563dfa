//! What the endpoints under `/api/v1` do, one noun a file.

pub mod access;
pub mod drills;
pub mod health;
pub mod orders;
pub mod playbooks;
pub mod reports;
pub mod runs;
pub mod schedules;
