//! Values of a chart: how those of a call are put together, and which of a release are secrets.

use std::collections::BTreeMap;

use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::ops::secrets::Secrets;

/// Ends of names under which charts keep secrets. `existingSecret` and `secretName` are names of things, not secrets.
const SECRET_NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "apikey",
    "secretkey",
    "secretaccesskey",
    "privatekey",
    "clientsecret",
    "encryptionkey",
    "credentials",
    "connectionstring",
];

/// Whether a value of this name is taken for a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_NAMES.iter().any(|ending| plain.ends_with(ending))
}

/// Calls `visit` with the dotted path, the last name and the text of every text in a value.
fn texts(value: &Value, path: &str, name: &str, visit: &mut dyn FnMut(&str, &str, &str)) {
    match value {
        Value::String(text) => visit(path, name, text),
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                texts(inner, &path, name, visit);
            }
        }
        Value::Array(items) => {
            for (place, inner) in items.iter().enumerate() {
                texts(inner, &format!("{path}.{place}"), name, visit);
            }
        }
        _ => {}
    }
}

/// Has the secrets among the values of a release redacted from now on.
pub fn learn(secrets: &Secrets, values: &Value) {
    texts(values, "", "", &mut |_, name, text| {
        if is_secret_name(name) {
            secrets.redactor().learn(text);
        }
    });
}

/// The values with a sealed handle in place of every secret: of what has the name of one, or a path that fits `secret`; not of
/// what fits `plain`.
///
/// # Errors
/// When the system has no randomness.
pub fn sealed(secrets: &Secrets, values: &Value, secret: &[String], plain: &[String]) -> Result<Value, OpError> {
    fn walk(
        secrets: &Secrets,
        value: &Value,
        path: &str,
        name: &str,
        lists: (&[String], &[String]),
    ) -> Result<Value, OpError> {
        let fits = |list: &[String]| list.iter().any(|pattern| glob::matches(pattern, path));
        Ok(match value {
            Value::String(text) if !text.is_empty() && (fits(lists.0) || (is_secret_name(name) && !fits(lists.1))) => {
                secrets.seal(text)?
            }
            Value::Object(fields) => {
                let mut out = serde_json::Map::new();
                for (name, inner) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    out.insert(name.clone(), walk(secrets, inner, &path, name, lists)?);
                }
                Value::Object(out)
            }
            Value::Array(items) => {
                let walked = items
                    .iter()
                    .enumerate()
                    .map(|(place, inner)| walk(secrets, inner, &format!("{path}.{place}"), name, lists));
                Value::Array(walked.collect::<Result<_, _>>()?)
            }
            other => other.clone(),
        })
    }
    walk(secrets, values, "", "", (secret, plain))
}

/// Values as they may be shown: not those that are named like secrets.
#[must_use]
pub fn hidden(values: &Value) -> Value {
    fn walk(value: &Value, name: &str) -> Value {
        match value {
            Value::String(_) if is_secret_name(name) => Value::from(crate::model::secret::REDACTED),
            handle if crate::model::secret::is_handle(handle) => Value::from(crate::model::secret::REDACTED),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, inner)| (name.clone(), walk(inner, name))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|inner| walk(inner, name)).collect()),
            other => other.clone(),
        }
    }
    walk(values, "")
}

/// The values of `over` over those of `base`, as helm merges them: maps by their keys, all else whole; null takes a key away.
#[must_use]
pub fn merged(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over))
            if !crate::model::secret::is_handle(&Value::Object(over.clone())) =>
        {
            let mut all = base.clone();
            for (name, value) in over {
                match (value, all.get(name)) {
                    (Value::Null, _) => {
                        all.remove(name);
                    }
                    (value, Some(old)) => {
                        let value = merged(old, value);
                        all.insert(name.clone(), value);
                    }
                    (value, None) => {
                        all.insert(name.clone(), value.clone());
                    }
                }
            }
            Value::Object(all)
        }
        (_, over) => over.clone(),
    }
}

/// Values given by dotted paths, as a tree. `\.` is a dot in a name.
///
/// # Errors
/// Refused when a path is empty, or goes through another value.
pub fn nested(set: &BTreeMap<String, Value>) -> Result<Value, OpError> {
    let mut root = serde_json::Map::new();
    for (path, value) in set {
        let wrong = |what: &str| OpError::refused(format!("cannot set value `{path}`: {what}"));
        let joined = path.replace("\\.", "\u{0}");
        let names: Vec<String> = joined.split('.').map(|name| name.replace('\u{0}', ".")).collect();
        let Some((last, above)) = names.split_last().filter(|_| names.iter().all(|name| !name.is_empty())) else {
            return Err(wrong("a part of the path is empty"));
        };
        let mut place = &mut root;
        for name in above {
            let inner = place.entry(name.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
            place = inner.as_object_mut().ok_or_else(|| wrong("another path sets something above it"))?;
        }
        if place.contains_key(last) {
            return Err(wrong("another path sets something below it"));
        }
        place.insert(last.clone(), value.clone());
    }
    Ok(Value::Object(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn values_by_path_become_a_tree_and_contradictions_are_refused() {
        let set = |value: Value| nested(&serde_json::from_value(value).unwrap());
        let tree = json!({ "a": { "b": 1, "c.d": "x" } });
        assert_eq!(set(json!({ "a.b": 1, "a.c\\.d": "x" })).unwrap(), tree);
        for wrong in [json!({ "a": 1, "a.b": 2 }), json!({ "a..b": 1 }), json!({ "": 1 })] {
            assert!(set(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_merged_as_helm_does() {
        let base = json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] });
        let over = json!({ "a": { "b": 3, "c": null }, "l": [4] });
        assert_eq!(merged(&base, &over), json!({ "a": { "b": 3 }, "l": [4] }));
    }

    #[test]
    fn a_secret_among_values_leaves_as_a_handle_and_a_name_of_a_secret_as_it_is() {
        let secrets = Secrets::new([7; 32], Arc::default());
        let values = json!({
            "auth": { "password": "correct horse", "existingSecret": "pg-auth" }, "env": { "key": "battery-staple" },
            "token": "plain-one",
        });
        let out = sealed(&secrets, &values, &["env.*".to_owned()], &["token".to_owned()]).unwrap();
        assert!(crate::model::secret::is_handle(&out["auth"]["password"]), "{out}");
        assert!(crate::model::secret::is_handle(&out["env"]["key"]), "{out}");
        assert_eq!((&out["auth"]["existingSecret"], &out["token"]), (&json!("pg-auth"), &json!("plain-one")));
        assert_eq!(secrets.resolve_in(&out).unwrap(), values);
        assert!(!out.to_string().contains("horse"));
    }
}
