//! `muster world`.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::app::AppError;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::render::look::Tone;
use crate::cli::render::world;
use crate::journal::Head;
use crate::journal::record::{Fact, Record};
use crate::model::status::Mode;
use crate::model::{Timestamp, Value};
use crate::playbook::bundle::MAIN;
use crate::sandbox::kept::KeptWorlds;
use crate::sandbox::world::{World, diff};

/// Look at the world of the sandbox.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to look at.
#[derive(clap::Subcommand)]
enum What {
    Show(Show),
}

/// Show the world of a run in the sandbox, at any point of it; or the world that a playbook begins with.
///
/// Files with their sizes, containers and their states, volumes, databases with their tables and rows, endpoints. A run's
/// world is kept after every effect, beside the store.
///
/// Example: muster world show @latest --at unpack --diff
#[derive(clap::Args)]
struct Show {
    /// A run in the sandbox: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The world.yaml of this playbook: its folder, or its name. Without a run and this, of the playbook in this folder.
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    playbook: Option<String>,
    /// The world of this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "playbook"])]
    world: Option<PathBuf>,
    /// The world as it was after this record of the journal (its number in `muster logs`), or when this step had settled.
    #[arg(long, value_name = "SEQ|STEP", requires = "run")]
    at: Option<String>,
    /// Only what differs from the world that the run began with.
    #[arg(long, requires = "run")]
    diff: bool,
    /// Form of the world.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Form,
}

/// Form of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs; everything the sandbox knows.
    Json,
    /// The same, easier to read.
    Yaml,
}

/// Does it.
///
/// # Errors
/// When there is no such run or playbook, the run was none in the sandbox, or its worlds are gone.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let What::Show(args) = &args.what;
    let Some(run) = &args.run else {
        let app = context.app()?;
        let playbook = match &args.playbook {
            Some(playbook) => playbook.clone(),
            None if args.world.is_some() || std::path::Path::new(MAIN).is_file() => ".".to_owned(),
            None => {
                return Err(Failure::user("which world?")
                    .hint("name a run in the sandbox, --playbook NAME or --world FILE; `muster run PLAYBOOK --sandbox` makes a run"));
            }
        };
        let world = app.world_of(&playbook, args.world.as_deref()).map_err(|error| context.printer.explain(error))?;
        return show(&world, args.output, context);
    };
    let app = context.app()?;
    let head = context::head_of(app.store.as_ref(), run)?;
    let records = app.records(&head.run)?;
    let sandbox =
        matches!(records.first().map(|record| &record.fact), Some(Fact::RunStarted { mode: Mode::Sandbox, .. }));
    if !sandbox {
        return Err(Failure::user(format!("run {} was no run in the sandbox: its world is the real one", head.run))
            .hint("`muster run PLAYBOOK --sandbox` runs a playbook in its own world"));
    }
    let kept = app.kept_worlds(&head.run);
    let lost = |error: std::io::Error| AppError::World {
        path: kept.folder().display().to_string(),
        what: if error.kind() == std::io::ErrorKind::NotFound {
            "the worlds of this run are not there any more".to_owned()
        } else {
            error.to_string()
        },
    };
    let point = point(args.at.as_deref(), &head, &records)?;
    let now = at(&kept, &records, point).map_err(lost)?;
    if !args.diff {
        return show(&now, args.output, context);
    }
    let changes = diff(&kept.after(std::iter::empty()).map_err(lost)?, &now);
    match args.output {
        Form::Json => context.printer.json(&changes)?,
        Form::Yaml => context.printer.machine(&yaml(&Value::from(changes))?)?,
        Form::Table if changes.is_empty() => context.printer.note("the world is as the run began with it"),
        Form::Table => {
            let out = context.printer.out;
            let lines: String =
                changes.iter().map(|change| coloured(change, |tone, text| out.paint(tone, text))).collect();
            context.printer.result(&lines)?;
        }
    }
    Ok(Code::Done)
}

fn coloured(change: &str, paint: impl Fn(Tone, &str) -> String) -> String {
    let (sign, tone) = match change {
        gone if gone.ends_with(": there before, gone now") => ("-", Tone::Bad),
        new if new.ends_with(": not there before") => ("+", Tone::Good),
        _ => ("~", Tone::Warn),
    };
    format!("{} {change}\n", paint(tone, sign))
}

/// The number of the last record that counts; `None` for the whole run.
fn point(at: Option<&str>, head: &Head, records: &[Record]) -> Result<Option<u64>, Failure> {
    let Some(text) = at else { return Ok(None) };
    if let Ok(seq) = text.parse::<u64>() {
        let last = records.last().map_or(0, |record| record.seq);
        if seq > last {
            return Err(Failure::user(format!("run {} has no record {seq}: its last one is {last}", head.run)));
        }
        return Ok(Some(seq));
    }
    let names = |fact: &Fact| {
        let step = match fact {
            Fact::StepSucceeded { step, .. }
            | Fact::StepFailed { step, .. }
            | Fact::StepSkipped { step, .. }
            | Fact::StepDone { step, .. }
            | Fact::StepRolledBack { step } => step,
            _ => return false,
        };
        step.as_str() == text || step.step() == text
    };
    let settled = records.iter().filter(|record| names(&record.fact)).map(|record| record.seq).next_back();
    settled.map(Some).ok_or_else(|| {
        Failure::user(format!("no step `{text}` has settled in run {}", head.run)).hint(format!(
            "`muster show {}` lists its steps; a number means a record of `muster logs {}`",
            head.run, head.run
        ))
    })
}

/// The world after this record. An effect counts from its outcome on; one that nobody knows the outcome of, from its intent on.
fn at(kept: &KeptWorlds, records: &[Record], point: Option<u64>) -> std::io::Result<World> {
    let Some(point) = point else {
        let mut world = kept.latest()?;
        settle(&mut world, records.last().map(|record| record.at));
        return Ok(world);
    };
    let ended: HashSet<_> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Ended { call, .. } if record.seq > point => Some(call),
            _ => None,
        })
        .collect();
    let until = records.iter().take_while(|record| record.seq <= point);
    let keys = until.clone().filter_map(|record| match &record.fact {
        Fact::Intent { call, key, .. } | Fact::Resent { call, key, .. } if !ended.contains(call) => Some(key.as_str()),
        Fact::Finished { .. } => Some("end"),
        _ => None,
    });
    let mut world = kept.after(keys)?;
    settle(&mut world, until.last().map(|record| record.at));
    Ok(world)
}

/// What programs were at is done when their time is over, also if nothing was sent after them.
fn settle(world: &mut World, now: Option<Timestamp>) {
    if let Some(now) = now {
        crate::sandbox::host::settle(world, now, &crate::model::secret::Redactor::default());
    }
}

fn show(world: &World, form: Form, context: &Context) -> Result<Code, Failure> {
    match form {
        Form::Table => context.printer.result(&world::text(world, context.printer.out))?,
        Form::Json => context.printer.json(world)?,
        Form::Yaml => {
            let value = serde_json::to_value(world)
                .map_err(|error| Failure::new(Kind::Internal, format!("a world cannot be written down: {error}")))?;
            context.printer.machine(&yaml(&value)?)?;
        }
    }
    Ok(Code::Done)
}

fn yaml(value: &Value) -> Result<String, Failure> {
    serde_yaml::to_string(value).map_err(|error| Failure::new(Kind::Internal, format!("cannot write YAML: {error}")))
}
