//! `muster fork`.

use std::collections::BTreeMap;

use crate::cli::args::RunArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::foreground::{self, Manner, Screen, Watching};
use crate::cli::given::ParamArgs;
use crate::journal::Fact;
use crate::model::span::{Span, Spanned};

/// Begin a new run that keeps another's results up to a step: with a mended playbook, after a failure.
///
/// Parameters are those of the other run unless given anew. The effects behind the kept results belong to the other run and are
/// not undone by this one.
///
/// Example: muster fork 7k3f9q --from restore --playbook ./playbooks/mine
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RunArg,
    /// The first step to run again.
    #[arg(long, value_name = "STEP")]
    from: String,
    /// Another playbook than the run's own: a mended one.
    #[arg(long, value_name = "PLAYBOOK")]
    playbook: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// When there is no such run or step, it is still held, or the playbook is invalid.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = foreground::app(context)?;
    let head = context::head_of(app.store.as_ref(), &args.on.run)?;
    if let Some(holder) = &head.holder {
        return Err(Failure::held_by(head.run.short(), holder));
    }
    let bundle = match &args.playbook {
        Some(name) => crate::app::prepare::load(name)?,
        None => app.bundle_of(&head.run)?,
    };
    let mut given = args.params.read(context.printer)?;
    let records = app.records(&head.run)?;
    let Some(Fact::RunStarted { params, .. }) = records.first().map(|record| &record.fact) else {
        return Err(Failure::new(Kind::NeedsPerson, format!("run {} never began", head.run.short())));
    };
    let old: BTreeMap<String, serde_json::Value> =
        params.as_object().map(|fields| fields.clone().into_iter().collect()).unwrap_or_default();
    for (name, value) in old {
        let wanted = bundle.playbook.params.iter().any(|param| param.name.value == name);
        if wanted && !value.is_null() {
            given.values.entry(name).or_insert(Spanned::new(value, Span::default()));
        }
    }
    let start = app.prepare_bundle(bundle, &given)?;
    let screen = Screen::new(context, args.manner, &start.bundle.playbook);
    let session = app.fork(&head.run, &args.from, &start, Watching::from(&screen, 0))?;
    foreground::drive(context, &app, session, &screen, args.manner)
}
