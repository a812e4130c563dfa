//! The evaluation that runs on this thread: what its operations are answered by, and its limits of time and memory.
//!
//! A script runs on one thread from its start to its end or suspension, and Rhai calls native functions on that thread.
//! So the run travels as a thread-local instead of as the call's tag: functions of imported modules see it too, and nothing
//! can be called while no evaluation is on (the top level of a module, for one).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult, Position};

use super::question::Question;
use super::{convert, memory};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::OpEntry;

/// How long a script may compute between two calls, unless its program is given longer. Only pathological ones get near.
pub const MAX_THINKING: Duration = Duration::from_secs(20);
/// Memory a script may hold, as counted by the allocator on its thread.
pub const MAX_MEMORY: usize = 256 << 20;

/// How a call ends without a result.
#[derive(Debug)]
pub enum Stop {
    /// The operation failed; the script may catch it.
    Failed(OpError),
    /// The evaluation is over (suspended, diverged, cancelled): whatever the script returns is discarded.
    Sealed,
}

/// How a loop whose rounds only the run will know goes round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// Once for each item, also of none; after a round comes the next, or the end.
    Items,
    /// The round that was begun, and after it such as [`Calls::covered`] tells of.
    Rounds,
}

/// What answers a script's operations.
pub trait Calls {
    /// Performs, or replays, a call.
    ///
    /// # Errors
    /// See [`Stop`].
    fn call(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop>;

    /// The script needs something of a value that only the run will know, and no question can be made of it: the evaluation is
    /// over.
    fn met_unknown(&self, _why: &str) {}

    /// Answers a question about a value that only the run will know. `None`: nobody answers here.
    fn decide(&self, _question: Question) -> Option<bool> {
        None
    }

    /// How many questions have been answered that had another answer, too.
    fn decisions(&self) -> usize {
        0
    }

    /// Whether a loop over what only the run will know goes round not even once. Asked before it is entered.
    fn is_left_out(&self, _each: &str, _source: &str) -> bool {
        false
    }

    /// What follows happens once for each of something, until [`Calls::leave_loop`].
    fn enter_loop(&self, _each: &str, _kind: LoopKind) {}

    /// The end of what [`Calls::enter_loop`] began: what follows it is come to (`true`), or not, as far as can be told (`false`).
    fn leave_loop(&self, _each: &str, _passed: bool) {}

    /// What follows a loop that was left early is come to all the same: it was left by `break`.
    fn passed_loop(&self, _each: &str) {}

    /// Whether the evaluation is over: nothing may be caught any more.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether the answer is taken for a proof: then what is said of all of nothing is no answer.
    fn vouches(&self) -> bool {
        false
    }

    /// What would follow is another round of a loop that has been shown: the evaluation is over.
    fn covered(&self, _each: &str) {}
}

struct Current {
    calls: Option<Rc<dyn Calls>>,
    thinking_since: Instant,
    patience: Duration,
    memory_at_start: usize,
    exceeded: Option<Limit>,
    /// Loops under way, innermost last.
    rounds: Vec<Rounds>,
    /// How often a source has been named anew.
    names: HashMap<String, u32>,
}

/// A loop under way.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// Its place in the script's text.
    pub id: i64,
    /// How many questions had been answered when it began.
    pub decisions: usize,
    /// The present round stands for all.
    pub stands_for_all: bool,
    /// It is assumed to go round not even once.
    pub left_out: bool,
    /// [`Calls::enter_loop`] has been said and not yet [`Calls::leave_loop`].
    pub entered: bool,
    /// What it is called.
    pub label: String,
}

/// A limit that ended an evaluation and that Rhai itself does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It computed for longer than this without a call. The machine may have been slow, or asleep: another time it may not be.
    Time(Duration),
    /// [`MAX_MEMORY`].
    Memory,
}

thread_local! {
    static CURRENT: RefCell<Vec<Current>> = const { RefCell::new(Vec::new()) };
}

/// Evaluates with these calls (none: every operation is refused), and this long between two of them. Returns what `evaluate` returned and the limit that ended it.
pub fn with<T>(calls: Option<Rc<dyn Calls>>, patience: Duration, evaluate: impl FnOnce() -> T) -> (T, Option<Limit>) {
    CURRENT.with_borrow_mut(|stack| {
        stack.push(Current {
            calls,
            patience,
            thinking_since: Instant::now(),
            memory_at_start: memory::held_by_thread(),
            exceeded: None,
            rounds: Vec::new(),
            names: HashMap::new(),
        });
    });
    let result = evaluate();
    let limit = CURRENT.with_borrow_mut(Vec::pop).and_then(|current| current.exceeded);
    (result, limit)
}

/// For Rhai's `on_progress`: whether the evaluation has to end.
pub fn over_limit(operations: u64) -> Option<Dynamic> {
    // The clock and the counter cost more than an operation does.
    if !operations.is_multiple_of(512) {
        return None;
    }
    CURRENT.with_borrow_mut(|stack| {
        let current = stack.last_mut()?;
        let limit = if current.thinking_since.elapsed() > current.patience {
            Limit::Time(current.patience)
        } else if memory::held_by_thread().saturating_sub(current.memory_at_start) > MAX_MEMORY {
            Limit::Memory
        } else {
            return None;
        };
        current.exceeded = Some(limit);
        Some(Dynamic::UNIT)
    })
}

/// What answers the evaluation on this thread.
pub(super) fn calls() -> Option<Rc<dyn Calls>> {
    CURRENT.with_borrow(|stack| stack.last().and_then(|current| current.calls.clone()))
}

/// The loops of the evaluation on this thread.
pub(super) fn rounds<T>(look: impl FnOnce(&mut Vec<Rounds>) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|stack| stack.last_mut().map(|current| look(&mut current.rounds)))
}

/// A name for a source that no other value of this evaluation has: `name`, `name#2`, …
pub(super) fn fresh(name: &str) -> String {
    CURRENT.with_borrow_mut(|stack| {
        let Some(current) = stack.last_mut() else { return name.to_owned() };
        let count = current.names.entry(name.to_owned()).or_default();
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name}#{count}") }
    })
}

/// What `host::family::name(args)` does.
///
/// # Errors
/// A catchable error with the fields of [`OpError`], or an uncatchable one when the evaluation is over.
pub fn call(op: &'static OpEntry, args: &Dynamic) -> Result<Dynamic, Box<EvalAltResult>> {
    let Some(calls) = calls() else {
        return Err(
            format!("`host::{}` cannot be called here: only steps make calls", op.name.replace('.', "::")).into()
        );
    };
    let args = convert::to_value(args).map_err(|e| format!("an argument of {}: {e}", op.name))?;
    let outcome = calls.call(op, args);
    // Time spent in a call is not time spent thinking.
    CURRENT.with_borrow_mut(|stack| {
        if let Some(current) = stack.last_mut() {
            current.thinking_since = Instant::now();
        }
    });
    match outcome {
        Ok(value) => Ok(convert::to_dynamic(&value)),
        Err(Stop::Failed(error)) => {
            let thrown = serde_json::to_value(&error).unwrap_or_else(|_| Value::from(error.message.clone()));
            Err(Box::new(EvalAltResult::ErrorRuntime(convert::to_dynamic(&thrown), Position::NONE)))
        }
        Err(Stop::Sealed) => Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))),
    }
}
