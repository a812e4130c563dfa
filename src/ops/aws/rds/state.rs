//! What the statuses of RDS mean: which are good, which pass, and which never get better, with why and what can be done.

use super::database::Kind;

/// What a status means for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It can be used and changed.
    Usable,
    /// It passes by itself.
    Coming,
    /// A status that is not known here: waited on, and named.
    New,
    /// It does not pass by itself.
    Broken {
        /// What it means.
        why: &'static str,
        /// What can be done.
        choices: &'static str,
    },
}

const AGAIN: &str = "delete it and restore anew, or skip the wait and mend it by hand";

/// What the status of a database means.
#[must_use]
pub fn stand(kind: Kind, status: &str) -> Stand {
    let broken = |why, choices| Stand::Broken { why, choices };
    match status {
        // Slow at first: blocks come from S3 when they are first read.
        "available" | "storage-initialization" | "storage-optimization" => Stand::Usable,
        "creating"
        | "backing-up"
        | "modifying"
        | "rebooting"
        | "renaming"
        | "resetting-master-credentials"
        | "starting"
        | "stopping"
        | "maintenance"
        | "upgrading"
        | "storage-config-upgrade"
        | "converting-to-vpc"
        | "moving-to-vpc"
        | "promoting"
        | "failing-over"
        | "backtracking"
        | "migrating"
        | "preparing-data-migration"
        | "update-iam-db-auth"
        | "scaling-compute"
        | "scaling-storage" => Stand::Coming,
        _ if status.starts_with("configuring-") => Stand::Coming,
        "incompatible-network" => broken(
            "AWS cannot put it into its network: the subnets have no free addresses, or the VPC, subnet group or \
             security groups do not fit together",
            "free addresses in the subnets, or restore with `settings: { subnet_group, security_groups }` that fit; \
             delete this one",
        ),
        "incompatible-parameters" => broken(
            "its parameter group does not fit its version or class: it cannot start",
            "set a parameter group that fits by rds.modify, or mend the group and restart it",
        ),
        "incompatible-option-group" => {
            broken("its option group cannot be applied", "restore with `settings: { option_group }` that fits")
        }
        "incompatible-restore" => broken(
            "AWS cannot restore it: the backup does not fit the engine or the settings asked for",
            "restore from another snapshot or to another time; delete this one",
        ),
        "incompatible-create" => broken("AWS cannot make it with these settings", AGAIN),
        "restore-error" => broken(
            "the restore failed",
            "look at what RDS's events say, restore from another snapshot or time; delete this one",
        ),
        "insufficient-capacity" => broken(
            "AWS has no capacity for its class in these zones",
            "restore with `settings: { class }` of another size, or in a subnet group with more zones, or later; \
             delete this one",
        ),
        "storage-full" => broken(
            "its storage is full: it takes no writes",
            "give it more storage (max_storage_gb by rds.modify), or restore with more",
        ),
        "inaccessible-encryption-credentials" | "inaccessible-encryption-credentials-recoverable" => broken(
            "AWS cannot use the KMS key of its storage",
            "enable the key, or give RDS's grant back; within seven days it can be started again",
        ),
        "failed" => broken("it failed, and AWS cannot recover it", AGAIN),
        "stopped" => broken("somebody stopped it", "start it in RDS, and retry"),
        "migration-failed" => broken("its migration failed", AGAIN),
        "deleting" | "deleted" | "delete-precheck" => broken(
            match kind {
                Kind::Instance => "somebody deletes it",
                Kind::Cluster => "somebody deletes it, with what is in it",
            },
            "find out who; restore anew",
        ),
        _ => Stand::New,
    }
}

/// What the status of a snapshot means.
#[must_use]
pub fn snapshot_stand(status: &str) -> Stand {
    let broken = |why, choices| Stand::Broken { why, choices };
    match status {
        "available" => Stand::Usable,
        "creating" | "copying" | "pending" => Stand::Coming,
        "failed" => broken("AWS could not take it", "delete it and take another"),
        "incompatible-restore" | "incompatible-parameters" => broken("it cannot be restored", "take another"),
        "deleting" | "deleted" => broken("somebody deletes it", "find out who; take another"),
        _ => Stand::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_the_stock_waiters_miss_are_broken() {
        for status in [
            "restore-error",
            "incompatible-network",
            "incompatible-parameters",
            "incompatible-option-group",
            "incompatible-restore",
            "incompatible-create",
            "storage-full",
            "insufficient-capacity",
            "inaccessible-encryption-credentials",
            "failed",
            "deleting",
            "stopped",
        ] {
            assert!(matches!(stand(Kind::Instance, status), Stand::Broken { .. }), "{status}");
        }
        for status in ["creating", "backing-up", "configuring-log-exports", "renaming"] {
            assert_eq!(stand(Kind::Cluster, status), Stand::Coming, "{status}");
        }
        assert_eq!(stand(Kind::Instance, "storage-initialization"), Stand::Usable);
        assert_eq!(stand(Kind::Instance, "pondering"), Stand::New);
    }
}
