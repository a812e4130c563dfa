//! What stands in a secret: a text, or a JSON document of fields. Which of them are confidential, and new ones made of old.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// Fields by whose names everybody knows that they are no secret. They are not searched for in what is shown: a run that looks
/// up the endpoint of a database has to see it.
const OPEN: [&str; 17] = [
    "host",
    "hostname",
    "endpoint",
    "address",
    "port",
    "user",
    "username",
    "login",
    "dbname",
    "db",
    "database",
    "schema",
    "engine",
    "region",
    "arn",
    "identifier",
    "name",
];

/// Whether a field of this name is confidential.
#[must_use]
pub fn is_confidential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = name.rsplit(['_', '-', '.']);
    let last = words.into_iter().next().unwrap_or_default();
    !OPEN.contains(&last) && !["identifier", "hostname", "endpoint"].iter().any(|word| name.ends_with(word))
}

fn fields(contents: &str) -> Option<Map<String, Json>> {
    match serde_json::from_str(contents) {
        Ok(Json::Object(fields)) => Some(fields),
        _ => None,
    }
}

fn text_of(field: &Json) -> String {
    field.as_str().map_or_else(|| field.to_string(), str::to_owned)
}

/// The names of the document's fields; none when it is none.
#[must_use]
pub fn names(contents: &str) -> Vec<String> {
    fields(contents).map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

/// The contents of a field.
#[must_use]
pub fn field(contents: &str, name: &str) -> Option<String> {
    fields(contents)?.get(name).map(text_of)
}

/// All texts in it that are never to be shown: itself, its fields, and passwords in their URLs. `open` are fields whose values
/// are known to be none.
#[must_use]
pub fn confidential(contents: &str, open: &[&str]) -> Vec<String> {
    let mut all = vec![contents.to_owned()];
    let Some(fields) = fields(contents) else {
        all.extend(password(contents));
        return all;
    };
    for (name, field) in &fields {
        let text = text_of(field);
        all.extend(password(&text));
        if is_confidential(name) && !open.contains(&name.as_str()) && field.as_bool().is_none() {
            all.push(text);
        }
    }
    all
}

/// The parts of a URL: before the authority, who, where, and what follows.
fn url(text: &str) -> Option<(&str, Option<&str>, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !named {
        return None;
    }
    // A password that is not encoded may hold anything: what is last before the path is the host.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (who, place) = match authority.rsplit_once('@') {
        Some((who, place)) => (Some(who), place),
        None => (None, authority),
    };
    (!place.is_empty() && !after.contains('@')).then_some((scheme, who, place, after))
}

/// The password in a URL, as it stands there and as it is meant.
fn password(text: &str) -> Vec<String> {
    let Some((_, Some(who), _, _)) = url(text) else { return Vec::new() };
    let Some((_, password)) = who.split_once(':') else { return Vec::new() };
    let meant = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
    vec![password.to_owned(), meant]
}

/// The host of a URL, with its port if it has one.
#[must_use]
pub fn host(text: &str) -> Option<&str> {
    url(text).map(|(_, _, place, _)| place)
}

/// The hosts of the fields that are URLs.
#[must_use]
pub fn hosts(contents: &str) -> BTreeMap<String, String> {
    let fields = fields(contents).unwrap_or_default();
    let host_of = |(name, field): (String, Json)| Some((name, host(field.as_str()?)?.to_owned()));
    fields.into_iter().filter_map(host_of).collect()
}

/// The URL with another host. Its port stays, unless the new host has one.
#[must_use]
pub fn with_host(text: &str, to: &str) -> Option<String> {
    let (scheme, who, place, after) = url(text)?;
    let who = who.map(|who| format!("{who}@")).unwrap_or_default();
    let port = |place: &str| {
        let (_, port) = place.rsplit_once(':')?;
        port.chars().all(|c| c.is_ascii_digit()).then(|| format!(":{port}"))
    };
    let kept = if port(to).is_some() { String::new() } else { port(place).unwrap_or_default() };
    Some(format!("{scheme}://{who}{to}{kept}{after}"))
}

/// The document with fields set, and URLs of fields led to other hosts.
///
/// # Errors
/// What does not fit, without anything of what stands there.
pub fn composed(
    contents: &str,
    set: &BTreeMap<String, String>,
    hosts: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut fields = fields(contents).ok_or("it holds no JSON document of fields")?;
    for (name, host) in hosts {
        let field = fields.get_mut(name).ok_or_else(|| format!("it has no field `{name}`"))?;
        let led = field.as_str().and_then(|text| with_host(text, host));
        *field = Json::String(led.ok_or_else(|| format!("its field `{name}` is no URL"))?);
    }
    for (name, value) in set {
        fields.insert(name.clone(), Json::String(value.clone()));
    }
    Ok(Json::Object(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = r#"{"database_url":"postgresql://chat:p%40ss-word1@old.rds:5432/chat_db?sslmode=require",
        "webui_secret_key":"k-123456","host":"old.rds","port":5432}"#;

    #[test]
    fn a_url_is_led_to_another_host_and_keeps_everything_else() {
        for (url, to, wanted) in [
            ("postgresql://u:p@old:5432/db?x=1", "new", "postgresql://u:p@new:5432/db?x=1"),
            ("postgresql://u:p@old:5432/db", "new:6432", "postgresql://u:p@new:6432/db"),
            ("postgres://u:p@x@old/db", "new", "postgres://u:p@x@new/db"),
            ("https://old", "new", "https://new"),
        ] {
            assert_eq!(with_host(url, to).as_deref(), Some(wanted), "{url}");
        }
        for none in ["old.rds", "://x", "postgres:///db", "a b://x", "postgres://u:p/q@old/db"] {
            assert_eq!(with_host(none, "new"), None, "{none}");
        }
    }

    #[test]
    fn a_document_is_changed_in_the_fields_that_are_named() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let made = composed(APP, &one("bedrock_api_key", "b-1"), &one("database_url", "new.rds")).unwrap();
        let url = "postgresql://chat:p%40ss-word1@new.rds:5432/chat_db?sslmode=require";
        assert_eq!(field(&made, "database_url").as_deref(), Some(url));
        assert_eq!(field(&made, "bedrock_api_key").as_deref(), Some("b-1"));
        assert_eq!((field(&made, "port").as_deref(), names(&made).len()), (Some("5432"), 5));
        assert_eq!(hosts(&made), one("database_url", "new.rds:5432"));
        for (contents, hosts) in
            [("plain-text", one("x", "h")), (APP, one("absent", "h")), (APP, one("webui_secret_key", "h"))]
        {
            let fault = composed(contents, &BTreeMap::new(), &hosts).unwrap_err();
            assert!(!fault.contains("plain-text") && !fault.contains("k-123456"), "{fault}");
        }
    }

    #[test]
    fn what_is_confidential_is_known_by_name_and_in_urls() {
        let all = confidential(APP, &[]);
        for secret in ["k-123456", "p%40ss-word1", "p@ss-word1", APP] {
            assert!(all.iter().any(|text| text == secret), "{secret}");
        }
        assert!(!all.iter().any(|text| text == "old.rds" || text == "5432"), "{all:?}");
        for open in ["host", "DB_HOST", "username", "dbInstanceIdentifier", "readerEndpoint"] {
            assert!(!is_confidential(open), "{open}");
        }
        for closed in ["password", "database_url", "webui_secret_key", "token"] {
            assert!(is_confidential(closed), "{closed}");
        }
    }
}
