//! The revisions of a release, as their records in the cluster tell: which there are, how they stand, which call began them.

use std::collections::BTreeMap;

use super::client::{Cluster, run};
use super::objects::{self, Documents};
use super::release::Release;
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::ReadContext;
use crate::ops::docker::client::{KEY_LABEL, RUN_LABEL};

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Counts from 1.
    pub number: u32,
    /// `deployed`, `superseded`, `failed`, `pending-upgrade`, …
    pub status: String,
    /// The key of a call, on the revision that it made and on all later ones: helm hands labels on.
    pub key: String,
    /// The run of that call.
    pub run: String,
}

impl Revision {
    /// Whether helm is at work on it, or was killed at it.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-")
    }
}

/// The revisions of a release, by number; none when there is no such release.
///
/// # Errors
/// When the cluster cannot be asked.
pub fn revisions(context: &ReadContext<'_>, cluster: &Cluster, release: &Release) -> Result<Vec<Revision>, OpError> {
    let act = format!("cannot list the revisions of release {release}");
    let selector = format!("owner=helm,name={}", release.name);
    // Of the records only their labels: their contents are large, and hold all values.
    let labels = "jsonpath={range .items[*]}{.metadata.labels}{\"\\n\"}{end}";
    let asked = cluster.kubectl(&release.namespace, &["get", "secrets", "-l", &selector, "-o", labels])?;
    let printed = run(context, &act, asked)?.stdout;
    let mut found = Vec::new();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        let labels: BTreeMap<String, String> = serde_json::from_str(line)
            .map_err(|e| OpError::failed(format!("{act}: kubectl printed something else than labels: {e}")))?;
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let Ok(number) = label("version").parse() else { continue };
        found.push(Revision { number, status: label("status"), key: label(KEY_LABEL), run: label(RUN_LABEL) });
    }
    found.sort_by_key(|revision| revision.number);
    Ok(found)
}

/// The revision that the call of this key has made after revision `after`: the first one with its label.
#[must_use]
pub fn made_by<'r>(revisions: &'r [Revision], key: &str, after: u32) -> Option<&'r Revision> {
    revisions.iter().find(|revision| revision.number > after && revision.key == key)
}

/// Who has made the latest revision, as far as it tells: `run 7k3f9q…`; nothing when it was no run of Muster.
#[must_use]
pub fn run_of_latest(revisions: &[Revision]) -> Option<String> {
    let (latest, before) = revisions.split_last()?;
    // Helm hands labels on to what somebody makes by hand later.
    let own = !latest.key.is_empty() && before.iter().all(|one| one.key != latest.key);
    (own && !latest.run.is_empty()).then(|| format!("run {}", latest.run))
}

/// What a revision holds.
pub struct Contents {
    /// The values its makers supplied.
    pub supplied: Value,
    /// Its objects.
    pub documents: Documents,
}

/// What a revision holds, secrets learned by the redactor.
///
/// # Errors
/// When the cluster cannot be asked, or history has it no more.
pub fn contents(
    context: &ReadContext<'_>,
    cluster: &Cluster,
    release: &Release,
    revision: u32,
) -> Result<Contents, OpError> {
    let act = format!("cannot read revision {revision} of release {release}");
    let number = format!("--revision={revision}");
    let ask = |words: &[&str]| {
        let words = [words, &[release.name.as_str(), &number]].concat();
        Ok::<_, OpError>(run(context, &act, cluster.helm(&release.namespace, &words)?)?.stdout)
    };
    let json = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|e| OpError::failed(format!("{act}: its values cannot be read: {e}")))
    };
    let supplied = json(&ask(&["get", "values", "-o", "json"])?)?;
    super::values::learn(context.secrets, &json(&ask(&["get", "values", "--all", "-o", "json"])?)?);
    super::values::learn(context.secrets, &supplied);
    let documents = objects::parse(&act, &ask(&["get", "manifest"])?)?;
    objects::learn(context.secrets, &documents);
    Ok(Contents { supplied, documents })
}

/// What tells the values and the manifest of one revision from those of another, and says nothing else of them.
///
/// # Errors
/// When the store's key is none.
pub fn marks(context: &ReadContext<'_>, contents: &Contents) -> Result<(String, String), OpError> {
    let mark = |text: &str| context.secrets.mark(context.run, text);
    let supplied = if contents.supplied.is_null() { "{}".to_owned() } else { contents.supplied.to_string() };
    let manifest: Vec<String> = contents.documents.iter().map(Value::to_string).collect();
    Ok((mark(&supplied)?, mark(&manifest.join("\n"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_of_the_run_whose_label_it_is_the_first_to_have() {
        let revision = |number, key: &str| Revision {
            number,
            status: "deployed".to_owned(),
            key: key.to_owned(),
            run: key.split('-').nth(1).unwrap_or_default().to_owned(),
        };
        let all = [revision(1, ""), revision(2, "m-one-a"), revision(3, "m-one-a"), revision(4, "m-two-a")];
        let told = [0, 1, 2, 3, 4].map(|last| run_of_latest(&all[..last]));
        let run = |name: &str| Some(format!("run {name}"));
        assert_eq!(told, [None, None, run("one"), None, run("two")], "the third was made by hand");
    }
}
