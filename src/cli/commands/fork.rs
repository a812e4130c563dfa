//! `muster fork`.

use crate::access::Act;
use crate::app::prepare;
use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::drive::{self, Watch};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::ParamArgs;
use crate::journal::{Fact, Store as _};
use crate::model::Value;
use crate::model::span::{Span, Spanned};
use crate::playbook::diagnostic::likely;
use crate::playbook::params::Given;
use crate::playbook::types::Playbook;

/// Start a new run that keeps the results of another up to a step.
///
/// For a mended playbook, or other parameters, after a failure. The step and everything that needs it are run again; the
/// effects behind the results that are kept still belong to the old run. Parameters are those of the old run, unless given.
///
/// Example: muster fork 7k3f9q --from restore --playbook ./playbooks/omnichat-restore
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// The first step to be run again.
    #[arg(long, value_name = "STEP")]
    from: String,
    /// The mended playbook; that of the old run if not given.
    #[arg(long, value_name = "PLAYBOOK")]
    playbook: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    watch: Watch,
}

/// Does it.
///
/// # Errors
/// When there is no such run or step, the playbook is not valid, or the old run still goes on.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = context.app()?;
    let head = context::head_of(app.store.as_ref(), &args.on.run)?;
    if let Some(holder) = &head.holder {
        return Err(Failure::held_by(head.run.short(), holder));
    }
    let bundle = match &args.playbook {
        Some(name) => prepare::load(name).map_err(|error| context.printer.explain(error))?,
        None => app.bundle_of(&head.run)?,
    };
    let old = match app.store.first(&head.run)? {
        Some(line) => context::record_of(app.store.as_ref(), &head.run, 0, &line)?.fact,
        None => return Err(Failure::user(format!("run {} has not begun", head.run.short()))),
    };
    let mut given = Given::default();
    if let Fact::RunStarted { params: Value::Object(params), .. } = old {
        let known = |name: &String| bundle.playbook.params.iter().any(|param| param.name.value == *name);
        let values = params.into_iter().filter(|(name, _)| known(name));
        given.values.extend(values.map(|(name, value)| (name, Spanned::new(value, Span::new(u16::MAX, 0, 0)))));
    }
    args.params.add_to(&mut given, context.printer)?;
    let start = match &args.playbook {
        Some(_) => app.prepare_bundle(bundle, &given),
        None => app.prepare_checked(bundle, &given),
    };
    let start = start.map_err(|error| context.printer.explain(error))?;
    let steps = start.bundle.playbook.steps.iter().map(|step| step.id.value.as_str());
    if !steps.clone().any(|step| step == args.from) {
        let Playbook { name, version, .. } = &start.bundle.playbook;
        let failure = Failure::user(format!("playbook {} {} has no step `{}`", name.value, version.value, args.from));
        return Err(match likely(&args.from, steps.clone()) {
            Some(step) => failure.hint(format!("did you mean `{step}`?")),
            None => failure.hint(format!("its steps: {}", steps.collect::<Vec<_>>().join(", "))),
        });
    }
    let view = context::outline_of(&start.bundle);
    context.permit(&app, Act::Fork, &start.bundle.playbook.name.value, &format!("run {}", head.run))?;
    drive::follow(context, &app, view, 0, args.watch, |app, observer| app.fork(&head.run, &args.from, &start, observer))
}
