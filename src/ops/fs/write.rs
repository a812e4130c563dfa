//! Writing files: text, JSON, copies. All three put one file in place, and differ in what they fill it with.

use std::fs::File;
use std::io::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{must_be_file, resource_of};
use super::marked::Mark;
use super::placement::{self, Filled};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{Digested, Timed, absolute, cannot, copy_digesting, digest_bytes};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

const PROBE_DOC: &str =
    "device, inode and SHA-256 of the file, against a mark left beside it before it was put in place";
const UNDO_DOC: &str = "fs.restore_before: the file that was there, with its mode and owner, or none";

/// What was written.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
}

impl Written {
    fn at(path: &str, mark: Mark) -> Self {
        Self { path: path.to_owned(), bytes: mark.bytes, sha256: mark.sha256 }
    }

    fn predicted(path: &str, digested: &Digested) -> Predicted {
        Predicted::Result(json!({ "path": path, "bytes": digested.bytes, "sha256": digested.sha256 }))
    }
}

/// `0600` and the like.
pub(in crate::ops) fn mode_of(text: Option<&str>) -> Result<Option<u32>, OpError> {
    let wrong = |text: &str| {
        OpError::refused(format!("`{text}` is not a file mode")).with_hint("write it in octal, as a text: \"0640\"")
    };
    match text {
        None => Ok(None),
        Some(text) if text.is_empty() || text.len() > 4 => Err(wrong(text)),
        Some(text) => u32::from_str_radix(text, 8).map(Some).map_err(|_| wrong(text)),
    }
}

fn found_at(context: &ReadContext<'_>, path: &str) -> Result<Found<Written>, OpError> {
    Ok(match placement::found(context, absolute(path)?)? {
        Found::Done(mark) => Found::Done(Written::at(path, mark)),
        Found::NotDone => Found::NotDone,
        Found::Running(progress) => Found::Running(progress),
        Found::Partial(what) => Found::Partial(what),
        Found::Failed(error) => Found::Failed(error),
        Found::CannotTell(why) => Found::CannotTell(why),
    })
}

fn before_image(path: &str, mode: Option<&str>, replace: bool, source_bytes: Option<u64>) -> Result<Value, OpError> {
    mode_of(mode)?;
    let before = placement::Before { source_bytes, ..placement::look(absolute(path)?, replace)? };
    serde_json::to_value(before).map_err(|e| OpError::refused(format!("cannot write down what is at {path}: {e}")))
}

/// Puts a text in place.
fn put_text(context: &WriteContext<'_>, path: &str, mode: Option<&str>, text: &str) -> Result<Send<Written>, OpError> {
    let target = absolute(path)?;
    let mark = placement::put(context, target, mode_of(mode)?, |file: &mut File| -> Filled {
        file.write_all(text.as_bytes()).map_err(|e| cannot("write", target, &e))?;
        Ok((digest_bytes(text.as_bytes()), 0))
    })?;
    Ok(Send::Done(Written::at(path, mark)))
}

/// `fs.write_text`.
pub struct WriteText;

/// What to write.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteTextArgs {
    /// The file, absolute.
    pub path: String,
    /// Its whole text.
    pub text: String,
    /// Its mode, in octal: `"0640"`. When absent, that of the file it replaces, or else `"0600"`.
    pub mode: Option<String>,
    /// Whether it may replace a file.
    #[serde(default)]
    pub replace: bool,
}

impl Operation for WriteText {
    const NAME: &'static str = "fs.write_text";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "writes a text file";
    const PERMISSION: &'static str = "write in the folder";
    type Args = WriteTextArgs;
    type Output = Written;

    fn resource(args: &WriteTextArgs) -> String {
        resource_of(&args.path)
    }

    fn touches(args: &WriteTextArgs, before: &Value) -> Vec<Touch> {
        placement::touches(&args.path, before)
    }
}

impl Write for WriteText {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = PROBE_DOC;
    const UNDO_DOC: &'static str = UNDO_DOC;

    fn before(_: &ReadContext<'_>, args: &WriteTextArgs) -> Result<Value, OpError> {
        before_image(&args.path, args.mode.as_deref(), args.replace, None)
    }

    fn send(context: &WriteContext<'_>, args: WriteTextArgs) -> Result<Send<Written>, OpError> {
        put_text(context, &args.path, args.mode.as_deref(), &args.text)
    }

    fn probe(context: &ReadContext<'_>, args: &WriteTextArgs) -> Result<Found<Written>, OpError> {
        found_at(context, &args.path)
    }

    fn undo(args: &WriteTextArgs, before: &Value, key: &str) -> Undo {
        placement::undo(&args.path, before, key)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &WriteTextArgs, _: &Written) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.path)?)
    }

    fn predict(args: &WriteTextArgs, _: &Value, _: &str) -> Predicted {
        Written::predicted(&args.path, &digest_bytes(args.text.as_bytes()))
    }

    fn release(context: &WriteContext<'_>, args: &WriteTextArgs) {
        placement::release(context, &args.path);
    }
}

/// `fs.write_json`.
pub struct WriteJson;

/// What to write.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteJsonArgs {
    /// The file, absolute.
    pub path: String,
    /// What it is to hold: any value, without secrets.
    pub value: Value,
    /// Its mode, in octal: `"0640"`. When absent, that of the file it replaces, or else `"0600"`.
    pub mode: Option<String>,
    /// Whether it may replace a file.
    #[serde(default)]
    pub replace: bool,
}

/// Indented, keys sorted, with a line end: equal values make equal files.
fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}

impl Operation for WriteJson {
    const NAME: &'static str = "fs.write_json";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "writes a JSON file, indented and with sorted keys";
    const PERMISSION: &'static str = "write in the folder";
    type Args = WriteJsonArgs;
    type Output = Written;

    fn resource(args: &WriteJsonArgs) -> String {
        resource_of(&args.path)
    }

    fn touches(args: &WriteJsonArgs, before: &Value) -> Vec<Touch> {
        placement::touches(&args.path, before)
    }
}

impl Write for WriteJson {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = PROBE_DOC;
    const UNDO_DOC: &'static str = UNDO_DOC;

    fn before(_: &ReadContext<'_>, args: &WriteJsonArgs) -> Result<Value, OpError> {
        before_image(&args.path, args.mode.as_deref(), args.replace, None)
    }

    fn send(context: &WriteContext<'_>, args: WriteJsonArgs) -> Result<Send<Written>, OpError> {
        put_text(context, &args.path, args.mode.as_deref(), &json_text(&args.value))
    }

    fn probe(context: &ReadContext<'_>, args: &WriteJsonArgs) -> Result<Found<Written>, OpError> {
        found_at(context, &args.path)
    }

    fn undo(args: &WriteJsonArgs, before: &Value, key: &str) -> Undo {
        placement::undo(&args.path, before, key)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &WriteJsonArgs, _: &Written) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.path)?)
    }

    fn predict(args: &WriteJsonArgs, _: &Value, _: &str) -> Predicted {
        Written::predicted(&args.path, &digest_bytes(json_text(&args.value).as_bytes()))
    }

    fn release(context: &WriteContext<'_>, args: &WriteJsonArgs) {
        placement::release(context, &args.path);
    }
}

/// `fs.copy`.
pub struct Copy;

/// What to copy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyArgs {
    /// The file to copy, absolute.
    pub from: String,
    /// The file to make, absolute.
    pub to: String,
    /// Its mode, in octal: `"0640"`. When absent, that of the file it replaces, or else `"0600"`.
    pub mode: Option<String>,
    /// Whether it may replace a file.
    #[serde(default)]
    pub replace: bool,
}

impl Operation for Copy {
    const NAME: &'static str = "fs.copy";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "copies a file";
    const PERMISSION: &'static str = "read the file, write in the folder";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(1);
    type Args = CopyArgs;
    type Output = Written;

    fn resource(args: &CopyArgs) -> String {
        resource_of(&args.to)
    }

    fn touches(args: &CopyArgs, before: &Value) -> Vec<Touch> {
        placement::touches(&args.to, before)
    }
}

impl Write for Copy {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = PROBE_DOC;
    const UNDO_DOC: &'static str = UNDO_DOC;

    fn before(_: &ReadContext<'_>, args: &CopyArgs) -> Result<Value, OpError> {
        let source = must_be_file(absolute(&args.from)?)?;
        before_image(&args.to, args.mode.as_deref(), args.replace, Some(source.len()))
    }

    fn send(context: &WriteContext<'_>, args: CopyArgs) -> Result<Send<Written>, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        must_be_file(from)?;
        let mark = placement::put(context, to, mode_of(args.mode.as_deref())?, |file| {
            let source = File::open(from).map_err(|e| cannot("read", from, &e))?;
            let mut source = Timed::new(source, &context.read);
            let copied = copy_digesting(&mut source, file);
            Ok((copied.map_err(|e| cannot(&format!("copy {} to", from.display()), to, &e))?, 0))
        })?;
        Ok(Send::Done(Written::at(&args.to, mark)))
    }

    fn probe(context: &ReadContext<'_>, args: &CopyArgs) -> Result<Found<Written>, OpError> {
        found_at(context, &args.to)
    }

    fn undo(args: &CopyArgs, before: &Value, key: &str) -> Undo {
        placement::undo(&args.to, before, key)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &CopyArgs, _: &Written) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.to)?)
    }

    fn predict(args: &CopyArgs, before: &Value, _: &str) -> Predicted {
        let why = "the file is read when the step runs";
        let bytes = before.get("source_bytes").filter(|bytes| bytes.is_u64()).cloned();
        Predicted::Result(json!({
            "path": args.to, "bytes": bytes.unwrap_or_else(|| unknown(why)), "sha256": unknown(why),
        }))
    }

    fn release(context: &WriteContext<'_>, args: &CopyArgs) {
        placement::release(context, &args.to);
    }
}
