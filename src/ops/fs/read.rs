//! Reading what files hold: text, JSON, `.env`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{PathArgs, must_be_file, resource_of};
use crate::model::Value;
use crate::model::amount::format_size;
use crate::model::fault::OpError;
use crate::model::secret::HANDLE_KEY;
use crate::ops::context::ReadContext;
use crate::ops::dotenv;
use crate::ops::files::{absolute, cannot};
use crate::ops::spec::{Effect, Operation, Read};

/// What a script may hold.
const USUAL_MAX: u64 = 64 << 10;
/// What is ever read whole.
const LARGEST: u64 = 16 << 20;

fn read_whole(path: &str, max: u64) -> Result<String, OpError> {
    let path = absolute(path)?;
    must_be_file(path)?;
    let failed = |e: std::io::Error| cannot("read", path, &e);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > max {
        let size = path.metadata().map_or(0, |meta| meta.len());
        return Err(too_large(path, size.max(max + 1), max));
    }
    String::from_utf8(bytes)
        .map_err(|_| OpError::failed(format!("cannot read {}: it is not UTF-8 text", path.display())))
}

fn too_large(path: &Path, size: u64, max: u64) -> OpError {
    OpError::failed(format!(
        "cannot read {}: it is {} large, and at most {} are read",
        path.display(),
        format_size(size),
        format_size(max)
    ))
    .with_hint("large files go from file to file: `fs.copy`, `fs.sha256`")
}

/// `fs.read_text`.
pub struct ReadText;

/// What to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadTextArgs {
    /// The file, absolute.
    pub path: String,
    /// How many bytes it may have at most; 64 KiB when absent.
    pub max: Option<u64>,
}

/// A text.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct TextOutput {
    /// The whole text.
    pub text: String,
}

impl Operation for ReadText {
    const NAME: &'static str = "fs.read_text";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads a small text file";
    const PERMISSION: &'static str = "read the file";
    type Args = ReadTextArgs;
    type Output = TextOutput;

    fn resource(args: &ReadTextArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for ReadText {
    fn read(_: &ReadContext<'_>, args: ReadTextArgs) -> Result<TextOutput, OpError> {
        Ok(TextOutput { text: read_whole(&args.path, args.max.unwrap_or(USUAL_MAX).min(LARGEST))? })
    }
}

/// `fs.read_json`.
pub struct ReadJson;

impl Operation for ReadJson {
    const NAME: &'static str = "fs.read_json";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads a JSON file of at most 16 MiB";
    const PERMISSION: &'static str = "read the file";
    type Args = PathArgs;
    type Output = Value;

    fn resource(args: &PathArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for ReadJson {
    fn read(_: &ReadContext<'_>, args: PathArgs) -> Result<Value, OpError> {
        let text = read_whole(&args.path, LARGEST)?;
        serde_json::from_str(&text).map_err(|e| {
            // The error tells line, column and kind, and quotes nothing of the text.
            OpError::failed(format!("cannot read {} as JSON: {e}", args.path))
        })
    }
}

/// `fs.dotenv`.
pub struct Dotenv;

/// What to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DotenvArgs {
    /// The `.env` file, absolute.
    pub path: String,
    /// The keys whose values are no secrets.
    #[serde(default)]
    pub plain: Vec<String>,
}

/// What a `.env` file holds.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct DotenvOutput {
    /// The text of each plain key, and a secret's handle for each other one.
    pub values: BTreeMap<String, Value>,
    /// All keys, sorted.
    pub keys: Vec<String>,
}

impl Operation for Dotenv {
    const NAME: &'static str = "fs.dotenv";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads a `.env` file; values are secrets unless they are declared plain";
    const PERMISSION: &'static str = "read the file";
    type Args = DotenvArgs;
    type Output = DotenvOutput;

    fn resource(args: &DotenvArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for Dotenv {
    fn read(context: &ReadContext<'_>, args: DotenvArgs) -> Result<DotenvOutput, OpError> {
        let text = read_whole(&args.path, LARGEST).map_err(|error| match Path::new(&args.path).exists() {
            true => error,
            false => error.with_hint("restore the configuration first, or put the file there"),
        })?;
        let parsed =
            dotenv::parse(&text).map_err(|what| OpError::failed(format!("cannot read {}: {what}", args.path)))?;
        let keys = parsed.keys().cloned().collect();
        let mut values = BTreeMap::new();
        for (key, text) in parsed {
            let value = if args.plain.contains(&key) {
                Value::String(text)
            } else {
                context.secrets.redactor().learn(&text);
                json!({ HANDLE_KEY: { "provider": "dotenv", "path": args.path, "key": key } })
            };
            values.insert(key, value);
        }
        Ok(DotenvOutput { values, keys })
    }
}
