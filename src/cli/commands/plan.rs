//! `muster plan`.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::{Identity, sandbox};
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::params::{ParamArgs, duration};
use crate::cli::render::plan::{html, markdown, table};
use crate::cli::render::when;
use crate::cli::sandbox::WorldArgs;
use crate::plan::Plan;
use crate::plan::file::Base;

/// Show what a run of a playbook would do, without doing it.
///
/// The same scripts run, against a world that can only be read: effects are listed, not sent, and what only the run itself
/// will know is said to be unknown. With --run, what is left of a run that was begun is planned, in the world it has.
///
/// Example: muster plan omnichat-restore -f params.yaml --detailed-exitcode
#[derive(clap::Args)]
pub struct Args {
    /// The playbook: its folder, its name in ./playbooks, or the name of a shipped one.
    #[arg(value_name = "PLAYBOOK", required_unless_present = "run")]
    playbook: Option<String>,
    /// Plan what is left of this run, from where it stands: what it has done keeps its results. `muster resume RUN --plan FILE`
    /// then goes on with it under that plan.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["playbook", "params", "files", "sandbox", "world"])]
    run: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    world: WorldArgs,
    /// Write the plan to this file as well: `muster run --plan FILE` runs just that.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How long the file can be run.
    #[arg(long, value_name = "DURATION", default_value = "24h", requires = "out", value_parser = duration)]
    valid_for: Duration,
    /// Exit with 2 if there are changes, and with 9 if something could not be seen.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show every read too, not only how many there are.
    #[arg(short = 'v', long)]
    reads: bool,
    /// Form of the plan.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Form,
}

/// Form of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For a terminal.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// For a browser: one file that needs nothing else.
    Html,
}

/// Does it.
///
/// # Errors
/// When the playbook or its parameters are not valid.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = context.app()?;
    let explain = |error| context.printer.explain(error);
    let mut base = Base::Live;
    let mut playbook = args.playbook.clone().unwrap_or_default();
    let (records, program) = if let Some(run) = &args.run {
        let head = context::head_of(app.store.as_ref(), run)?;
        playbook = head.playbook;
        let (records, program, over) = app.plan_rest(&head.run).map_err(explain)?;
        base = over;
        (records, program)
    } else if args.world.sandbox {
        let given = args.params.given(context.printer)?;
        let world = app.world_of(&playbook, args.world.world.as_deref()).map_err(explain)?;
        let start = app.prepare_in(&playbook, given, &world).map_err(explain)?;
        base = sandbox::base_of(&world);
        // A plan that will be run needs an id that no other run has; one to look at is always the same.
        let identity = args.out.is_some().then(Identity::random).transpose().map_err(explain)?;
        app.plan_in(&start, world, identity).map_err(explain)?
    } else {
        let given = args.params.given(context.printer)?;
        let start = app.prepare(&playbook, &given).map_err(explain)?;
        app.plan(&start, None).map_err(explain)?
    };
    let plan = Plan::of(&records, &program)
        .ok_or_else(|| Failure::new(Kind::Internal, "the plan's own record cannot be read"))?;
    if let Some(path) = &args.out {
        let file = app.plan_file((&records, &program), &playbook, base, args.valid_for).map_err(explain)?;
        file.write(path).map_err(|error| explain(error.into()))?;
        let go = match &file.plan.rest {
            Some(rest) => format!("muster resume {} --plan", rest.run.short()),
            None => "muster run --plan".to_owned(),
        };
        let (path, until) = (path.display(), when::instant(file.valid_until));
        context.printer.note(&format!("written to {path}, valid until {until}; `{go} {path}` runs just that"));
    }
    match args.output {
        Form::Json => context.printer.json(&plan)?,
        Form::Table => context.printer.result(&table::text(&plan, context.printer.out, args.reads))?,
        Form::Html => context.printer.result(&html::text(&plan))?,
        Form::Markdown => context.printer.result(&markdown::text(&plan))?,
    }
    Ok(if plan.fails() {
        Code::Precondition
    } else if args.detailed_exitcode && plan.coverage.percent < 100 {
        Code::Incomplete
    } else if args.detailed_exitcode && plan.effects > 0 {
        Code::Changes
    } else {
        Code::Done
    })
}
