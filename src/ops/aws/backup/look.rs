//! Looking at AWS Backup. What operations decide is written once, over this: the live backend asks AWS, the sandbox its world.

use std::collections::HashMap;

use aws_sdk_backup::Client;
use aws_sdk_backup::operation::describe_backup_job::DescribeBackupJobOutput;
use aws_sdk_backup::operation::describe_restore_job::DescribeRestoreJobOutput;
use aws_sdk_backup::types::{BackupJob, BackupRule, RecoveryPointByBackupVault, RestoreJobsListMember};

use super::job::{Job, RestoreJob};
use super::plan::{CopyTo, Lifecycle, Plan, Rule, Selection};
use super::point::{RecoveryPoint, Vault};
use super::vault_policy;
use crate::model::Timestamp;
use crate::model::fault::OpError;
use crate::ops::aws::client::Line;
use crate::ops::aws::fault::{Fault, found};
use crate::ops::aws::rds::{KEY_TAG, RUN_TAG, text, time};

/// What can be asked of AWS Backup.
pub trait Look {
    /// The vaults of the account, by name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn vaults(&self) -> Result<Vec<Vault>, OpError>;

    /// What the access policy of a vault forbids to everybody; `None` when it may not be seen.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn forbidden(&self, vault: &str) -> Result<Option<Vec<String>>, OpError>;

    /// The recovery points of a vault, the newest first; those of one resource, if one is given.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn points(&self, vault: &str, resource: Option<&str>) -> Result<Vec<RecoveryPoint>, OpError>;

    /// A recovery point, with what a restore of it starts from.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn point(&self, vault: &str, arn: &str) -> Result<Option<RecoveryPoint>, OpError>;

    /// The backup job of this id.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn job(&self, id: &str) -> Result<Option<Job>, OpError>;

    /// The jobs that back a resource up to a vault, as far back as AWS knows them.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn jobs(&self, vault: &str, resource: &str) -> Result<Vec<Job>, OpError>;

    /// The restore job of this id.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn restore(&self, id: &str) -> Result<Option<RestoreJob>, OpError>;

    /// The jobs that restore a recovery point, as far back as AWS knows them.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn restores(&self, point: &str) -> Result<Vec<RestoreJob>, OpError>;

    /// The plans of the account, by name, with what they select.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn plans(&self) -> Result<Vec<Plan>, OpError>;

    /// The plan of this id, with its rules and what it selects.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn plan(&self, id: &str) -> Result<Option<Plan>, OpError>;

    /// The instant at which is looked.
    fn instant(&self) -> Timestamp;
}

/// Goes through the pages of a list: `$call` is made of a client and the token of the page.
macro_rules! pages {
    ($line:expr, $act:expr, $items:ident, |$client:ident, $at:ident| $call:expr) => {{
        let (mut all, mut at) = (Vec::new(), None::<String>);
        loop {
            let $at = at.take();
            let answer = $line.call($act, |$client: Client| $call)?;
            all.extend(answer.$items.unwrap_or_default());
            match answer.next_token {
                Some(next) if !next.is_empty() => at = Some(next),
                _ => break all,
            }
        }
    }};
}

impl Look for Line<'_> {
    fn vaults(&self) -> Result<Vec<Vault>, OpError> {
        // Not by describing one: of a vault that is not there AWS says that it may not be seen.
        let all = pages!(self, "cannot list the backup vaults", backup_vault_list, |aws, at| {
            aws.list_backup_vaults().set_next_token(at).send()
        });
        let vault = |one: aws_sdk_backup::types::BackupVaultListMember| Vault {
            exists: true,
            name: text(one.backup_vault_name()),
            arn: text(one.backup_vault_arn()),
            recovery_points: one.number_of_recovery_points,
            encryption_key: text(one.encryption_key_arn()),
            locked: one.locked.unwrap_or_default(),
            min_retention_days: one.min_retention_days.unwrap_or_default(),
            max_retention_days: one.max_retention_days.unwrap_or_default(),
            lock_date: time(one.lock_date()),
            created_at: time(one.creation_date()),
            ..Vault::default()
        };
        let mut all: Vec<Vault> = all.into_iter().map(vault).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn forbidden(&self, vault: &str) -> Result<Option<Vec<String>>, OpError> {
        let act = format!("cannot read the access policy of vault {vault}");
        match self.call(&act, |aws: Client| aws.get_backup_vault_access_policy().backup_vault_name(vault).send()) {
            Ok(answer) => Ok(Some(answer.policy.as_deref().map(vault_policy::forbidden).unwrap_or_default())),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Some(Vec::new())),
            Err(complaint) if complaint.fault == Fault::Denied => Ok(None),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn points(&self, vault: &str, resource: Option<&str>) -> Result<Vec<RecoveryPoint>, OpError> {
        let act = format!("cannot list the recovery points of vault {vault}");
        let all = pages!(self, &act, recovery_points, |aws, at| {
            aws.list_recovery_points_by_backup_vault()
                .backup_vault_name(vault)
                .set_by_resource_arn(resource.map(str::to_owned))
                .set_next_token(at)
                .send()
        });
        let mut all: Vec<RecoveryPoint> = all.iter().map(listed).collect();
        newest_first(&mut all);
        Ok(all)
    }

    fn point(&self, vault: &str, arn: &str) -> Result<Option<RecoveryPoint>, OpError> {
        let act = format!("cannot describe recovery point {arn}");
        let answer = found(self.call(&act, |aws: Client| {
            aws.describe_recovery_point().backup_vault_name(vault).recovery_point_arn(arn).send()
        }))?;
        let Some(one) = answer else { return Ok(None) };
        let act = format!("cannot read what a restore of {arn} starts from");
        let metadata = match one.status.as_ref().map(aws_sdk_backup::types::RecoveryPointStatus::as_str) {
            // There is none before it is whole.
            Some("CREATING" | "DELETING") => None,
            _ => found(self.call(&act, |aws: Client| {
                aws.get_recovery_point_restore_metadata().backup_vault_name(vault).recovery_point_arn(arn).send()
            }))?,
        };
        let tags = self.tags_of(arn)?;
        Ok(Some(RecoveryPoint {
            exists: true,
            arn: text(one.recovery_point_arn()),
            vault: text(one.backup_vault_name()),
            resource: text(one.resource_arn()),
            resource_type: text(one.resource_type()),
            status: one.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            message: text(one.status_message()),
            created_at: time(one.creation_date()),
            completed_at: time(one.completion_date()),
            bytes: one.backup_size_in_bytes.unwrap_or_default(),
            encrypted: one.is_encrypted,
            encryption_key: text(one.encryption_key_arn()),
            delete_at: time(one.calculated_lifecycle().and_then(|lifecycle| lifecycle.delete_at())),
            owned_by: tags.get(RUN_TAG).cloned().unwrap_or_default(),
            made_by: tags.get(KEY_TAG).cloned().unwrap_or_default(),
            metadata: metadata.and_then(|answer| answer.restore_metadata).unwrap_or_default().into_iter().collect(),
        }))
    }

    fn job(&self, id: &str) -> Result<Option<Job>, OpError> {
        let act = format!("cannot describe backup job {id}");
        let answer = self.call(&act, |aws: Client| aws.describe_backup_job().backup_job_id(id).send());
        Ok(found(answer)?.map(|one| described(&one)))
    }

    fn jobs(&self, vault: &str, resource: &str) -> Result<Vec<Job>, OpError> {
        let act = format!("cannot list the backup jobs of {resource}");
        let all = pages!(self, &act, backup_jobs, |aws, at| {
            aws.list_backup_jobs().by_backup_vault_name(vault).by_resource_arn(resource).set_next_token(at).send()
        });
        Ok(all.iter().map(job_of).collect())
    }

    fn restore(&self, id: &str) -> Result<Option<RestoreJob>, OpError> {
        let act = format!("cannot describe restore job {id}");
        let answer = self.call(&act, |aws: Client| aws.describe_restore_job().restore_job_id(id).send());
        Ok(found(answer)?.map(|one| restoring(&one)))
    }

    fn restores(&self, point: &str) -> Result<Vec<RestoreJob>, OpError> {
        let act = format!("cannot list the restore jobs of {point}");
        let all = pages!(self, &act, restore_jobs, |aws, at| aws.list_restore_jobs().set_next_token(at).send());
        let ours = |one: &&RestoreJobsListMember| one.recovery_point_arn() == Some(point);
        Ok(all.iter().filter(ours).map(restore_of).collect())
    }

    fn plans(&self) -> Result<Vec<Plan>, OpError> {
        let all = pages!(self, "cannot list the backup plans", backup_plans_list, |aws, at| {
            aws.list_backup_plans().set_next_token(at).send()
        });
        let mut plans = Vec::new();
        for one in all.into_iter().filter(|one| one.deletion_date.is_none()) {
            let id = text(one.backup_plan_id());
            plans.push(Plan {
                exists: true,
                selections: self.selections(&id)?,
                arn: text(one.backup_plan_arn()),
                name: text(one.backup_plan_name()),
                version: text(one.version_id()),
                created_at: time(one.creation_date()),
                last_run: time(one.last_execution_date()),
                rules: Vec::new(),
                made_by: text(one.creator_request_id()),
                id,
            });
        }
        plans.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(plans)
    }

    fn plan(&self, id: &str) -> Result<Option<Plan>, OpError> {
        let act = format!("cannot describe backup plan {id}");
        let answer = found(self.call(&act, |aws: Client| aws.get_backup_plan().backup_plan_id(id).send()))?;
        // A plan that was deleted is still told of.
        let Some(one) = answer.filter(|one| one.deletion_date.is_none()) else { return Ok(None) };
        let document = one.backup_plan();
        Ok(Some(Plan {
            exists: true,
            id: text(one.backup_plan_id()),
            arn: text(one.backup_plan_arn()),
            name: document.map(|plan| plan.backup_plan_name().to_owned()).unwrap_or_default(),
            version: text(one.version_id()),
            created_at: time(one.creation_date()),
            last_run: time(one.last_execution_date()),
            rules: document.map(|plan| plan.rules().iter().map(rule).collect()).unwrap_or_default(),
            selections: self.selections(id)?,
            made_by: text(one.creator_request_id()),
        }))
    }

    fn instant(&self) -> Timestamp {
        self.now()
    }
}

impl Line<'_> {
    /// The tags of a recovery point. Of backups that another service keeps, AWS Backup knows none.
    fn tags_of(&self, arn: &str) -> Result<HashMap<String, String>, OpError> {
        let act = format!("cannot list the tags of {arn}");
        match self.call(&act, |aws: Client| aws.list_tags().resource_arn(arn).send()) {
            Ok(answer) => Ok(answer.tags.unwrap_or_default()),
            Err(complaint) if [Fault::NotFound, Fault::Refused].contains(&complaint.fault) => Ok(HashMap::new()),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn selections(&self, plan: &str) -> Result<Vec<Selection>, OpError> {
        let act = format!("cannot list what backup plan {plan} selects");
        let all = pages!(self, &act, backup_selections_list, |aws, at| {
            aws.list_backup_selections().backup_plan_id(plan).set_next_token(at).send()
        });
        let selection = |one: aws_sdk_backup::types::BackupSelectionsListMember| Selection {
            id: text(one.selection_id()),
            name: text(one.selection_name()),
            role: text(one.iam_role_arn()),
            made_by: text(one.creator_request_id()),
        };
        Ok(all.into_iter().map(selection).collect())
    }
}

/// The newest first, by the time of their data.
pub(crate) fn newest_first(all: &mut [RecoveryPoint]) {
    all.sort_by(|a, b| (&b.created_at, &a.arn).cmp(&(&a.created_at, &b.arn)));
}

fn listed(one: &RecoveryPointByBackupVault) -> RecoveryPoint {
    RecoveryPoint {
        exists: true,
        arn: text(one.recovery_point_arn()),
        vault: text(one.backup_vault_name()),
        resource: text(one.resource_arn()),
        resource_type: text(one.resource_type()),
        status: one.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        message: text(one.status_message()),
        created_at: time(one.creation_date()),
        completed_at: time(one.completion_date()),
        bytes: one.backup_size_in_bytes.unwrap_or_default(),
        encrypted: one.is_encrypted,
        encryption_key: text(one.encryption_key_arn()),
        delete_at: time(one.calculated_lifecycle().and_then(|lifecycle| lifecycle.delete_at())),
        ..RecoveryPoint::default()
    }
}

/// Two answers of AWS have the same fields under the same names, and no type in common.
macro_rules! job {
    ($one:expr) => {
        Job {
            exists: true,
            id: text($one.backup_job_id()),
            state: $one.state.as_ref().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            message: text($one.status_message()),
            percent: text($one.percent_done()),
            vault: text($one.backup_vault_name()),
            resource: text($one.resource_arn()),
            resource_type: text($one.resource_type()),
            recovery_point: text($one.recovery_point_arn()),
            bytes: $one.backup_size_in_bytes.unwrap_or_default(),
            created_at: time($one.creation_date()),
            completed_at: time($one.completion_date()),
        }
    };
}

fn described(one: &DescribeBackupJobOutput) -> Job {
    job!(one)
}

fn job_of(one: &BackupJob) -> Job {
    job!(one)
}

macro_rules! restore {
    ($one:expr) => {
        RestoreJob {
            exists: true,
            id: text($one.restore_job_id()),
            status: $one.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            message: text($one.status_message()),
            percent: text($one.percent_done()),
            recovery_point: text($one.recovery_point_arn()),
            resource_type: text($one.resource_type()),
            created_resource: text($one.created_resource_arn()),
            bytes: $one.backup_size_in_bytes.unwrap_or_default(),
            created_at: time($one.creation_date()),
            completed_at: time($one.completion_date()),
        }
    };
}

fn restoring(one: &DescribeRestoreJobOutput) -> RestoreJob {
    restore!(one)
}

fn restore_of(one: &RestoreJobsListMember) -> RestoreJob {
    restore!(one)
}

fn lifecycle(found: &aws_sdk_backup::types::Lifecycle) -> Lifecycle {
    Lifecycle {
        delete_after_days: found.delete_after_days,
        move_to_cold_storage_after_days: found.move_to_cold_storage_after_days,
    }
}

fn rule(found: &BackupRule) -> Rule {
    let copy = |one: &aws_sdk_backup::types::CopyAction| CopyTo {
        destination_backup_vault_arn: one.destination_backup_vault_arn.clone(),
        lifecycle: one.lifecycle().map(lifecycle),
    };
    Rule {
        rule_name: found.rule_name.clone(),
        target_backup_vault_name: found.target_backup_vault_name.clone(),
        schedule_expression: found.schedule_expression.clone(),
        schedule_expression_timezone: found.schedule_expression_timezone.clone(),
        start_window_minutes: found.start_window_minutes,
        completion_window_minutes: found.completion_window_minutes,
        lifecycle: found.lifecycle().map(lifecycle),
        enable_continuous_backup: found.enable_continuous_backup,
        copy_actions: found.copy_actions().iter().map(copy).collect(),
    }
}
