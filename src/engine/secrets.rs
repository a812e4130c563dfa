//! Secrets of a run: what each was when the run first used it, and the pause when it is another.

use super::cell::RunCell;
use super::driver::Inner;
use super::effect::Advance;
use super::error::EngineError;
use crate::journal::record::{Fact, Pause};
use crate::model::StepPath;
use crate::ops::Request;

impl Inner {
    /// Compares the secrets that a call is about to resolve with what they were when the run first used them. New ones are
    /// recorded, durable no later than the next effect's intent. A changed one pauses the step: a rotated password is legitimate
    /// and a swapped one is not, which only a person can tell apart.
    ///
    /// # Assumptions
    /// Asked before every call, by whoever holds the run: what was right an hour ago says nothing.
    pub(super) fn check_secrets(
        &self,
        cell: &RunCell,
        step: &StepPath,
        request: &Request,
    ) -> Result<Option<Advance>, EngineError> {
        for now in self.host.reader().secrets(request) {
            let known = cell.core.lock().state.secrets.get(&now.name()).cloned();
            match known {
                Some(was) if was == now => {}
                Some(was) => {
                    return self.pause(cell, Pause::Secret { step: step.clone(), was, now }).map(Some);
                }
                None => {
                    cell.core.lock().record(cell, Fact::SecretMet { secret: now }, self.clock.now())?;
                }
            }
        }
        Ok(None)
    }
}
