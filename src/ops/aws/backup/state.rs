//! What the states of jobs and recovery points mean: which are good, which pass, and which never get better, with what can be done.

use crate::ops::aws::rds::Stand;

/// What the state of a backup job means.
#[must_use]
pub fn job_stand(state: &str) -> Stand {
    let broken = |why, choices| Stand::Broken { why, choices };
    match state {
        "COMPLETED" => Stand::Usable,
        "CREATED" | "PENDING" | "RUNNING" => Stand::Coming,
        "ABORTING" | "ABORTED" => broken("somebody stopped it", "find out who; start another"),
        "FAILED" => broken(
            "AWS could not take the backup",
            "look whether the role may back up, the resource is available and the vault's key can be used; start another",
        ),
        "EXPIRED" => broken(
            "it was not begun or done within its window",
            "start another with a longer `start_window_minutes` or `complete_window_minutes`",
        ),
        "PARTIAL" => broken(
            "only parts are in the backup",
            "look which parts failed; wait with allow_partial: true if what is there will do, or start another",
        ),
        _ => Stand::New,
    }
}

/// What the status of a restore job means.
#[must_use]
pub fn restore_stand(status: &str) -> Stand {
    let broken = |why, choices| Stand::Broken { why, choices };
    match status {
        "COMPLETED" => Stand::Usable,
        "PENDING" | "RUNNING" => Stand::Coming,
        "ABORTED" => broken(
            "AWS gave it up",
            "look whether the role may restore (AWSBackupServiceRolePolicyForRestores, iam:PassRole) and use the KMS keys; \
             start another, or restore another recovery point",
        ),
        "FAILED" => broken(
            "AWS could not restore it",
            "look at the metadata and at the quotas of the account; start another, or restore another recovery point",
        ),
        _ => Stand::New,
    }
}

/// What the status of a recovery point means for whoever wants to restore it.
#[must_use]
pub fn point_stand(status: &str) -> Stand {
    let broken = |why, choices| Stand::Broken { why, choices };
    match status {
        "COMPLETED" | "AVAILABLE" | "STOPPED" => Stand::Usable,
        "CREATING" => Stand::Coming,
        "PARTIAL" => broken("only parts are in it", "restore another one; allow_partial: true takes it all the same"),
        "EXPIRED" => broken("its time is over, and AWS could not delete it", "restore another one"),
        "DELETING" => broken("somebody deletes it", "find out who; restore another one"),
        _ => Stand::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_that_aws_has_is_told_apart() {
        for (state, good, coming) in [
            ("CREATED", false, true),
            ("PENDING", false, true),
            ("RUNNING", false, true),
            ("ABORTING", false, false),
            ("ABORTED", false, false),
            ("COMPLETED", true, false),
            ("FAILED", false, false),
            ("EXPIRED", false, false),
            ("PARTIAL", false, false),
        ] {
            let stand = job_stand(state);
            assert_eq!((stand == Stand::Usable, stand == Stand::Coming), (good, coming), "{state}");
            assert_ne!(stand, Stand::New, "{state}");
        }
        for state in ["ABORTED", "FAILED"] {
            assert!(matches!(restore_stand(state), Stand::Broken { .. }), "{state}");
        }
        assert_eq!((restore_stand("COMPLETED"), restore_stand("PENDING")), (Stand::Usable, Stand::Coming));
        for state in ["PARTIAL", "EXPIRED", "DELETING"] {
            assert!(matches!(point_stand(state), Stand::Broken { .. }), "{state}");
        }
    }
}
