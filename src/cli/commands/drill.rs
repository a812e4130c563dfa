//! `muster drill`.

use crate::access::Act;
use crate::app::DrillOrder;
use crate::app::sandbox::InSandbox;
use crate::cli::context::{self, Context};
use crate::cli::drive::{self, Watch};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::ParamArgs;
use crate::cli::sandbox::{FaultArgs, WorldArgs};
use crate::model::Timestamp;

/// Drill a playbook: recover in isolation, measure it, and clean up.
///
/// Effects on anything that the drill did not make are refused, whatever the playbook's scripts say. When its steps have ended, RTO
/// and RPO are measured and compared with the playbook's objectives (exit code 11 if one is missed). Then all that it did is undone,
/// also after a failure, and what still stands is told. A drill that was killed is resumed like any run, and ends with its teardown.
///
/// Example: muster drill omnichat-restore -p deployment=/srv/omnichat -p backup_dir=/var/backups/omnichat
#[derive(clap::Args)]
#[command(after_help = "The playbook's `drill` section says how it goes; docs/drills.md tells of it.")]
pub struct Args {
    /// The playbook: its folder, its name in ./playbooks, or the name of a shipped one.
    #[arg(value_name = "PLAYBOOK")]
    playbook: String,
    /// When the disaster that is drilled was declared, in UTC: the RTO counts from then. From the start of the run, if not said.
    #[arg(long, value_name = "TIME")]
    declared_at: Option<Timestamp>,
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
/// When the playbook cannot be drilled, it or its parameters are not valid, or the engine cannot go on.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = context.app()?;
    let explain = |error| context.printer.explain(error);
    let given = args.params.given(context.printer)?;
    let order = DrillOrder { declared_at: args.declared_at, identity: None };
    if args.world.sandbox {
        let world = app.world_of(&args.playbook, args.world.world.as_deref()).map_err(explain)?;
        let start = app.prepare_drill_in(&args.playbook, given, &order, &world).map_err(explain)?;
        let view = context::outline_of(&start.bundle);
        let manner = InSandbox { hook: args.faults.hook()?, yes: args.faults.yes, plan: None };
        return drive::follow(context, &app, view, 0, args.watch, |app, observer| {
            app.start_in(&start, world, manner, observer)
        });
    }
    let start = app.prepare_drill(&args.playbook, given, &order).map_err(explain)?;
    let view = context::outline_of(&start.bundle);
    let playbook = &start.bundle.playbook;
    let on = format!("playbook {} {}", playbook.name.value, playbook.version.value);
    context.permit(&app, Act::Drill, &playbook.name.value, &on)?;
    drive::follow(context, &app, view, 0, args.watch, |app, observer| app.start(&start, observer))
}
