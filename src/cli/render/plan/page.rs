//! A plan as a reviewer reads it: the header's facts, the steps with what is to be said of each, what a rollback would leave at
//! each point. Every face of a plan is made from this.

use std::collections::BTreeMap;

use super::super::checks;
use super::block::{Block, blocks};
use super::words;
use crate::model::StepPath;
use crate::plan::{Plan, PlannedCall, PlannedStep, StepOutcome};

/// More things than these are counted, not named.
pub const LISTED: usize = 12;

/// A plan, arranged.
pub struct Page<'p> {
    /// The plan.
    pub plan: &'p Plan,
    /// What it is a plan of, name and sentence.
    pub identity: Vec<(&'static str, String)>,
    /// What it comes to, name and sentence.
    pub sum: Vec<(&'static str, String)>,
    /// The steps in the playbook's order.
    pub steps: Vec<StepPage<'p>>,
}

/// A step, arranged.
pub struct StepPage<'p> {
    /// The step.
    pub step: &'p PlannedStep,
    /// What it does.
    pub blocks: Vec<Block<'p>>,
    /// What is to be said of it before its calls.
    pub before: Vec<Note>,
    /// What is to be said of it after its calls.
    pub after: Vec<Note>,
    /// What a rollback would leave standing from here on, when the step adds to it: all of it, the step's own first.
    pub leaves: Vec<String>,
    /// Why there is no way back after it, when the run comes to it.
    pub no_return: Option<&'p str>,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Beside the point.
    Faint,
    /// People are wanted.
    People,
    /// Depends on what only the run will know.
    Open,
    /// It fails.
    Bad,
}

/// A sentence about a step.
pub struct Note {
    /// How much it matters.
    pub weight: Weight,
    /// The sentence.
    pub text: String,
}

impl StepPage<'_> {
    /// Whether there is nothing to it but looking.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let only_reads = matches!(self.blocks.as_slice(), [] | [Block::Reads(_)]);
        only_reads
            && self.before.is_empty()
            && self.after.is_empty()
            && self.leaves.is_empty()
            && self.no_return.is_none()
            && self.step.ends_ms <= self.step.starts_ms
    }

    /// What a rollback after it leaves, in a sentence; `None` when it adds nothing to that.
    #[must_use]
    pub fn leaves(&self) -> Option<String> {
        let count = self.leaves.len();
        if count == 0 {
            return None;
        }
        let shown = self.leaves.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if count > LISTED { format!(" and {} more", count - LISTED) } else { String::new() };
        Some(format!("a rollback after this leaves {count} standing: {shown}{more}"))
    }
}

impl<'p> Page<'p> {
    /// Arranges a plan.
    #[must_use]
    pub fn of(plan: &'p Plan) -> Self {
        let mut leaves = standing(plan);
        let steps =
            plan.steps.iter().map(|step| step_page(step, leaves.remove(&step.step).unwrap_or_default())).collect();
        Self { plan, identity: identity(plan), sum: sum(plan), steps }
    }
}

/// What a rollback would leave standing after each step that adds to it.
fn standing(plan: &Plan) -> BTreeMap<StepPath, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut before: Vec<String> = Vec::new();
    for step in plan.in_time() {
        let own: Vec<String> = step.leaves().map(left).collect();
        if !own.is_empty() {
            let all: Vec<String> = own.into_iter().chain(before).collect();
            found.insert(step.step.clone(), all.clone());
            before = all;
        }
    }
    found
}

fn left(call: &PlannedCall) -> String {
    format!("{} {}", call.op, call.resource).trim_end().to_owned()
}

/// The parameters of a plan that are not what they are by default: `retire=true, backup=…`.
fn given(plan: &Plan) -> String {
    let shown = plan.given.iter().map(|(name, value)| format!("{name}={}", words::value(value)));
    shown.collect::<Vec<_>>().join(", ")
}

fn identity(plan: &Plan) -> Vec<(&'static str, String)> {
    let short = |digest: &str| digest.chars().take(12).collect();
    let mut facts = vec![("bundle", short(&plan.bundle)), ("plan", short(&plan.digest))];
    if let Some(rest) = &plan.rest {
        let made = words::count(plan.made(), "effect");
        facts.push(("rest of", format!("run {}, which has made {made} so far", rest.run)));
    }
    for (name, identity) in &plan.targets {
        facts.push(("works on", format!("{name} ({identity})")));
    }
    let given = given(plan);
    if !plan.checks.is_empty() {
        facts.push(("checks", checks::sum(&plan.checks)));
    }
    facts.push(("given", if given.is_empty() { "nothing: every parameter is its default".to_owned() } else { given }));
    facts
}

fn sum(plan: &Plan) -> Vec<(&'static str, String)> {
    let deeds = words::deeds(plan.calls());
    let effects = if deeds.is_empty() { "none".to_owned() } else { format!("{}: {deeds}", plan.effects) };
    let mut facts = vec![("effects", effects), ("coverage", words::coverage(&plan.coverage)), ("takes", takes(plan))];
    let people: Vec<&str> = plan.timeline.people.iter().map(StepPath::as_str).collect();
    if !people.is_empty() {
        facts.push(("people", format!("are waited for at {}", people.join(", "))));
    }
    if plan.effects > 0 {
        facts.push(("rollback", rollback(plan)));
    }
    facts
}

/// What a rollback at the very end would leave.
fn rollback(plan: &Plan) -> String {
    let standing: Vec<String> = plan.leaves().map(left).collect();
    if standing.is_empty() {
        return "at the end would leave nothing behind".to_owned();
    }
    let shown = standing.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = standing.len().saturating_sub(LISTED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("at the end would leave {} standing: {shown}{more}", standing.len())
}

/// The predicted duration against the objective.
fn takes(plan: &Plan) -> String {
    let mut text = words::span(plan.timeline.total_ms);
    if !plan.timeline.open_ended.is_empty() {
        text.push_str(" and more, since loops are counted as one round");
    }
    if !plan.timeline.people.is_empty() {
        text.push_str(", and the time that people take");
    }
    match plan.objectives.rto_ms {
        None => {}
        Some(rto) if plan.timeline.total_ms > rto => {
            text.push_str(&format!("; the objective (RTO) of {} is missed", words::span(rto)));
        }
        Some(rto) => {
            let part = plan.timeline.total_ms.saturating_mul(100).checked_div(rto).unwrap_or(0);
            let part = if part == 0 { "less than 1%".to_owned() } else { format!("{part}%") };
            text.push_str(&format!("; {part} of the objective (RTO) of {}", words::span(rto)));
        }
    }
    text
}

/// The answers under which something happens, in words.
fn when(branch: &[crate::model::forecast::Decision]) -> String {
    if branch.is_empty() { String::new() } else { format!(" if {}", crate::plan::words(branch)) }
}

fn step_page(step: &PlannedStep, leaves: Vec<String>) -> StepPage<'_> {
    let mut before = Vec::new();
    let mut after = Vec::new();
    let note = |to: &mut Vec<Note>, weight, text| to.push(Note { weight, text });
    let comes = !matches!(step.outcome, StepOutcome::Skipped { .. });
    if let Some(approval) = step.approval.as_ref().filter(|_| comes) {
        note(&mut before, Weight::People, format!("waits for {}", words::approval(approval)));
    }
    if step.manual && comes {
        note(&mut before, Weight::People, "done by hand".to_owned());
    }
    if step.outcome != StepOutcome::Done && step.recorded > 0 {
        note(&mut before, Weight::Faint, words::begun(step));
    }
    for made in &step.made {
        if let Some(why) = &made.open {
            let what = format!("{} {}", made.op, made.resource);
            note(&mut before, Weight::Open, format!("has begun {}: {why}", what.trim_end()));
        }
    }
    if !step.runs_if.is_empty() {
        note(&mut before, Weight::Open, format!("runs only{}", when(&step.runs_if)));
    }
    let supposed = step.runs_if.len();
    for end in &step.stops_if {
        let when = when(end.branch.get(supposed..).unwrap_or_default());
        note(&mut after, Weight::Open, format!("stops{when}: {}", end.message));
    }
    for end in &step.not_followed {
        let when = when(end.branch.get(supposed..).unwrap_or_default());
        note(&mut after, Weight::Open, format!("not followed{when}: {}", end.message));
    }
    match &step.outcome {
        StepOutcome::Runs => {}
        StepOutcome::Done => note(&mut after, Weight::Faint, words::done(step)),
        StepOutcome::Skipped { reason } => note(&mut after, Weight::Faint, format!("skipped: {reason}")),
        StepOutcome::Unknown { reason } => note(&mut after, Weight::Open, format!("unknown from here: {reason}")),
        StepOutcome::Fails { error } => note(&mut after, Weight::Bad, format!("fails: {error}")),
        StepOutcome::NotReached => note(&mut after, Weight::Faint, "not reached".to_owned()),
    }
    if let Some(verify) = step.verify.as_ref().filter(|_| comes) {
        note(&mut after, Weight::Faint, format!("proven by {verify}"));
    }
    StepPage {
        step,
        blocks: blocks(&step.calls, supposed),
        before,
        after,
        leaves,
        no_return: step.point_of_no_return.as_deref().filter(|_| comes),
    }
}
