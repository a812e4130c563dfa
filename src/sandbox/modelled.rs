//! The models that a playbook brings for its own programs: how the world asks them, and what they may answer. What evaluates them
//! stands above; this is all it has to know.

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;

use super::content::Content;
use super::custom;
use super::later;
use super::resources::Deed;
use super::sight::{Seen, Sight};
use super::veil::{self, marked, unseen};
use super::world::World;
use crate::model::amount::parse_duration;
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};

/// The operations whose calls a playbook can model: those that run programs of which nobody else knows what they do.
pub const OPERATIONS: [&str; 8] =
    ["exec.run", "exec.read", "docker.exec", "docker.read", "docker.run", "k8s.read", "k8s.exec", "k8s.read_to_file"];

/// The models of one playbook.
pub trait PlaybookModels: Send + Sync {
    /// The file of the model that fits a call, `models/seal.rhai`.
    fn file_of(&self, op: &str, args: &Value) -> Option<&str>;

    /// What the model that fits a call answers, having looked at the world.
    ///
    /// # Errors
    /// When there is none, or it does not come to an answer.
    fn ask(&self, op: &str, args: &Value, sight: Rc<Sight>) -> Result<Value, ModelFault>;

    /// The fault of an answer that is none.
    fn nonsense(&self, op: &str, args: &Value, what: &str) -> ModelFault;
}

/// Why a model does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFault {
    /// What is wrong, with file, line and column.
    pub message: String,
    /// The line, with a caret below the place.
    pub snippet: String,
    /// It hangs on something that only the run will know.
    pub unknown: bool,
}

/// The models that come with a world, if any do. They are no part of what the world is.
#[derive(Clone, Default)]
pub struct Modelled(Option<Arc<dyn PlaybookModels>>);

impl std::fmt::Debug for Modelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Modelled(…)" } else { "Modelled()" })
    }
}

impl PartialEq for Modelled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Modelled {
    /// By these models.
    #[must_use]
    pub fn by(models: Arc<dyn PlaybookModels>) -> Self {
        Self(Some(models))
    }

    /// The file of the model that fits a call.
    #[must_use]
    pub fn file_of(&self, op: &str, args: &Value) -> Option<&str> {
        self.0.as_ref()?.file_of(op, args)
    }

    /// Asks the model of a call; none when no model fits it. What of the arguments or of the world only the run will know, a model
    /// meets as an unknown.
    pub(super) fn ask(&self, op: &str, args: &Value, sight: &Rc<Sight>) -> Option<Result<Told, OpError>> {
        let models = self.0.as_ref()?;
        let file = models.file_of(op, args)?;
        let args = veil::lift(args.clone(), Timestamp::MAX);
        let answer = models.ask(op, &args, Rc::clone(sight)).map(|answer| sized(&veil::lower(&answer)));
        if let Ok(Some(why)) = answer.as_ref().map(|answer| answer.get("code").and_then(Value::as_str).and_then(marked))
        {
            return Some(Err(unseen(why)));
        }
        let told = answer.and_then(|answer| Told::read(&answer).map_err(|what| models.nonsense(op, &args, &what)));
        Some(told.map_err(|fault| {
            if fault.unknown {
                return unseen(&format!("{file} needs to know what only the run will: {}", fault.message));
            }
            OpError::refused(format!("{BROKEN}{}", fault.message))
                .with_detail(fault.snippet)
                .with_hint("a model says what a program does to the world of plans and of the sandbox: docs/models.md")
        }))
    }
}

/// The answer with a number for every size that only the run will know.
fn sized(answer: &Value) -> Value {
    match answer {
        Value::Object(fields) => {
            let size = |key: &str, value: &Value| match value {
                Value::String(text) if key == "bytes" && marked(text).is_some() => Value::from(veil::UNKNOWN_BYTES),
                other => sized(other),
            };
            fields.iter().map(|(key, value)| (key.clone(), size(key, value))).collect()
        }
        Value::Array(items) => items.iter().map(sized).collect(),
        other => other.clone(),
    }
}

const BROKEN: &str = "the playbook's own model does not work: ";

/// What is wrong with a model, if that is why there is no answer.
#[must_use]
pub fn why_broken(error: &OpError) -> Option<&str> {
    error.message.strip_prefix(BROKEN)
}

/// What a model answers of a call.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// How it ends.
    #[serde(default)]
    pub code: i32,
    /// What it prints.
    #[serde(default)]
    stdout: Value,
    /// What it says on standard error.
    #[serde(default)]
    pub stderr: String,
    /// How long it takes: `40m`, or milliseconds.
    #[serde(default)]
    takes: Value,
    /// What it does, in this order.
    #[serde(default)]
    pub does: Vec<Deed>,
}

/// What a program prints that is no text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Stream {
    /// So many bytes that nobody looks into.
    Bytes(u64),
    /// The same as a file, or as its standard input, which is called `-`.
    Copy(String),
    /// That in a form only the recipient can read.
    Seal { from: String, recipient: String },
    /// The plain form of what was sealed.
    Unseal(String),
}

/// What a program prints.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Printed {
    Text(String),
    Stream(Stream),
}

/// How long a program takes whose model does not say.
const USUAL_MS: u64 = 100;

impl Told {
    fn read(answer: &Value) -> Result<Self, String> {
        let told: Self = match answer {
            Value::Null => Self::default(),
            Value::Object(_) => Self::deserialize(answer).map_err(|error| error.to_string())?,
            Value::String(text) if marked(text).is_some() => {
                return Err("it is unknown as a whole: say which of its fields are".to_owned());
            }
            other => return Err(format!("a map with code, stdout, stderr, takes and does is wanted, not {other}")),
        };
        told.printed()?;
        told.takes_ms()?;
        for deed in &told.does {
            match deed {
                Deed::Set { resource, to, then } => {
                    custom::Custom::new(to.clone(), then, Timestamp::UNIX_EPOCH)
                        .map_err(|text| format!("`{text}` is no duration: write it like 5m"))?;
                    if marked(resource).is_none() && !custom::is_name(resource) {
                        return Err(format!("`{resource}` is no name of a resource: write it as kind/name"));
                    }
                }
                Deed::Object { manifest, cluster, after, then } => {
                    later::course("", manifest, after.as_deref(), then, Timestamp::UNIX_EPOCH)?;
                    later::meant(manifest, cluster)?;
                }
                _ => {}
            }
        }
        Ok(told)
    }

    /// What it prints.
    pub fn printed(&self) -> Result<Printed, String> {
        Ok(match &self.stdout {
            Value::Null => Printed::Text(String::new()),
            Value::String(text) => Printed::Text(text.clone()),
            other => Printed::Stream(Stream::deserialize(other).map_err(|error| format!("stdout: {error}"))?),
        })
    }

    /// How long it takes, in milliseconds.
    pub fn takes_ms(&self) -> Result<u64, String> {
        let wrong = || format!("takes: {} is no duration: write it like 40m, or as milliseconds", self.takes);
        match &self.takes {
            Value::Null => Ok(USUAL_MS),
            // How long nobody knows; what matters is that it counts for something.
            Value::String(text) if marked(text).is_some() => Ok(USUAL_MS),
            Value::String(text) => {
                let duration = parse_duration(text).map_err(|_| wrong())?;
                Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
            }
            other => other.as_u64().ok_or_else(wrong),
        }
    }

    /// Why it is not known what it works on, if that is so.
    pub fn why_unknown(&self) -> Option<String> {
        let places = self.does.iter().flat_map(Deed::names);
        let stream = match self.printed() {
            Ok(Printed::Stream(Stream::Copy(path) | Stream::Unseal(path) | Stream::Seal { from: path, .. })) => {
                Some(path)
            }
            _ => None,
        };
        let places: Vec<&str> = places.chain(stream.as_deref()).collect();
        places.into_iter().find_map(|place| marked(place).map(str::to_owned))
    }
}

impl Printed {
    /// As contents. `stdin`: what it reads.
    pub fn content(self, world: &World, sight: &Sight, stdin: Option<&Content>) -> Result<Content, String> {
        let of = |path: &str| match path {
            "-" => stdin.cloned().ok_or_else(|| "it reads nothing on its standard input".to_owned()),
            path => sight.content(world, path).ok_or_else(|| format!("{path}: no such file")),
        };
        Ok(match self {
            Self::Text(text) => Content::of_text(text),
            Self::Stream(Stream::Bytes(bytes)) => Content::sized(bytes, "what it prints"),
            Self::Stream(Stream::Copy(path)) => of(&path)?,
            Self::Stream(Stream::Seal { from, recipient }) => Content::Sealed { recipient, of: Box::new(of(&from)?) },
            Self::Stream(Stream::Unseal(path)) => match of(&path)? {
                Content::Sealed { of, .. } => *of,
                Content::Unseen(unseen) => Content::unseen(unseen.why),
                _ => return Err(format!("{path}: not encrypted, or cut short")),
            },
        })
    }
}

/// What a call looks at through its model.
pub(super) fn seen(told: Option<&Told>, sight: &Sight) -> Vec<Seen> {
    let mut seen = sight.seen();
    for deed in told.map(|told| told.does.as_slice()).unwrap_or_default() {
        seen.extend(deed.reach(sight));
    }
    if let Some(Ok(Printed::Stream(Stream::Copy(path) | Stream::Unseal(path) | Stream::Seal { from: path, .. }))) =
        told.map(Told::printed)
        && path != "-"
    {
        seen.push(sight.key_of(&path, false));
    }
    seen.sort();
    seen.dedup();
    seen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_means_nothing_is_refused_in_words() {
        for (answer, said) in [
            (json!(3), "a map with code, stdout, stderr, takes and does is wanted, not 3"),
            (json!({ "exit": 1 }), "unknown field `exit`"),
            (json!({ "takes": "soon" }), "is no duration"),
            (json!({ "stdout": { "print": 1 } }), "unknown variant `print`"),
            (json!({ "does": [{ "explode": {} }] }), "unknown variant `explode`"),
            (json!({ "does": [{ "set": { "resource": "main", "to": {} } }] }), "kind/name"),
            (json!({ "does": [{ "object": { "manifest": { "kind": "Pod" } } }] }), "it has no apiVersion"),
        ] {
            let error = Told::read(&answer).unwrap_err();
            assert!(error.contains(said), "{answer}: {error}");
        }
        assert_eq!(Told::read(&Value::Null), Ok(Told::default()));
    }
}
