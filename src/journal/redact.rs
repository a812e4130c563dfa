//! Redaction of a record: known secrets are taken out of everything that is data, before it is hashed and stored.
//!
//! It works on the decoded texts, since a secret with a quote in it has another form on every level of escaping. What
//! names things in the playbook (steps, operations, keys of calls) is left alone: it stands in the bundle for all to read,
//! and a journal in which a step has another name could not be resumed.

use std::borrow::Cow;

use super::record::{Fact, Outcome, Pause, Record, UndoPlan};
use crate::model::Value;
use crate::model::command::Order;
use crate::model::drill::Teardown;
use crate::model::fault::OpError;
use crate::model::forecast::WayEnd;
use crate::model::secret::{HANDLE_KEY, REDACTED, Redactor, is_handle};

/// Takes every known secret out of the record's data; whether there was any.
pub fn scrub(redactor: &Redactor, record: &mut Record) -> bool {
    if redactor.is_empty() {
        return false;
    }
    let mut cleaner = Cleaner { redactor, changed: false };
    cleaner.fact(&mut record.fact);
    cleaner.changed
}

/// A value without any known secret: as it will stand in the journal.
#[must_use]
pub fn value(redactor: &Redactor, mut value: Value) -> Value {
    Cleaner { redactor, changed: false }.value(&mut value);
    value
}

struct Cleaner<'r> {
    redactor: &'r Redactor,
    changed: bool,
}

impl Cleaner<'_> {
    fn text(&mut self, text: &mut String) {
        if let Cow::Owned(clean) = self.redactor.scrub(text) {
            *text = clean;
            self.changed = true;
        }
    }

    fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t mut String>) {
        for text in texts {
            self.text(text);
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                // A PIN that a tool printed as a number.
                if matches!(self.redactor.scrub(&number.to_string()), Cow::Owned(_)) {
                    *value = Value::from(REDACTED);
                    self.changed = true;
                }
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            // A handle names a secret (by the path and the name it has) and never holds it. A password that is also a word
            // of that path must not break the handle.
            Value::Object(_) if is_handle(value) && value[HANDLE_KEY].get("provider").is_some() => {}
            Value::Object(fields) => {
                if fields.keys().any(|key| matches!(self.redactor.scrub(key), Cow::Owned(_))) {
                    let old = std::mem::take(fields);
                    fields.extend(old.into_iter().map(|(key, value)| (self.redactor.scrub(&key).into_owned(), value)));
                    self.changed = true;
                }
                fields.values_mut().for_each(|field| self.value(field));
            }
        }
    }

    fn error(&mut self, error: &mut OpError) {
        self.text(&mut error.message);
        self.texts(&mut error.detail);
        self.texts(&mut error.hint);
    }

    fn outcome(&mut self, outcome: &mut Outcome) {
        match outcome {
            Outcome::Done { result, fingerprint } => {
                self.value(result);
                self.value(fingerprint);
            }
            Outcome::Error { error } => self.error(error),
        }
    }

    fn order(&mut self, order: &mut Order) {
        match order {
            Order::Skip { reason, result, .. } => {
                self.text(reason);
                result.iter_mut().for_each(|result| self.value(result));
            }
            Order::Done { evidence, result, .. } => {
                self.text(evidence);
                result.iter_mut().for_each(|result| self.value(result));
            }
            Order::Settle { result, reason, .. } => {
                self.text(reason);
                result.iter_mut().for_each(|result| self.value(result));
            }
            Order::Approve { reason, .. } => self.texts(reason),
            Order::Reject { reason, .. } | Order::SkipUndo { reason } | Order::Accept { reason, .. } => {
                self.text(reason)
            }
            Order::Answer { value, .. } => self.value(value),
            Order::Note { text } => self.text(text),
            Order::Retry { .. } | Order::Rollback { .. } | Order::Cancel { .. } | Order::Kill | Order::Resume => {}
            Order::Bind { approvals, .. } => approvals.iter_mut().for_each(|approval| self.texts(&mut approval.reason)),
        }
    }

    fn pause(&mut self, pause: &mut Pause) {
        match pause {
            Pause::Question { question: text, .. }
            | Pause::InDoubt { reason: text, .. }
            | Pause::Credentials { message: text, .. }
            | Pause::Overtime { message: text, .. }
            | Pause::Undo { reason: text, .. }
            | Pause::OutsidePlan { effect: text, .. } => self.text(text),
            Pause::StepFailed { .. }
            | Pause::Approval { .. }
            | Pause::Manual { .. }
            | Pause::Target { .. }
            | Pause::Secret { .. }
            | Pause::PointOfNoReturn { .. }
            | Pause::RolledBackTo { .. } => {}
        }
    }

    fn undo(&mut self, undo: &mut UndoPlan) {
        match undo {
            UndoPlan::Nothing => {}
            UndoPlan::Impossible { why } => self.text(why),
            UndoPlan::Call { args, .. } => self.value(args),
        }
    }

    /// Lists every variant, so that whoever adds one has to say which of its fields are data.
    fn fact(&mut self, fact: &mut Fact) {
        match fact {
            Fact::RunStarted { params, .. } => self.value(params),
            Fact::Expanded { items, over, .. } => {
                items.iter_mut().for_each(|(_, item)| self.value(item));
                self.texts(over);
            }
            Fact::StepStarted { inputs, .. } => self.value(inputs),
            Fact::Intent { args, before, undo, .. } => {
                self.value(args);
                self.value(before);
                self.undo(undo);
            }
            Fact::Resent { before, undo, .. } => {
                self.value(before);
                self.undo(undo);
            }
            Fact::WaitBegun { args, .. } => self.value(args),
            Fact::Called { args, outcome, .. } => {
                self.value(args);
                self.outcome(outcome);
            }
            Fact::Foreseen { args, outcome, before, changes, branch, reason, repeated, .. } => {
                self.value(args);
                self.outcome(outcome);
                self.value(before);
                self.text(reason);
                self.texts(repeated);
                for change in changes {
                    self.text(&mut change.resource);
                    self.value(&mut change.before);
                    self.value(&mut change.after);
                }
                branch.iter_mut().for_each(|decision| self.text(&mut decision.question));
            }
            Fact::Checked { check } => {
                self.text(&mut check.found);
                self.texts(&mut check.hint);
            }
            Fact::RunsIf { decision, .. } => self.text(&mut decision.question),
            Fact::Foretold { branch, end, .. } => {
                branch.iter_mut().for_each(|decision| self.text(&mut decision.question));
                match end {
                    WayEnd::Stops { message: text } | WayEnd::Unfollowed { why: text } => self.text(text),
                    WayEnd::Returns | WayEnd::GoesOn => {}
                }
            }
            Fact::PathsForeseen { paths, .. } => {
                paths.effects.iter_mut().for_each(|effect| self.value(&mut effect.args));
            }
            Fact::Ended { outcome, .. } => self.outcome(outcome),
            Fact::Probed { found, .. } => self.text(found),
            Fact::Verifying { output, .. } | Fact::StepSucceeded { output, .. } => self.value(output),
            Fact::StepFailed { error, .. } | Fact::RollbackFailed { error, .. } => self.error(error),
            Fact::StepSkipped { reason, result, .. } => {
                self.text(reason);
                result.iter_mut().for_each(|result| self.value(result));
            }
            Fact::StepDone { evidence, result, .. } => {
                self.text(evidence);
                result.iter_mut().for_each(|result| self.value(result));
            }
            Fact::Approved { reason, .. } => self.texts(reason),
            Fact::ApprovalAsked { unforeseen, .. } => self.texts(unforeseen),
            Fact::PlanApproved { approval } => self.texts(&mut approval.reason),
            Fact::ApprovalWaived { reason, .. } => self.text(reason),
            Fact::DrillMeasured { values, faults, .. } => {
                values.values_mut().for_each(|value| self.value(value));
                faults.values_mut().for_each(|fault| self.text(fault));
            }
            Fact::TeardownBegun { teardown } => {
                if let Teardown::Failed { message, .. } = teardown {
                    self.text(message);
                }
            }
            Fact::DrillSwept { leaks, unasked, .. } => {
                leaks.iter_mut().for_each(|leak| self.text(&mut leak.found));
                unasked.values_mut().for_each(|why| self.text(why));
            }
            Fact::ManualAsked { instructions, .. } => self.text(instructions),
            Fact::Paused { pause } => self.pause(pause),
            Fact::Commanded { command, refused } => {
                self.order(&mut command.what);
                self.texts(refused);
            }
            Fact::Noted { text, .. } => self.text(text),
            Fact::RollbackBegun { reason, .. }
            | Fact::UndoSkipped { reason, .. }
            | Fact::SecretAccepted { reason, .. } => self.text(reason),
            Fact::Finished { remarks, outputs, .. } => {
                self.texts(remarks);
                outputs.values_mut().for_each(|output| self.value(output));
            }
            Fact::Held { .. }
            | Fact::TargetMet { .. }
            | Fact::SecretMet { .. }
            | Fact::StepRetried { .. }
            | Fact::StepRolledBack { .. }
            | Fact::RollbackEnded { .. }
            | Fact::NoReturn { .. }
            | Fact::PlanBound { .. }
            | Fact::RestForeseen
            | Fact::Resumed { .. }
            | Fact::Cancelling { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::Actor;
    use crate::model::{CallId, Phase, StepPath};
    use serde_json::json;

    fn called(result: Value) -> Record {
        let step = StepPath::of("postgres");
        let call = CallId { step, phase: Phase::Body, attempt: 1, seq: 0 };
        let outcome = Outcome::Done { result, fingerprint: Value::Null };
        let fact = Fact::Called { call, op: "exec.read".into(), revision: 1, args: Value::Null, outcome };
        Record { seq: 0, at: jiff::Timestamp::UNIX_EPOCH, epoch: 1, fact }
    }

    #[test]
    fn a_secret_escaped_twice_is_taken_out() {
        let secret = "p@ss\"w\\ord'1";
        let redactor = Redactor::default();
        redactor.learn(secret);
        let nested = json!({ "password": secret }).to_string();
        let mut record = called(json!({ "stdout": nested, "more": [secret], secret: 1 }));
        assert!(scrub(&redactor, &mut record));
        let line = super::super::chain::encode(&record);
        assert!(!line.contains("p@ss") && !line.contains("ord'1"), "{line}");
    }

    #[test]
    fn a_secret_printed_as_a_number_is_taken_out() {
        let redactor = Redactor::default();
        redactor.learn("271828182");
        let mut record = called(json!({ "pin": 271_828_182, "n": 3 }));
        assert!(scrub(&redactor, &mut record));
        assert_eq!(record, called(json!({ "pin": REDACTED, "n": 3 })));
    }

    #[test]
    fn a_password_that_is_a_common_word_breaks_neither_names_nor_handles() {
        let redactor = Redactor::default();
        redactor.learn("postgres");
        let handle = json!({ "$secret": { "provider": "dotenv", "path": "/srv/postgres/.env" } });
        let mut record = called(json!({ "password": handle, "said": "postgres" }));
        assert!(scrub(&redactor, &mut record));
        assert_eq!(record, called(json!({ "password": handle, "said": REDACTED })));
    }

    #[test]
    fn a_record_without_secrets_is_left_as_it_is() {
        let redactor = Redactor::default();
        redactor.learn("something else");
        let fact = Fact::Noted { by: Actor { name: "a@b".into() }, text: "fine".into() };
        let mut record = Record { seq: 0, at: jiff::Timestamp::UNIX_EPOCH, epoch: 1, fact };
        assert!(!scrub(&redactor, &mut record));
    }
}
