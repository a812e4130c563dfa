//! `muster run`.

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::foreground::{self, Manner, Screen, Watching};
use crate::cli::given::PlaybookArgs;

/// Run a playbook, step by step, with every step of the way on disk.
///
/// When it waits for a person it prints what can be said and ends with code 7; `muster resume` carries it on. Ctrl-C parks it
/// politely, a second one lets go at once; nothing is lost either way.
///
/// Example: muster run omnichat-backup -p deployment=/srv/omnichat -p backup_dir=/var/backups/omnichat
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: PlaybookArgs,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// When the playbook or its parameters are invalid, or the engine cannot go on.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = foreground::app(context)?;
    let given = args.what.params.read(context.printer)?;
    let start = app.prepare(&args.what.playbook, &given)?;
    let screen = Screen::new(context, args.manner, &start.bundle.playbook);
    let session = app.start(&start, Watching::from(&screen, 0))?;
    foreground::drive(context, &app, session, &screen, args.manner)
}
