//! One way through a step of a plan: the answers assumed to questions that only the run can answer, and the calls made under them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::bound;
use super::cell::RunCell;
use super::driver::{Host, Inner};
use super::error::EngineError;
use crate::journal::record::Outcome;
use crate::model::fault::OpError;
use crate::model::forecast::{Basis, Change, WITHIN};
use crate::model::unknown::{self, Shape};
use crate::model::{CallId, Phase, StepPath, Value};
use crate::ops::foresight::{Foreseen, Mark};
use crate::ops::spec::Backend;
use crate::ops::{Effect, OpEntry, Request};
use crate::script::current::LoopKind;
use crate::script::question::{Answers, Question};
use crate::script::{Calls, Stop};

/// Questions that one way may have with more than one answer.
pub const MAX_QUESTIONS: usize = 64;
/// Questions that one way may ask, all told.
const MAX_ASKED: usize = 100_000;

/// A call as it is foreseen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WayCall {
    pub op: &'static OpEntry,
    pub args: Value,
    pub outcome: Outcome,
    pub basis: Basis,
    pub reason: String,
    pub key: String,
    pub before: Value,
    pub takes_ms: u64,
    pub changes: Vec<Change>,
    pub repeated: Option<String>,
    pub at_most: Option<u64>,
    /// How many questions had been answered.
    pub depth: usize,
    /// The run whose rest this is has sent it: it is one of its effects however it ended.
    pub sent: bool,
}

impl PartialEq for OpEntry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A loop by the answers that lead to it and by what it is called: no two of one way are called the same.
pub(super) type LoopId = (Vec<bool>, String);

/// What happened on a way, as far as it decides which effects may follow which.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A question was answered.
    Asked,
    /// The effect of this number among the calls.
    Effect(usize),
    /// A loop was begun.
    Entered(LoopId, LoopKind),
    /// A loop was left; `true` where it may as well have gone round again.
    Left(LoopId, bool),
    /// The way is over, with another round of this loop.
    Again(LoopId),
}

/// A loop that a way is in.
#[derive(Debug)]
struct Entered {
    id: LoopId,
    kind: LoopKind,
    /// What it goes over; other loops may go over the same.
    each: String,
    /// How many answers were remembered when it was entered.
    answered: usize,
}

/// Another answer that was left for later.
#[derive(Clone, Debug, Default)]
pub(super) struct Fork {
    /// The answers that lead there.
    pub answers: Vec<bool>,
    /// The calls made before it.
    pub calls: Vec<WayCall>,
    /// The world there.
    pub mark: Option<Mark>,
}

/// Why a way is over before its script is.
#[derive(Debug)]
pub(super) enum Over {
    /// It cannot be followed without a value that only the run will know.
    Unfollowed(String),
    /// What would follow has been shown.
    Covered,
    /// The engine cannot go on.
    Broken(EngineError),
}

/// One way.
pub(super) struct Way {
    inner: Arc<Inner>,
    cell: Arc<RunCell>,
    step: StepPath,
    attempt: u32,
    /// No calls are made here: `when`, `with`, `foreach`.
    pure: bool,
    /// Loops of which has to be asked whether they go round at all.
    doubted: Rc<BTreeSet<LoopId>>,
    pub state: RefCell<Progress>,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Answers that are given.
    given: Vec<bool>,
    /// Calls that have been answered on another way.
    known: Vec<WayCall>,
    pub taken: Vec<(String, bool)>,
    pub events: Vec<Event>,
    answers: Answers,
    asked: usize,
    pub calls: Vec<WayCall>,
    pub forks: Vec<Fork>,
    /// Loops it is in, the outer one first.
    loops: Vec<Entered>,
    /// How often a loop of one name has been met.
    met: HashMap<String, u32>,
    /// Loops met, with the way to each.
    pub entries: BTreeMap<LoopId, Fork>,
    /// Loops whose end has been come to.
    pub passed: BTreeSet<LoopId>,
    /// The loop of each name that was left last: one of the same name may stand in it, and was left before.
    left: HashMap<String, LoopId>,
    counts: HashMap<&'static str, u32>,
    pub over: Option<Over>,
}

impl Way {
    #[expect(clippy::too_many_arguments, reason = "the parts of one way, each used once")]
    pub fn new(
        inner: &Arc<Inner>,
        cell: &Arc<RunCell>,
        step: &StepPath,
        attempt: u32,
        pure: bool,
        from: Fork,
        each: Option<&str>,
        doubted: &Rc<BTreeSet<LoopId>>,
    ) -> Self {
        let named = each.map(|each| format!("each of {each}"));
        let entered =
            |each: String| Entered { id: (Vec::new(), each.clone()), kind: LoopKind::Items, each, answered: 0 };
        let loops = named.map(entered);
        let loops = loops.into_iter().collect();
        let state = Progress { given: from.answers, known: from.calls, loops, ..Progress::default() };
        let (inner, cell, step) = (Arc::clone(inner), Arc::clone(cell), step.clone());
        Self { inner, cell, step, attempt, pure, doubted: Rc::clone(doubted), state: RefCell::new(state) }
    }

    fn here(&self, state: &Progress) -> (Vec<bool>, Option<Mark>) {
        let mark = match (&self.inner.host, self.pure) {
            (Host::Planning(host), false) => Some(host.mark()),
            _ => None,
        };
        (state.taken.iter().map(|(_, answer)| *answer).collect(), mark)
    }

    fn end(&self, over: Over) -> Stop {
        self.state.borrow_mut().over.get_or_insert(over);
        Stop::Sealed
    }

    /// The call, as it is foreseen.
    fn foresee(&self, op: &'static OpEntry, args: Value, number: usize) -> Foreseen {
        let Host::Planning(host) = &self.inner.host else {
            let error = OpError::refused("only a plan foresees calls");
            return told(Err(error), Basis::Exact, "");
        };
        let seq = u32::try_from(number).unwrap_or(u32::MAX);
        let id = CallId { step: self.step.clone(), phase: Phase::Body, attempt: self.attempt, seq };
        let key = super::effect::key_of(&self.cell.id, &id, 0);
        let unsure = unknown::is_in(&args);
        // What a line of the log says changes nothing.
        let open = unsure && op.effect != Effect::Log;
        let stand_ins = if unsure { unknown::with_stand_ins(&args) } else { args.clone() };
        let objection = super::gateway::objection(&self.cell, op, &stand_ins);
        let request = Request { run: self.cell.id.clone(), op, args, key, before: Value::Null, deadline: None };
        if let Some(error) = objection {
            let named = super::capability::names(&self.cell.granted, op.name);
            if !open || (!named && !matches!(op.effect, Effect::Log | Effect::Value)) {
                return told(Err(error), Basis::Exact, "");
            }
        }
        if op.effect == Effect::Ask {
            return told(Ok(crate::ops::spec::unknown("the operator's answer")), Basis::Unknown, "a person answers");
        }
        if open && matches!(op.backend, Backend::Engine) {
            return told(Ok(Value::Null), Basis::Unknown, OPEN);
        }
        if !open {
            return host.foresee(&request);
        }
        let result =
            crate::ops::spec::unknown(&format!("the result of {}, whose arguments only the run will know", op.name));
        if !op.effect.writes() {
            // What is waited for takes its time, whatever it is.
            let takes = if op.effect == Effect::Wait { op.typical } else { std::time::Duration::ZERO };
            return Foreseen { takes, ..told(Ok(result), Basis::Unknown, OPEN) };
        }
        // The world has to hear of it: nothing is sure about what it may touch.
        let heard = host.foresee(&request);
        let outcome = Ok(heard.outcome.unwrap_or(result));
        Foreseen { outcome, basis: Basis::Unknown.max(heard.basis), why: OPEN.to_owned(), takes: op.typical, ..heard }
    }
}

const OPEN: &str = "its arguments depend on what only the run will know";

fn told(outcome: Result<Value, OpError>, basis: Basis, why: &str) -> Foreseen {
    let (before, takes, changes) = (Value::Null, std::time::Duration::ZERO, Vec::new());
    Foreseen { outcome, basis, why: why.to_owned(), before, takes, changes }
}

/// The shape of an operation's results.
pub(super) fn shape_of(op: &OpEntry) -> Shape {
    static SHAPES: parking_lot::Mutex<Option<HashMap<&'static str, Shape>>> = parking_lot::Mutex::new(None);
    let mut shapes = SHAPES.lock();
    let shapes = shapes.get_or_insert_with(HashMap::new);
    shapes.entry(op.name).or_insert_with(|| Shape::of_schema(&(op.output_schema)())).clone()
}

impl Progress {
    /// What a loop is called that would be entered now.
    fn loop_id(&self, each: &str) -> LoopId {
        let name = match self.met.get(each) {
            None => each.to_owned(),
            Some(times) => format!("{each} ({})", times + 1),
        };
        (self.taken.iter().map(|(_, answer)| *answer).collect(), name)
    }
}

impl Calls for Way {
    fn call(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        if self.is_over() {
            return Err(Stop::Sealed);
        }
        if self.pure {
            return Err(Stop::Failed(OpError::refused(format!(
                "{} cannot be called here: only steps make calls",
                op.name
            ))));
        }
        let args = super::started::of_run(&self.cell, self.inner.scrub(args));
        let number = self.state.borrow().calls.len();
        let known = self.state.borrow().known.get(number).cloned();
        let call = match known {
            Some(known) if known.op == op && known.args == args => known,
            Some(known) => {
                let recorded = format!("{} {}", known.op.name, known.args);
                let asked = format!("{} {args}", op.name);
                return Err(self.end(Over::Broken(EngineError::Diverged {
                    call: format!("{}/{number}", self.step),
                    asked,
                    recorded,
                })));
            }
            None => {
                let foreseen = self.foresee(op, args.clone(), number);
                let mut state = self.state.borrow_mut();
                let count = state.counts.entry(op.name).or_default();
                *count += 1;
                let source = if *count == 1 { op.name.to_owned() } else { format!("{}#{count}", op.name) };
                let outcome = match foreseen.outcome {
                    Ok(result) if unknown::is_in(&result) => Outcome::Done {
                        result: unknown::rooted(result, &source, &shape_of(op)),
                        fingerprint: Value::Null,
                    },
                    Ok(result) => Outcome::Done { result, fingerprint: Value::Null },
                    Err(error) => Outcome::Error { error },
                };
                let seq = u32::try_from(number).unwrap_or(u32::MAX);
                let id = CallId { step: self.step.clone(), phase: Phase::Body, attempt: self.attempt, seq };
                let labels: Vec<&str> = state.loops.iter().map(|entered| entered.id.1.as_str()).collect();
                let depth = u32::try_from(labels.len()).unwrap_or(u32::MAX);
                WayCall {
                    op,
                    args,
                    outcome,
                    basis: foreseen.basis,
                    reason: foreseen.why,
                    key: super::effect::key_of(&self.cell.id, &id, 0),
                    before: foreseen.before,
                    takes_ms: u64::try_from(foreseen.takes.as_millis()).unwrap_or(u64::MAX),
                    changes: foreseen.changes,
                    repeated: (depth > 0).then(|| labels.join(WITHIN)),
                    at_most: (depth > 0).then(|| (bound::MAX_ROUNDS as u64).saturating_pow(depth)),
                    depth: state.taken.len(),
                    sent: false,
                }
            }
        };
        let outcome = call.outcome.clone();
        let mut state = self.state.borrow_mut();
        if number < state.known.len() {
            *state.counts.entry(op.name).or_default() += 1;
        }
        if op.effect.writes() && (call.sent || matches!(outcome, Outcome::Done { .. })) {
            state.events.push(Event::Effect(number));
        }
        state.calls.push(call);
        match outcome {
            Outcome::Done { result, .. } => Ok(result),
            Outcome::Error { error } => Err(Stop::Failed(error)),
        }
    }

    fn met_unknown(&self, why: &str) {
        self.end(Over::Unfollowed(why.to_owned()));
    }

    fn decide(&self, question: Question) -> Option<bool> {
        let mut state = self.state.borrow_mut();
        state.asked += 1;
        if state.over.is_some() {
            return None;
        }
        if let Some(answer) = state.answers.implied(&question) {
            if state.asked > MAX_ASKED {
                state.over = Some(Over::Unfollowed(format!("more than {MAX_ASKED} questions are asked on one way")));
                return None;
            }
            return Some(answer);
        }
        if state.taken.len() >= MAX_QUESTIONS {
            let why = format!("more than {MAX_QUESTIONS} questions are open on one way; the last is `{question}`");
            state.over = Some(Over::Unfollowed(why));
            return None;
        }
        let answer = state.given.get(state.taken.len()).copied().unwrap_or_else(|| {
            let (mut answers, mark) = self.here(&state);
            answers.push(true);
            let calls = state.calls.clone();
            state.forks.push(Fork { answers, calls, mark });
            false
        });
        state.taken.push((question.to_string(), answer));
        state.events.push(Event::Asked);
        state.answers.remember(question, answer);
        Some(answer)
    }

    fn decisions(&self) -> usize {
        self.state.borrow().taken.len()
    }

    fn is_left_out(&self, each: &str, source: &str) -> bool {
        let id = self.state.borrow().loop_id(each);
        let doubted = self.doubted.contains(&id);
        if !doubted {
            let mut state = self.state.borrow_mut();
            let (answers, mark) = self.here(&state);
            let fork = Fork { answers, calls: state.calls.clone(), mark };
            state.entries.insert(id, fork);
        }
        doubted && self.decide(Question::other(format!("{source}.is_empty()"))) == Some(true)
    }

    fn enter_loop(&self, each: &str, kind: LoopKind) {
        let mut state = self.state.borrow_mut();
        let id = state.loop_id(each);
        let answered = state.answers.count();
        *state.met.entry(each.to_owned()).or_default() += 1;
        state.events.push(Event::Entered(id.clone(), kind));
        state.loops.push(Entered { id, kind, each: each.to_owned(), answered });
    }

    fn leave_loop(&self, each: &str, passed: bool) {
        let mut state = self.state.borrow_mut();
        // What was answered of one item says nothing of the next.
        let place = state.loops.iter().rposition(|entered| entered.each == each);
        if let Some(Entered { id, kind, each, answered }) = place.map(|place| state.loops.remove(place)) {
            state.answers.truncate(answered);
            state.events.push(Event::Left(id.clone(), passed && kind == LoopKind::Items));
            if passed {
                state.passed.insert(id.clone());
            }
            state.left.insert(each, id);
        }
    }

    fn passed_loop(&self, each: &str) {
        let mut state = self.state.borrow_mut();
        if let Some(id) = state.left.get(each).cloned() {
            state.passed.insert(id);
        }
    }

    fn covered(&self, each: &str) {
        let mut state = self.state.borrow_mut();
        if let Some(id) = state.loops.iter().rfind(|entered| entered.each == each).map(|entered| entered.id.clone()) {
            state.events.push(Event::Again(id));
        }
        drop(state);
        self.end(Over::Covered);
    }

    fn is_over(&self) -> bool {
        self.state.borrow().over.is_some()
    }
}
