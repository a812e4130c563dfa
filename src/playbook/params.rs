//! Parameters: what is given, read by type; what is not, by default; what is wrong, all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostic::{Collector, Diagnostic};
use super::types::{Param, ParamType, Template};
use super::yaml::{self, Data};
use crate::model::amount::{parse_duration, parse_size};
use crate::model::secret::{HANDLE_KEY, is_handle};
use crate::model::span::{Source, Span, Spanned};
use crate::model::{Timestamp, Value};

/// What evaluating needs from the rooms above.
pub struct Means<'m> {
    /// The value of a template over `{"params": …}`.
    pub evaluate: &'m dyn Fn(&Template, &Value) -> Result<Value, String>,
    /// Seals a secret given literally, and gives back its handle.
    pub seal: &'m dyn Fn(&str) -> Result<Value, String>,
    /// Whether a text matches a glob.
    pub matches: &'m dyn Fn(&str, &str) -> bool,
    /// What relative paths are relative to.
    pub folder: &'m Path,
}

/// What was given.
#[derive(Debug, Default)]
pub struct Given {
    /// `-p name=value`, in order; the last of a name counts.
    pub texts: Vec<(String, String)>,
    /// Values from `-f` files and other runs.
    pub values: BTreeMap<String, Spanned<Value>>,
    /// The files those spans point into. Their numbers begin at [`FIRST_FILE`].
    pub files: Vec<Source>,
}

/// The number of the first parameter file among sources, so that its spans do not meet those of the playbook.
pub const FIRST_FILE: u16 = 1000;

/// Where the last source of [`FIRST_FILE`] texts from the command line stands.
const COMMAND_LINE: u16 = u16::MAX;

impl Given {
    /// Adds `-p name=value`.
    ///
    /// # Errors
    /// When there is no `=`.
    pub fn add_text(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`-p {text}` is not of the form name=value"))?;
        self.texts.push((name.trim().to_owned(), value.to_owned()));
        Ok(())
    }

    /// Adds the values of a YAML file.
    pub fn add_file(&mut self, name: &str, bytes: &[u8], collector: &mut Collector) {
        let number = FIRST_FILE.saturating_add(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        self.files.push(Source { name: name.to_owned(), text: String::from_utf8_lossy(bytes).into() });
        let Some(tree) = yaml::parse(bytes, number, collector) else { return };
        match &tree.data {
            Data::Map(fields) => {
                for (key, node) in fields {
                    self.values.insert(key.value.clone(), Spanned::new(node.value(), node.span));
                }
            }
            _ => {
                let message = format!("a parameter file is a map from names to values, not {}", tree.kind());
                collector.push(Diagnostic::error("params-file", tree.span, message));
            }
        }
    }
}

/// The parameters' values, by type: durations are milliseconds, sizes bytes, paths absolute, times RFC 3339 in UTC, secrets
/// handles. What is wrong goes to the collector.
pub fn evaluate(params: &[Param], given: &Given, means: &Means<'_>, collector: &mut Collector) -> Value {
    let names: Vec<&str> = params.iter().map(|param| param.name.value.as_str()).collect();
    let nowhere = Span::new(COMMAND_LINE, 0, 0);
    for (name, span) in given
        .texts
        .iter()
        .map(|(name, _)| (name, nowhere))
        .chain(given.values.iter().map(|(name, value)| (name, value.span)))
    {
        if !names.contains(&name.as_str()) {
            let message = format!("the playbook has no parameter `{name}`");
            collector.push(Diagnostic::error("unknown-param", span, message).likely(name, names.iter().copied()));
        }
    }
    let mut values = serde_json::Map::new();
    // Parameters without a value: what hangs on them is not told as well.
    let mut absent: Vec<&str> = Vec::new();
    for param in params {
        let name = &param.name.value;
        let text = given.texts.iter().rev().find(|(other, _)| other == name).map(|(_, text)| text);
        let (outcome, span) = match (text, given.values.get(name)) {
            (Some(text), _) => {
                (from_text(&param.kind, text).and_then(|value| typed(&param.kind, value, means)), nowhere)
            }
            (None, Some(value)) => (typed(&param.kind, value.value.clone(), means), value.span),
            (None, None) => match &param.default {
                Some(default) if names_any(default, &absent) => {
                    absent.push(name);
                    continue;
                }
                Some(default) => {
                    let scope = serde_json::json!({ "params": values });
                    let value = (means.evaluate)(default, &scope);
                    (value.and_then(|value| typed(&param.kind, value, means)), param.span)
                }
                None => {
                    let doc = if param.doc.is_empty() { String::new() } else { format!(": {}", param.doc) };
                    let message = format!("parameter `{name}` has to be given{doc}");
                    collector.push(
                        Diagnostic::error("missing-param", param.name.span, message).hint(format!("-p {name}=…")),
                    );
                    absent.push(name);
                    continue;
                }
            },
        };
        match outcome {
            Ok(value) => {
                if let (Some(pattern), Some(text)) = (&param.matches, value.as_str())
                    && !(means.matches)(&pattern.value, text)
                {
                    let message = format!("parameter `{name}` is `{text}`, which does not match `{}`", pattern.value);
                    collector
                        .push(Diagnostic::error("param-pattern", span, message).related(pattern.span, "the pattern"));
                }
                values.insert(name.clone(), value);
            }
            Err(error) => {
                absent.push(name);
                collector.push(Diagnostic::error("param-value", span, format!("parameter `{name}`: {error}")));
            }
        }
    }
    Value::Object(values)
}

/// Whether a default speaks of one of these parameters.
fn names_any(default: &Template, absent: &[&str]) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    default.expressions().iter().any(|expression| {
        absent.iter().any(|name| {
            let name = format!("params.{name}");
            let text = &expression.value;
            text.match_indices(&name).any(|(at, found)| !goes_on(&text[at + found.len()..]))
        })
    })
}

/// A text from the command line as the value it means for a type.
fn from_text(kind: &ParamType, text: &str) -> Result<Value, String> {
    match kind {
        ParamType::Int => {
            text.trim().parse::<i64>().map(Value::from).map_err(|_| format!("`{text}` is no whole number"))
        }
        ParamType::Bool => match text.trim() {
            "true" | "yes" => Ok(Value::Bool(true)),
            "false" | "no" => Ok(Value::Bool(false)),
            other => Err(format!("`{other}` is neither true nor false")),
        },
        ParamType::List(_) | ParamType::Map(_) => {
            let mut collector = Collector::default();
            let trimmed = text.trim();
            // `a,b` is what people type for a list.
            if matches!(kind, ParamType::List(_)) && !trimmed.starts_with(['[', '-']) {
                let items = trimmed.split(',').map(str::trim).filter(|item| !item.is_empty());
                return Ok(Value::Array(items.map(Value::from).collect()));
            }
            match yaml::parse(trimmed.as_bytes(), COMMAND_LINE, &mut collector) {
                Some(node) => Ok(node.value()),
                None => Err(format!("`{text}` is no list or map in YAML or JSON")),
            }
        }
        _ => Ok(Value::from(text)),
    }
}

/// A value as its type wants it.
fn typed(kind: &ParamType, value: Value, means: &Means<'_>) -> Result<Value, String> {
    let wrong = |wanted: &str, value: &Value| format!("{value} is not {wanted}");
    match kind {
        ParamType::String => match value {
            Value::String(_) => Ok(value),
            Value::Number(number) => Ok(Value::from(number.to_string())),
            other => Err(wrong("a text", &other)),
        },
        ParamType::Int => value.as_i64().map(Value::from).ok_or_else(|| wrong("a whole number", &value)),
        ParamType::Bool => value.as_bool().map(Value::from).ok_or_else(|| wrong("true or false", &value)),
        ParamType::Duration => match &value {
            Value::String(text) => {
                let duration = parse_duration(text).map_err(|error| error.to_string())?;
                Ok(Value::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
            }
            Value::Number(number) if number.is_u64() => Ok(value),
            other => Err(wrong("a duration like 90m", other)),
        },
        ParamType::Size => match &value {
            Value::String(text) => parse_size(text).map(Value::from).map_err(|error| error.to_string()),
            Value::Number(number) if number.is_u64() => Ok(value),
            other => Err(wrong("a size like 20GB", other)),
        },
        ParamType::Time => match value.as_str().map(str::parse::<Timestamp>) {
            Some(Ok(time)) => Ok(Value::from(time.to_string())),
            _ => Err(wrong("a time like 2026-11-21T03:00:00Z", &value)),
        },
        ParamType::Enum(values) => match value.as_str() {
            Some(text) if values.iter().any(|one| one == text) => Ok(value),
            _ => {
                let likely =
                    value.as_str().and_then(|text| super::diagnostic::likely(text, values.iter().map(String::as_str)));
                let likely = likely.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                Err(format!("{value} is none of {}{likely}", values.join(", ")))
            }
        },
        ParamType::List(item) => match value {
            Value::Array(items) => match item {
                Some(kind) => {
                    Ok(Value::Array(items.into_iter().map(|item| typed(kind, item, means)).collect::<Result<_, _>>()?))
                }
                None => Ok(Value::Array(items)),
            },
            other => Err(wrong("a list", &other)),
        },
        ParamType::Map(item) => match value {
            Value::Object(fields) => match item {
                Some(kind) => {
                    let fields = fields.into_iter().map(|(key, item)| Ok((key, typed(kind, item, means)?)));
                    Ok(Value::Object(fields.collect::<Result<_, String>>()?))
                }
                None => Ok(Value::Object(fields)),
            },
            other => Err(wrong("a map", &other)),
        },
        ParamType::Path => match value.as_str() {
            Some("") => Ok(Value::from("")),
            Some(text) => Ok(Value::from(absolute(text, means.folder).display().to_string())),
            None => Err(wrong("a path", &value)),
        },
        ParamType::Secret => match &value {
            Value::Null => Ok(Value::Null),
            _ if is_handle(&value) => Ok(value),
            Value::String(text) => secret(text, means),
            _ => Err("a secret is env:NAME, file:PATH, dotenv:PATH#KEY, or the secret itself".to_owned()),
        },
    }
}

/// What a parameter is when it is not given, beside these others; `None` when it has to be given, or its default does not
/// evaluate.
pub fn default_of(
    param: &Param,
    params: &Value,
    evaluate: &dyn Fn(&Template, &Value) -> Result<Value, String>,
) -> Option<Value> {
    let scope = serde_json::json!({ "params": params });
    let value = evaluate(param.default.as_ref()?, &scope).ok()?;
    let means = Means { evaluate, seal: &|_| Ok(Value::Null), matches: &|_, _| true, folder: Path::new("/") };
    typed(&param.kind, value, &means).ok()
}

/// Whether a plain value fits a type, for defaults that need no evaluation.
pub(super) fn check(kind: &ParamType, value: &Value) -> Result<(), String> {
    let means = Means {
        evaluate: &|_, _| Ok(Value::Null),
        seal: &|_| Ok(Value::Null),
        matches: &|_, _| true,
        folder: Path::new("/"),
    };
    typed(kind, value.clone(), &means).map(|_| ())
}

/// Whether a text says where a secret is, and is not the secret itself.
pub(super) fn names_a_secret(text: &str) -> bool {
    text.is_empty()
        || text.starts_with("env:")
        || text.starts_with("file:")
        || text.strip_prefix("dotenv:").is_some_and(|rest| rest.contains('#'))
}

fn absolute(text: &str, folder: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(text).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

fn secret(text: &str, means: &Means<'_>) -> Result<Value, String> {
    let handle = |fields: Value| serde_json::json!({ HANDLE_KEY: fields });
    let path = |text: &str| absolute(text, means.folder).display().to_string();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if let Some(name) = text.strip_prefix("env:") {
        return Ok(handle(serde_json::json!({ "provider": "env", "name": name })));
    }
    if let Some(file) = text.strip_prefix("file:") {
        return Ok(handle(serde_json::json!({ "provider": "file", "path": path(file) })));
    }
    if let Some((file, key)) = text.strip_prefix("dotenv:").and_then(|rest| rest.rsplit_once('#')) {
        return Ok(handle(serde_json::json!({ "provider": "dotenv", "path": path(file), "key": key })));
    }
    (means.seal)(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn means() -> Means<'static> {
        Means {
            evaluate: &|template, _| match template {
                Template::Plain(value) => Ok(value.value.clone()),
                _ => Err("no expressions here".to_owned()),
            },
            seal: &|_| Ok(json!({ "$secret": { "provider": "sealed" } })),
            matches: &|pattern, text| pattern == text,
            folder: Path::new("/srv"),
        }
    }

    fn read(kind: &ParamType, text: &str) -> Result<Value, String> {
        from_text(kind, text).and_then(|value| typed(kind, value, &means()))
    }

    #[test]
    fn each_type_reads_what_people_type() {
        let of = |text: &str| Some(Box::new(if text == "int" { ParamType::Int } else { ParamType::String }));
        let cases = [
            (ParamType::Int, "12", json!(12)),
            (ParamType::Bool, "yes", json!(true)),
            (ParamType::Duration, "1h30m", json!(5_400_000)),
            (ParamType::Size, "2KiB", json!(2048)),
            (ParamType::Time, "2026-11-21T05:00:00+02:00", json!("2026-11-21T03:00:00Z")),
            (ParamType::List(of("string")), "a, b", json!(["a", "b"])),
            (ParamType::List(of("int")), "[1, 2]", json!([1, 2])),
            (ParamType::Map(None), "{a: 1}", json!({ "a": 1 })),
            (ParamType::Path, "../x/./y", json!("/x/y")),
            (ParamType::Secret, "env:TOKEN", json!({ "$secret": { "provider": "env", "name": "TOKEN" } })),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(read(&kind, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_says_why() {
        assert_eq!(
            read(&ParamType::Enum(vec!["local".into(), "hybrid".into()]), "locla"),
            Err("\"locla\" is none of local, hybrid; did you mean `local`?".to_owned())
        );
        assert!(read(&ParamType::Int, "1.5").is_err());
        assert!(read(&ParamType::Time, "tomorrow").is_err());
    }

    #[test]
    fn a_literal_secret_never_stands_in_the_parameters() {
        let value = read(&ParamType::Secret, "hunter2").expect("sealed");
        assert!(!value.to_string().contains("hunter2"));
    }
}
