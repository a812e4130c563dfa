//! `muster run`.

use crate::cli::context::{self, Context};
use crate::cli::drive::{self, Watch};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::ParamArgs;
use crate::cli::sandbox::{FaultArgs, WorldArgs};

/// Run a playbook.
///
/// Every effect is recorded before and after it is sent: a crash loses nothing, and `muster resume` goes on. When a step
/// fails or waits for approval the run pauses, prints what can be done, and exits with 7. Ctrl-C parks the run politely;
/// once more stops at once.
///
/// Example: muster run omnichat-restore -p deployment=/srv/omnichat -p backup_dir=/var/backups/omnichat
#[derive(clap::Args)]
#[command(after_help = "`muster plan` shows what a run would do. `muster exit-codes` says how it can end.")]
pub struct Args {
    /// The playbook: its folder, its name in ./playbooks, or the name of a shipped one.
    #[arg(value_name = "PLAYBOOK")]
    playbook: String,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    faults: FaultArgs,
    #[command(flatten)]
    watch: Watch,
}

/// Does it.
///
/// # Errors
/// When the playbook or its parameters are not valid, or the engine cannot go on.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let given = args.params.given(context.printer)?;
    let app = context.app()?;
    if args.world.sandbox {
        let world = app
            .world_of(&args.playbook, args.world.world.as_deref())
            .map_err(|error| context.printer.explain(error))?;
        let start = app.prepare_in(&args.playbook, given, &world).map_err(|error| context.printer.explain(error))?;
        let (view, hook, yes) = (context::outline_of(&start.bundle), args.faults.hook()?, args.faults.yes);
        return drive::follow(context, &app, view, 0, args.watch, |app, observer| {
            app.start_in(&start, world, hook, yes, observer)
        });
    }
    let start = app.prepare(&args.playbook, &given).map_err(|error| context.printer.explain(error))?;
    let view = context::outline_of(&start.bundle);
    drive::follow(context, &app, view, 0, args.watch, |app, observer| app.start(&start, observer))
}
