//! The report of a period, arranged.

use super::page::{Card, Cell, Page, Tone};
use super::run::tone_of;
use crate::evidence::period::{FindingKind, PeriodReport, PlaybookLine, RunLine, missed, trend};
use crate::evidence::words::{count, flat, instant, span};

/// Arranges the report of a period.
#[must_use]
pub fn page(report: &PeriodReport) -> Page {
    let of = report.playbook.as_ref().map(|name| format!(" of {}", flat(name))).unwrap_or_default();
    let card = |large: Cell, small: &str| Card { large, small: small.to_owned() };
    let bad = |many: usize| if many > 0 { Tone::Bad } else { Tone::Good };
    let missed = missed(report).len();
    let mut page = Page {
        title: format!("Runs{of} from {} to {}", instant(report.since), instant(report.until)),
        lead: String::new(),
        cards: vec![
            card(Cell::from(report.runs.len().to_string()), "runs"),
            card(Cell::from(missed.to_string()).tone(bad(missed)), "missed their objective (RTO)"),
            card(Cell::from(report.findings.len().to_string()).tone(bad(report.findings.len())), "findings"),
        ],
        split: None,
        sections: Vec::new(),
        footer: format!(
            "Made from the journals of {}. A run counts when it was at work in the period. Times are in UTC.",
            count(report.runs.len(), "run")
        ),
    };
    let finding = |one: &crate::evidence::period::Finding| {
        let tone = match one.kind {
            FindingKind::OnPurpose => Tone::Faint,
            FindingKind::NotEnded => Tone::Warn,
            _ => Tone::Bad,
        };
        vec![
            Cell::from(instant(one.at)),
            Cell::from(one.kind.as_str()).tone(tone),
            Cell::code(&one.about),
            Cell::from(one.text.as_str()),
        ]
    };
    page.table("Findings", vec!["When", "What", "About", ""], report.findings.iter().map(finding).collect());
    let heads = vec![
        "Playbook",
        "Versions",
        "Runs",
        "Drills",
        "Succeeded",
        "Objective (RTO)",
        "Missed",
        "Last",
        "Best",
        "Worst",
        "Trend",
    ];
    page.table("Playbooks", heads, report.playbooks.iter().map(book).collect());
    let heads =
        vec!["Run", "Playbook", "Began", "Took", "Waited for people", "Objective (RTO)", "Status", "Started by"];
    page.table("Runs", heads, report.runs.iter().map(run).collect());
    page
}

fn book(line: &PlaybookLine) -> Vec<Cell> {
    let shown = |ms: Option<&u64>| Cell::from(ms.map(|ms| span(*ms)).unwrap_or_default());
    let trend = match trend(line) {
        None => Cell::from("too few runs").tone(Tone::Faint),
        Some(percent @ 10..) => Cell::from(format!("{percent}% slower")).tone(Tone::Warn),
        Some(percent @ ..=-10) => Cell::from(format!("{}% quicker", -percent)).tone(Tone::Good),
        Some(_) => Cell::from("steady"),
    };
    let missed = Cell::from(line.missed.to_string());
    vec![
        Cell::from(line.playbook.as_str()),
        Cell::from(line.versions.join(", ")),
        Cell::from(line.runs.to_string()),
        Cell::from(line.drills.to_string()),
        Cell::from(line.succeeded.to_string()),
        Cell::from(line.rto_ms.map(span).unwrap_or_default()),
        if line.missed > 0 { missed.tone(Tone::Bad) } else { missed },
        shown(line.times_ms.last()),
        shown(line.times_ms.iter().min()),
        shown(line.times_ms.iter().max()),
        trend,
    ]
}

fn run(line: &RunLine) -> Vec<Cell> {
    let objective = match (line.rto_ms, line.rto_kept) {
        (Some(rto), Some(true)) => Cell::from(format!("{}: kept", span(rto))).tone(Tone::Good),
        (Some(rto), Some(false)) => Cell::from(format!("{}: missed", span(rto))).tone(Tone::Bad),
        (Some(rto), None) => Cell::from(format!("{}: not measured", span(rto))).tone(Tone::Faint),
        (None, _) => Cell::from("none").tone(Tone::Faint),
    };
    vec![
        Cell::code(line.run.as_str()),
        Cell::from(format!("{} {}{}", line.playbook, line.version, if line.drill { ", drill" } else { "" })),
        Cell::from(instant(line.started)),
        Cell::from(span(line.took_ms)),
        Cell::from(if line.people_ms > 0 { span(line.people_ms) } else { String::new() }),
        objective,
        Cell::from(line.status.as_str()).tone(tone_of(line.status)),
        Cell::from(line.by.as_str()),
    ]
}
