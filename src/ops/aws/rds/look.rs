//! Looking at RDS. What operations decide is written once, over this: the live backend asks AWS, the sandbox its world.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{Filter, SourceType};

use super::database::{Database, Kind, text, time};
use super::snapshot::{Backups, Snapshot};
use crate::model::fault::OpError;
use crate::ops::aws::client::Line;
use crate::ops::aws::fault::found;

/// Which snapshots are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'v> {
    /// Those of the instance or cluster of this name.
    pub of: Option<&'v str>,
    /// Those of what has this resource id, though it be gone.
    pub resource_id: Option<&'v str>,
    /// `manual`, `automated`, `awsbackup`, `shared`.
    pub made: Option<&'v str>,
}

/// What can be asked of RDS.
pub trait Look {
    /// The database of this name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn database(&self, kind: Kind, id: &str) -> Result<Option<Database>, OpError>;

    /// The database with this resource id, whatever its name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn by_resource(&self, kind: Kind, resource_id: &str) -> Result<Option<Database>, OpError>;

    /// All databases of this kind.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn databases(&self, kind: Kind) -> Result<Vec<Database>, OpError>;

    /// The snapshot of this name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn snapshot(&self, kind: Kind, id: &str) -> Result<Option<Snapshot>, OpError>;

    /// Snapshots, the newest first.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn snapshots(&self, kind: Kind, which: Which<'_>) -> Result<Vec<Snapshot>, OpError>;

    /// The automated backups of the database of this name.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn backups(&self, kind: Kind, id: &str) -> Result<Backups, OpError>;

    /// What has happened to the database lately, the latest last.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn events(&self, kind: Kind, id: &str) -> Result<Vec<String>, OpError>;
}

/// How far back events are looked for, in minutes.
const RECENT: i32 = 120;

/// Newest first; those without a time are being made.
pub(crate) fn newest_first(all: &mut [Snapshot]) {
    let age = |one: &Snapshot| (!one.created_at.is_empty(), std::cmp::Reverse(one.created_at.clone()));
    all.sort_by_cached_key(|one| (age(one), one.id.clone()));
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

impl Line<'_> {
    fn clusters(&self, act: &str, id: Option<&str>) -> Result<Vec<Database>, OpError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let (id, at) = (id.map(str::to_owned), marker.take());
            let answer = found(self.call(act, |rds: Client| {
                rds.describe_db_clusters().set_db_cluster_identifier(id).set_marker(at).send()
            }))?;
            let Some(answer) = answer else { return Ok(all) };
            all.extend(answer.db_clusters().iter().map(Database::of_cluster));
            match answer.marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => return Ok(all),
            }
        }
    }

    fn instances(&self, act: &str) -> Result<Vec<Database>, OpError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let at = marker.take();
            let answer = self.call(act, |rds: Client| rds.describe_db_instances().set_marker(at).send())?;
            all.extend(answer.db_instances().iter().map(Database::of_instance));
            match answer.marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => return Ok(all),
            }
        }
    }

    fn of_instances(&self, act: &str, which: Which<'_>, id: Option<&str>) -> Result<Vec<Snapshot>, OpError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let (of, made, id, at) =
                (which.of.map(str::to_owned), which.made.map(str::to_owned), id.map(str::to_owned), marker.take());
            let filters = which.resource_id.map(|resource| vec![filter("dbi-resource-id", resource)]);
            let answer = found(self.call(act, |rds: Client| {
                rds.describe_db_snapshots()
                    .set_db_instance_identifier(of)
                    .set_snapshot_type(made)
                    .set_db_snapshot_identifier(id)
                    .set_filters(filters)
                    .set_marker(at)
                    .send()
            }))?;
            let Some(answer) = answer else { return Ok(all) };
            all.extend(answer.db_snapshots().iter().map(Snapshot::of_instance));
            match answer.marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => return Ok(all),
            }
        }
    }

    fn of_clusters(&self, act: &str, which: Which<'_>, id: Option<&str>) -> Result<Vec<Snapshot>, OpError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let (of, made, id, at) =
                (which.of.map(str::to_owned), which.made.map(str::to_owned), id.map(str::to_owned), marker.take());
            let answer = found(self.call(act, |rds: Client| {
                rds.describe_db_cluster_snapshots()
                    .set_db_cluster_identifier(of)
                    .set_snapshot_type(made)
                    .set_db_cluster_snapshot_identifier(id)
                    .set_marker(at)
                    .send()
            }))?;
            let Some(answer) = answer else { return Ok(all) };
            let fits = |one: &Snapshot| which.resource_id.is_none_or(|id| one.source_resource_id == id);
            all.extend(answer.db_cluster_snapshots().iter().map(Snapshot::of_cluster).filter(fits));
            match answer.marker {
                Some(next) if !next.is_empty() => marker = Some(next),
                _ => return Ok(all),
            }
        }
    }

    fn retained(&self, act: &str, kind: Kind, id: &str) -> Result<Option<Backups>, OpError> {
        let name = id.to_owned();
        let window = |window: Option<&aws_sdk_rds::types::RestoreWindow>| {
            (
                time(window.and_then(|window| window.earliest_time())),
                time(window.and_then(|window| window.latest_time())),
            )
        };
        match kind {
            Kind::Instance => {
                let answer = found(self.call(act, |rds: Client| {
                    rds.describe_db_instance_automated_backups().db_instance_identifier(name).send()
                }))?;
                let backups = answer.and_then(|answer| answer.db_instance_automated_backups().first().cloned());
                Ok(backups.map(|one| {
                    let (earliest, latest) = window(one.restore_window());
                    Backups {
                        exists: true,
                        status: text(one.status()),
                        resource_id: text(one.dbi_resource_id()),
                        arn: text(one.db_instance_automated_backups_arn()),
                        retention_days: one.backup_retention_period.unwrap_or_default(),
                        earliest,
                        latest,
                    }
                }))
            }
            Kind::Cluster => {
                let answer = found(self.call(act, |rds: Client| {
                    rds.describe_db_cluster_automated_backups().db_cluster_identifier(name).send()
                }))?;
                let backups = answer.and_then(|answer| answer.db_cluster_automated_backups().first().cloned());
                Ok(backups.map(|one| {
                    let (earliest, latest) = window(one.restore_window());
                    Backups {
                        exists: true,
                        status: text(one.status()),
                        resource_id: text(one.db_cluster_resource_id()),
                        arn: text(one.db_cluster_arn()),
                        retention_days: one.backup_retention_period.unwrap_or_default(),
                        earliest,
                        latest,
                    }
                }))
            }
        }
    }
}

impl Look for Line<'_> {
    fn database(&self, kind: Kind, id: &str) -> Result<Option<Database>, OpError> {
        let act = format!("cannot describe {} {id}", kind.word());
        if kind == Kind::Cluster {
            return Ok(self.clusters(&act, Some(id))?.into_iter().next());
        }
        let name = id.to_owned();
        let answer =
            found(self.call(&act, |rds: Client| rds.describe_db_instances().db_instance_identifier(name).send()))?;
        Ok(answer.and_then(|answer| answer.db_instances().first().map(Database::of_instance)))
    }

    fn by_resource(&self, kind: Kind, resource_id: &str) -> Result<Option<Database>, OpError> {
        let act = format!("cannot describe {} {resource_id}", kind.word());
        if kind == Kind::Cluster {
            let all = self.clusters(&act, None)?;
            return Ok(all.into_iter().find(|one| one.resource_id == resource_id));
        }
        let filter = filter("dbi-resource-id", resource_id);
        let answer = found(self.call(&act, |rds: Client| rds.describe_db_instances().filters(filter).send()))?;
        Ok(answer.and_then(|answer| answer.db_instances().first().map(Database::of_instance)))
    }

    fn databases(&self, kind: Kind) -> Result<Vec<Database>, OpError> {
        let act = format!("cannot list {}s", kind.word());
        match kind {
            Kind::Instance => self.instances(&act),
            Kind::Cluster => self.clusters(&act, None),
        }
    }

    fn snapshot(&self, kind: Kind, id: &str) -> Result<Option<Snapshot>, OpError> {
        let act = format!("cannot describe snapshot {id}");
        // An automated one is only found by AWS when its type is told, and only those have a colon.
        let made = id.contains(':').then_some("automated").filter(|_| id.starts_with("rds:"));
        let which = Which { made, ..Which::default() };
        let all = match kind {
            Kind::Instance => self.of_instances(&act, which, Some(id))?,
            Kind::Cluster => self.of_clusters(&act, which, Some(id))?,
        };
        Ok(all.into_iter().next())
    }

    fn snapshots(&self, kind: Kind, which: Which<'_>) -> Result<Vec<Snapshot>, OpError> {
        let act = match which.of.or(which.resource_id) {
            Some(of) => format!("cannot list the snapshots of {} {of}", kind.word()),
            None => "cannot list snapshots".to_owned(),
        };
        let mut all = match kind {
            Kind::Instance => self.of_instances(&act, which, None)?,
            Kind::Cluster => self.of_clusters(&act, which, None)?,
        };
        newest_first(&mut all);
        Ok(all)
    }

    fn backups(&self, kind: Kind, id: &str) -> Result<Backups, OpError> {
        let act = format!("cannot describe the automated backups of {} {id}", kind.word());
        let database = self.database(kind, id)?;
        if kind == Kind::Cluster
            && let Some(database) = &database
        {
            // The cluster tells all there is to know.
            return Ok(Backups::of(database));
        }
        let retained = self.retained(&act, kind, id)?;
        let Some(database) = database else { return Ok(retained.unwrap_or_default()) };
        let told = Backups::of(&database);
        let Some(retained) = retained else { return Ok(told) };
        let or = |one: String, other: String| if one.is_empty() { other } else { one };
        Ok(Backups { earliest: retained.earliest, arn: retained.arn, latest: or(told.latest, retained.latest), ..told })
    }

    fn events(&self, kind: Kind, id: &str) -> Result<Vec<String>, OpError> {
        let act = format!("cannot read the events of {} {id}", kind.word());
        let source = match kind {
            Kind::Instance => SourceType::DbInstance,
            Kind::Cluster => SourceType::DbCluster,
        };
        let name = id.to_owned();
        let answer = found(self.call(&act, |rds: Client| {
            rds.describe_events().source_type(source).source_identifier(name).duration(RECENT).send()
        }))?;
        let events = answer.map(|answer| answer.events.unwrap_or_default()).unwrap_or_default();
        Ok(events.into_iter().filter_map(|event| event.message).collect())
    }
}

impl Backups {
    /// As far as the database itself tells.
    #[must_use]
    pub fn of(database: &Database) -> Self {
        let retention_days = database.settings.backup_retention_days.unwrap_or_default();
        let exists = retention_days > 0 || !database.latest_restorable.is_empty();
        Self {
            exists,
            status: if exists { "active".to_owned() } else { String::new() },
            resource_id: database.resource_id.clone(),
            arn: String::new(),
            retention_days,
            earliest: database.earliest_restorable.clone(),
            latest: database.latest_restorable.clone(),
        }
    }
}
