//! `muster run`.

use std::path::PathBuf;

use crate::access::Act;
use crate::app::sandbox::{self, InSandbox};
use crate::app::{App, Identity};
use crate::cli::context::{self, Context};
use crate::cli::drive::{self, Watch};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::ParamArgs;
use crate::cli::sandbox::{FaultArgs, WorldArgs};
use crate::plan::file::{Base, PlanFile};
use crate::playbook::bundle::Bundle;

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
    #[arg(value_name = "PLAYBOOK", required_unless_present = "plan")]
    playbook: Option<String>,
    /// Run what this plan says and nothing else; refused (exit code 8) when that is not what would be done now. An effect that
    /// is not in the plan stops the run before it is sent.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["params", "files"])]
    plan: Option<PathBuf>,
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
    let app = context.app()?;
    let explain = |error| context.printer.explain(error);
    let file = args.plan.as_deref().map(PlanFile::read).transpose().map_err(|error| explain(error.into()))?;
    let playbook = match (&args.playbook, &file) {
        (Some(playbook), _) => playbook.as_str(),
        (None, Some(file)) => file.playbook.as_str(),
        (None, None) => return Err(Failure::user("name a playbook, or a plan by --plan FILE")),
    };
    if args.world.sandbox {
        let world = app.world_of(playbook, args.world.world.as_deref()).map_err(explain)?;
        let start = match &file {
            Some(file) => {
                app.check_plan(file, &sandbox::base_of(&world), &app.settings.actor).map_err(explain)?;
                let start = app.prepared(playbook, file.plan.params.clone()).map_err(explain)?;
                let identity = Identity { run: file.run.clone(), seed: file.seed };
                let (records, program) = app.plan_in(&start, world.clone(), Some(identity)).map_err(explain)?;
                app.compare_plan(file, (&records, &program)).map_err(explain)?;
                start
            }
            None => app.prepare_in(playbook, args.params.given(context.printer)?, &world).map_err(explain)?,
        };
        let view = context::outline_of(&start.bundle);
        let manner = InSandbox { hook: args.faults.hook()?, yes: args.faults.yes, plan: file.as_ref() };
        return drive::follow(context, &app, view, 0, args.watch, |app, observer| {
            app.start_in(&start, world, manner, observer)
        });
    }
    let Some(file) = &file else {
        let start = app.prepare(playbook, &args.params.given(context.printer)?).map_err(explain)?;
        let view = context::outline_of(&start.bundle);
        permit(context, &app, &start.bundle)?;
        return drive::follow(context, &app, view, 0, args.watch, |app, observer| app.start(&start, observer));
    };
    app.check_plan(file, &Base::Live, &app.settings.actor).map_err(explain)?;
    let start = app.prepared(playbook, file.plan.params.clone()).map_err(explain)?;
    let identity = Identity { run: file.run.clone(), seed: file.seed };
    let (records, program) = app.plan(&start, Some(identity)).map_err(explain)?;
    app.compare_plan(file, (&records, &program)).map_err(explain)?;
    let view = context::outline_of(&start.bundle);
    permit(context, &app, &start.bundle)?;
    drive::follow(context, &app, view, 0, args.watch, |app, observer| app.start_bound(&start, file, observer))
}

fn permit(context: &Context, app: &App, bundle: &Bundle) -> Result<(), Failure> {
    let playbook = &bundle.playbook;
    let on = format!("playbook {} {}", playbook.name.value, playbook.version.value);
    context.permit(app, Act::Start, &playbook.name.value, &on)
}
