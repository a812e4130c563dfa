//! A plan as a comment of a pull request: the summary first, each step's calls folded away behind its line, and never longer than
//! GitHub takes.

use super::super::brief::{cut, one_line, shell_word};
use super::block::{Block, EACH, reads};
use super::change;
use super::escape::{code, markdown as esc};
use super::page::{LISTED, Note, Page, StepPage, Weight};
use super::words::{self, Deed};
use crate::model::check::Verdict;
use crate::model::forecast::{Basis, Change};
use crate::plan::{Plan, PlannedCall, PlannedUndo, StepOutcome};

/// GitHub takes comments of this many characters. It is held in bytes, of which there are never fewer.
pub const LIMIT: usize = 65_536;

/// What the end of the text may take.
const TAIL: usize = 2_000;

/// What the summary may take, its table of steps and the warnings included: the rest is for the calls.
const SUMMARY: usize = 36_000;

/// How many lines of one change are shown.
const CHANGE: usize = 60;

/// How long a value or a sentence from outside may get.
const VALUE: usize = 160;
const SENTENCE: usize = 600;
const NAME: usize = 80;

/// How much of one step is shown.
const STEP: usize = 16_000;

/// The plan as markdown of at most [`LIMIT`] bytes.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let page = Page::of(plan);
    let mut sheet = Sheet { text: String::new(), left_out: Vec::new() };
    sheet.head(&page);
    sheet.checks(plan);
    sheet.steps(&page);
    sheet.details(&page);
    sheet.tail(plan);
    sheet.text
}

/// The line by which a program finds the comment again that it wrote for a playbook.
#[must_use]
pub fn marker(playbook: &str) -> String {
    let name: String = playbook.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
    format!("<!-- muster plan {name} -->")
}

struct Sheet {
    text: String,
    /// What there was no room for.
    left_out: Vec<String>,
}

/// A sentence from outside, as long as it may be, also when every character of it has to be written as a reference.
fn sentence(text: &str) -> String {
    let flat = one_line(text);
    let mut most = SENTENCE;
    loop {
        let safe = esc(&cut(&flat, most));
        if safe.len() <= 2 * SENTENCE || most < VALUE {
            return safe;
        }
        most /= 2;
    }
}

/// The name of something, as code.
fn name(text: &str) -> String {
    code(&cut(&one_line(text), NAME))
}

impl Sheet {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, page: &Page<'_>) {
        let plan = page.plan;
        self.line(&marker(&plan.playbook));
        self.line(&format!("### Plan of {} {}", name(&plan.playbook), sentence(&plan.version)));
        if !plan.title.trim().is_empty() {
            self.line("");
            self.line(&sentence(&plan.title));
        }
        self.line("");
        self.line("| | |");
        self.line("| --- | --- |");
        let mut left = 0;
        for (title, fact) in page.identity.iter().chain(&page.sum) {
            let fact = match *title {
                "bundle" | "plan" => name(fact),
                _ => sentence(fact),
            };
            let line = format!("| {title} | {fact} |");
            if self.text.len() + line.len() < SUMMARY / 3 { self.line(&line) } else { left += 1 }
        }
        if left > 0 {
            self.left_out.push(words::count(left, "fact"));
        }
        let ends: Vec<String> = page
            .steps
            .iter()
            .filter(|step| step.no_return.is_some())
            .map(|step| name(step.step.step.as_str()))
            .collect();
        if !ends.is_empty() {
            self.line(&format!("| no way back | after {} |", some(&ends, LISTED)));
        }
        if !plan.warnings.is_empty() {
            self.line("");
            self.line("> [!WARNING]");
            let mut left = 0;
            for warning in &plan.warnings {
                let step = warning.step.as_ref().map(|step| format!("{}: ", name(step.as_str()))).unwrap_or_default();
                let line = format!("> - {step}{}", sentence(&warning.message));
                if self.text.len() + line.len() < SUMMARY / 2 { self.line(&line) } else { left += 1 }
            }
            if left > 0 {
                self.line(&format!("> - and {} more", left));
                self.left_out.push(words::count(left, "warning"));
            }
        }
        self.line("");
    }

    /// A line a check: what was found of it, and what to do where it does not hold.
    fn checks(&mut self, plan: &Plan) {
        if plan.checks.is_empty() {
            return;
        }
        self.line("| check | | found |");
        self.line("| --- | --- | --- |");
        let mut left = 0;
        for check in &plan.checks {
            let passes = check.verdict == Verdict::Pass;
            let hint = check.hint.as_ref().filter(|_| !passes).map(|hint| format!("; {hint}")).unwrap_or_default();
            let found = if check.found.is_empty() { String::new() } else { format!(": {}", check.found) };
            let verdict = if passes { "pass".to_owned() } else { format!("**{}**", check.verdict.as_str()) };
            let said = sentence(&format!("{}{found}{hint}", check.title));
            let row = format!("| {} | {verdict} | {said} |", name(&check.id));
            if self.text.len() + row.len() < SUMMARY * 2 / 3 { self.line(&row) } else { left += 1 }
        }
        if left > 0 {
            self.left_out.push(words::count(left, "check"));
        }
        self.line("");
    }

    /// A line a step: what it does in a few words.
    fn steps(&mut self, page: &Page<'_>) {
        self.line("| step | effects | foreseen | when | |");
        self.line("| --- | --- | --- | --- | --- |");
        let mut left = 0;
        for step in &page.steps {
            let of = step.step;
            let deeds = words::deeds(of.calls.iter());
            let takes = of.ends_ms.saturating_sub(of.starts_ms);
            let when = if takes == 0 {
                String::new()
            } else {
                format!("{} + {}{}", words::span(of.starts_ms), words::span(takes), if of.critical { " ●" } else { "" })
            };
            let row = format!(
                "| {} | {deeds} | {} | {when} | {} |",
                name(of.step.as_str()),
                foreseen(step),
                remarks(step).join("; ")
            );
            if self.text.len() + row.len() < SUMMARY { self.line(&row) } else { left += 1 }
        }
        if left > 0 {
            self.left_out.push(format!("{} in the table", words::count(left, "step")));
        }
        self.line("");
        self.line("<sub>● the run's duration hangs on this step</sub>");
        self.line("");
    }

    fn details(&mut self, page: &Page<'_>) {
        let mut left = 0;
        for step in &page.steps {
            if matches!(step.step.outcome, StepOutcome::Skipped { .. } | StepOutcome::NotReached | StepOutcome::Done)
                && step.step.calls.is_empty()
            {
                continue;
            }
            let details = details(step);
            if self.text.len() + details.len() + TAIL < LIMIT { self.text.push_str(&details) } else { left += 1 }
        }
        if left > 0 {
            self.left_out.push(format!("the calls of {}", words::count(left, "step")));
        }
    }

    fn tail(&mut self, plan: &Plan) {
        if !self.left_out.is_empty() {
            let what = self.left_out.join(", ");
            self.line("");
            self.line(&format!(
                "**Cut:** {what} had no room in a comment of {LIMIT} characters. The whole plan: {}",
                code(&cut(&format!("muster plan {} -o html", shell_word(&one_line(&plan.playbook))), VALUE))
            ));
        }
        self.line("");
        self.line("Nothing was changed.");
    }
}

/// So many of a list, and how many more there are.
fn some(list: &[String], most: usize) -> String {
    let shown: Vec<&str> = list.iter().take(most).map(String::as_str).collect();
    let more = list.len().saturating_sub(most);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// The least that can be believed of a step's calls.
fn foreseen(step: &StepPage<'_>) -> String {
    let count = |basis| step.step.calls.iter().filter(|call| call.basis == basis).count();
    let parts: Vec<String> = [Basis::Exact, Basis::Predicted, Basis::Unknown, Basis::Opaque]
        .into_iter()
        .filter(|basis| count(*basis) > 0)
        .map(|basis| format!("{} {}", count(basis), basis.as_str()))
        .collect();
    parts.join(", ")
}

/// What is to be known of a step before its calls are looked at.
fn remarks(page: &StepPage<'_>) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    let heavy = |note: &&Note| {
        note.weight != Weight::Faint
            || matches!(page.step.outcome, StepOutcome::Skipped { .. } | StepOutcome::NotReached | StepOutcome::Done)
    };
    let short = |text: &str| esc(&cut(&one_line(text), VALUE));
    remarks.extend(page.before.iter().chain(&page.after).filter(heavy).map(|note| short(&note.text)));
    let refused = page.step.calls.iter().filter(|call| call.refused.is_some()).count();
    if refused > 0 {
        remarks.push(format!("**{refused} refused**"));
    }
    let open = page.step.calls.iter().any(|call| !call.branch.is_empty());
    if open {
        remarks.push("depends on the run".to_owned());
    }
    if page.step.calls.iter().any(|call| call.repeated.is_some()) {
        remarks.push("a loop".to_owned());
    }
    if page.no_return.is_some() {
        remarks.push("**no way back**".to_owned());
    }
    remarks
}

fn details(page: &StepPage<'_>) -> String {
    let step = page.step;
    let mut list = List { text: String::new(), left: 0 };
    for note in &page.before {
        list.item(0, &sentence(&note.text));
    }
    list.blocks(&page.blocks, 0);
    for note in &page.after {
        list.item(0, &sentence(&note.text));
    }
    if let Some(leaves) = page.leaves() {
        list.item(0, &sentence(&leaves));
    }
    if let Some(why) = page.no_return {
        list.item(0, &format!("**no way back after this step:** {}", sentence(why)));
    }
    if list.left > 0 {
        let left = list.left;
        list.text.push_str(&format!("- and {}, for which there is no room here\n", words::count(left, "more call")));
    }
    let title = if step.title.trim().is_empty() { String::new() } else { format!(" {}", sentence(&step.title)) };
    let deeds = words::deeds(step.calls.iter());
    let deeds = if deeds.is_empty() { words::count(step.calls.len(), "read") } else { deeds };
    format!("<details><summary>{}{title} · {deeds}</summary>\n\n{}\n</details>\n", name(step.step.as_str()), list.text)
}

/// A list of a step's calls.
struct List {
    text: String,
    left: usize,
}

impl List {
    fn item(&mut self, depth: usize, text: &str) {
        self.text.push_str(&format!("{}- {text}\n", "  ".repeat(depth)));
    }

    fn blocks(&mut self, blocks: &[Block<'_>], depth: usize) {
        for block in blocks {
            match block {
                Block::Reads(calls) => self.item(depth, &reads(calls)),
                Block::Call(call) => self.call(call, depth),
                Block::Branch { question, yes, no } => {
                    let question = code(&cut(&one_line(question), SENTENCE));
                    if yes.is_empty() {
                        self.item(depth, &format!("unless {question}"));
                        self.blocks(no, depth + 1);
                    } else {
                        self.item(depth, &format!("if {question}"));
                        self.blocks(yes, depth + 1);
                        if !no.is_empty() {
                            self.item(depth, "otherwise");
                            self.blocks(no, depth + 1);
                        }
                    }
                }
                Block::Loop { which, most, body } => {
                    let which = match which.strip_prefix(EACH) {
                        Some(over) => format!("{EACH}{}", code(&cut(&one_line(over), SENTENCE))),
                        None => esc(&cut(&one_line(which), SENTENCE)),
                    };
                    self.item(depth, &format!("{which}{most}, one round:"));
                    self.blocks(body, depth + 1);
                }
            }
        }
    }

    fn call(&mut self, call: &PlannedCall, depth: usize) {
        if self.text.len() > STEP {
            self.left += 1;
            return;
        }
        let arguments: Vec<String> = words::arguments(&call.args)
            .iter()
            .map(|(name, value)| code(&format!("{name}={}", cut(&one_line(value), VALUE))))
            .take(24)
            .collect();
        let deed = Deed::of(call).as_str();
        let deed = if call.writes { format!("**{deed}**") } else { deed.to_owned() };
        self.item(depth, &format!("{deed} {} · {} · {}", name(&call.op), call.basis.as_str(), arguments.join(" ")));
        if matches!(call.basis, Basis::Unknown | Basis::Opaque) && !call.reason.is_empty() {
            self.item(depth + 1, &format!("{}: {}", call.basis.as_str(), sentence(&call.reason)));
        }
        if let Some(refused) = &call.refused {
            self.item(depth + 1, &format!("**refused:** {}", sentence(refused)));
        }
        call.changes.iter().for_each(|change| self.change(change, depth + 1));
        if let Some(undo) = call.undo.as_ref().filter(|_| call.writes && call.refused.is_none()) {
            let text = sentence(&words::undo(undo));
            let text = if matches!(undo, PlannedUndo::Impossible { .. }) { format!("**{text}**") } else { text };
            self.item(depth + 1, &text);
        }
    }

    fn change(&mut self, of: &Change, depth: usize) {
        self.item(depth, &format!("{} {}", code(&cut(&one_line(&of.resource), VALUE)), change::kind(of)));
        let lines = change::lines(of, CHANGE);
        if lines.is_empty() || self.text.len() > STEP {
            return;
        }
        let shown: Vec<String> =
            lines.iter().map(|line| format!("{}{}", line.sign.char(), cut(&line.text, VALUE))).collect();
        let fence = "`".repeat(shown.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
        let indent = "  ".repeat(depth + 1);
        self.text.push_str(&format!("\n{indent}{fence}diff\n"));
        for line in shown {
            self.text.push_str(&format!("{indent}{line}\n"));
        }
        self.text.push_str(&format!("{indent}{fence}\n\n"));
    }
}

/// How many backticks stand in a row at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
