//! What must never be, whoever fails when: to be asked of a world at any instant.

use std::collections::BTreeMap;

use super::{Cluster, label, patroni};
use crate::model::Timestamp;
use crate::model::Value;
use crate::sandbox::controllers::{Desk, Manner, pods};
use crate::sandbox::kubernetes::Kubernetes;

/// The clusters that may write and archive, by each repository that they archive into: more than one is a split brain.
#[must_use]
pub fn writable_primaries(clusters: &Kubernetes, now: Timestamp) -> BTreeMap<String, Vec<String>> {
    let mut settled = clusters.settled(now, Manner::default()).into_owned();
    let desk = Desk { clusters: &mut settled, at: now, manner: Manner::default() };
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let writes = |pod: &Value| patroni::role(pod).is_some_and(|role| ["master", "primary"].contains(&role.as_str()));
    let all: Vec<String> =
        desk.clusters.objects.keys().filter(|key| key.split('/').nth(2) == Some("postgrescluster")).cloned().collect();
    for key in all {
        let Some(cluster) = Cluster::at(&desk, &key) else { continue };
        let pods = desk.beside(&key, "pod").filter(|(_, pod)| label(pod, "cluster") == cluster.name);
        let count = pods.into_iter().filter(|(_, pod)| pods::is_ready(pod) && writes(pod)).count();
        for location in cluster.repos().iter().filter_map(|name| cluster.location(name)) {
            found.entry(location).or_default().extend((0..count).map(|_| key.clone()));
        }
    }
    found.retain(|_, keys| !keys.is_empty());
    found
}
