//! The third face of a host: what a plan is answered by. It reads, and never writes.

use std::time::Duration;

use super::host::{ReadHost, Request};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::forecast::{Basis, Change};

/// What a plan is told of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// Its result, parts of which may be marked by [`super::spec::UNKNOWN_KEY`]; or the error it would end with.
    pub outcome: Result<Value, OpError>,
    /// How far that can be believed.
    pub basis: Basis,
    /// Why it is not exact, in a few words; empty when it is.
    pub why: String,
    /// The before-image that the call's undo would be made from; `Null` when it could not be taken.
    pub before: Value,
    /// How long the call would take. Nothing for what answers at once.
    pub takes: Duration,
    /// What it would change.
    pub changes: Vec<Change>,
}

/// A state of a [`PlanHost`] to come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub usize);

/// The world as a plan sees it: the base, read lazily, with the plan's own effects laid over it. Nothing behind it changes
/// anything outside this process.
pub trait PlanHost: ReadHost {
    /// Tells what would become of a call, and lays its effects over what later calls see.
    fn foresee(&self, request: &Request) -> Foreseen;

    /// Remembers the overlay as it is now.
    fn mark(&self) -> Mark;

    /// Makes the overlay what it was.
    fn rewind(&self, to: Mark);

    /// From here on nobody knows what is in these parts of the world (`fs`, `pg`; the empty text is all of it), for this reason:
    /// effects that could not be followed may have changed it.
    fn spoil(&self, parts: &[&str], why: &str);

    /// Makes the overlay what is common to several ends of one step; whatever differs is unknown from here on.
    fn join(&self, ends: &[Mark]);
}
