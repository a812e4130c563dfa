//! Answers a script's calls in a plan: reads go to the world as the plan sees it, effects are foreseen and never sent.

use super::gateway::{Gateway, Seal, contains_unknown};
use crate::journal::record::{Fact, Outcome};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::forecast::Basis;
use crate::ops::foresight::{Foreseen, PlanHost};
use crate::ops::spec::{Backend, unknown};
use crate::ops::{Effect, OpEntry, Request};
use crate::script::Stop;

fn told(outcome: Result<Value, OpError>, basis: Basis, why: &str) -> Foreseen {
    let (before, takes, changes) = (Value::Null, std::time::Duration::ZERO, Vec::new());
    Foreseen { outcome, basis, why: why.to_owned(), before, takes, changes }
}

impl Gateway {
    /// A call of a plan.
    pub(super) fn foresee(&self, host: &dyn PlanHost, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        let id = self.new_id();
        let request = Request {
            run: self.cell.id.clone(),
            op,
            args: args.clone(),
            key: super::effect::key_of(&self.cell.id, &id, 0),
            before: Value::Null,
            deadline: None,
        };
        let foreseen = match self.objection(op, &args) {
            Some(error) => told(Err(error), Basis::Exact, ""),
            None if contains_unknown(&args) && op.effect != Effect::Log => {
                let why = format!("the result of {}, whose arguments only the run will know", op.name);
                told(Ok(unknown(&why)), Basis::Unknown, "its arguments depend on what only the run will know")
            }
            None if op.effect == Effect::Ask => {
                told(Ok(unknown("the operator's answer")), Basis::Unknown, "a person answers")
            }
            None if matches!(op.backend, Backend::Engine) => told(Ok(Value::Null), Basis::Exact, ""),
            None => host.foresee(&request),
        };
        let outcome = match foreseen.outcome {
            Ok(result) => Outcome::Done { result, fingerprint: Value::Null },
            Err(error) => Outcome::Error { error },
        };
        let fact = Fact::Foreseen {
            call: id,
            op: op.name.to_owned(),
            revision: op.revision,
            args,
            outcome: outcome.clone(),
            basis: foreseen.basis,
            reason: foreseen.why,
            key: request.key,
            before: foreseen.before,
            takes_ms: u64::try_from(foreseen.takes.as_millis()).unwrap_or(u64::MAX),
            changes: foreseen.changes,
            branch: Vec::new(),
            repeated: None,
        };
        let recorded = self.cell.core.lock().record(&self.cell, fact, self.inner.clock.now());
        match recorded {
            Ok(_) => self.answer(outcome),
            Err(error) => Err(self.seal(Seal::Broken(error))),
        }
    }
}
