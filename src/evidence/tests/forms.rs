//! Every form of a report says the same, and nothing from outside is more than text in it.

use std::collections::BTreeSet;

use super::story::{Story, drilled, eventful, smooth};
use crate::evidence::form::page::Page;
use crate::evidence::form::{html, junit, markdown, period, run, table};
use crate::evidence::period::{Finding, FindingKind, PeriodReport, trend};
use crate::evidence::report::{RunReport, StepEnd};
use crate::model::status::RunStatus;
use crate::model::{RunId, StepPath, Timestamp};

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn forms(page: &Page) -> [(&'static str, String); 3] {
    [("table", table::text(page)), ("markdown", markdown::text(page)), ("html", html::text(page))]
}

fn month() -> (PeriodReport, Vec<RunReport>) {
    let slower = [60, 61, 62, 63, 90, 91, 92, 93];
    let day = 86_400;
    let mut runs: Vec<RunReport> = (1u64..)
        .zip(slower)
        .map(|(number, took)| smooth(number, i64::try_from(number).unwrap() * day, took).report())
        .collect();
    runs.push(eventful(100, 20 * day).report());
    runs.push(Story::begun(101, 21 * day).step_begun(21 * day, "copy", 1).report());
    let at = runs[0].started;
    let tick =
        Finding { at, kind: FindingKind::Tick, about: "nightly".to_owned(), text: "missed: <no server>".to_owned() };
    let end = at + std::time::Duration::from_secs(30 * 86_400);
    (PeriodReport::of(at, end, None, &runs, vec![tick]), runs)
}

#[test]
fn the_report_of_a_run_says_what_happened() {
    let report = eventful(7, 0).report();
    let times = &report.times;
    assert_eq!((times.total_ms, times.people_ms, times.verify_ms), (801_000, 660_000, 10_000));
    assert_eq!(times.machine_ms, 131_000);
    assert_eq!((times.rto_ms, times.rto_kept), (Some(600_000), Some(false)));
    let ends: Vec<StepEnd> = report.steps.iter().map(|step| step.end).collect();
    assert_eq!(ends, [StepEnd::Succeeded, StepEnd::Succeeded, StepEnd::Skipped]);
    assert_eq!(report.failures[0].then, "tried again by bob@ops");
    assert_eq!(report.approvals[0].waited_ms, Some(600_000));
    assert_eq!(report.no_return[0].why, "the old one is gone");
    assert_eq!(report.steps[1].verified.as_ref().and_then(|proof| proof.held), Some(true));
    assert_eq!((report.effects.sent, report.effects.done), (2, 2));
    snapshot("evidence_run_json", &report.json());
    for (form, text) in forms(&run::page(&report)) {
        snapshot(&format!("evidence_run_{form}"), &text);
    }
    snapshot("evidence_run_junit", &junit::run(&report));
}

#[test]
fn the_report_of_a_period_names_what_somebody_has_to_look_at() {
    let (report, runs) = month();
    let kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
    let wanted = [
        FindingKind::Tick,
        FindingKind::BreakGlass,
        FindingKind::ObjectiveMissed,
        FindingKind::NotEnded,
        FindingKind::NotDrilled,
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(report.playbooks[0].runs, 10);
    assert_eq!(trend(&report.playbooks[0]), Some(50), "{:?}", report.playbooks[0]);
    snapshot("evidence_period_json", &report.json());
    for (form, text) in forms(&period::page(&report)) {
        snapshot(&format!("evidence_period_{form}"), &text);
    }
    snapshot("evidence_period_junit", &junit::period(&report, &runs));
}

#[test]
fn nothing_from_outside_is_markup() {
    let report = eventful(7, 0).report();
    let page = run::page(&report);
    let html = html::text(&page);
    assert!(!html.contains("<script") && !html.contains("<b>carefully"), "{html}");
    assert!(
        !html.contains("http://") && !html.contains("src=") && !html.contains("@import") && !html.contains("url("),
        "{html}"
    );
    let junit = junit::run(&report);
    assert!(!junit.contains("<script") && !junit.contains("]]>"), "{junit}");
    let markdown = markdown::text(&page);
    assert!(!markdown.contains("<script") && !markdown.contains("@all") && !markdown.contains("|`"), "{markdown}");
    for text in [html, junit, markdown, table::text(&page)] {
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn the_page_is_well_formed_and_every_region_has_a_name() {
    let (report, _) = month();
    for text in [html::text(&run::page(&eventful(7, 0).report())), html::text(&period::page(&report))] {
        let body = text.split_once("</style>").expect("a style").1.split_once("</head>").expect("a head").1;
        let mut open: Vec<&str> = vec!["html"];
        for tag in body.split('<').skip(1) {
            let inside = tag.split('>').next().expect("a tag");
            match inside.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{body}"),
                None => open.push(inside.split(' ').next().expect("a name")),
            }
        }
        assert_eq!(open, [""; 0]);
        let value = |part: &str| part.split('"').next().expect("a value").to_owned();
        let ids: Vec<String> = body.split(" id=\"").skip(1).map(value).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        for name in body.split("aria-labelledby=\"").skip(1).map(value) {
            assert!(ids.contains(&name), "{name}");
        }
    }
}

#[test]
fn junit_counts_what_stands_in_it() {
    let (report, runs) = month();
    for text in [junit::run(&eventful(7, 0).report()), junit::period(&report, &runs)] {
        let number = |part: &str, name: &str| -> usize {
            let value = part.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {part}"))
        };
        let head = text.split("<testsuites ").nth(1).expect("suites");
        assert_eq!(number(&format!(" {head}"), "tests"), text.matches("<testcase ").count());
        assert_eq!(number(&format!(" {head}"), "failures"), text.matches("<failure ").count());
        for suite in text.split("  <testsuite ").skip(1).map(|suite| format!(" {suite}")) {
            assert_eq!(number(&suite, "tests"), suite.matches("<testcase ").count());
            assert_eq!(number(&suite, "failures"), suite.matches("<failure ").count());
            assert_eq!(number(&suite, "skipped"), suite.matches("<skipped>").count());
        }
    }
    let missed = junit::run(&eventful(7, 0).report());
    let case = missed.split("name=\"objective (RTO)\"").nth(1).expect("a case for the objective");
    assert!(case.split("</testcase>").next().is_some_and(|case| case.contains("<failure ")), "{missed}");
}

#[test]
fn an_objective_is_kept_only_by_a_run_that_recovered() {
    let kept = |status| {
        let story = Story::begun(1, 0).step_begun(1, "copy", 1).finished(30, status);
        story.report().times.rto_kept
    };
    assert_eq!(kept(RunStatus::Succeeded), Some(true));
    assert_eq!(kept(RunStatus::RolledBack), None);
    assert_eq!(kept(RunStatus::Failed), None);
    assert_eq!(
        Story::begun(1, 0).step_begun(601, "copy", 1).report().times.rto_kept,
        Some(false),
        "it is late already"
    );
    assert_eq!(Story::begun(1, 0).step_begun(30, "copy", 1).report().times.rto_kept, None);
}

#[test]
fn a_drill_is_measured_from_its_declared_start_to_its_proof() {
    let measured = |proven: i64| drilled(1, 0, proven).report();
    let kept = measured(500);
    assert_eq!((kept.times.rto_kept, kept.times.total_ms), (Some(true), 2_000_000), "its teardown does not count");
    let late = measured(700);
    assert_eq!(late.times.rto_kept, Some(false));
    let text = html::text(&run::page(&late));
    for wanted in
        ["Drill 100000000000", "docker/left &lt;b&gt;", "docker rm left", "1 looked for, 1 left", "missed by 1m 40s"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let junit = junit::run(&late);
    assert!(junit.contains("name=\"nothing is left behind\"") && junit.contains("left: docker/left"), "{junit}");
    let report =
        PeriodReport::of(late.started, late.as_of + std::time::Duration::from_secs(1), None, &[late], Vec::new());
    let kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::Leak) && kinds.contains(&FindingKind::ObjectiveMissed), "{kinds:?}");
    assert!(!kinds.contains(&FindingKind::NotDrilled), "{kinds:?}");
    assert_eq!((report.runs[0].took_ms, report.playbooks[0].drills), (700_000, 1));
}

#[test]
fn a_period_has_the_runs_that_were_at_work_in_it() {
    use crate::evidence::period::is_within;
    let at = |second| Timestamp::from_second(second).expect("an instant");
    assert!(is_within(at(5), None, at(10), at(20)), "it still runs");
    assert!(is_within(at(5), Some(at(10)), at(10), at(20)));
    assert!(!is_within(at(5), Some(at(9)), at(10), at(20)));
    assert!(!is_within(at(20), None, at(10), at(20)));
}

#[test]
fn steps_that_were_not_come_to_are_told() {
    let report = Story::begun(1, 0).step_begun(1, "copy", 1).finished(2, RunStatus::Killed).report();
    let ends: Vec<(StepPath, StepEnd)> = report.steps.iter().map(|step| (step.step.clone(), step.end)).collect();
    assert_eq!(ends[0], (StepPath::of("copy"), StepEnd::Open));
    assert_eq!(ends[2], (StepPath::of("tell"), StepEnd::NotReached));
    assert_eq!(report.run, RunId::from_entropy(1));
}
