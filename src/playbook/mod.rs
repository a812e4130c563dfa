//! Load playbooks with spans; parameters; bundles and their digests.

pub mod bundle;
pub mod diagnostic;
pub mod load;
pub mod lock;
pub mod params;
pub mod shipped;
pub mod stdlib;
pub mod template;
pub mod text;
pub mod types;
pub mod yaml;
