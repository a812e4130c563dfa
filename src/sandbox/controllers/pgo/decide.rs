//! What triggers a restore: the operator's decision, as a table.

use crate::model::Value;

use super::{L, status};

/// What the operator is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no restore.
    Nothing,
    /// It takes the cluster apart.
    Prepare,
    /// The data are there: it goes on as always.
    Continue,
    /// It runs the restore Job.
    Job,
}

/// A restore that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its id.
    pub id: String,
    /// What it restores.
    pub source: Value,
    /// Whether it is of the cluster's own data, in their place.
    pub in_place: bool,
}

/// The restore that a cluster asks for.
#[must_use]
pub fn wanted(cluster: &Value) -> Option<Wanted> {
    let restore = &cluster["spec"]["backups"]["pgbackrest"]["restore"];
    let id = cluster["metadata"]["annotations"][format!("{L}/pgbackrest-restore")].as_str().unwrap_or_default();
    if !id.is_empty() && restore["enabled"] == true {
        return Some(Wanted { id: id.to_owned(), source: restore.clone(), in_place: true });
    }
    let source = &cluster["spec"]["dataSource"];
    let source = ["postgresCluster", "pgbackrest"].iter().map(|kind| &source[*kind]).find(|one| one.is_object())?;
    let name = cluster["metadata"]["name"].as_str().unwrap_or_default();
    Some(Wanted { id: format!("~pgo-bootstrap-{name}"), source: source.clone(), in_place: false })
}

/// What the Job of a restore is known by.
#[must_use]
pub fn hash(source: &Value) -> String {
    let repo = if source["repo"].is_object() { &source["repo"]["name"] } else { &source["repoName"] };
    let whose = if source["repo"].is_object() { &source["stanza"] } else { &source["clusterName"] };
    crate::sandbox::content::sha256_hex(format!("{whose} {repo} {}", source["options"]).as_bytes())[..10].to_owned()
}

/// The decision. `job`: the hash of the restore Job, if there is one.
#[must_use]
pub fn decide(cluster: &Value, job: Option<&str>) -> Decision {
    let Some(wanted) = wanted(cluster) else { return Decision::Nothing };
    let now = &cluster["status"];
    if now["pgbackrest"]["restore"]["id"].as_str().unwrap_or_default() != wanted.id {
        return Decision::Prepare;
    }
    if let Some(("True", reason)) = status::condition(now, "PGBackRestoreProgressing") {
        let other = job.is_some_and(|job| job != hash(&wanted.source));
        if reason != "ReadyForRestore" || other {
            return Decision::Prepare;
        }
    }
    if status::condition(now, "PostgresDataInitialized").is_some_and(|(truth, _)| truth == "True") {
        return Decision::Continue;
    }
    Decision::Job
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(id: &str, restore: Value, source: Value, done: &str, conditions: Value) -> Value {
        json!({
            "metadata": { "name": "x", "annotations": { format!("{L}/pgbackrest-restore"): id } },
            "spec": { "backups": { "pgbackrest": { "restore": restore } }, "dataSource": source },
            "status": { "pgbackrest": { "restore": { "id": done } }, "conditions": conditions },
        })
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let on = json!({ "enabled": true, "repoName": "repo1" });
        let off = json!({ "enabled": false, "repoName": "repo1" });
        let source = json!({ "postgresCluster": { "clusterName": "y", "repoName": "repo1" } });
        let condition = |kind: &str, reason: &str| json!([{ "type": kind, "status": "True", "reason": reason }]);
        let none = json!([]);
        let ready = condition("PGBackRestoreProgressing", "ReadyForRestore");
        let (own, other) = (hash(&on), "another");
        let table = [
            (cluster("id1", off.clone(), Value::Null, "id0", none.clone()), None, Decision::Nothing),
            (cluster("", on.clone(), Value::Null, "id0", none.clone()), None, Decision::Nothing),
            (cluster("id1", on.clone(), Value::Null, "id0", none.clone()), None, Decision::Prepare),
            (
                cluster(
                    "id1",
                    on.clone(),
                    Value::Null,
                    "id1",
                    condition("PGBackRestoreProgressing", "RestoreInPlaceRequested"),
                ),
                None,
                Decision::Prepare,
            ),
            (cluster("id1", on.clone(), Value::Null, "id1", ready.clone()), Some(other), Decision::Prepare),
            (cluster("id1", on.clone(), Value::Null, "id1", ready.clone()), Some(own.as_str()), Decision::Job),
            (cluster("id1", on.clone(), Value::Null, "id1", ready), None, Decision::Job),
            (
                cluster("id1", on, Value::Null, "id1", condition("PostgresDataInitialized", "x")),
                None,
                Decision::Continue,
            ),
            // Pitfall 1: a data source that was left there, once the restore in place is turned off.
            (cluster("id1", off, source, "id1", condition("PostgresDataInitialized", "x")), None, Decision::Prepare),
        ];
        for (place, (cluster, job, decision)) in table.into_iter().enumerate() {
            assert_eq!(decide(&cluster, job), decision, "row {place}");
        }
    }
}
