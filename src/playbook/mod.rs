//! Load playbooks with spans; parameters; bundles and their digests.

pub mod types;
