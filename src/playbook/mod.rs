//! Load playbooks with spans; parameters; bundles and their digests.

pub mod bundle;
pub mod diagnostic;
mod fields;
pub mod gaps;
pub mod load;
mod load_step;
pub mod lock;
pub mod names;
pub mod param_type;
pub mod params;
pub mod schema;
pub mod shipped;
pub mod stdlib;
pub mod template;
pub mod text;
pub mod types;
pub mod yaml;
