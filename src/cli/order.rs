//! Telling a run something: through its inbox to whoever holds it, or, if nobody does, by taking it and carrying it on.

use std::time::{Duration, Instant};

use super::context::{self, Context};
use super::exit::Code;
use super::failure::{Failure, Kind};
use super::render::line::{self, REFUSED};
use super::render::view::View;
use crate::cli::spelling::likely;
use crate::journal::{Fact, Head, Holder, Store};
use crate::model::StepPath;
use crate::model::command::{Actor, Command, Order};

/// How long the holder is given to take an order up before the command returns.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an order is given.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Manner {
    /// Only leave the order in the run's inbox: whoever carries the run on finds it there.
    #[arg(long)]
    pub later: bool,
}

/// Gives an order to a run.
///
/// # Errors
/// When there is no such run, it has ended, it has no such step, or the order was refused.
pub fn give(context: &Context, run: &str, what: Order, manner: Manner) -> Result<Code, Failure> {
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), run)?;
    let view = context::view_of(store.as_ref(), &head.run)?;
    check(&view, &head, &what)?;
    let command = Command { by: Actor { name: store.holder().who }, what };
    let from = view.records();
    store.post(&head.run, &command)?;
    let said = line::order(&command.what);
    let short = head.run.short();
    if let Some(holder) = &head.holder {
        return wait_for(context, store.as_ref(), &head, holder, &command, from);
    }
    if manner.later || matches!(command.what, Order::Note { .. }) {
        context
            .printer
            .note(&format!("{said}: left in the inbox of run {short}; `muster resume {short}` carries it out"));
        return Ok(Code::Done);
    }
    let app = super::foreground::app(context)?;
    super::foreground::take(context, &app, &head.run, super::foreground::Manner::default())
}

/// Waits until the holder has journaled the order, and says honestly what became of it.
fn wait_for(
    context: &Context,
    store: &dyn Store,
    head: &Head,
    holder: &Holder,
    command: &Command,
    mut from: u64,
) -> Result<Code, Failure> {
    let said = line::order(&command.what);
    let begun = Instant::now();
    loop {
        let records = context::records_of(store, &head.run, from)?;
        from += records.len() as u64;
        let taken =
            records.iter().position(|record| matches!(&record.fact, Fact::Commanded { command: c } if c == command));
        if let Some(place) = taken {
            if let Some(why) = records.get(place + 1).and_then(|next| refusal(&next.fact)) {
                return Err(Failure::user(format!("{said} was refused: {why}")));
            }
            context.printer.note(&format!("{said}: taken up by {} (process {})", holder.who, holder.pid));
            return Ok(Code::Done);
        }
        if begun.elapsed() > PATIENCE {
            let short = head.run.short();
            context.printer.note(&format!(
                "{said}: in the inbox of run {short}; {} (process {}) has not taken it up yet",
                holder.who, holder.pid
            ));
            context.printer.note(&format!("  `muster logs {short} --follow` shows when it does"));
            return Ok(Code::Done);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Why an order was refused, if this is the record that says so.
#[must_use]
pub fn refusal(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::Noted { text, .. } => text.strip_prefix(REFUSED),
        _ => None,
    }
}

/// Refuses at once what can only be a slip: an ended run, a step that is not there. Everything else is for the holder to
/// judge, from the run as it then is.
fn check(view: &View, head: &Head, what: &Order) -> Result<(), Failure> {
    let short = head.run.short();
    if head.status.is_terminal() && !matches!(what, Order::Note { .. }) {
        return Err(Failure::user(format!("run {short} has ended ({})", head.status.as_str()))
            .hint(format!("`muster show {short}` says how")));
    }
    let Some(step) = step_of(what) else { return Ok(()) };
    // A step that has not been reached is not in the journal yet, and may still be skipped.
    if view.find(step).is_some() || matches!(what, Order::Skip { .. } | Order::Rollback { .. }) {
        return Ok(());
    }
    let names: Vec<&str> = view.steps().iter().map(|known| known.path.as_str()).collect();
    let failure = Failure::new(Kind::User, format!("run {short} has come to no step `{step}`"));
    Err(match likely(step.as_str(), names.iter().copied()) {
        Some(name) => failure.hint(format!("did you mean `{name}`?")),
        None if names.is_empty() => failure,
        None => failure.hint(format!("it has come to: {}", names.join(", "))),
    })
}

fn step_of(order: &Order) -> Option<&StepPath> {
    match order {
        Order::Retry { step, .. }
        | Order::Skip { step, .. }
        | Order::Done { step, .. }
        | Order::Approve { step, .. }
        | Order::Reject { step, .. }
        | Order::Answer { step, .. }
        | Order::Settle { step, .. } => Some(step),
        Order::Rollback { to, .. } => to.as_ref(),
        Order::SkipUndo { .. } | Order::Cancel { .. } | Order::Kill | Order::Note { .. } | Order::Resume => None,
    }
}
