//! A plan for reading in a terminal.

use console::measure_text_width;

use super::super::brief::{cut, one_line};
use super::super::checks;
use super::super::look::{Look, Tone};
use super::block::{Block, reads};
use super::page::{Note, Page, StepPage, Weight};
use super::words::{self, Deed};
use super::{bars, change};
use crate::model::check::Verdict;
use crate::model::forecast::Basis;
use crate::plan::{Plan, PlannedCall, PlannedUndo, StepOutcome};

/// How long the value of an argument may get.
const VALUE: usize = 72;

/// How many things that come or go with one call are named.
const NAMED: usize = 5;

/// How many lines of a change are shown.
const CHANGE: usize = 24;

/// The plan as text. With `reads`, every read is shown with its answer's label instead of their number.
#[must_use]
pub fn text(plan: &Plan, look: Look, reads: bool) -> String {
    let page = Page::of(plan);
    let mut sheet = Sheet { look, reads, text: String::new() };
    sheet.header(&page);
    let mut was_long = true;
    for step in &page.steps {
        let short =
            matches!(step.step.outcome, StepOutcome::Skipped { .. } | StepOutcome::Done) || (!reads && step.is_quiet());
        if was_long || !short {
            sheet.line("");
        }
        if short {
            sheet.short(step)
        } else {
            sheet.step(step)
        }
        was_long = !short;
    }
    sheet.end(&page);
    sheet.text
}

/// Its steps alone: for somebody who is asked about some of them.
#[must_use]
pub fn steps(plan: &Plan, look: Look) -> String {
    let page = Page::of(plan);
    let mut sheet = Sheet { look, reads: false, text: String::new() };
    for step in &page.steps {
        match step.step.outcome {
            StepOutcome::Skipped { .. } | StepOutcome::Done => sheet.short(step),
            _ if step.is_quiet() => sheet.short(step),
            _ => sheet.step(step),
        }
    }
    sheet.text
}

struct Sheet {
    look: Look,
    reads: bool,
    text: String,
}

impl Sheet {
    /// A line of our own making.
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A sentence that may be long, wrapped below its first word.
    fn say(&mut self, indent: usize, lead: &str, tone: Option<Tone>, sentence: &str) {
        let under = indent + measure_text_width(lead);
        let width = self.look.width.saturating_sub(under).max(24);
        for (index, part) in wrap(&one_line(sentence), width).into_iter().enumerate() {
            let part = tone.map_or_else(|| part.clone(), |tone| self.look.paint(tone, &part));
            let line = match index {
                0 => format!("{}{lead}{part}", " ".repeat(indent)),
                _ => format!("{}{part}", " ".repeat(under)),
            };
            self.line(&line);
        }
    }

    fn header(&mut self, page: &Page<'_>) {
        let plan = page.plan;
        let name = self.look.paint(Tone::Strong, &format!("{} {}", one_line(&plan.playbook), one_line(&plan.version)));
        self.say(0, &format!("plan of {name}  "), None, &plan.title);
        self.facts(&page.identity);
        self.checks(plan);
    }

    /// What was found of the preconditions; what does not hold with what to do.
    fn checks(&mut self, plan: &Plan) {
        if !plan.checks.is_empty() {
            self.line("");
        }
        for check in &plan.checks {
            let (glyph, tone) = checks::sign(check.verdict);
            let passes = check.verdict == Verdict::Pass;
            let lead = format!("{} {}  ", self.look.glyph(glyph), one_line(&check.id));
            let said =
                if check.found.is_empty() { check.title.clone() } else { format!("{}: {}", check.title, check.found) };
            self.say(2, &lead, (!passes).then_some(tone), &said);
            if let Some(hint) = check.hint.as_ref().filter(|_| !passes) {
                self.say(6, "", Some(Tone::Faint), hint);
            }
        }
    }

    fn facts(&mut self, facts: &[(&'static str, String)]) {
        for (name, sentence) in facts {
            let lead = self.look.paint(Tone::Faint, &format!("{name:<9} "));
            self.say(2, &lead, None, sentence);
        }
    }

    /// A step in a line: it only looks, or is left out.
    fn short(&mut self, page: &StepPage<'_>) {
        let path = one_line(page.step.step.as_str());
        let off = match &page.step.outcome {
            StepOutcome::Skipped { reason } => Some(format!("skipped: {reason}")),
            StepOutcome::Done => Some(words::done(page.step)),
            _ => None,
        };
        if let Some(off) = off {
            let lead = self.look.paint(Tone::Faint, &format!("{path}  "));
            self.say(0, &lead, Some(Tone::Faint), &off);
            return;
        }
        let reads = match page.blocks.first() {
            Some(Block::Reads(calls)) => reads(calls),
            _ => "no calls".to_owned(),
        };
        let room = self.look.width.saturating_sub(path.chars().count() + reads.len() + 4);
        let title = self.look.fit(&one_line(&page.step.title), room.max(20));
        let name = self.look.paint(Tone::Strong, &path);
        self.line(&format!("{name}  {title}  {}", self.look.paint(Tone::Faint, &reads)));
    }

    fn step(&mut self, page: &StepPage<'_>) {
        let step = page.step;
        let path = one_line(step.step.as_str());
        let takes = step.ends_ms.saturating_sub(step.starts_ms);
        let time = if takes == 0 { String::new() } else { format!("  {}", words::span(takes)) };
        let name = self.look.paint(Tone::Strong, &path);
        let room = self.look.width.saturating_sub(path.chars().count() + time.len() + 2);
        let title = self.look.fit(&one_line(&step.title), room.max(20));
        self.line(&format!("{name}  {title}{}", self.look.paint(Tone::Faint, &time)));
        page.before.iter().for_each(|note| self.note(note));
        self.blocks(&page.blocks, 2);
        page.after.iter().for_each(|note| self.note(note));
        if let Some(leaves) = page.leaves() {
            let lead = format!("{} ", self.look.paint(Tone::Warn, if self.look.unicode { "↩" } else { "<" }));
            self.say(2, &lead, Some(Tone::Warn), &leaves);
        }
        if let Some(why) = page.no_return {
            self.no_return(&path, why);
        }
    }

    /// The line across.
    fn no_return(&mut self, path: &str, why: &str) {
        let dash = if self.look.unicode { "━" } else { "=" };
        let words = format!(" no way back after {path} ");
        let left = dash.repeat(3);
        let right = dash.repeat(self.look.width.saturating_sub(3 + measure_text_width(&words)).max(3));
        let line = self.look.paint(Tone::Bad, &format!("{left}{words}{right}"));
        self.line(&line);
        self.say(4, "", Some(Tone::Bad), why);
    }

    fn note(&mut self, note: &Note) {
        let unicode = self.look.unicode;
        let (mark, tone) = match note.weight {
            Weight::Faint => ("", Tone::Faint),
            Weight::People => (if unicode { "‖ " } else { "= " }, Tone::Warn),
            Weight::Open => ("? ", Tone::Warn),
            Weight::Bad => (if unicode { "✗ " } else { "x " }, Tone::Bad),
        };
        let lead = self.look.paint(tone, mark);
        self.say(2, &lead, Some(tone), &note.text);
    }

    fn blocks(&mut self, blocks: &[Block<'_>], indent: usize) {
        for block in blocks {
            match block {
                Block::Reads(calls) if self.reads => calls.iter().for_each(|call| self.call(call, indent)),
                Block::Reads(calls) => self.say(indent + 2, "", Some(Tone::Faint), &reads(calls)),
                Block::Call(call) => self.call(call, indent),
                Block::Branch { question, yes, no } => {
                    // The side without calls is not shown, but for the word that there is one.
                    if yes.is_empty() {
                        self.alternative(indent, &format!("unless {question}"), no);
                    } else {
                        self.alternative(indent, &format!("if {question}"), yes);
                        if !no.is_empty() {
                            self.alternative(indent, "otherwise", no);
                        }
                    }
                }
                Block::Loop { which, most, body } => {
                    self.alternative(indent, &format!("{which}{most}, one round:"), body);
                }
            }
        }
    }

    fn alternative(&mut self, indent: usize, words: &str, blocks: &[Block<'_>]) {
        self.say(indent, "", Some(Tone::Live), words);
        self.blocks(blocks, indent + 2);
    }

    fn call(&mut self, call: &PlannedCall, indent: usize) {
        let deed = Deed::of(call);
        let tone = match deed {
            Deed::Create => Tone::Good,
            Deed::Update | Deed::Ask => Tone::Warn,
            Deed::Delete | Deed::Exec => Tone::Bad,
            Deed::Wait | Deed::Read => Tone::Faint,
        };
        let mark = self.look.paint(tone, &deed.mark().to_string());
        let lead = format!("{mark} {} {}  ", label(self.look, call.basis), one_line(&call.op));
        let under = indent + 14;
        let arguments: Vec<String> = words::arguments(&call.args)
            .iter()
            .map(|(name, value)| format!("{}={}", one_line(name), cut(&one_line(value), VALUE)))
            .collect();
        let width = self.look.width;
        let mut line = format!("{}{lead}", " ".repeat(indent));
        let mut used = measure_text_width(&line);
        for argument in &arguments {
            let wide = measure_text_width(argument);
            if used > under && used + wide > width {
                self.line(&line);
                line = " ".repeat(under);
                used = under;
            }
            line.push_str(&self.look.fit(argument, width.saturating_sub(used)));
            line.push_str("  ");
            used += wide + 2;
        }
        self.line(&line);
        if matches!(call.basis, Basis::Unknown | Basis::Opaque) && !call.reason.is_empty() {
            self.say(under, "", Some(Tone::Faint), &call.reason);
        }
        if let Some(refused) = &call.refused {
            let mark = self.look.paint(Tone::Bad, if self.look.unicode { "✗ " } else { "x " });
            self.say(under, &mark, Some(Tone::Bad), &format!("refused: {refused}"));
        }
        self.changes(call, under);
        if let Some(undo) = call.undo.as_ref().filter(|_| call.writes && call.refused.is_none()) {
            let tone = if matches!(undo, PlannedUndo::Impossible { .. }) { Tone::Warn } else { Tone::Faint };
            self.say(under, "", Some(tone), &words::undo(undo));
        }
    }

    fn changes(&mut self, call: &PlannedCall, indent: usize) {
        let (whole, parts): (Vec<_>, Vec<_>) =
            call.changes.iter().partition(|of| !self.reads && of.before.is_null() != of.after.is_null());
        // What comes or goes as a whole is named; what stays and differs is compared.
        for of in whole.iter().take(NAMED) {
            let (mark, tone) = if of.before.is_null() { ("+ ", Tone::Good) } else { ("- ", Tone::Bad) };
            let lead = self.look.paint(tone, mark);
            self.say(indent, &lead, Some(tone), &of.resource);
        }
        if whole.len() > NAMED {
            let more = format!("and {} more, which -v shows with what is in them", whole.len() - NAMED);
            self.say(indent, "", Some(Tone::Faint), &more);
        }
        for of in parts {
            self.say(indent, "", None, &format!("{} {}", of.resource, change::kind(of)));
            for line in change::lines(of, CHANGE) {
                let tone = match line.sign {
                    change::Sign::Added => Tone::Good,
                    change::Sign::Removed => Tone::Bad,
                    change::Sign::Same | change::Sign::Gap => Tone::Faint,
                };
                let text = format!("{} {}", line.sign.char(), line.text);
                let text = self.look.fit(&text, self.look.width.saturating_sub(indent + 2).max(20));
                let line = format!("{}{}", " ".repeat(indent + 2), self.look.paint(tone, &text));
                self.line(&line);
            }
        }
    }

    fn end(&mut self, page: &Page<'_>) {
        let plan = page.plan;
        let lines = bars::lines(plan, self.look);
        if !lines.is_empty() {
            self.line("");
            lines.iter().for_each(|line| self.line(line));
        }
        self.line("");
        self.facts(&page.sum);
        if !plan.warnings.is_empty() {
            self.line("");
        }
        for warning in &plan.warnings {
            let step = warning.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
            let mark = self.look.paint(Tone::Warn, "! ");
            self.say(0, &mark, Some(Tone::Warn), &format!("{step}{}", warning.message));
        }
        self.line("");
        self.line("Nothing was changed.");
    }
}

/// How far a call can be believed: a sign and the word, in so many columns.
fn label(look: Look, basis: Basis) -> String {
    let (sign, ascii, tone) = match basis {
        Basis::Exact => ("●", "=", Tone::Good),
        Basis::Predicted => ("◐", "~", Tone::Live),
        Basis::Unknown => ("○", "?", Tone::Warn),
        Basis::Opaque => ("■", "#", Tone::Bad),
    };
    look.paint(tone, &format!("{} {:<9}", if look.unicode { sign } else { ascii }, basis.as_str()))
}

/// The text in lines of at most so many columns, broken between words; longer words are broken anywhere.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let wide = measure_text_width(word);
        if used > 0 && used + 1 + wide > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let of = measure_text_width(c.encode_utf8(&mut [0; 4]));
            if used > 0 && used + of > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += of;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
