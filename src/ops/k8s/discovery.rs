//! Finding out what a kind is called by the server: every kind it serves, definitions of others included.

use serde_json::json;

use super::client::{Ask, Line};
use super::fault::found;
use super::kind::{Kind, Served};
use crate::model::Value;
use crate::model::fault::OpError;

/// What a server has told of its kinds.
#[derive(Default)]
pub(super) struct Known {
    all: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    served: Served,
    /// Other names of it, in lower case.
    words: Vec<String>,
}

impl Entry {
    fn fits(&self, kind: &Kind) -> bool {
        let word = kind.word.to_ascii_lowercase();
        self.words.contains(&word)
            && kind.group.as_ref().is_none_or(|group| *group == self.served.group)
            && kind.version.as_ref().is_none_or(|version| *version == self.served.version)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn words(names: &[&Value], short: &Value) -> Vec<String> {
    let short = short.as_array().into_iter().flatten();
    let all = names.iter().copied().chain(short).filter_map(Value::as_str);
    all.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect()
}

/// What an `APIGroupDiscoveryList` tells; versions in the server's order of preference.
fn aggregated(list: &Value) -> Vec<Entry> {
    let mut found = Vec::new();
    for group in list["items"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                let served = Served {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    kind: text(&resource["responseKind"]["kind"]),
                    plural: text(&resource["resource"]),
                    namespaced: resource["scope"] == "Namespaced",
                };
                let names = [&resource["resource"], &resource["singularResource"], &json!(served.kind)];
                found.push(Entry { words: words(&names, &resource["shortNames"]), served });
            }
        }
    }
    found
}

/// What an `APIResourceList` tells.
fn listed(list: &Value) -> Vec<Entry> {
    let group_version = text(&list["groupVersion"]);
    let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
    let resources = list["resources"].as_array().into_iter().flatten();
    let whole = resources.filter(|resource| !text(&resource["name"]).contains('/'));
    whole
        .map(|resource| Entry {
            served: Served {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: text(&resource["kind"]),
                plural: text(&resource["name"]),
                namespaced: resource["namespaced"] == json!(true),
            },
            words: words(&[&resource["name"], &resource["singularName"], &resource["kind"]], &resource["shortNames"]),
        })
        .collect()
}

/// The one that is meant: the preferred version of it. An error names the groups when there are several.
fn choose(all: &[Entry], kind: &Kind) -> Result<Option<Served>, String> {
    let fitting: Vec<&Entry> = all.iter().filter(|entry| entry.fits(kind)).collect();
    let Some(first) = fitting.first() else { return Ok(None) };
    let mut groups: Vec<&str> = fitting.iter().map(|entry| entry.served.group.as_str()).collect();
    groups.dedup();
    if groups.len() > 1 && !groups.contains(&"") {
        return Err(format!("several groups have a kind of that name: {}", groups.join(", ")));
    }
    Ok(Some(first.served.clone()))
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

impl Line<'_> {
    /// What the server calls a kind.
    ///
    /// # Errors
    /// Refused, when it does not serve it, or several go by that name.
    pub(super) fn served(&self, act: &str, kind: &Kind) -> Result<Served, OpError> {
        if let Some(served) = kind.built_in() {
            return Ok(served);
        }
        let ambiguous =
            |what: String| OpError::refused(format!("{act}: {what}")).with_hint("write the kind as GROUP/VERSION/KIND");
        if let Some(served) = choose(&self.connection.known.lock().all, kind).map_err(ambiguous)? {
            return Ok(served);
        }
        // Definitions come and go: what is not known is looked for anew.
        let all = self.discover(act, kind)?;
        let chosen = choose(&all, kind).map_err(ambiguous)?;
        self.connection.known.lock().all = all;
        chosen.ok_or_else(|| {
            OpError::refused(format!("{act}: the cluster has no kind {kind}"))
                .with_hint("`kubectl api-resources` lists those it has; is its CustomResourceDefinition installed?")
        })
    }

    fn discover(&self, act: &str, kind: &Kind) -> Result<Vec<Entry>, OpError> {
        let mut all = Vec::new();
        for root in ["/api", "/apis"] {
            let ask = Ask { accept: AGGREGATED, ..Ask::get(root.to_owned()) };
            let answer = self.value(act, &ask)?;
            if answer["kind"] == "APIGroupDiscoveryList" {
                all.extend(aggregated(&answer));
                continue;
            }
            // A server that does not put it all together.
            let versions = answer["versions"].as_array().into_iter().flatten().map(text);
            let groups = answer["groups"].as_array().into_iter().flatten();
            let wanted = groups.filter(|group| kind.group.as_ref().is_none_or(|wanted| group["name"] == json!(wanted)));
            let of_groups = wanted.flat_map(|group| {
                let preferred = text(&group["preferredVersion"]["groupVersion"]);
                let others = group["versions"].as_array().into_iter().flatten().map(|one| text(&one["groupVersion"]));
                let others: Vec<String> = others.filter(|one| *one != preferred).collect();
                std::iter::once(preferred).chain(others)
            });
            for version in versions.chain(of_groups.collect::<Vec<_>>()) {
                // A group whose own server is away tells nothing, and hides no other.
                if let Some(list) = found(self.value(act, &Ask::get(format!("{root}/{version}"))))? {
                    all.extend(listed(&list));
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(group: &str, version: &str, kind: &str) -> Entry {
        let list = json!({ "groupVersion": format!("{group}/{version}"), "resources": [
            { "name": format!("{}s", kind.to_lowercase()), "singularName": "", "kind": kind, "namespaced": true, "shortNames": ["sn"] },
            { "name": "x/status", "kind": kind },
        ] });
        let mut found = listed(&list);
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn the_preferred_version_is_taken_unless_another_is_asked_for() {
        let all = [entry("a.io", "v1", "Thing"), entry("a.io", "v1beta1", "Thing")];
        let choose = |text: &str| choose(&all, &Kind::parse(text).unwrap()).unwrap().map(|served| served.version);
        for text in ["thing", "things", "Thing", "sn", "things.a.io"] {
            assert_eq!(choose(text).as_deref(), Some("v1"), "{text}");
        }
        assert_eq!(choose("a.io/v1beta1/Thing").as_deref(), Some("v1beta1"));
        assert_eq!(choose("b.io/v1/Thing"), None);
    }

    #[test]
    fn a_name_that_two_groups_have_is_not_guessed_at() {
        let all = [entry("a.io", "v1", "Backup"), entry("b.io", "v1", "Backup")];
        let why = choose(&all, &Kind::parse("backups").unwrap()).unwrap_err();
        assert!(why.contains("a.io, b.io"), "{why}");
        assert!(choose(&all, &Kind::parse("backups.b.io").unwrap()).unwrap().is_some());
    }
}
