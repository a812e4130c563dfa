//! The operation table: everything a playbook can do to the world, one file a family.

pub mod args;
pub mod ask;
pub mod aws;
pub mod context;
pub mod docker;
pub mod dotenv;
pub mod exec;
pub mod files;
pub mod foresight;
pub mod fs;
pub mod helm;
pub mod host;
pub mod http;
mod images;
pub mod k8s;
pub mod leftover;
pub mod live;
pub mod log;
pub mod owned;
pub mod pg;
pub mod process;
pub mod rand;
pub mod secrets;
pub mod spec;
pub mod supervisor;
pub mod table;
pub mod time;
pub mod touch;

pub use crate::model::fault::Target;
pub use crate::model::fault::{ErrorClass, OpError};
pub use foresight::{Foreseen, Mark, PlanHost};
pub use host::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
pub use spec::{Effect, OpEntry};
pub use table::{find, table};
pub use touch::Touch;
