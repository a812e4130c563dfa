//! Who may do what: roles, the one decision, tokens, sessions, the audit log, and what has to be reviewed afterwards.

pub mod act;
pub mod audit;
pub mod decide;
pub mod desk;
pub mod error;
pub mod guess;
pub mod identity;
pub mod origin;
pub mod review;
pub mod role;
pub mod secret;
pub mod session;
#[cfg(test)]
mod tests;
pub mod token;

pub use act::Act;
pub use audit::Entry;
pub use decide::{Denied, Subject, decide};
pub use desk::Desk;
pub use error::AccessError;
pub use identity::{Identity, Means};
pub use origin::Sites;
pub use review::Review;
pub use role::Role;
pub use session::Session;
pub use token::{NewToken, Token};
