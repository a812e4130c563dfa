//! `muster schema`.

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::playbook::schema;

/// Print the JSON Schema of playbooks, for editors.
///
/// An editor with a YAML language server uses it if the first line of playbook.yaml says
/// `# yaml-language-server: $schema=./playbook.schema.json`, as `muster new` writes it.
///
/// Example: muster schema > playbook.schema.json
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
///
/// # Errors
/// When nobody reads it.
pub fn run(_args: &Args, context: &Context) -> Result<Code, Failure> {
    context.printer.json(&schema::schema(crate::ops::table().keys().copied()))?;
    Ok(Code::Done)
}
