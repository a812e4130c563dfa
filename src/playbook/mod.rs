//! Load playbooks with spans; parameters; bundles and their digests.

pub mod bundle;
pub mod diagnostic;
pub(crate) mod fields;
pub mod gaps;
pub mod load;
mod load_check;
mod load_drill;
pub mod load_expect;
mod load_step;
pub mod load_trial;
pub mod lock;
pub mod names;
pub mod param_type;
pub mod params;
pub mod schema;
pub mod schema_trial;
pub mod shipped;
pub mod stdlib;
pub mod template;
pub mod text;
pub mod trial;
pub mod types;
pub mod yaml;
