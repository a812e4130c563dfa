//! Charts and releases of the sandbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::world::Named;
use crate::model::{Timestamp, Value};

/// A chart that the world can find.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// Its name; the last part of what it is found by when absent.
    #[serde(default)]
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of what it installs.
    #[serde(default)]
    pub app_version: String,
    /// Its own values.
    #[serde(default)]
    pub values: Value,
    /// Its objects. In their texts `{{ .Values.a.b }}`, `{{ .Release.Name }}` and `{{ .Release.Namespace }}` are filled in; a text that
    /// is nothing but a value becomes the value.
    #[serde(default)]
    pub objects: Vec<Value>,
    /// How long its workloads take to roll out, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub rolls_out_ms: u64,
    /// Whether its workloads can never roll out.
    #[serde(default)]
    pub stuck: bool,
}

fn ten_seconds() -> u64 {
    10_000
}

/// A revision of a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts from 1.
    pub number: u32,
    /// `deployed`, `superseded`, `failed`, `pending-upgrade`, …
    pub status: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The version of what it installs.
    pub app_version: String,
    /// What was supplied.
    pub values: Value,
    /// The chart's own values.
    pub defaults: Value,
    /// Its objects; nothing when only the live system has them.
    pub objects: Option<Vec<Value>>,
    /// When its workloads are rolled out; never when absent.
    pub ready_at: Option<Timestamp>,
    /// When it was made.
    pub updated: Timestamp,
    /// What whoever made it says of it.
    pub description: String,
    /// The key of a call, on the revision it made and on all later ones.
    pub key: String,
}

/// A release, by its revisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// In the order of their numbers.
    pub revisions: Vec<Revision>,
}

impl Release {
    /// The latest revision.
    #[must_use]
    pub fn latest(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// What makes up a deployment: not which revision it is, nor when it was made.
    #[must_use]
    pub fn standing(&self) -> Value {
        self.latest().map_or(Value::Null, |latest| {
            json!({
                "status": latest.status, "chart": latest.chart, "chart_version": latest.chart_version, "values": latest.values,
                "objects": latest.objects,
            })
        })
    }
}

impl Chart {
    /// The objects with these values.
    #[must_use]
    pub fn render(&self, namespace: &str, name: &str, values: &Value) -> Vec<Value> {
        let look = |path: &str| -> Option<Value> {
            match path {
                ".Release.Name" => Some(json!(name)),
                ".Release.Namespace" => Some(json!(namespace)),
                path => {
                    let path = path.strip_prefix(".Values.")?;
                    path.split('.').try_fold(values, |place, part| place.get(part)).cloned()
                }
            }
        };
        self.objects.iter().map(|object| filled(object, &look)).collect()
    }
}

fn filled(value: &Value, look: &dyn Fn(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(text) => {
            let whole =
                text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).filter(|text| !text.contains("{{"));
            if let Some(path) = whole {
                return look(path.trim()).unwrap_or_default();
            }
            let (mut out, mut rest) = (String::new(), text.as_str());
            while let Some((before, (path, after))) =
                rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
            {
                out.push_str(before);
                match look(path.trim()) {
                    Some(Value::String(text)) => out.push_str(&text),
                    Some(other) => out.push_str(&other.to_string()),
                    None => {}
                }
                rest = after;
            }
            json!(out + rest)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, look)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, inner)| (name.clone(), filled(inner, look))).collect())
        }
        other => other.clone(),
    }
}

/// A release as `world.yaml` declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSeed {
    /// The chart, as `charts` has it.
    pub chart: String,
    /// What was supplied.
    #[serde(default)]
    pub values: Value,
    /// Its latest revision; those before it are history without contents of their own.
    #[serde(default = "one")]
    pub revision: u32,
    /// Of the latest revision.
    #[serde(default = "deployed")]
    pub status: String,
}

fn one() -> u32 {
    1
}

fn deployed() -> String {
    "deployed".to_owned()
}

impl ReleaseSeed {
    /// The release that is declared. `key` is `NAMESPACE/NAME` or `CLUSTER/NAMESPACE/NAME`.
    #[must_use]
    pub fn build(&self, key: &str, chart: &Chart, now: Timestamp) -> Release {
        let mut parts = key.rsplit('/');
        let (name, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let values = if self.values.is_null() { json!({}) } else { self.values.clone() };
        let all = crate::ops::helm::merged(&chart.values, &values);
        let revision = |number: u32| Revision {
            number,
            status: if number == self.revision { self.status.clone() } else { "superseded".to_owned() },
            chart: chart.name.clone(),
            chart_version: chart.version.clone(),
            app_version: chart.app_version.clone(),
            values: values.clone(),
            defaults: chart.values.clone(),
            objects: Some(chart.render(namespace, name, &all)),
            ready_at: (!chart.stuck).then_some(now),
            updated: now,
            description: "Install complete".to_owned(),
            key: String::new(),
        };
        Release { revisions: (1..=self.revision.max(1)).map(revision).collect() }
    }
}

/// The charts and releases that a world declares.
///
/// # Errors
/// Which one cannot be, and why.
pub fn build(
    charts: BTreeMap<String, Chart>,
    releases: BTreeMap<String, ReleaseSeed>,
    now: Timestamp,
) -> Result<(Named<Chart>, Named<Release>), (String, String)> {
    let (mut known, mut built) = (Named::new(), Named::new());
    for (found_by, mut chart) in charts {
        if chart.name.is_empty() {
            chart.name = found_by.rsplit('/').next().unwrap_or_default().to_owned();
        }
        known.insert(found_by, chart);
    }
    for (key, release) in releases {
        let at = format!("releases.{key}");
        let Some(chart) = known.get(&release.chart) else {
            return Err((at, format!("there is no chart {} under `charts`", release.chart)));
        };
        let key = match key.matches('/').count() {
            1 => format!("current/{key}"),
            2 => key,
            _ => return Err((at, "a release is named NAMESPACE/NAME or CONTEXT/NAMESPACE/NAME".to_owned())),
        };
        let release = release.build(&key, chart, now);
        built.insert(key, release);
    }
    Ok((known, built))
}
