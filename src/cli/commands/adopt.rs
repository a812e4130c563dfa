//! `muster adopt`.

use std::path::PathBuf;

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::cli::args::words;
use crate::cli::commands::audit::{bytes_of, pinned};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::evidence::handover::signer;

/// Take over a run that another machine put into a file.
///
/// The file is checked to the last byte before anything of it is believed; --key says whose signature it has to bear, since what is in it
/// will be run here. `muster resume` then goes on with the run, which says in its record where it came from.
///
/// Example: muster adopt run.tar --key muster.pub
///
/// Example: muster adopt copy.tar --key muster.pub --take-over 'the data centre is gone'
#[derive(clap::Args)]
pub struct Args {
    /// The file that `muster export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose signature it has to bear: a public key, or a file with one.
    #[arg(long, value_name = "PUBLICKEY|FILE")]
    key: Option<String>,
    /// Take it though it was not released, and why the other store will not go on with it: nothing can keep that from doing so.
    #[arg(long, value_name = "REASON", value_parser = words)]
    take_over: Option<String>,
}

/// Does it.
///
/// # Errors
/// When the file is not what was exported, was not released, or the run is here already.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let bytes = bytes_of(&args.file)?;
    let damaged = |what: String| {
        Failure::new(Kind::NeedsPerson, format!("{} is not the run that was exported: {what}", args.file.display()))
            .hint("bring it over again from where it was exported")
    };
    let Some(key) = &args.key else {
        let signer = signer(&bytes).map_err(|error| damaged(error.to_string()))?;
        return Err(Failure::user("a run is not taken over without knowing who signed it")
            .hint(format!(
                "its fingerprint is {}; if that is the store's (`muster audit key` there), add",
                signer.fingerprint()
            ))
            .hint(format!("--key {signer}")));
    };
    let key = pinned(key)?;
    let app = context.app()?;
    let desk = context.desk(context.store()?);
    let deed =
        Deed::done(Act::Adopt.name(), format!("file {}", args.file.display())).with("signed by", key.to_string());
    desk.permit(&context.identity(), Act::Adopt, &Subject::Whole, deed, context.now())?;
    let arrived = app.adopt(&bytes, &key, args.take_over.as_deref(), &app.settings.actor)?;
    let (run, note) = (&arrived.run, &arrived.note);
    let playbook = &arrived.bundle.playbook;
    let mut text =
        format!("run {run} of {} {} is here: {}", playbook.name.value, playbook.version.value, note.status.as_str());
    text.push_str(&if note.detail.is_empty() { "\n".to_owned() } else { format!(", {}\n", note.detail) });
    for secret in &note.secrets {
        text.push_str(&format!("needs {secret}\n"));
    }
    for missing in &note.missing {
        text.push_str(&format!("did not come with it: {missing}\n"));
    }
    context.printer.result(&text)?;
    if note.sealed > 0 {
        context.printer.warn("it has literal secrets that are sealed with the key of the store it comes from; without that key they cannot be read");
    }
    if !note.released {
        context
            .printer
            .warn("the store it comes from does not know: should it come back, cancel the run there before it goes on");
    }
    context.printer.note(&format!("  hint: muster resume {}", run.short()));
    Ok(Code::Done)
}
