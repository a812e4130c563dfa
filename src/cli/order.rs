//! Telling a run something: through its inbox to whoever holds it, or, if nobody does, by taking it and carrying it on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{self, Context};
use super::drive::{self, Watch};
use super::exit::Code;
use super::failure::{Failure, Kind};
use super::render::line;
use super::render::view::View;
use crate::journal::{Fact, Head, Holder, Record, Store};
use crate::model::StepPath;
use crate::model::command::{Command, Order};
use crate::playbook::diagnostic::likely;

/// How long the holder is given to take an order up before the command returns.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an order is given.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Manner {
    /// Only leave the order in the run's inbox: whoever carries the run on finds it there.
    #[arg(long)]
    pub later: bool,
    /// How the run is carried on, if that is done here.
    #[command(flatten)]
    pub watch: Watch,
}

/// Gives an order to a run.
///
/// # Errors
/// When there is no such run, it has ended, it has no such step, or the order was refused.
pub fn give(context: &Context, run: &str, what: Order, manner: Manner) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), run)?;
    let view = context::view_of(store.as_ref(), &head)?;
    check(&view, &head, &what)?;
    let from = view.records();
    let desk = context.desk(Arc::clone(&store));
    let command = desk.say(&context.identity(), &head, what, context.now())?;
    drop(desk);
    let said = line::order(&command.what);
    let short = head.run.short();
    if manner.later {
        context
            .printer
            .note(&format!("{said}: left in the inbox of run {short}; `muster resume {short}` carries it out"));
        return Ok(Code::Done);
    }
    if let Some(holder) = &head.holder
        && let Some(code) = wait_for(context, store.as_ref(), &head, holder, &command, from)?
    {
        return Ok(code);
    }
    // Nobody holds it, or whoever did let go of it before reading the order. The app opens the store itself, once.
    drop(store);
    drive::carry_on(context, &head.run, manner.watch, Some(&command))
}

/// Waits until the holder has journaled the order, and says honestly what became of it. `None` if the holder let go of the
/// run without having read the order.
fn wait_for(
    context: &Context,
    store: &dyn Store,
    head: &Head,
    holder: &Holder,
    command: &Command,
    mut from: u64,
) -> Result<Option<Code>, Failure> {
    let said = line::order(&command.what);
    let begun = Instant::now();
    loop {
        // Asked first: what is journaled until then is in the records below.
        let now = store.head(&head.run)?;
        let records = context::records_of(store, &head.run, from)?;
        from += records.len() as u64;
        match fate(&records, command) {
            Some(Err(why)) => return Err(Failure::user(format!("{said} was refused: {why}"))),
            Some(Ok(())) => {
                context.printer.note(&format!("{said}: taken up by {} (process {})", holder.who, holder.pid));
                return Ok(Some(Code::Done));
            }
            None if now.status.is_terminal() => {
                return Err(Failure::user(format!(
                    "{said} came too late: the run has ended ({})",
                    now.status.as_str()
                )));
            }
            None if now.holder.is_none() => return Ok(None),
            None => {}
        }
        if begun.elapsed() > PATIENCE {
            let short = head.run.short();
            context.printer.note(&format!(
                "{said}: in the inbox of run {short}; {} (process {}) has not taken it up yet",
                holder.who, holder.pid
            ));
            context.printer.note(&format!("  `muster logs {short} --follow` shows when it does"));
            return Ok(Some(Code::Done));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What became of an order, if it is among these records: taken up, or refused, and why.
#[must_use]
pub fn fate(records: &[Record], command: &Command) -> Option<Result<(), String>> {
    records.iter().find_map(|record| match &record.fact {
        Fact::Commanded { command: said, refused } if said == command => Some(refused.clone().map_or(Ok(()), Err)),
        _ => None,
    })
}

/// Refuses at once what can only be a slip: an ended run, a step that is not there. Everything else is for the holder to
/// judge, from the run as it then is.
fn check(view: &View, head: &Head, what: &Order) -> Result<(), Failure> {
    let short = head.run.short();
    if head.status.is_terminal() {
        return Err(Failure::user(format!("run {short} has ended ({})", head.status.as_str()))
            .hint(format!("`muster show {short}` says how")));
    }
    let Some(step) = step_of(what) else { return Ok(()) };
    // If the bundle cannot be read, a step that has not been reached is not known, and may still be skipped.
    if view.find(step).is_some() || matches!(what, Order::Skip { .. } | Order::Rollback { .. }) {
        return Ok(());
    }
    let names: Vec<&str> = view.steps().iter().map(|known| known.path.as_str()).collect();
    let failure = Failure::new(Kind::User, format!("run {short} has no step `{step}`"));
    Err(match likely(step.as_str(), names.iter().copied()) {
        Some(name) => failure.hint(format!("did you mean `{name}`?")),
        None if names.is_empty() => failure,
        None => failure.hint(format!("its steps: {}", names.join(", "))),
    })
}

fn step_of(order: &Order) -> Option<&StepPath> {
    match order {
        Order::Retry { step, .. }
        | Order::Skip { step, .. }
        | Order::Done { step, .. }
        | Order::Approve { step, .. }
        | Order::Reject { step, .. }
        | Order::Accept { step, .. }
        | Order::Answer { step, .. }
        | Order::Settle { step, .. } => Some(step),
        Order::Rollback { to, .. } => to.as_ref(),
        Order::SkipUndo { .. }
        | Order::Cancel { .. }
        | Order::Kill
        | Order::Note { .. }
        | Order::Resume
        | Order::Bind { .. } => None,
    }
}
