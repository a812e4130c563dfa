//! `muster new`.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::render::brief::shell_word;
use crate::playbook::bundle::TESTS;
use crate::playbook::{schema, schema_trial};

/// Make a new playbook: a folder with one that is valid and runs.
///
/// The folder is made in ./playbooks if there is one, else here.
///
/// Example: muster new restore-billing
#[derive(clap::Args)]
pub struct Args {
    /// Its name: small letters, digits and dashes.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Does it.
///
/// # Errors
/// When the name is none, or there is something of that name already.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let name = &args.name;
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.len() <= 60;
    if !fits {
        return Err(Failure::user(format!("`{name}` cannot be a playbook's name"))
            .hint("begin with a small letter; then small letters, digits and dashes, 60 at most"));
    }
    let parent = if Path::new("playbooks").is_dir() { PathBuf::from("playbooks") } else { PathBuf::new() };
    let folder = parent.join(name);
    let place = folder.display().to_string();
    let fail = |act: &str, error: &std::io::Error| Failure::user(format!("cannot {act} {place}: {error}"));
    std::fs::create_dir(&folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::user(format!("there is a `{place}` already")),
        _ => fail("make", &error),
    })?;
    let schema = serde_json::to_string_pretty(&schema::schema(crate::ops::table().keys().copied()))
        .map_err(|error| Failure::user(format!("cannot write the schema: {error}")))?;
    let tests_schema = serde_json::to_string_pretty(&schema_trial::schema(crate::ops::table().keys().copied()))
        .map_err(|error| Failure::user(format!("cannot write the schema: {error}")))?;
    std::fs::create_dir(folder.join(TESTS)).map_err(|error| fail("make a folder in", &error))?;
    let files = [
        ("world.yaml", WORLD.replace("NAME", name)),
        ("tests/recovery.yaml", TEST.replace("NAME", name)),
        ("tests/tests.schema.json", tests_schema + "\n"),
        ("playbook.yaml", PLAYBOOK.replace("NAME", name)),
        ("README.md", README.replace("NAME", name)),
        ("playbook.schema.json", schema + "\n"),
    ];
    for (file, text) in files {
        std::fs::write(folder.join(file), text).map_err(|error| fail("write into", &error))?;
    }
    let word = shell_word(&format!("./{place}"));
    context.printer.result(&format!(
        "{place}/playbook.yaml\n\n  muster lint {word}\n  muster test {word}\n  muster plan {word}\n  muster run {word}\n  muster drill {word}\n"
    ))?;
    Ok(Code::Done)
}

const PLAYBOOK: &str = r#"# yaml-language-server: $schema=./playbook.schema.json
muster: 1
name: NAME
version: 0.1.0
title: Recover something, and prove that it works again
doc: |
  What it recovers, from what, and what who runs it has to know.
objectives: { rto: 1h, rpo: 24h }
params:
  folder: { type: path, default: ".", doc: Where the note of the recovery is left }
  pace: { type: duration, default: 1s, doc: How long to wait before the proof }
# What the playbook may do, and to what. `muster ops` lists the operations.
capabilities:
  - log.info
  - time.sleep
  - fs.stat
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: look
    title: Look at what is there
    script: |
      let before = host::fs::stat(params.folder);
      host::log::info("recovering into " + params.folder);
      #{ kind: before.kind, note: params.folder + "/NAME-" + run.short_id + ".txt" }

  - id: recover
    title: Do it; Muster knows how to undo this
    needs: [look]
    uses: fs.write_text
    with: { path: "${steps.look.note}", text: "recovered by ${run.id}\n" }
    verify: host::fs::stat(steps.look.note).exists

  - id: settle
    title: Give it a moment
    needs: [recover]
    uses: time.sleep
    with: { duration: "${params.pace}" }

  - id: prove
    title: Prove that it works again
    needs: [settle, look]
    on_failure: rollback
    script: |
      let note = host::fs::stat(steps.look.note);
      if note.bytes == 0 {
          throw "the note is empty";
      }
      // When the newest data that came back were written: told by the data, not by the age of a backup.
      #{ bytes: note.bytes, newest: note.modified }

# `muster drill NAME` does all this in isolation, measures it against the objectives, and takes down what it made.
drill:
  proof: prove
  measure: { rpo: steps.prove.newest }
"#;

const WORLD: &str = r#"# The world in which NAME is rehearsed: `muster run NAME --sandbox`, `muster world show --playbook NAME`.
# Everything a playbook can meet can stand here: files, containers, volumes, databases, endpoints.
params:
  folder: /srv/recovered
files:
  /srv/recovered:
"#;

const TEST: &str = r#"# yaml-language-server: $schema=./tests.schema.json
# `muster test` runs these.
muster_tests: 1
tests:
  - name: leaves a note of the recovery
    expect:
      exit: 0
      effects: [fs.write_text: { path: /srv/recovered/NAME-*.txt }]
      world: { files: { /srv/recovered/NAME-*.txt: { contains: recovered by } } }

  - name: a note that cannot be written pauses the run, and leaves nothing behind
    fail: { op: fs.write_text, message: "disk is full" }
    expect:
      exit: 7
      pauses: { step_failed: recover }
      world: { unchanged: true }
"#;

const README: &str = "# NAME

What it recovers, from what, how long that may take, and whom to call.

```sh
muster test NAME      # tests/*.yaml, in the sandbox of world.yaml
muster plan NAME      # what it would do
muster run NAME       # do it
muster drill NAME     # the same in isolation: measured, and cleaned up
```

`muster lint` checks it; `muster ops` lists what it can use. Its editor support comes from `playbook.schema.json` and
`tests/tests.schema.json`, which `muster schema` and `muster schema --tests` print anew after an upgrade.
";
