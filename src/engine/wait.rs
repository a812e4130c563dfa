//! Calls that wait: timers, polls and questions.

use std::time::Duration;

use super::cell::RunCell;
use super::driver::Inner;
use super::effect::{Advance, NewCall, later};
use super::error::EngineError;
use super::state::CallKind;
use crate::journal::record::Fact;
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{Timestamp, Value};
use crate::ops::Polled;
use crate::ops::spec::Backend;

/// How long the look may take that is taken when the time is over.
const LAST_LOOK: Duration = Duration::from_secs(10);

impl Inner {
    /// Begins a wait: a timer, a poll, a question.
    pub(super) fn begin_wait(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let now = self.clock.now();
        let mut until = None;
        let mut again = None;
        match &call.op.backend {
            Backend::Wait(_) => {
                let request = self.request(cell, call.op, call.args.clone(), call.deadline);
                if let Some(stop) = self.check_before(cell, &call.id.step, &request)? {
                    return Ok(stop);
                }
                match self.host.reader().poll(&request) {
                    Ok(Polled::Ready(result)) => return self.called(cell, call.id, request, Ok(result)),
                    Ok(Polled::Pending { progress, again: pause }) => {
                        if let Some(text) = progress {
                            cell.observer.progress(&cell.id, &call.id.step, &text);
                        }
                        again = Some(later(now, pause));
                    }
                    Err(error) if error.class == ErrorClass::Transient => {
                        again = Some(later(now, Duration::from_secs(2)))
                    }
                    Err(error) => return self.called(cell, call.id, request, Err(error)),
                }
            }
            _ => match timer_end(call.op.name, &call.args, now) {
                Ok(end) => until = end,
                Err(error) => return self.refuse(cell, call, error),
            },
        }
        let mut core = cell.core.lock();
        let asks = call.op.effect == crate::ops::Effect::Ask;
        let fact = Fact::WaitBegun {
            call: call.id,
            op: call.op.name.to_owned(),
            revision: call.op.revision,
            args: call.args,
            until,
        };
        core.record(cell, fact, now)?;
        core.commit(&[])?;
        Ok(match (until.or(again), asks) {
            (_, true) | (None, _) => Advance::Paused,
            (Some(at), false) => Advance::Later(at),
        })
    }

    /// Goes on with a wait that has begun.
    pub(super) fn continue_wait(
        &self,
        cell: &RunCell,
        index: usize,
        deadline: Option<Timestamp>,
    ) -> Result<Advance, EngineError> {
        let (id, until, is_question) = {
            let core = cell.core.lock();
            let call = &core.state.calls[index];
            let until = match call.kind {
                CallKind::Wait { until } => until,
                _ => None,
            };
            (call.id.clone(), until, call.op.starts_with("ask."))
        };
        if is_question {
            return Ok(Advance::Paused);
        }
        let now = self.clock.now();
        let outcome = match until {
            Some(end) if now < end => return Ok(Advance::Later(end)),
            Some(_) => Ok(Value::Null),
            None => {
                let mut request = self.recorded_request(cell, index)?;
                // A deadline fires only after a fresh look, which has time of its own.
                let late = deadline.is_some_and(|deadline| now >= deadline);
                request.deadline = if late { Some(later(now, LAST_LOOK)) } else { deadline };
                if let Some(stop) = self.check_before(cell, &id.step, &request)? {
                    return Ok(stop);
                }
                let polled = self.host.reader().poll(&request);
                match polled {
                    Ok(Polled::Ready(result)) => Ok(result),
                    Ok(Polled::Pending { progress, .. }) if late => Err(OpError::failed(format!(
                        "{} was still waiting when the step's time was over{}",
                        request.op.name,
                        progress.map(|text| format!(": {text}")).unwrap_or_default()
                    ))),
                    Ok(Polled::Pending { progress, again }) => {
                        if let Some(text) = progress {
                            cell.observer.progress(&cell.id, &id.step, &text);
                        }
                        return Ok(Advance::Later(later(now, again)));
                    }
                    Err(error) if error.class == ErrorClass::Transient && !late => {
                        return Ok(Advance::Later(later(now, Duration::from_secs(2))));
                    }
                    Err(error) => Err(error),
                }
            }
        };
        self.end(cell, &id, outcome, Value::Null)?;
        Ok(Advance::Ended)
    }
}

/// When a timer ends; `None` for a question.
fn timer_end(op: &str, args: &Value, now: Timestamp) -> Result<Option<Timestamp>, OpError> {
    match op {
        "time.sleep" => {
            let wanted = &args["duration"];
            let duration = match (wanted.as_u64(), wanted.as_str()) {
                (Some(millis), _) => Duration::from_millis(millis),
                (None, Some(text)) => {
                    crate::model::amount::parse_duration(text).map_err(|e| OpError::refused(e.to_string()))?
                }
                (None, None) => return Err(OpError::refused("`duration` is neither a text nor milliseconds")),
            };
            Ok(Some(later(now, duration)))
        }
        "time.wait_until" => args["at"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or_else(|| OpError::refused("`at` is no instant like 2026-11-21T03:00:00Z")),
        _ => Ok(None),
    }
}
