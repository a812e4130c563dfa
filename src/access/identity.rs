//! Somebody who wants to do something, and how that is known.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::model::command::Actor;
use crate::model::glob;

/// How it is known who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Means {
    /// The OS user said so. Whoever can write the store's file can do everything to it anyway.
    Asserted,
    /// A token was shown.
    Token {
        /// Its id.
        token: String,
    },
    /// A page was used after a login by token.
    Session {
        /// The id of the token.
        token: String,
    },
    /// Muster itself: a schedule, the server.
    System,
}

/// Somebody who wants to do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// What they are called in every record.
    pub name: String,
    /// What they are trusted with.
    pub roles: BTreeSet<Role>,
    /// Globs over the names of playbooks; all when empty.
    pub playbooks: Vec<String>,
    /// The approver names that they may approve as, like `dr-lead` in `approval: { by: [dr-lead] }`.
    pub approves_as: Vec<String>,
    /// How that is known.
    pub means: Means,
}

impl Identity {
    /// The OS user who can open the store's file: an admin, asserted.
    #[must_use]
    pub fn asserted(actor: &Actor) -> Self {
        Self {
            name: actor.name.clone(),
            roles: BTreeSet::from([Role::Admin]),
            playbooks: Vec::new(),
            approves_as: Vec::new(),
            means: Means::Asserted,
        }
    }

    /// Muster itself, doing what somebody configured: `schedule nightly`.
    #[must_use]
    pub fn system(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            roles: BTreeSet::from([Role::Operator]),
            playbooks: Vec::new(),
            approves_as: Vec::new(),
            means: Means::System,
        }
    }

    /// Who it is in the record of a run.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { name: self.name.clone() }
    }

    /// Whether a playbook is within reach: what lists show.
    #[must_use]
    pub fn sees(&self, playbook: &str) -> bool {
        self.playbooks.is_empty() || self.playbooks.iter().any(|pattern| glob::matches(pattern, playbook))
    }

    /// Whether it is proven, or only said.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        !matches!(self.means, Means::Asserted)
    }
}
