//! `muster export`.

use std::path::PathBuf;

use crate::access::Act;
use crate::cli::args::{RunArg, words};
use crate::cli::commands::audit::{key_of, write};
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;

/// Put a run into a file that another machine can go on with.
///
/// Journal, playbook, plans and what stands beside the store; secrets are named, never in it. With --release this store refuses to go on
/// with the run from then on, so that only one does. Without, the file is a copy for the day when this store is gone: whoever adopts it
/// has to say so.
///
/// Example: muster export 7k3f9q --out run.tar --release 'this machine is being shut down'
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Go on with it no more here, and why.
    #[arg(long, value_name = "REASON", value_parser = words)]
    release: Option<String>,
}

/// Does it.
///
/// # Errors
/// When there is no such run, it has ended, somebody holds it and it is to be released, or the file cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = context.app()?;
    let head = context::head_of(app.store.as_ref(), &args.on.run)?;
    let key = key_of(&app.store)?;
    context.take_away(context.store()?, Act::TakeAlong, Some(&head.playbook), &format!("run {}", head.run))?;
    let exported = app.export(&head.run, args.release.as_deref(), &app.settings.actor, &key)?;
    write(&args.out, &exported.bytes).map_err(|failure| match &args.release {
        Some(_) => {
            failure.hint("the run is released all the same: give the command again with a file that can be written")
        }
        None => failure,
    })?;
    let note = &exported.note;
    let mut text = format!(
        "{}: run {} of {} {}, {}\nsigned with {}\n",
        args.out.display(),
        head.run,
        head.playbook,
        head.version,
        if note.released {
            "released: this store does not go on with it"
        } else {
            "a copy: this store may go on with it"
        },
        key.public()
    );
    for secret in &note.secrets {
        text.push_str(&format!("needs {secret}\n"));
    }
    if note.sealed > 0 {
        let key = app.settings.side_folder().join("key");
        text.push_str(&format!(
            "needs the key of this store for {} sealed in it: {} is to be put beside the other store before its first use\n",
            crate::evidence::words::count(note.sealed, "literal secret"),
            key.display()
        ));
    }
    for missing in &note.missing {
        text.push_str(&format!("not in it: {missing}\n"));
    }
    context.printer.result(&text)?;
    context.printer.note(&format!("  hint: muster adopt {} --key {}", args.out.display(), key.public()));
    Ok(Code::Done)
}
