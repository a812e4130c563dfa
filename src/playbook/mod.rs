//! Load playbooks with spans; parameters; bundles and their digests.

pub mod diagnostic;
pub mod load;
pub mod template;
pub mod text;
pub mod types;
pub mod yaml;
