//! Everything that can be done in Muster, and the table of who may.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::model::command::Order;

/// Something that can be done, by API, page or command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    View,
    ViewAudit,
    ExportEvidence,
    Note,
    Plan,
    Start,
    Drill,
    Resume,
    Retry,
    Skip,
    Done,
    Answer,
    Settle,
    Accept,
    SkipUndo,
    Rollback,
    Cancel,
    Kill,
    Bind,
    Fork,
    Approve,
    Reject,
    ApprovePlan,
    BreakGlass,
    TriggerSchedule,
    PauseSchedule,
    ResumeSchedule,
    TakeAlong,
    Adopt,
    CloseReview,
    ManageTokens,
}

/// One line of the table: the act, what it is, and whether viewer, operator, approver and admin may.
pub type Line = (Act, &'static str, [bool; 4]);

/// They may.
const Y: bool = true;
/// They may not.
const __: bool = false;

/// Who may do what. Besides this: a token for some playbooks only does nothing elsewhere, nobody approves a run they started, and
/// nobody closes the review of what they did themselves ([`super::decide::decide`]).
#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    //                                                                          viewer operator approver admin
    (Act::View, "look at runs, playbooks, plans, schedules and reports",              [Y,  Y,  Y,  Y]),
    (Act::ViewAudit, "read the audit log and the reviews",                            [Y,  Y,  Y,  Y]),
    (Act::ExportEvidence, "take away evidence packs and the audit log",               [Y,  Y,  Y,  Y]),
    (Act::Note, "write a note into the record of a run",                              [__, Y,  Y,  Y]),
    (Act::Plan, "preview a run over the live system",                                 [__, Y,  Y,  Y]),
    (Act::Start, "start a run",                                                       [__, Y,  __, Y]),
    (Act::Drill, "start a drill",                                                     [__, Y,  __, Y]),
    (Act::Resume, "carry a run on",                                                   [__, Y,  __, Y]),
    (Act::Retry, "try a failed step again",                                           [__, Y,  __, Y]),
    (Act::Skip, "leave a step out",                                                   [__, Y,  __, Y]),
    (Act::Done, "say that a step was done by hand",                                   [__, Y,  __, Y]),
    (Act::Answer, "answer a question of a run",                                       [__, Y,  __, Y]),
    (Act::Settle, "settle a call in doubt",                                           [__, Y,  __, Y]),
    (Act::Accept, "accept the new value of a secret",                                 [__, Y,  __, Y]),
    (Act::SkipUndo, "leave out an undo that failed",                                  [__, Y,  __, Y]),
    (Act::Rollback, "roll a run back",                                                [__, Y,  __, Y]),
    (Act::Cancel, "cancel a run",                                                     [__, Y,  __, Y]),
    (Act::Kill, "kill a run",                                                         [__, Y,  __, Y]),
    (Act::Bind, "put a run under another plan",                                       [__, Y,  __, Y]),
    (Act::Fork, "begin a run anew from a step of another",                            [__, Y,  __, Y]),
    (Act::Approve, "approve a step that waits for it",                                [__, __, Y,  Y]),
    (Act::Reject, "refuse a step that waits for approval",                            [__, __, Y,  Y]),
    (Act::ApprovePlan, "approve a plan before it is run",                             [__, __, Y,  Y]),
    (Act::BreakGlass, "approve although one may not, with a reason and a review",     [__, Y,  Y,  Y]),
    (Act::TriggerSchedule, "let a schedule run now",                                  [__, Y,  __, Y]),
    (Act::PauseSchedule, "pause a schedule",                                          [__, Y,  __, Y]),
    (Act::ResumeSchedule, "resume a schedule",                                        [__, Y,  __, Y]),
    (Act::TakeAlong, "take a run along as a bundle",                                  [__, Y,  __, Y]),
    (Act::Adopt, "adopt a run from a bundle",                                         [__, Y,  __, Y]),
    (Act::CloseReview, "close the review of what somebody else did",                  [__, __, Y,  Y]),
    (Act::ManageTokens, "create, list and revoke tokens",                             [__, __, __, Y]),
];

impl Act {
    /// What an order to a run is.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        match order {
            Order::Retry { .. } => Self::Retry,
            Order::Skip { .. } => Self::Skip,
            Order::Done { .. } => Self::Done,
            Order::Approve { break_glass: true, .. } => Self::BreakGlass,
            Order::Approve { .. } => Self::Approve,
            Order::Reject { .. } => Self::Reject,
            Order::Answer { .. } => Self::Answer,
            Order::Rollback { .. } => Self::Rollback,
            Order::SkipUndo { .. } => Self::SkipUndo,
            Order::Settle { .. } => Self::Settle,
            Order::Accept { .. } => Self::Accept,
            Order::Cancel { .. } => Self::Cancel,
            Order::Kill => Self::Kill,
            Order::Note { .. } => Self::Note,
            Order::Resume => Self::Resume,
            Order::Bind { .. } => Self::Bind,
        }
    }

    fn line(self) -> Option<&'static Line> {
        TABLE.iter().find(|(act, _, _)| *act == self)
    }

    /// What it is, in the infinitive: `start a run`.
    #[must_use]
    pub fn what(self) -> &'static str {
        self.line().map_or("do that", |(_, what, _)| what)
    }

    /// Whether a role is enough for it.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        let column = match role {
            Role::Viewer => 0,
            Role::Operator => 1,
            Role::Approver => 2,
            Role::Admin => 3,
        };
        self.line().is_some_and(|(_, _, columns)| columns[column])
    }

    /// The roles that may.
    #[must_use]
    pub fn roles(self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.allows(*role)).collect()
    }

    /// Whether it changes something, and so stands in the audit log.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Self::View | Self::ViewAudit | Self::Plan)
    }

    /// Whether it is about Muster as a whole, and so not for somebody who may only reach some playbooks.
    #[must_use]
    pub fn is_general(self) -> bool {
        matches!(self, Self::ViewAudit | Self::ManageTokens | Self::CloseReview | Self::Adopt)
    }

    /// As it stands in the audit log and in the API: `skip_undo`.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every act that the type has: its schema lists them.
    fn every_name() -> BTreeSet<String> {
        let schema = serde_json::to_value(schemars::schema_for!(Act)).expect("a schema");
        let names = schema["enum"].as_array().expect("a plain enum");
        names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn every_act_stands_in_the_table_once() {
        let named: Vec<String> = TABLE.iter().map(|(act, _, _)| act.name()).collect();
        assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), every_name());
        assert_eq!(named.len(), every_name().len());
    }

    #[test]
    fn an_admin_may_everything_and_a_viewer_changes_nothing() {
        for (act, what, _) in TABLE {
            assert!(act.allows(Role::Admin), "{what}");
            let takes_away = *act == Act::ExportEvidence;
            assert!(!(act.allows(Role::Viewer) && act.changes()) || takes_away, "{what}");
        }
    }

    #[test]
    fn who_starts_runs_does_not_approve_by_the_same_role() {
        for role in [Role::Viewer, Role::Operator, Role::Approver] {
            assert!(!(Act::Start.allows(role) && Act::Approve.allows(role)), "{role}");
        }
    }
}
