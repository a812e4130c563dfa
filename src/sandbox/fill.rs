//! What stands in `{{…}}` in the files of `world.yaml`, filled in from what the world declares elsewhere.

use serde_json::json;

use super::content::Content;
use super::seed::{SeedError, wrong};
use super::tree::{Tree, normal};
use super::world::World;
use crate::model::amount::parse_duration;
use crate::model::{Timestamp, Value};

/// What texts are filled in from.
pub(super) struct Fill<'w> {
    pub(super) world: &'w World,
    pub(super) tree: &'w Tree,
    /// Files that are not built yet.
    pub(super) pending: &'w [String],
    /// The one of them that is wanted.
    pub(super) missing: Option<String>,
}

pub(super) fn before(now: Timestamp, age: &str) -> Option<Timestamp> {
    now.checked_sub(jiff::SignedDuration::try_from(parse_duration(age).ok()?).ok()?).ok()
}

pub(super) fn fill_text(fill: &mut Fill<'_>, text: &str, at: &str) -> Result<String, SeedError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once("{{") {
        let (slot, tail) = tail.split_once("}}").ok_or_else(|| wrong(at, "`{{` without `}}`"))?;
        filled.push_str(head);
        match fill_slot(fill, slot.trim(), at)? {
            Value::String(text) => filled.push_str(&text),
            other => filled.push_str(&other.to_string()),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

pub(super) fn fill_value(fill: &mut Fill<'_>, value: &Value, at: &str) -> Result<Value, SeedError> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(slot) if !slot.contains("{{") => fill_slot(fill, slot.trim(), at)?,
            _ => Value::String(fill_text(fill, text, at)?),
        },
        Value::Array(items) => items.iter().map(|item| fill_value(fill, item, at)).collect::<Result<_, _>>()?,
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), fill_value(fill, value, at)?)))
            .collect::<Result<serde_json::Map<_, _>, SeedError>>()?
            .into(),
        other => other.clone(),
    })
}

fn fill_slot(fill: &mut Fill<'_>, slot: &str, at: &str) -> Result<Value, SeedError> {
    let words: Vec<&str> = slot.split_whitespace().collect();
    match words.as_slice() {
        [what @ ("sha256" | "bytes" | "entries"), path] => {
            let Some(content) = fill.tree.content(&normal(path)) else {
                fill.missing = Some((*path).to_owned());
                return Ok(Value::Null);
            };
            Ok(match *what {
                "sha256" => json!(content.sha256()),
                "bytes" => json!(content.bytes()),
                _ => match content {
                    Content::Dump(dump) => json!(dump.contents.objects()),
                    Content::Tar(tree) => json!(tree.len()),
                    _ => return Err(wrong(at, format!("{path} is neither a dump nor an archive"))),
                },
            })
        }
        ["census", server, database] => {
            let server = fill.world.postgres.get(*server).ok_or_else(|| wrong(at, format!("no server {server}")))?;
            let found = server.databases.get(*database).ok_or_else(|| wrong(at, format!("no database {database}")))?;
            Ok(super::models::pg::census(&found.contents, true))
        }
        ["before", age] => before(fill.world.now, age)
            .map(|then| json!(then))
            .ok_or_else(|| wrong(at, format!("`{age}` is no duration"))),
        _ => Err(wrong(at, format!("`{{{{{slot}}}}}` is unknown: sha256, bytes, entries, census or before"))),
    }
}
