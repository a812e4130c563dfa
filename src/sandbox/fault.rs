//! Faults on purpose: where an effect fails, is done by half, or where the engine is stopped.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::host::Hook;
use crate::model::fault::OpError;
use crate::ops::host::Request;

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The effect is about to be sent.
    Before,
    /// It was sent, and the engine has not heard of it yet.
    After,
}

/// What a hook lets happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// As usual.
    Go,
    /// The engine gets this error: before the send nothing is done, after it all is.
    Fail(OpError),
    /// Half of the effect is done (where it is no single step), its programs are killed, and the engine gets an error of class
    /// unknown; with `stop` the engine is stopped as well. Before the send only; after it as [`Action::Stop`].
    Half {
        /// Whether the engine goes down with it.
        stop: bool,
    },
    /// The engine is stopped: this and every later call of the host is answered by an error.
    Stop,
}

/// Does something at the n-th effect, and nothing at any other.
pub struct Faults;

impl Faults {
    /// At the effect with this number, counted over sends from 0, at this moment, does `action`.
    #[must_use]
    pub fn at(number: usize, moment: Moment, action: Action) -> Hook {
        let count = AtomicUsize::new(0);
        Box::new(move |_: &Request, now: Moment| {
            let sent = match now {
                Moment::Before => count.fetch_add(1, Ordering::SeqCst),
                Moment::After => count.load(Ordering::SeqCst).saturating_sub(1),
            };
            if sent == number && now == moment { action.clone() } else { Action::Go }
        })
    }

    /// Fails before anything is done; asking again may help.
    #[must_use]
    pub fn transient(number: usize) -> Hook {
        Self::at(number, Moment::Before, Action::Fail(OpError::transient("cannot reach it: connection refused")))
    }

    /// Fails before anything is done; asking again does not help.
    #[must_use]
    pub fn refused(number: usize) -> Hook {
        Self::at(number, Moment::Before, Action::Fail(OpError::refused("refused on purpose")))
    }

    /// Does it all, and loses the answer.
    #[must_use]
    pub fn answer_lost(number: usize) -> Hook {
        Self::at(
            number,
            Moment::After,
            Action::Fail(OpError::unknown("cannot tell what became of it: connection lost")),
        )
    }
}
