//! The one decision: may this person do this to that. Every path asks it: API, pages, command line.

use super::act::Act;
use super::identity::{Identity, Means};
use crate::model::command::Actor;

/// What something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'s> {
    /// A list, of which only what [`Identity::sees`] is shown.
    List,
    /// Muster as a whole: tokens, the audit log.
    Whole,
    /// A playbook.
    Playbook(&'s str),
    /// A run.
    Run {
        /// Its playbook.
        playbook: &'s str,
        /// Who started it.
        started_by: &'s str,
    },
    /// A step that waits for approval.
    Approval {
        /// The playbook of its run.
        playbook: &'s str,
        /// Who started the run.
        started_by: &'s str,
        /// The approver name that is claimed.
        role: Option<&'s str>,
    },
    /// The review of something.
    Review {
        /// The playbook that it was about.
        playbook: &'s str,
        /// Who did it.
        about: &'s str,
    },
}

/// Why somebody may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No role of theirs is enough.
    #[error("{name} may not {}: it takes the role {}", act.what(), roles(*act))]
    Role { name: String, act: Act },
    /// Their token is for other playbooks.
    #[error("{name} may not {} of `{playbook}`: the token is for other playbooks", act.what())]
    Playbook { name: String, act: Act, playbook: String },
    /// Their token is for some playbooks, and this is about all.
    #[error("{name} may not {}: the token is for some playbooks only", act.what())]
    Scope { name: String, act: Act },
    /// They started the run.
    #[error(
        "{name} started this run, and nobody approves what they started (in an emergency: --break-glass with a reason)"
    )]
    Starter { name: String },
    /// They claim to approve as what they are not.
    #[error("{name} may not approve as {role}: the token does not say so")]
    ApprovesAs { name: String, role: String },
    /// They did it themselves.
    #[error("{name} did this, and nobody closes the review of what they did")]
    OwnReview { name: String },
}

fn roles(act: Act) -> String {
    let names: Vec<&str> = act.roles().iter().map(|role| role.as_str()).collect();
    names.join(" or ")
}

impl Denied {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Role { .. } | Self::Playbook { .. } | Self::Scope { .. } | Self::ApprovesAs { .. } => {
                "an admin makes a token that may: `muster token create`"
            }
            Self::Starter { .. } => "ask somebody else who may approve",
            Self::OwnReview { .. } => "ask somebody else to close it",
        }
    }
}

/// Whether somebody may do something to a subject. Pure: nothing is read or recorded.
///
/// # Errors
/// Why not.
pub fn decide(identity: &Identity, act: Act, subject: &Subject<'_>) -> Result<(), Denied> {
    let name = || identity.name.clone();
    if !identity.roles.iter().any(|role| act.allows(*role)) {
        return Err(Denied::Role { name: name(), act });
    }
    let playbook = match subject {
        Subject::List | Subject::Whole => None,
        Subject::Playbook(playbook)
        | Subject::Run { playbook, .. }
        | Subject::Approval { playbook, .. }
        | Subject::Review { playbook, .. } => Some(*playbook),
    };
    if let Some(playbook) = playbook.filter(|playbook| !identity.sees(playbook)) {
        return Err(Denied::Playbook { name: name(), act, playbook: playbook.to_owned() });
    }
    if !identity.playbooks.is_empty() && (*subject == Subject::Whole || playbook.is_none() && act.is_general()) {
        return Err(Denied::Scope { name: name(), act });
    }
    match subject {
        Subject::Approval { started_by, role, .. } => {
            let starter = is_same(identity, started_by);
            if act == Act::Approve && starter {
                return Err(Denied::Starter { name: name() });
            }
            // The OS user asserts who they are, and so in which role; a token has it written in.
            if let Some(role) = role.filter(|role| {
                act == Act::Approve
                    && !matches!(identity.means, Means::Asserted)
                    && !identity.approves_as.iter().any(|known| known == role)
            }) {
                return Err(Denied::ApprovesAs { name: name(), role: role.to_owned() });
            }
        }
        Subject::Review { about, .. } if act == Act::CloseReview && is_same(identity, about) => {
            return Err(Denied::OwnReview { name: name() });
        }
        _ => {}
    }
    Ok(())
}

fn is_same(identity: &Identity, name: &str) -> bool {
    identity.actor().is_same_person(&Actor { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::act::TABLE;
    use super::super::role::Role;
    use super::*;

    fn somebody(name: &str, roles: &[Role], playbooks: &[&str]) -> Identity {
        Identity {
            name: name.to_owned(),
            roles: roles.iter().copied().collect(),
            playbooks: playbooks.iter().map(|&glob| glob.to_owned()).collect(),
            approves_as: vec!["dr-lead".to_owned()],
            means: Means::Token { token: "t".to_owned() },
        }
    }

    const RUN: Subject<'static> = Subject::Run { playbook: "rds-restore", started_by: "carol" };

    fn approval<'s>(started_by: &'s str, role: Option<&'s str>) -> Subject<'s> {
        Subject::Approval { playbook: "rds-restore", started_by, role }
    }

    #[test]
    fn the_table_is_what_is_decided() {
        for (act, what, columns) in TABLE {
            for (role, may) in Role::ALL.into_iter().zip(columns) {
                let decision = decide(&somebody("alice", &[role], &[]), *act, &RUN);
                assert_eq!(decision.is_ok(), *may, "{role}: {what}");
            }
        }
    }

    #[test]
    fn nobody_approves_what_they_started_under_whatever_host_they_are_known() {
        for role in [Role::Approver, Role::Admin] {
            for starter in ["alice", "alice@laptop", "ALICE@desk"] {
                let decision = decide(&somebody("alice", &[role], &[]), Act::Approve, &approval(starter, None));
                assert_eq!(decision, Err(Denied::Starter { name: "alice".to_owned() }));
            }
            assert_eq!(decide(&somebody("alice", &[role], &[]), Act::Approve, &approval("alicea", None)), Ok(()));
        }
        let asserted = Identity::asserted(&Actor { name: "alice@laptop".to_owned() });
        assert!(decide(&asserted, Act::Approve, &approval("alice", None)).is_err());
        assert!(decide(&asserted, Act::BreakGlass, &approval("alice", None)).is_ok());
    }

    #[test]
    fn a_token_approves_only_as_what_it_says() {
        let alice = somebody("alice", &[Role::Approver], &[]);
        assert!(decide(&alice, Act::Approve, &approval("bob", Some("dr-lead"))).is_ok());
        assert!(matches!(
            decide(&alice, Act::Approve, &approval("bob", Some("ciso"))),
            Err(Denied::ApprovesAs { role, .. }) if role == "ciso"
        ));
    }

    #[test]
    fn a_token_for_some_playbooks_does_nothing_elsewhere() {
        let alice = somebody("alice", &[Role::Admin], &["pgo-*", "hello"]);
        for (act, what, _) in TABLE {
            assert!(decide(&alice, *act, &RUN).is_err(), "{what}");
            assert!(decide(&alice, *act, &Subject::Whole).is_err(), "{what}");
            assert!(decide(&alice, *act, &Subject::Playbook("pgo-clone")).is_ok(), "{what}");
        }
        assert!(decide(&alice, Act::View, &Subject::List).is_ok());
        assert!(decide(&alice, Act::ManageTokens, &Subject::List).is_err());
    }

    #[test]
    fn nobody_closes_the_review_of_what_they_did() {
        let alice = somebody("alice", &[Role::Admin], &[]);
        let review = |about| Subject::Review { playbook: "rds-restore", about };
        assert!(decide(&alice, Act::CloseReview, &review("bob")).is_ok());
        assert!(decide(&alice, Act::CloseReview, &review("alice@laptop")).is_err());
    }

    proptest! {
        #[test]
        fn another_role_never_takes_a_right_away(mask in 0usize..16, more in 0usize..4, place in 0..TABLE.len()) {
            let roles: BTreeSet<Role> =
                Role::ALL.into_iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, role)| role).collect();
            let mut wider = roles.clone();
            wider.insert(Role::ALL[more]);
            let with = |roles| Identity { roles, ..somebody("alice", &[], &[]) };
            let act = TABLE[place].0;
            if decide(&with(roles), act, &RUN).is_ok() {
                prop_assert!(decide(&with(wider), act, &RUN).is_ok());
            }
        }

        #[test]
        fn a_scope_never_gives_a_right(glob in "[a-z*]{1,6}", name in "[a-z]{1,6}", mask in 0usize..16, place in 0..TABLE.len()) {
            let roles: Vec<Role> =
                Role::ALL.into_iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, role)| role).collect();
            let act = TABLE[place].0;
            let subject = Subject::Playbook(&name);
            if decide(&somebody("alice", &roles, &[&glob]), act, &subject).is_ok() {
                prop_assert!(decide(&somebody("alice", &roles, &[]), act, &subject).is_ok());
            }
        }
    }
}
