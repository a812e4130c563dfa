//! A report for whatever shows the results of tests: JUnit's XML. A step is a test case, an objective is one, a finding is one.

use crate::evidence::period::{FindingKind, PeriodReport};
use crate::evidence::report::{RunReport, StepEnd};
use crate::evidence::words::{flat, span};
use crate::model::Timestamp;
use crate::model::status::RunStatus;

/// What became of a test case.
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Case {
    class: String,
    name: String,
    ms: u64,
    verdict: Verdict,
}

struct Suite {
    name: String,
    package: String,
    at: Timestamp,
    ms: u64,
    properties: Vec<(&'static str, String)>,
    cases: Vec<Case>,
}

/// The report of a run: a suite with a case for each step, for the run as a whole, and for its objective.
#[must_use]
pub fn run(report: &RunReport) -> String {
    document(&[suite(report)])
}

/// The report of a period: a suite for each run, and one with the findings.
#[must_use]
pub fn period(report: &PeriodReport, runs: &[RunReport]) -> String {
    let listed = |run: &&RunReport| report.runs.iter().any(|line| line.run == run.run);
    let mut suites: Vec<Suite> = runs.iter().filter(listed).map(suite).collect();
    // What is a finding about a run is a failed case of its suite already.
    let apart = |kind: FindingKind| {
        matches!(
            kind,
            FindingKind::Tick
                | FindingKind::OnPurpose
                | FindingKind::NotDrilled
                | FindingKind::Undelivered
                | FindingKind::Unreadable
                | FindingKind::Unreviewed
                | FindingKind::BreakGlass
        )
    };
    let cases = report.findings.iter().filter(|finding| apart(finding.kind)).map(|finding| Case {
        class: finding.about.clone(),
        name: format!("{} {}", finding.kind.as_str(), finding.at),
        ms: 0,
        verdict: match finding.kind {
            FindingKind::OnPurpose => Verdict::Skipped(finding.text.clone()),
            _ => Verdict::Failed(finding.text.clone()),
        },
    });
    let cases: Vec<Case> = cases.collect();
    if !cases.is_empty() {
        suites.push(Suite {
            name: "findings".to_owned(),
            package: "muster".to_owned(),
            at: report.until,
            ms: 0,
            properties: vec![("since", report.since.to_string()), ("until", report.until.to_string())],
            cases,
        });
    }
    document(&suites)
}

fn suite(report: &RunReport) -> Suite {
    let class = format!("{}.{}", report.playbook, report.run);
    let mut cases: Vec<Case> = Vec::new();
    for step in &report.steps {
        let why = || if step.why.is_empty() { step.end.as_str().to_owned() } else { step.why.clone() };
        let verdict = match step.end {
            StepEnd::Succeeded | StepEnd::ByHand => Verdict::Passed,
            StepEnd::Failed | StepEnd::FailedHandled => Verdict::Failed(why()),
            StepEnd::Skipped | StepEnd::NotReached | StepEnd::Open => Verdict::Skipped(why()),
        };
        cases.push(Case { class: class.clone(), name: step.step.to_string(), ms: step.took_ms.unwrap_or(0), verdict });
    }
    let verdict = match report.status {
        RunStatus::Succeeded | RunStatus::SucceededWithExceptions => Verdict::Passed,
        status if status.is_terminal() => Verdict::Failed(format!("the run ended: {}", status.as_str())),
        status => Verdict::Skipped(format!("the run has not ended: {}", status.as_str())),
    };
    cases.push(Case {
        class: class.clone(),
        name: "the run as a whole".to_owned(),
        ms: report.times.total_ms,
        verdict,
    });
    if let Some(rto) = report.times.rto_ms {
        let verdict = match report.times.rto_kept {
            Some(true) => Verdict::Passed,
            Some(false) => {
                Verdict::Failed(format!("took {}, the objective is {}", span(report.times.total_ms), span(rto)))
            }
            None => Verdict::Skipped("nothing was recovered that could be measured".to_owned()),
        };
        cases.push(Case { class, name: "objective (RTO)".to_owned(), ms: report.times.total_ms, verdict });
    }
    if let Some(drill) = &report.drill {
        let class = format!("{}.{}", report.playbook, report.run);
        let left: Vec<&str> = drill.leaks.iter().map(|leak| leak.resource.as_str()).collect();
        let verdict = match drill.swept {
            None => Verdict::Skipped("not swept yet".to_owned()),
            Some(_) if left.is_empty() && drill.unasked.is_empty() => Verdict::Passed,
            Some(_) if left.is_empty() => {
                let unasked: Vec<&str> = drill.unasked.keys().map(String::as_str).collect();
                Verdict::Failed(format!("could not be asked: {}", unasked.join(", ")))
            }
            Some(_) => Verdict::Failed(format!("left: {}", left.join(", "))),
        };
        cases.push(Case { class: class.clone(), name: "nothing is left behind".to_owned(), ms: 0, verdict });
        for missed in drill.missed.iter().filter(|missed| !missed.contains("RTO")) {
            let verdict = Verdict::Failed(missed.clone());
            cases.push(Case { class: class.clone(), name: "objective (RPO)".to_owned(), ms: 0, verdict });
        }
    }
    let mut properties = vec![
        ("run", report.run.to_string()),
        ("version", report.version.clone()),
        ("bundle", report.bundle.clone()),
        ("status", report.status.as_str().to_owned()),
        ("by", report.by.clone()),
    ];
    if let Some(rto) = report.times.rto_ms {
        properties.push(("rto_ms", rto.to_string()));
    }
    Suite {
        name: format!("{} {}", report.playbook, report.run),
        package: report.playbook.clone(),
        at: report.started,
        ms: report.times.total_ms,
        properties,
        cases,
    }
}

fn document(suites: &[Suite]) -> String {
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let failed = |case: &&Case| matches!(case.verdict, Verdict::Failed(_));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!(
        "<testsuites name=\"muster\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{}\">\n",
        all().count(),
        all().filter(failed).count(),
        seconds(suites.iter().map(|suite| suite.ms).sum())
    ));
    for (id, suite) in suites.iter().enumerate() {
        let skipped = suite.cases.iter().filter(|case| matches!(case.verdict, Verdict::Skipped(_))).count();
        text.push_str(&format!(
            "  <testsuite id=\"{id}\" name=\"{}\" package=\"{}\" hostname=\"muster\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\">\n",
            safe(&suite.name),
            safe(&suite.package),
            suite.at.strftime("%Y-%m-%dT%H:%M:%S"),
            suite.cases.len(),
            suite.cases.iter().filter(failed).count(),
            seconds(suite.ms)
        ));
        text.push_str("    <properties>\n");
        for (name, value) in &suite.properties {
            text.push_str(&format!("      <property name=\"{name}\" value=\"{}\"/>\n", safe(value)));
        }
        text.push_str("    </properties>\n");
        for case in &suite.cases {
            text.push_str(&format!(
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
                safe(&case.class),
                safe(&case.name),
                seconds(case.ms)
            ));
            match &case.verdict {
                Verdict::Passed => text.push_str("/>\n"),
                Verdict::Failed(why) => {
                    text.push_str(&format!(
                        ">\n      <failure type=\"failed\" message=\"{}\"/>\n    </testcase>\n",
                        safe(why)
                    ));
                }
                Verdict::Skipped(why) => {
                    text.push_str(&format!(">\n      <skipped>{}</skipped>\n    </testcase>\n", safe(why)));
                }
            }
        }
        text.push_str("    <system-out></system-out>\n    <system-err></system-err>\n  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// As the value of an attribute. What XML has no way to write is left out.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in flat(text).chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
