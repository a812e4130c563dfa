//! `muster ops`.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::model::Value;
use crate::model::amount::format_duration;
use crate::ops::spec::{Backend, Effect, Repeat};
use crate::ops::{OpEntry, table};
use crate::playbook::diagnostic::likely;

/// Form of the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs, with the whole JSON Schemas.
    Json,
    /// For a page of documentation.
    Markdown,
}

/// Print the reference of the operations that playbooks can use.
///
/// Without a name, a line an operation; with the name of an operation or a family, everything about it.
///
/// Example: muster ops pg.restore
#[derive(clap::Args)]
pub struct Args {
    /// An operation (`pg.restore`) or a family (`pg`).
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Form of the reference.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Form,
}

/// Does it.
///
/// # Errors
/// When there is no such operation.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let wanted = args.name.as_deref();
    let entries: Vec<&OpEntry> = table()
        .values()
        .filter(|entry| wanted.is_none_or(|name| entry.name == name || entry.family() == name))
        .collect();
    if let (true, Some(name)) = (entries.is_empty(), wanted) {
        let failure = Failure::user(format!("there is no operation or family `{name}`"));
        return Err(match likely(name, table().keys().copied()) {
            Some(name) => failure.hint(format!("did you mean `{name}`?")),
            None => failure.hint("`muster ops` lists them all"),
        });
    }
    let printer = context.printer;
    match args.output {
        Form::Json => printer.json(&entries.iter().map(|entry| as_json(entry)).collect::<Vec<Value>>())?,
        Form::Markdown => printer.result(&entries.iter().map(|entry| as_markdown(entry)).collect::<String>())?,
        Form::Table if wanted.is_none() => printer.result(&list(&entries, printer))?,
        Form::Table => {
            let pages: Vec<String> = entries.iter().map(|entry| page(entry, printer)).collect();
            printer.result(&pages.join("\n"))?;
        }
    }
    Ok(Code::Done)
}

fn list(entries: &[&OpEntry], printer: Printer) -> String {
    let mut table = Table::new(&["OPERATION", "EFFECT", "WHAT IT DOES"]);
    for entry in entries {
        table.row([entry.name.to_owned(), effect(entry.effect).to_owned(), entry.doc.to_owned()]);
    }
    table.print(0, |heading| printer.heading(heading))
}

/// What is said of an operation besides arguments and result: label and text.
fn facts(entry: &OpEntry) -> Vec<(&'static str, String)> {
    let mut facts = vec![("effect", effect(entry.effect).to_owned())];
    if !entry.permission.is_empty() {
        facts.push(("needs", entry.permission.to_owned()));
    }
    if let Backend::Write(write) = &entry.backend {
        facts.push(("in doubt", write.probe_doc.to_owned()));
        facts.push(("repeat", repeat(write.repeat).to_owned()));
        facts.push(("undo", write.undo_doc.to_owned()));
    }
    facts.push(("typically", format_duration(entry.typical)));
    facts
}

fn page(entry: &OpEntry, printer: Printer) -> String {
    let mut text = format!("{}\n  {}\n\n", printer.out.paint(Tone::Strong, entry.name), entry.doc);
    for (label, fact) in facts(entry) {
        text.push_str(&format!("  {label:<10} {fact}\n"));
    }
    for (title, schema) in [("Arguments", (entry.args_schema)()), ("Result", (entry.output_schema)())] {
        text.push_str(&format!("\n  {}\n", printer.heading(title)));
        let mut table = Table::new(&["", "", "", ""]);
        for field in fields(&schema) {
            let must = if title == "Arguments" && field.required { "required" } else { "" };
            table.row([field.name, field.kind, must.to_owned(), field.doc]);
        }
        text.push_str(&if table.is_empty() {
            format!("    {}\n", kind(&schema, &schema))
        } else {
            table.print(4, str::to_owned)
        });
    }
    text.push_str(&format!("\n  {}\n    {}\n", printer.heading("In a playbook"), example(entry)));
    text
}

fn as_markdown(entry: &OpEntry) -> String {
    let mut text = format!("## `{}`\n\n{}\n\n", entry.name, entry.doc);
    for (label, fact) in facts(entry) {
        text.push_str(&format!("- **{label}**: {fact}\n"));
    }
    for (title, schema) in [("Arguments", (entry.args_schema)()), ("Result", (entry.output_schema)())] {
        let fields = fields(&schema);
        if fields.is_empty() {
            text.push_str(&format!("\n{title}: {}\n", kind(&schema, &schema)));
            continue;
        }
        text.push_str(&format!("\n| {title} | type | |\n| --- | --- | --- |\n"));
        for field in fields {
            let must = if title == "Arguments" && !field.required { "optional. " } else { "" };
            let cell = |text: &str| text.replace('|', "\\|");
            text.push_str(&format!("| `{}` | {} | {must}{} |\n", field.name, cell(&field.kind), cell(&field.doc)));
        }
    }
    text + "\n"
}

fn as_json(entry: &OpEntry) -> Value {
    let write = match &entry.backend {
        Backend::Write(write) => json!({
            "repeat": write.repeat, "probe": write.probe_doc, "undo": write.undo_doc,
        }),
        _ => Value::Null,
    };
    json!({
        "name": entry.name,
        "doc": entry.doc,
        "effect": entry.effect,
        "revision": entry.revision,
        "permission": entry.permission,
        "typical_ms": u64::try_from(entry.typical.as_millis()).unwrap_or(u64::MAX),
        "write": write,
        "arguments": (entry.args_schema)(),
        "result": (entry.output_schema)(),
    })
}

struct Field {
    name: String,
    kind: String,
    required: bool,
    doc: String,
}

fn fields(schema: &Value) -> Vec<Field> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let mut all: Vec<Field> = properties
        .iter()
        .map(|(name, field)| Field {
            name: name.clone(),
            kind: kind(field, schema),
            required: required.contains(&name.as_str()),
            doc: described(field, schema),
        })
        .collect();
    // Required ones first; otherwise as sorted by name.
    all.sort_by_key(|field| !field.required);
    all
}

fn described(field: &Value, root: &Value) -> String {
    let own = |value: &Value| value.get("description").and_then(Value::as_str).map(|text| text.replace('\n', " "));
    let mut text = own(field).or_else(|| referred(field, root).and_then(own)).unwrap_or_default();
    if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
        text.push_str(&format!(" (default {default})"));
    }
    text
}

fn referred<'s>(field: &Value, root: &'s Value) -> Option<&'s Value> {
    let path = field.get("$ref").and_then(Value::as_str)?.strip_prefix('#')?;
    root.pointer(path)
}

/// A JSON Schema in a word: `text`, `list of text`, `map`, `one of file, dir`.
fn kind(field: &Value, root: &Value) -> String {
    if let Some(target) = referred(field, root) {
        return kind(target, root);
    }
    let word = |name: &str| {
        match name {
            "string" => "text",
            "integer" => "int",
            "boolean" => "bool",
            "array" => "list",
            "object" => "map",
            "null" => "()",
            other => other,
        }
        .to_owned()
    };
    if let Some(options) = field.get("enum").and_then(Value::as_array) {
        let options: Vec<String> =
            options.iter().map(|option| option.as_str().map_or(option.to_string(), str::to_owned)).collect();
        return format!("one of {}", options.join(", "));
    }
    if let Some(constant) = field.get("const") {
        return constant.to_string();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = field.get(key).and_then(Value::as_array) {
            let mut names: Vec<String> = Vec::new();
            for option in options {
                let name = kind(option, root);
                if name != "()" && !names.contains(&name) {
                    names.push(name);
                }
            }
            return names.join(" or ");
        }
    }
    let name = match field.get("type") {
        Some(Value::String(name)) => word(name),
        Some(Value::Array(names)) => {
            let names: Vec<String> =
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(word).collect();
            names.join(" or ")
        }
        _ => return "any".to_owned(),
    };
    if name == "list" {
        let of = field.get("items").map(|items| kind(items, root)).unwrap_or_default();
        return if of.is_empty() || of == "any" { name } else { format!("list of {of}") };
    }
    if name == "map"
        && let Some(of) = field.get("additionalProperties").filter(|of| of.is_object())
    {
        return format!("map of {}", kind(of, root));
    }
    name
}

fn example(entry: &OpEntry) -> String {
    let schema = (entry.args_schema)();
    let required: Vec<String> =
        fields(&schema).into_iter().filter(|field| field.required).map(|field| field.name).collect();
    let family = entry.family();
    let function = entry.function();
    if required.is_empty() {
        return format!("host::{family}::{function}()");
    }
    let args: Vec<String> = required.iter().map(|name| format!("{name}: …")).collect();
    format!("host::{family}::{function}(#{{ {} }})", args.join(", "))
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Value => "value",
        Effect::Read => "read",
        Effect::Wait => "wait",
        Effect::Ask => "ask",
        Effect::Log => "log",
        Effect::Create => "create",
        Effect::Update => "update",
        Effect::Delete => "delete",
        Effect::Exec => "exec",
    }
}

fn repeat(repeat: Repeat) -> &'static str {
    match repeat {
        Repeat::Safe => "sending it again changes nothing",
        Repeat::Keyed => "the server refuses the second use of a key",
        Repeat::Probe => "only after the world has said that it was not done",
        Repeat::Never => "never without a person",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_page_in_every_form() {
        let printer = Printer::plain();
        for entry in table().values() {
            assert!(page(entry, printer).contains(entry.doc), "{}", entry.name);
            assert!(as_markdown(entry).starts_with(&format!("## `{}`", entry.name)));
            assert_eq!(as_json(entry)["name"], entry.name);
        }
    }

    #[test]
    fn a_schema_is_told_in_a_word() {
        let root = json!({"$defs": {"Server": {"type": "object"}}});
        let word = |field: Value| kind(&field, &root);
        assert_eq!(word(json!({"type": ["string", "null"]})), "text");
        assert_eq!(word(json!({"type": "array", "items": {"type": "string"}})), "list of text");
        assert_eq!(word(json!({"$ref": "#/$defs/Server"})), "map");
        assert_eq!(word(json!({"anyOf": [{"type": "integer"}, {"type": "null"}]})), "int");
    }
}
