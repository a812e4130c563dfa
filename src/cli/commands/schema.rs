//! `muster schema`.

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::playbook::{schema, schema_trial};

/// Print the JSON Schema of playbooks, for editors.
///
/// An editor with a YAML language server uses it if the first line of playbook.yaml says
/// `# yaml-language-server: $schema=./playbook.schema.json`, as `muster new` writes it.
///
/// Example: muster schema > playbook.schema.json
#[derive(clap::Args)]
pub struct Args {
    /// The schema of `tests/*.yaml` instead, which `muster test` runs.
    #[arg(long)]
    tests: bool,
}

/// Does it.
///
/// # Errors
/// When nobody reads it.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let operations = crate::ops::table().keys().copied();
    let schema = if args.tests { schema_trial::schema(operations) } else { schema::schema(operations) };
    context.printer.json(&schema)?;
    Ok(Code::Done)
}
