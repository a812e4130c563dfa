//! What people say to schedules: pause, resume, run now; and the ticks there were.

use std::time::Duration;

use super::scheduler::parsed;
use super::standing::{self, Order, Pause};
use super::tick::{self, Asked, Fate, Tick};
use crate::journal::document::{Query, Write};
use crate::journal::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::command::Actor;

/// What a word came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It counts from now on.
    Done(Pause),
    /// It was so before.
    Already(Option<Pause>),
}

/// Pauses a schedule: its ticks are skipped until somebody resumes it.
///
/// # Errors
/// When the store cannot be written, or somebody else said something at the same time.
pub fn pause(store: &dyn Store, name: &str, by: &Actor, reason: &str, now: Timestamp) -> Result<Said, StoreError> {
    let there = store.document(standing::PAUSE, name)?;
    let before: Option<Pause> = there.as_ref().map(|document| parsed(standing::PAUSE, document)).transpose()?;
    if let Some(before) = before.filter(|before| before.resumed.is_none()) {
        return Ok(Said::Already(Some(before)));
    }
    let pause = Pause { by: by.clone(), reason: reason.to_owned(), at: now, resumed: None };
    let body = serde_json::to_value(&pause).unwrap_or_default();
    let write = match &there {
        Some(document) => Write::replace(standing::PAUSE, document, body),
        None => Write::create(standing::PAUSE, name, body),
    };
    store.write_documents(&[write], now)?;
    Ok(Said::Done(pause))
}

/// Lets a paused schedule go on.
///
/// # Errors
/// As [`pause`].
pub fn resume(store: &dyn Store, name: &str, by: &Actor, now: Timestamp) -> Result<Said, StoreError> {
    let Some(document) = store.document(standing::PAUSE, name)? else { return Ok(Said::Already(None)) };
    let before: Pause = parsed(standing::PAUSE, &document)?;
    if before.resumed.is_some() {
        return Ok(Said::Already(Some(before)));
    }
    let resumed = Pause { resumed: Some((by.clone(), now)), ..before };
    let body = serde_json::to_value(&resumed).unwrap_or_default();
    store.write_documents(&[Write::replace(standing::PAUSE, &document, body)], now)?;
    Ok(Said::Done(resumed))
}

/// Orders that a schedule is run now. The order is durable, and whichever server looks next takes it up, once.
///
/// # Errors
/// When the store cannot be written.
pub fn trigger(store: &dyn Store, name: &str, asked: Asked, now: Timestamp) -> Result<Timestamp, StoreError> {
    let mut at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    loop {
        // A whole second may be that of a tick by the clock.
        if at.subsec_millisecond() != 0 {
            let mut tick = Tick::new(name, at, Fate::Asked, now);
            tick.asked = Some(asked.clone());
            let order = Order { schedule: name.to_owned(), at, asked: asked.clone() };
            let order = serde_json::to_value(order).unwrap_or_default();
            let writes =
                [Write::create(tick::KIND, tick.key(), tick.body()), Write::create(standing::ORDER, tick.key(), order)];
            match store.write_documents(&writes, now) {
                Ok(()) => return Ok(at),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        at = at.saturating_add(Duration::from_millis(1)).unwrap_or(at);
    }
}

/// The tick of an instant.
///
/// # Errors
/// When the store cannot be read.
pub fn tick_of(store: &dyn Store, name: &str, at: Timestamp) -> Result<Option<Tick>, StoreError> {
    let found = store.document(tick::KIND, &tick::key(name, at))?;
    found.map(|document| parsed(tick::KIND, &document)).transpose()
}

/// The ticks of a schedule, newest first, at most so many.
///
/// # Errors
/// When the store cannot be read.
pub fn ticks(store: &dyn Store, name: &str, limit: Option<usize>) -> Result<Vec<Tick>, StoreError> {
    let query = Query { newest_first: true, limit, ..Query::prefix(format!("{name}/")) };
    store.documents(tick::KIND, &query)?.iter().map(|document| parsed(tick::KIND, document)).collect()
}

/// The ticks of a schedule since an instant, oldest first.
///
/// # Errors
/// When the store cannot be read.
pub fn ticks_since(store: &dyn Store, name: &str, since: Timestamp) -> Result<Vec<Tick>, StoreError> {
    let query = Query { after: Some(tick::key(name, since)), ..Query::prefix(format!("{name}/")) };
    store.documents(tick::KIND, &query)?.iter().map(|document| parsed(tick::KIND, document)).collect()
}
