//! A plan as one page for a browser: nothing is fetched, nothing from outside is markup, and without scripts it says the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::super::brief::cut;
use super::block::{Block, EACH, reads};
use super::escape::html as esc;
use super::page::{Note, Page, StepPage, Weight};
use super::words::{self, Deed};
use super::{change, graph};
use crate::model::check::Verdict;
use crate::model::forecast::{Basis, Change};
use crate::plan::{Plan, PlannedCall, PlannedStep, PlannedUndo, StepOutcome};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How many lines of a change are shown.
const CHANGE: usize = 400;

/// How long a value may get.
const VALUE: usize = 2_000;

/// More bars than these are not drawn, the shortest first.
const BARS: usize = 300;

/// The plan as HTML.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let page = Page::of(plan);
    let mut sheet = Sheet { text: String::new() };
    sheet.head(plan);
    sheet.cards(plan);
    sheet.facts(&page);
    sheet.warnings(plan);
    sheet.checks(plan);
    sheet.graph(plan);
    sheet.gantt(plan);
    sheet.put("<h2 id=\"steps\">Steps</h2>\n<p id=\"tools\" hidden><button type=\"button\">Open all</button><button type=\"button\">Close all</button></p>\n");
    for step in &page.steps {
        sheet.step(step);
    }
    sheet.put(&format!(
        "<footer><p><b>Nothing was changed.</b></p><p>Plan <code>{}</code> of bundle <code>{}</code>.</p></footer>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        esc(&plan.digest),
        esc(&plan.bundle)
    ));
    sheet.text
}

struct Sheet {
    text: String,
}

/// The name of a step's place in the page.
fn anchor(step: &PlannedStep) -> String {
    let mut name = "s-".to_owned();
    for byte in step.step.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    name
}

/// What a policy says of a text that stands in the page.
fn allowed(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", esc(text))
}

fn tag(class: &str, text: &str) -> String {
    format!("<span class=\"tag {class}\">{}</span>", esc(text))
}

impl Sheet {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn head(&mut self, plan: &Plan) {
        let name = esc(&format!("{} {}", plan.playbook, plan.version));
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            allowed(STYLE),
            allowed(SCRIPT)
        );
        self.put(&format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>Plan of {name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>Plan of {} <small>{}</small></h1>\n<p class=\"lead\">{}</p>\n",
            esc(&plan.playbook),
            esc(&plan.version),
            esc(&plan.title)
        ));
    }

    fn cards(&mut self, plan: &Plan) {
        let card = |class: &str, large: &str, small: &str, more: &str| {
            format!("<div class=\"card{class}\"><b>{}</b><span>{}</span>{more}</div>\n", esc(large), esc(small))
        };
        self.put("<div class=\"cards\">\n");
        let deeds = words::deeds(plan.calls());
        self.put(&card(
            "",
            &words::count(plan.effects, "effect"),
            if deeds.is_empty() { "the run would only read" } else { &deeds },
            "",
        ));
        let of = &plan.coverage;
        let parts = [(of.exact, "exact"), (of.predicted, "predicted"), (of.unknown, "unknown"), (of.opaque, "opaque")];
        let all = parts.iter().map(|(count, _)| count).sum::<usize>();
        let mut meter = String::from(
            "<div class=\"meter\"><svg viewBox=\"0 0 1000 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        );
        let mut x = 0;
        for (count, name) in parts {
            let wide = (count * 1000).checked_div(all).unwrap_or(0);
            meter.push_str(&format!("<rect class=\"m-{name}\" x=\"{x}\" y=\"0\" width=\"{wide}\" height=\"8\"/>"));
            x += wide;
        }
        meter.push_str("</svg></div>");
        let said: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
        self.put(&card("", &format!("{}% foreseen", of.percent), &said.join(", "), &meter));
        let missed = plan.objectives.rto_ms.is_some_and(|rto| plan.timeline.total_ms > rto);
        let rto = match plan.objectives.rto_ms {
            Some(rto) if missed => format!("misses the objective (RTO) of {}", words::span(rto)),
            Some(rto) => format!("within the objective (RTO) of {}", words::span(rto)),
            None => "no objective is set".to_owned(),
        };
        let more = if plan.timeline.open_ended.is_empty() { "" } else { "+" };
        let time = format!("{}{more}", words::span(plan.timeline.total_ms));
        self.put(&card(if missed { " bad" } else { "" }, &time, &rto, ""));
        let left = plan.leaves().count();
        let large = if left == 0 { "Clean rollback".to_owned() } else { format!("{left} left") };
        let small = if left == 0 { "nothing would be left behind" } else { "standing after a rollback at the end" };
        self.put(&card(if left == 0 { "" } else { " bad" }, &large, small, ""));
        if !plan.timeline.people.is_empty() {
            let count = plan.timeline.people.len();
            let small = if count == 1 { "step waits for people" } else { "steps wait for people" };
            self.put(&card("", &count.to_string(), small, ""));
        }
        self.put("</div>\n");
    }

    fn facts(&mut self, page: &Page<'_>) {
        self.put("<dl>\n");
        let sum = page.sum.iter().filter(|(name, _)| !matches!(*name, "effects" | "coverage"));
        for (name, fact) in page.identity.iter().chain(sum) {
            let fact = if matches!(*name, "bundle" | "plan") { code(fact) } else { esc(&cut(fact, VALUE)) };
            self.put(&format!("<dt>{}</dt><dd>{fact}</dd>\n", esc(name)));
        }
        self.put("</dl>\n");
    }

    fn checks(&mut self, plan: &Plan) {
        if plan.checks.is_empty() {
            return;
        }
        self.put("<h2>Checks</h2>\n<ul class=\"checks\">\n");
        for check in &plan.checks {
            let word = check.verdict.as_str();
            let found = if check.found.is_empty() { String::new() } else { format!(": {}", check.found) };
            self.put(&format!(
                "<li>{} <b>{}</b> {}",
                tag(&format!("check-{word}"), word),
                code(&check.id),
                esc(&cut(&format!("{}{found}", check.title), VALUE))
            ));
            if let Some(hint) = check.hint.as_ref().filter(|_| check.verdict != Verdict::Pass) {
                self.put(&format!("<p class=\"faint\">{}</p>", esc(&cut(hint, VALUE))));
            }
            self.put("</li>\n");
        }
        self.put("</ul>\n");
    }

    fn warnings(&mut self, plan: &Plan) {
        if plan.warnings.is_empty() {
            return;
        }
        self.put(&format!("<h2>{}</h2>\n<ul class=\"warnings\">\n", words::count(plan.warnings.len(), "warning")));
        for warning in &plan.warnings {
            let class = if matches!(warning.code.as_str(), "fails" | "rto-missed") { " class=\"bad\"" } else { "" };
            let step = warning.step.as_ref().map(|step| format!("{} ", code(step.as_str()))).unwrap_or_default();
            self.put(&format!("<li{class}>{step}{}</li>\n", esc(&cut(&warning.message, VALUE))));
        }
        self.put("</ul>\n");
    }

    fn graph(&mut self, plan: &Plan) {
        if plan.steps.len() < 2 {
            return;
        }
        let svg = graph::svg(plan, anchor);
        self.put(&format!(
            "<h2>Graph</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Graph of the steps\">\n{svg}</div>\n\
             <p class=\"legend\">Each step below those it needs. Thick blue: what the duration hangs on. \
             <span class=\"exact\">Green</span> only reads, <span class=\"predicted\">blue</span> has predicted effects, \
             <span class=\"unknown\">yellow</span> depends on the run, <span class=\"opaque\">red</span> nobody can foresee or it fails, \
             dashed is left out. + creates, ~ updates, − deletes, ! runs a program.</p>\n"
        ));
    }

    fn gantt(&mut self, plan: &Plan) {
        let total = plan.timeline.total_ms;
        let takes = |step: &PlannedStep| step.ends_ms.saturating_sub(step.starts_ms);
        let mut drawn: Vec<&PlannedStep> = plan.steps.iter().filter(|step| takes(step) > 0).collect();
        if total == 0 || drawn.is_empty() {
            return;
        }
        drawn.sort_by_key(|step| std::cmp::Reverse(takes(step)));
        let left = drawn.split_off(drawn.len().min(BARS)).len();
        drawn.sort_by_key(|step| (step.starts_ms, step.ends_ms));
        self.put("<h2>Timeline</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Timeline\">\n<table class=\"gantt\">\n");
        for step in drawn {
            let at = |millis: u64| millis as f64 * 1000.0 / total as f64;
            // Whatever takes time is seen.
            let wide = (at(step.ends_ms) - at(step.starts_ms)).max(4.0);
            let from = at(step.starts_ms).min(1000.0 - wide).max(0.0);
            let class = if step.critical { "bar critical" } else { "bar" };
            let said = format!("from {} to {}", words::span(step.starts_ms), words::span(step.ends_ms));
            self.put(&format!(
                "<tr><th scope=\"row\"><a href=\"#{}\">{}</a></th><td><svg viewBox=\"0 0 1000 14\" preserveAspectRatio=\"none\" role=\"img\" \
                 aria-label=\"{}\"><path class=\"tick\" d=\"M250 0V14M500 0V14M750 0V14\"/><rect class=\"{class}\" x=\"{from:.1}\" y=\"2\" \
                 width=\"{wide:.1}\" height=\"10\"/></svg></td><td class=\"t\">{}</td></tr>\n",
                anchor(step),
                code(step.step.as_str()),
                esc(&said),
                esc(&words::span(takes(step)))
            ));
        }
        self.put(&format!(
            "</table>\n</div>\n<p class=\"legend\">From 0 to {}, a quarter of it between two lines. The duration hangs on the blue bars; the time \
             that people take is not in it.{}</p>\n",
            esc(&words::span(total)),
            if left == 0 { String::new() } else { format!(" {} shorter ones are not drawn.", left) }
        ));
    }

    fn step(&mut self, page: &StepPage<'_>) {
        let step = page.step;
        let skipped = matches!(step.outcome, StepOutcome::Skipped { .. } | StepOutcome::NotReached | StepOutcome::Done);
        let takes = step.ends_ms.saturating_sub(step.starts_ms);
        let mut tags = String::new();
        let mut counts: BTreeMap<Deed, usize> = BTreeMap::new();
        for call in step.calls.iter().filter(|call| call.writes) {
            *counts.entry(Deed::of(call)).or_default() += 1;
        }
        for (deed, count) in counts {
            tags.push_str(&format!(" {}", tag(deed.as_str(), &format!("{} {count} {}", mark(deed), deed.as_str()))));
        }
        for basis in [Basis::Unknown, Basis::Opaque] {
            let count = step.calls.iter().filter(|call| call.basis == basis).count();
            if count > 0 {
                tags.push_str(&format!(" {}", tag(basis.as_str(), &format!("{count} {}", basis.as_str()))));
            }
        }
        match &step.outcome {
            StepOutcome::Fails { .. } => tags.push_str(&format!(" {}", tag("bad", "fails"))),
            StepOutcome::Skipped { .. } => tags.push_str(&format!(" {}", tag("faint", "skipped"))),
            StepOutcome::NotReached => tags.push_str(&format!(" {}", tag("faint", "not reached"))),
            StepOutcome::Unknown { .. } => tags.push_str(&format!(" {}", tag("unknown", "not followed"))),
            StepOutcome::Done => tags.push_str(&format!(" {}", tag("faint", "done already"))),
            StepOutcome::Runs => {}
        }
        if !skipped && (step.approval.is_some() || step.manual) {
            tags.push_str(&format!(" {}", tag("people", "people")));
        }
        let time =
            if takes == 0 { String::new() } else { format!(" <span class=\"t\">{}</span>", esc(&words::span(takes))) };
        self.put(&format!(
            "<details class=\"step{}\" id=\"{}\"{}><summary><b class=\"mono\">{}</b> {}{time}{tags}</summary>\n<div class=\"in\">\n",
            if skipped { " off" } else { "" },
            anchor(step),
            if page.is_quiet() || skipped { "" } else { " open" },
            esc(step.step.as_str()),
            esc(&step.title)
        ));
        if !step.needs.is_empty() {
            let needs: Vec<String> = step.needs.iter().map(|need| code(need)).collect();
            self.put(&format!("<p class=\"note faint\">after {}</p>\n", needs.join(" ")));
        }
        page.before.iter().for_each(|note| self.note(note));
        self.blocks(&page.blocks);
        page.after.iter().for_each(|note| self.note(note));
        if let Some(leaves) = page.leaves() {
            self.put(&format!("<p class=\"note open\">↩ {}</p>\n", esc(&cut(&leaves, VALUE))));
        }
        self.put("</div></details>\n");
        if let Some(why) = page.no_return {
            self.put(&format!(
                "<div class=\"noreturn\" role=\"note\">No way back after {}<p>{}</p></div>\n",
                code(step.step.as_str()),
                esc(&cut(why, VALUE))
            ));
        }
    }

    fn note(&mut self, note: &Note) {
        let (class, mark) = match note.weight {
            Weight::Faint => ("faint", ""),
            Weight::People => ("people", "‖ "),
            Weight::Open => ("open", "? "),
            Weight::Bad => ("bad", "✗ "),
        };
        self.put(&format!("<p class=\"note {class}\">{mark}{}</p>\n", esc(&cut(&note.text, VALUE))));
    }

    fn blocks(&mut self, blocks: &[Block<'_>]) {
        for block in blocks {
            match block {
                Block::Reads(calls) => {
                    self.put(&format!(
                        "<details><summary class=\"faint\">{}</summary><div class=\"in\"><ul class=\"reads\">\n",
                        esc(&reads(calls))
                    ));
                    for call in calls {
                        let args: Vec<String> = words::arguments(&call.args)
                            .iter()
                            .map(|(name, value)| format!("{name}={value}"))
                            .collect();
                        let args = esc(&cut(&args.join(" "), VALUE));
                        self.put(&format!(
                            "<li>{} {} <code>{args}</code></li>\n",
                            tag(call.basis.as_str(), call.basis.as_str()),
                            code(&call.op)
                        ));
                    }
                    self.put("</ul></div></details>\n");
                }
                Block::Call(call) => self.call(call),
                Block::Branch { question, yes, no } => {
                    let question = code(&cut(question, VALUE));
                    if yes.is_empty() {
                        self.way("", &format!("unless {question}"), no);
                    } else {
                        self.way("", &format!("if {question}"), yes);
                        if !no.is_empty() {
                            self.way("", "otherwise", no);
                        }
                    }
                }
                Block::Loop { which, most, body } => {
                    let which = match which.strip_prefix(EACH) {
                        Some(over) => format!("{EACH}{}", code(&cut(over, VALUE))),
                        None => esc(&cut(which, VALUE)),
                    };
                    self.way(" loop", &format!("{which}{most}, one round:"), body);
                }
            }
        }
    }

    /// Calls that are made on one way only. The words are HTML already.
    fn way(&mut self, class: &str, words: &str, blocks: &[Block<'_>]) {
        self.put(&format!("<div class=\"way{class}\"><p class=\"q\">{words}</p>\n"));
        self.blocks(blocks);
        self.put("</div>\n");
    }

    fn call(&mut self, call: &PlannedCall) {
        let deed = Deed::of(call);
        let refused = if call.refused.is_some() { format!(" {}", tag("refused", "refused")) } else { String::new() };
        self.put(&format!(
            "<details{}><summary><b class=\"mono {}\">{} {}</b> {} <span class=\"faint\">{}</span>{refused}</summary>\n<div class=\"in\">\n",
            if call.changes.is_empty() && call.refused.is_none() { "" } else { " open" },
            deed.as_str(),
            mark(deed),
            esc(&call.op),
            tag(call.basis.as_str(), call.basis.as_str()),
            esc(&cut(&call.resource, VALUE))
        ));
        if let Some(refused) = &call.refused {
            self.put(&format!("<p class=\"note bad\">✗ refused: {}</p>\n", esc(&cut(refused, VALUE))));
        }
        let args = words::arguments(&call.args);
        if !args.is_empty() {
            self.put("<dl class=\"args\">\n");
            for (name, value) in args {
                self.put(&format!("<dt>{}</dt><dd>{}</dd>\n", esc(&name), code(&cut(&value, VALUE))));
            }
            self.put("</dl>\n");
        }
        if !call.reason.is_empty() {
            self.put(&format!(
                "<p class=\"note faint\">{}: {}</p>\n",
                call.basis.as_str(),
                esc(&cut(&call.reason, VALUE))
            ));
        }
        call.changes.iter().for_each(|change| self.change(change));
        if let Some(undo) = call.undo.as_ref().filter(|_| call.writes && call.refused.is_none()) {
            let class = if matches!(undo, PlannedUndo::Impossible { .. }) { "bad" } else { "faint" };
            self.put(&format!("<p class=\"note {class}\">↩ {}</p>\n", esc(&cut(&words::undo(undo), VALUE))));
        }
        self.put("</div></details>\n");
    }

    fn change(&mut self, of: &Change) {
        self.put(&format!("<p class=\"note\">{} {}</p>\n", code(&cut(&of.resource, VALUE)), change::kind(of)));
        let lines = change::lines(of, CHANGE);
        if lines.is_empty() {
            return;
        }
        self.put("<pre tabindex=\"0\">");
        for line in lines {
            let name = match line.sign {
                change::Sign::Added => "ins",
                change::Sign::Removed => "del",
                change::Sign::Same | change::Sign::Gap => "span",
            };
            // Blanks at the beginning are the outline.
            let blank = line.text.len() - line.text.trim_start_matches(' ').len();
            let text = format!("{}{}", " ".repeat(blank), esc(&cut(&line.text[blank..], VALUE)));
            self.put(&format!("<{name}>{} {text}</{name}>", line.sign.char()));
        }
        self.put("</pre>\n");
    }
}

fn mark(deed: Deed) -> char {
    match deed {
        Deed::Delete => '−',
        Deed::Read => '·',
        other => other.mark(),
    }
}
