//! Bodies that typed clients send in protobuf: Secrets and ConfigMaps (helm's releases), options of deletes, reviews of access.

use base64::Engine as _;
use muster::model::Value;
use serde_json::{Map, json};

/// The fields of a message with a length: their numbers and bytes. Numbers are left out.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        match tag & 7 {
            0 => drop(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                found.push((tag >> 3, bytes.get(..length)?));
                bytes = &bytes[length..];
            }
            _ => return None,
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

/// One entry of a map of texts.
fn entry(bytes: &[u8], value: fn(&[u8]) -> Value) -> Option<(String, Value)> {
    let (mut name, mut found) = (String::new(), value(&[]));
    for (number, bytes) in fields(bytes)? {
        match number {
            1 => name = String::from_utf8_lossy(bytes).into_owned(),
            _ => found = value(bytes),
        }
    }
    Some((name, found))
}

fn metadata(bytes: &[u8]) -> Option<Value> {
    let mut meta = Map::new();
    for (number, bytes) in fields(bytes)? {
        let name = match number {
            1 => "name",
            2 => "generateName",
            3 => "namespace",
            5 => "uid",
            6 => "resourceVersion",
            11 | 12 => {
                let (name, value) = entry(bytes, text)?;
                let map = meta.entry(if number == 11 { "labels" } else { "annotations" }).or_insert_with(|| json!({}));
                map[name] = value;
                continue;
            }
            _ => continue,
        };
        if !bytes.is_empty() {
            meta.insert(name.to_owned(), text(bytes));
        }
    }
    Some(Value::Object(meta))
}

/// What a review of access asks about.
fn review(bytes: &[u8]) -> Option<Value> {
    let mut asked = Map::new();
    for (_, attributes) in fields(bytes)?.into_iter().filter(|(number, _)| *number == 1) {
        for (number, bytes) in fields(attributes)? {
            let name = ["namespace", "verb", "group", "version", "resource", "subresource", "name"]
                .get(usize::try_from(number).ok()?.checked_sub(1)?)?;
            asked.insert((*name).to_owned(), text(bytes));
        }
    }
    Some(json!({ "resourceAttributes": asked }))
}

/// The object of a body; nothing for kinds that are not known here.
pub fn decode(body: &[u8]) -> Option<Value> {
    let (mut api, mut kind, mut raw) = (Value::Null, String::new(), &[][..]);
    for (number, bytes) in fields(body.strip_prefix(b"k8s\0")?)? {
        match number {
            1 => {
                for (number, bytes) in fields(bytes)? {
                    match number {
                        1 => api = text(bytes),
                        _ => kind = String::from_utf8_lossy(bytes).into_owned(),
                    }
                }
            }
            2 => raw = bytes,
            _ => {}
        }
    }
    let encoded = |bytes: &[u8]| json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    let mut object = json!({ "apiVersion": api, "kind": kind });
    for (number, bytes) in fields(raw)? {
        match (kind.as_str(), number) {
            ("Secret" | "ConfigMap", 1) => object["metadata"] = metadata(bytes)?,
            ("Secret", 2) => {
                let (name, value) = entry(bytes, encoded)?;
                object["data"][name] = value;
            }
            ("ConfigMap", 2) => {
                let (name, value) = entry(bytes, text)?;
                object["data"][name] = value;
            }
            ("Secret", 3) => object["type"] = text(bytes),
            ("Secret" | "ConfigMap", _) => {}
            ("DeleteOptions", 2) => {
                for (number, bytes) in fields(bytes)? {
                    object["preconditions"][if number == 1 { "uid" } else { "resourceVersion" }] = text(bytes);
                }
            }
            ("DeleteOptions", 4) => object["propagationPolicy"] = text(bytes),
            ("DeleteOptions", _) => {}
            ("SelfSubjectAccessReview", 2) => object["spec"] = review(bytes)?,
            ("SelfSubjectAccessReview", _) => {}
            _ => return None,
        }
    }
    Some(object)
}
