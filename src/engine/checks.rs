//! Asks a playbook's `checks` of the world as it is: before a plan's first step, by nothing but reads.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::cell::RunCell;
use super::driver::Inner;
use super::gateway;
use super::scope::run_scope;
use crate::model::amount::format_duration;
use crate::model::check::{self, RecoveryPoint, Source, Verdict};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::unknown::Unknown;
use crate::model::{Timestamp, Value};
use crate::ops::{Effect, OpEntry, Request};
use crate::playbook::types::{Asks, Check};
use crate::script::{Calls, ScriptError, Stop};

/// Checks that are asked at once.
const AT_ONCE: usize = 8;
/// What an operation that ends at its deadline is given to say so itself.
const GRACE: Duration = Duration::from_secs(2);
/// A recovery point may be this far ahead of our clock: two machines never agree wholly.
const AHEAD: Duration = Duration::from_secs(300);

impl Inner {
    /// What is found of the playbook's checks, in their order.
    pub(super) fn check_all(self: &Arc<Self>, cell: &Arc<RunCell>) -> Vec<check::Check> {
        let checks = &cell.program.playbook.checks;
        let mut found = Vec::with_capacity(checks.len());
        for part in checks.chunks(AT_ONCE) {
            let asked: Vec<_> = part.iter().map(|check| self.ask_apart(cell, check)).collect();
            for (check, (answer, asked)) in part.iter().zip(asked) {
                let patience = check.timeout.saturating_add(GRACE).saturating_sub(asked.elapsed());
                let found_now = answer.recv_timeout(patience).unwrap_or_else(|error| match error {
                    RecvTimeoutError::Timeout => {
                        let late = format!("it did not end within {}", format_duration(check.timeout));
                        failed(check, late)
                    }
                    RecvTimeoutError::Disconnected => failed(check, "it ended without an answer".to_owned()),
                });
                found.push(found_now);
            }
        }
        found
    }

    /// Asks on a thread of its own: what hangs on a dead disk cannot be ended, only left behind.
    fn ask_apart(self: &Arc<Self>, cell: &Arc<RunCell>, check: &Check) -> (mpsc::Receiver<check::Check>, Instant) {
        let (answer, answered) = mpsc::sync_channel(1);
        let (inner, cell, check) = (Arc::clone(self), Arc::clone(cell), check.clone());
        let thread = std::thread::Builder::new().name(format!("check-{}", check.id.value)).stack_size(4 << 20);
        // Without a thread there is no answer, which is told.
        let _ = thread.spawn(move || answer.send(inner.find(&cell, &check)));
        (answered, Instant::now())
    }

    fn find(self: &Arc<Self>, cell: &Arc<RunCell>, check: &Check) -> check::Check {
        let begun = self.clock.now();
        let deadline = begun.saturating_add(check.timeout).unwrap_or(Timestamp::MAX);
        let looking = Rc::new(Looking {
            inner: Arc::clone(self),
            cell: Arc::clone(cell),
            deadline,
            met: RefCell::default(),
            said: RefCell::default(),
        });
        let scope = run_scope(&cell.core.lock().state);
        let answer = cell.program.script(check.script(), &scope, Some(Rc::clone(&looking) as Rc<dyn Calls>));
        let now = self.clock.now();
        let rpo = cell.program.playbook.rpo;
        let mut found = match looking.met.take() {
            Some(why) => finding(check, Verdict::Unknown, why),
            None => match answer {
                Ok(value) => answered(check, &value, rpo, now),
                Err(error) => thrown(check, &error),
            },
        };
        for said in looking.said.take() {
            found.found = if found.found.is_empty() { said } else { format!("{}; {said}", found.found) };
        }
        let took = now.duration_since(begun).unsigned_abs();
        if took > check.timeout {
            found.verdict = Verdict::Fail;
            found.found = format!("it took {}, longer than {}", format_duration(took), format_duration(check.timeout));
        }
        found.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        found
    }
}

/// The calls of a check: reads, answered by a host of which only the reading half is asked.
struct Looking {
    inner: Arc<Inner>,
    cell: Arc<RunCell>,
    deadline: Timestamp,
    /// Why it cannot be told.
    met: RefCell<Option<String>>,
    /// What was logged.
    said: RefCell<Vec<String>>,
}

impl Calls for Looking {
    fn call(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        if self.is_over() {
            return Err(Stop::Sealed);
        }
        if op.effect == Effect::Log {
            // What a function says on its way belongs to what is found.
            let said = args.get("message").and_then(Value::as_str);
            self.said.borrow_mut().extend(said.map(str::to_owned));
            return Ok(Value::Null);
        }
        if !matches!(op.effect, Effect::Read | Effect::Value) {
            let message = format!("{} is no reading operation: a check may only read", op.name);
            return Err(Stop::Failed(OpError::refused(message)));
        }
        if let Some(error) = gateway::objection(&self.cell, op, &args) {
            return Err(Stop::Failed(error));
        }
        let request = Request {
            run: self.cell.id.clone(),
            op,
            args,
            key: String::new(),
            before: Value::Null,
            deadline: Some(self.deadline),
        };
        self.inner.host.reader().read(&request).map_err(Stop::Failed)
    }

    fn met_unknown(&self, why: &str) {
        self.met.borrow_mut().get_or_insert_with(|| why.to_owned());
    }

    fn is_over(&self) -> bool {
        self.met.borrow().is_some()
    }

    fn vouches(&self) -> bool {
        true
    }
}

fn finding(check: &Check, verdict: Verdict, found: impl Into<String>) -> check::Check {
    let made = check::Check::new(&check.id.value, &check.title, Source::Playbook, verdict).found(found);
    match &check.hint {
        Some(hint) if verdict != Verdict::Pass => made.hint(hint),
        _ => made,
    }
}

fn failed(check: &Check, found: String) -> check::Check {
    finding(check, Verdict::Fail, found)
}

fn thrown(check: &Check, error: &ScriptError) -> check::Check {
    let verdict = match &error.op {
        _ if error.unknown => Verdict::Unknown,
        Some(op) if op.class == ErrorClass::Unknown => Verdict::Unknown,
        _ => Verdict::Fail,
    };
    let detail = error.op.as_ref().and_then(|op| op.detail.as_deref());
    let last = detail.and_then(|detail| detail.lines().rev().find(|line| !line.trim().is_empty()));
    let last = last.filter(|last| !error.message.contains(last.trim()));
    let said = last.map(|last| format!("{}: {}", error.message, last.trim()));
    let made = finding(check, verdict, said.unwrap_or_else(|| error.message.clone()));
    match (&made.hint, error.op.as_ref().and_then(|op| op.hint.clone())) {
        (None, Some(hint)) => made.hint(hint),
        _ => made,
    }
}

/// What the script gave, judged. What is neither yes nor no, nor a time, has failed.
fn answered(check: &Check, value: &Value, rpo: Option<Duration>, now: Timestamp) -> check::Check {
    if let Some(unknown) = Unknown::of(value) {
        return finding(check, Verdict::Unknown, unknown.why.to_string());
    }
    match &check.asks {
        Asks::Holds(script) => holds(check, &script.value, value),
        Asks::RecoveryPoint { max_age, .. } => match max_age.or(rpo) {
            Some(most) => recovery_point(check, value, most, now),
            None => failed(check, "nothing says how old the recovery point may be".to_owned()),
        },
    }
}

fn holds(check: &Check, script: &str, value: &Value) -> check::Check {
    let wanted = "where true, false or #{ ok, found, hint } is wanted";
    match value {
        Value::Bool(true) => finding(check, Verdict::Pass, ""),
        Value::Bool(false) => {
            let script = script.trim();
            let what =
                if script.contains('\n') { "the script gives false".into() } else { format!("not so: {script}") };
            failed(check, what)
        }
        Value::Object(fields) => {
            if let Some(name) = fields.keys().find(|name| !["ok", "found", "hint"].contains(&name.as_str())) {
                return failed(check, format!("the script gives a map with `{name}`, {wanted}"));
            }
            let text = |name: &str| match fields.get(name) {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => String::new(),
                Some(other) => match Unknown::of(other) {
                    Some(unknown) => unknown.shown(),
                    None => other.to_string(),
                },
            };
            let (said, hint) = (text("found"), text("hint"));
            let made = match fields.get("ok") {
                Some(Value::Bool(true)) => return finding(check, Verdict::Pass, said),
                Some(Value::Bool(false)) => failed(check, said),
                Some(Value::Null) => finding(check, Verdict::Unknown, said),
                Some(other) => match Unknown::of(other) {
                    Some(unknown) => finding(check, Verdict::Unknown, unknown.why.to_string()),
                    None => failed(check, format!("the script gives `ok: {other}`, which is neither true nor false")),
                },
                None => failed(check, format!("the script gives a map without `ok`, {wanted}")),
            };
            if hint.is_empty() { made } else { made.hint(hint) }
        }
        other => failed(check, format!("the script gives {}, {wanted}", shown(other))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// The newest of the times that a script gives: one, or a list of them, as text or in milliseconds since 1970.
fn newest(value: &Value) -> Result<Option<Timestamp>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| format!("`{}` is no time such as 2026-07-01T03:00:00Z", text.trim())),
        Value::Number(number) => {
            let millis = number.as_i64().ok_or_else(|| format!("{number} is no time"))?;
            Timestamp::from_millisecond(millis).map(Some).map_err(|_| format!("{number} is no time"))
        }
        Value::Array(items) => {
            let mut times = Vec::new();
            for item in items {
                times.push(newest(item)?.ok_or_else(|| format!("{} in the list is no time", shown(item)))?);
            }
            Ok(times.into_iter().max())
        }
        other => Err(format!("{} is no time", shown(other))),
    }
}

fn recovery_point(check: &Check, value: &Value, most: Duration, now: Timestamp) -> check::Check {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let point = |at: Option<Timestamp>, age: Option<Duration>| {
        Some(RecoveryPoint { at, age_ms: age.map(millis), max_age_ms: millis(most) })
    };
    let with = |made: check::Check, recovery_point| check::Check { recovery_point, ..made };
    let inside = |value: &Value| Unknown::of(value).map(|unknown| unknown.why.to_string());
    let open = value.as_array().and_then(|items| items.iter().find_map(inside));
    if let Some(why) = open {
        return with(finding(check, Verdict::Unknown, why), point(None, None));
    }
    let at = match newest(value) {
        Ok(Some(at)) => at,
        Ok(None) => return with(failed(check, "there is no recovery point".to_owned()), point(None, None)),
        Err(why) => return with(failed(check, format!("the script does not give a time: {why}")), point(None, None)),
    };
    let since = now.duration_since(at);
    let (age, most_said) = (since.unsigned_abs(), format_duration(most));
    // Its age is told to the minute from an hour on: nobody reads more.
    let said = |age: Duration| {
        let seconds = age.as_secs();
        format_duration(Duration::from_secs(if seconds >= 3600 { seconds - seconds % 60 } else { seconds }))
    };
    if since.is_negative() && age > AHEAD {
        let made = failed(check, format!("the newest recovery point is of {at}, {} ahead of the clock", said(age)));
        return with(made.hint("set the clocks: no age can be told by these"), point(Some(at), None));
    }
    let age = if since.is_negative() { Duration::ZERO } else { age };
    let (verdict, found) = if age > most {
        (Verdict::Fail, format!("{} old ({at}), more than the {most_said} that may be lost", said(age)))
    } else {
        (Verdict::Pass, format!("{} old ({at}), of {most_said} that may be lost", said(age)))
    };
    with(finding(check, verdict, found), point(Some(at), Some(age)))
}
