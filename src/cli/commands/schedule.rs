//! `muster schedule`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::cli::args::words;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::params::duration;
use crate::cli::printer::Format;
use crate::cli::render::brief::{cut, one_line};
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::cli::render::when;
use crate::journal::{Store, StoreError};
use crate::model::Timestamp;
use crate::playbook::diagnostic::{self, likely};
use crate::schedule::file::{FileError, NAME, Schedule, Schedules};
use crate::schedule::findings::{Finding, findings};
use crate::schedule::forecast::coming;
use crate::schedule::people::{self, Said};
use crate::schedule::scheduler::{self, Shelf};
use crate::schedule::tick::{Asked, Fate, Tick};

/// Look at schedules, and steer them.
///
/// `schedules.yaml` says what is run when; `muster serve` does it. Docs: docs/schedules.md.
#[derive(clap::Args)]
pub struct Args {
    /// The schedules; $MUSTER_SCHEDULES, or schedules.yaml in this folder, if not given.
    #[arg(long, global = true, value_name = "FILE")]
    schedules: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(clap::Subcommand)]
enum What {
    /// List the schedules, when each is due, what became of its last tick, and what did not run.
    List {
        /// Findings of this last while.
        #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration)]
        since: Duration,
        /// Form of the list.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
    /// Show the ticks that come next, in UTC and by the clock of their zone, and why one would not run.
    Next {
        /// Only of this schedule.
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// How many.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
        /// Form of the list.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
    /// Skip the ticks of a schedule until it is resumed.
    ///
    /// Example: muster schedule pause chat-nightly --reason 'the storage is being moved'
    Pause {
        /// The schedule.
        #[arg(value_name = "NAME")]
        name: String,
        /// Why.
        #[arg(long, value_name = "TEXT", value_parser = words)]
        reason: String,
    },
    /// Let a paused schedule go on. What was due meanwhile is not caught up.
    Resume {
        /// The schedule.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Run a schedule now, over a pause and a blackout, but not beside its own open run or an incident.
    ///
    /// The order is durable: whichever server looks next carries it out, once.
    Trigger {
        /// The schedule.
        #[arg(value_name = "NAME")]
        name: String,
        /// Why.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Wait until a server has taken it up, at most so long.
        #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", value_parser = duration)]
        wait: Option<Duration>,
    },
    /// Show what became of the ticks of a schedule, newest first.
    History {
        /// The schedule.
        #[arg(value_name = "NAME")]
        name: String,
        /// How many.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
        count: usize,
        /// Form of the list.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
}

/// Does it.
///
/// # Errors
/// When the schedules cannot be read, there is none of that name, or the store cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let path = args.schedules.clone().unwrap_or_else(default_path);
    let schedules = load(&path, context)?;
    let shared = context.store()?;
    let (store, now) = (shared.as_ref() as &dyn Store, context.now());
    let (by, printer) = (&context.settings.actor, context.printer);
    let permit = |act: Act, name: &str, reason: &str| -> Result<(), Failure> {
        let playbook = &known(&schedules, name)?.playbook.value;
        let mut deed = Deed::done(act.name(), format!("schedule {name}")).with("playbook", playbook);
        if !reason.is_empty() {
            deed = deed.with("reason", reason);
        }
        let desk = context.desk(Arc::clone(&shared));
        Ok(desk.permit(&context.identity(), act, &Subject::Playbook(playbook), deed, now)?)
    };
    match &args.what {
        What::List { since, output } => list(store, &schedules, *since, *output, context)?,
        What::Next { name, count, output } => {
            if let Some(name) = name {
                known(&schedules, name)?;
            }
            next(store, &schedules, name.as_deref(), usize::from(*count), *output, context)?;
        }
        What::Pause { name, reason } => {
            permit(Act::PauseSchedule, name, reason)?;
            let said = people::pause(store, name, by, reason, now).map_err(|error| meanwhile(error, name))?;
            printer.note(&match said {
                Said::Done(_) => {
                    format!("{name} is paused: its ticks are skipped until `muster schedule resume {name}`")
                }
                Said::Already(pause) => match pause {
                    Some(pause) => format!("{name} is paused by {} since {}", pause.by.name, when::both(pause.at, now)),
                    None => format!("{name} is paused"),
                },
            });
        }
        What::Resume { name } => {
            permit(Act::ResumeSchedule, name, "")?;
            let said = people::resume(store, name, by, now).map_err(|error| meanwhile(error, name))?;
            printer.note(&match said {
                Said::Done(_) => format!("{name} goes on"),
                Said::Already(_) => format!("{name} is not paused"),
            });
        }
        What::Trigger { name, reason, wait } => {
            permit(Act::TriggerSchedule, name, reason.trim())?;
            return trigger(store, name, reason, *wait, context);
        }
        What::History { name, count, output } => history(store, &schedules, name, *count, *output, context)?,
    }
    Ok(Code::Done)
}

/// Where the schedules are when nothing is said: `$MUSTER_SCHEDULES`, or `schedules.yaml` in this folder.
#[must_use]
pub fn default_path() -> PathBuf {
    std::env::var_os("MUSTER_SCHEDULES")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(NAME), PathBuf::from)
}

fn load(path: &std::path::Path, context: &Context) -> Result<Schedules, Failure> {
    match Schedules::load(path) {
        Ok((schedules, _)) => Ok(schedules),
        Err(FileError::Invalid { diagnostics, sources, .. }) => {
            let style = context.printer.diagnostics();
            context.printer.note(diagnostic::render(&diagnostics, &sources, style).trim_end());
            Err(Failure::said(Kind::Invalid))
        }
        Err(error @ FileError::Read { .. }) => Err(Failure::new(Kind::Invalid, error.to_string())
            .hint("name the file by --schedules or $MUSTER_SCHEDULES; docs/schedules.md says what stands in one")),
    }
}

fn known<'s>(schedules: &'s Schedules, name: &str) -> Result<&'s Schedule, Failure> {
    schedules.get(name).ok_or_else(|| {
        let names = schedules.list.iter().map(|schedule| schedule.name.as_str());
        let failure = Failure::user(format!("there is no schedule `{}`", cut(&one_line(name), 80)));
        match likely(name, names) {
            Some(likely) => failure.hint(format!("did you mean `{likely}`?")),
            None => failure.hint("`muster schedule list` shows those there are"),
        }
    })
}

fn meanwhile(error: StoreError, name: &str) -> Failure {
    match error {
        StoreError::Conflict { .. } => {
            Failure::user(format!("somebody else said something to {name} at the same time"))
                .hint("`muster schedule list` shows how it stands; say it again if that is not as you want it")
        }
        other => other.into(),
    }
}

/// A schedule in the list.
#[derive(Serialize)]
struct Row<'s> {
    name: &'s str,
    playbook: &'s str,
    drill: bool,
    cron: &'s str,
    timezone: &'s str,
    /// `due`, `paused`, `not enabled`, `not seen yet`.
    state: String,
    next: Option<Timestamp>,
    last: Option<Tick>,
}

fn list(
    store: &dyn Store,
    schedules: &Schedules,
    since: Duration,
    output: Format,
    context: &Context,
) -> Result<(), Failure> {
    let (now, printer) = (context.now(), context.printer);
    let shelf = Shelf::read(store)?;
    let found = findings(store, schedules, now.saturating_sub(since).unwrap_or(Timestamp::MIN), now)?;
    let mut rows = Vec::new();
    for schedule in &schedules.list {
        let pause = shelf.history.pauses.get(&schedule.name).filter(|pause| pause.holds(now));
        let state = match (schedule.enabled, pause) {
            (false, _) => "not enabled".to_owned(),
            (true, Some(pause)) => format!("paused by {}", pause.by.name),
            (true, None) if !shelf.history.standings.contains_key(&schedule.name) => "not seen yet".to_owned(),
            (true, None) => "due".to_owned(),
        };
        rows.push(Row {
            name: &schedule.name,
            playbook: &schedule.playbook.value,
            drill: schedule.drill,
            cron: &schedule.timing.written.cron,
            timezone: &schedule.timing.written.timezone,
            state,
            next: schedule.timing.next(now),
            last: people::ticks(store, &schedule.name, Some(1))?.pop(),
        });
    }
    if output == Format::Json {
        return printer.json(&serde_json::json!({ "schedules": rows, "findings": found }));
    }
    let mut table = Table::new(&["NAME", "PLAYBOOK", "KIND", "CRON", "ZONE", "NEXT", "LAST", "STATE"]);
    for row in rows {
        table.row([
            row.name.to_owned(),
            row.playbook.to_owned(),
            if row.drill { "drill" } else { "live" }.to_owned(),
            row.cron.to_owned(),
            row.timezone.to_owned(),
            row.next.map(|next| when::relative(next, now)).unwrap_or_default(),
            row.last.map(|tick| format!("{} {}", tick.fate, when::relative(tick.to, now))).unwrap_or_default(),
            row.state,
        ]);
    }
    printer.result(&table.print(0, |heading| printer.heading(heading)))?;
    if !found.is_empty() {
        let mut text = format!("\n{}\n", printer.out.paint(Tone::Strong, "Findings"));
        found.iter().for_each(|one| text.push_str(&format!("  {}\n", line(one, now))));
        printer.result(&text)?;
    }
    Ok(())
}

/// A finding in a line.
fn line(finding: &Finding, now: Timestamp) -> String {
    let of = if finding.schedule.is_empty() { String::new() } else { format!("{}: ", finding.schedule) };
    let many = match finding.count {
        0 => String::new(),
        1 => " 1 tick".to_owned(),
        n => format!(" {n} ticks"),
    };
    let last =
        if finding.count == 0 { String::new() } else { format!(", last {}", when::relative(finding.until, now)) };
    format!("{of}{}{many}{last}: {}", finding.code, one_line(&finding.text))
}

fn next(
    store: &dyn Store,
    schedules: &Schedules,
    name: Option<&str>,
    count: usize,
    output: Format,
    context: &Context,
) -> Result<(), Failure> {
    let (now, printer) = (context.now(), context.printer);
    let mut shelf = Shelf::read(store)?;
    shelf.history.incident = scheduler::incident(store)?;
    let coming = coming(schedules, name, &shelf.history, now, count);
    if output == Format::Json {
        return printer.json(&coming);
    }
    let mut table = Table::new(&["SCHEDULE", "UTC", "LOCAL", "IN", "STARTS", "SKIPPED"]);
    for one in coming {
        let starts = if one.starts == one.at { String::new() } else { when::time(one.starts) };
        table.row([
            one.schedule,
            when::instant(one.at),
            one.local,
            when::relative(one.at, now),
            starts,
            one.skipped.or(one.unless_over).unwrap_or_default(),
        ]);
    }
    printer.result(&table.print(0, |heading| printer.heading(heading)))
}

fn trigger(
    store: &dyn Store,
    name: &str,
    reason: &str,
    wait: Option<Duration>,
    context: &Context,
) -> Result<Code, Failure> {
    let asked = Asked { by: context.settings.actor.clone(), reason: reason.trim().to_owned() };
    let at = people::trigger(store, name, asked, context.now())?;
    let begun = Instant::now();
    let wait = wait.unwrap_or(Duration::ZERO);
    loop {
        let fate = people::tick_of(store, name, at)?.map(|tick| tick.fate);
        match fate {
            Some(Fate::Run { run, .. }) => {
                context.printer.result(&format!("{run}\n"))?;
                context.printer.note(&format!("{name} runs as {}: `muster show {}`", run.short(), run.short()));
                return Ok(Code::Done);
            }
            Some(Fate::Skipped { why }) => {
                return Err(Failure::new(Kind::Precondition, format!("{name} was not run: {why}")));
            }
            Some(Fate::Missed { why }) => {
                return Err(Failure::new(Kind::Precondition, format!("{name} was not run: {why}")));
            }
            Some(Fate::Asked | Fate::Waiting) | None if begun.elapsed() < wait => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Some(Fate::Waiting) => {
                context.printer.note(&format!("{name} will run when its run before has ended"));
                return Ok(Code::Done);
            }
            Some(Fate::Asked) | None => {
                let text = format!("{name} will run as soon as a server looks at it (`muster serve`)");
                context.printer.note(&text);
                return Ok(Code::Done);
            }
        }
    }
}

fn history(
    store: &dyn Store,
    schedules: &Schedules,
    name: &str,
    count: usize,
    output: Format,
    context: &Context,
) -> Result<(), Failure> {
    let printer = context.printer;
    let ticks = people::ticks(store, name, Some(count))?;
    // One that is no longer in the file has its history all the same.
    if ticks.is_empty() {
        known(schedules, name)?;
    }
    if output == Format::Json {
        return printer.json(&ticks);
    }
    if ticks.is_empty() {
        printer.note(&format!("{name} was not due yet while a server looked at it"));
        return Ok(());
    }
    let mut table = Table::new(&["DUE", "TICKS", "FATE", "RUN", "STATUS", "WHY"]);
    for tick in ticks {
        let status = match tick.run() {
            Some(run) => match store.head(run) {
                Ok(head) if head.records > 0 => head.status.as_str().to_owned(),
                Ok(_) | Err(StoreError::NoSuchRun(_)) => "not begun yet".to_owned(),
                Err(error) => return Err(error.into()),
            },
            None => String::new(),
        };
        let mut why = match &tick.fate {
            Fate::Skipped { why } => why.to_string(),
            Fate::Missed { why } => why.to_string(),
            Fate::Run { caught_up: true, .. } => format!("caught up {}", when::instant(tick.decided)),
            _ => String::new(),
        };
        if let Some(asked) = &tick.asked {
            let reason = if asked.reason.is_empty() { String::new() } else { format!(": {}", asked.reason) };
            let by = format!("asked for by {}{reason}", asked.by.name);
            why = if why.is_empty() { by } else { format!("{why}; {by}") };
        }
        let tone = match &tick.fate {
            Fate::Run { .. } => Tone::Good,
            Fate::Missed { .. } => Tone::Bad,
            Fate::Skipped { .. } => Tone::Warn,
            Fate::Asked | Fate::Waiting => Tone::Live,
        };
        let due = if tick.count > 1 {
            format!("{} to {}", when::instant(tick.at), when::instant(tick.to))
        } else {
            when::instant(tick.at)
        };
        table.row([
            due,
            tick.count.to_string(),
            printer.out.paint(tone, &tick.fate.to_string()),
            tick.run().map(|run| run.short().to_owned()).unwrap_or_default(),
            status,
            one_line(&why),
        ]);
    }
    printer.result(&table.print(0, |heading| printer.heading(heading)))
}
