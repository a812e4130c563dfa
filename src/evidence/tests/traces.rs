//! Traces hold together: whatever happened, every span has its place in the run.

use std::collections::BTreeMap;

use super::story::{Story, drilled, eventful, smooth, who};
use crate::evidence::trace::{Attribute, Fold, ROOT, Span};
use crate::journal::Fact;
use crate::model::StepPath;
use crate::model::status::RunStatus;

fn spans(story: &Story) -> Vec<Span> {
    let mut fold = Fold::default();
    story.records().iter().for_each(|record| fold.apply(record));
    assert!(fold.is_over());
    fold.take()
}

#[test]
fn every_span_is_a_part_of_one_that_lasts_longer_and_the_run_is_the_last_to_end() {
    for story in [eventful(1, 100), smooth(2, 100, 60), drilled(3, 100, 160)] {
        let spans = spans(&story);
        let by_key: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.key.as_str(), span)).collect();
        assert_eq!(by_key.len(), spans.len(), "each has a key of its own");
        assert_eq!(spans.last().map(|span| span.key.as_str()), Some(ROOT));
        for span in spans.iter().filter(|span| span.key != ROOT) {
            let parent = by_key.get(span.parent.as_str()).unwrap_or_else(|| panic!("{span:?} is a part of nothing"));
            assert!(parent.begun <= span.begun && span.ended <= parent.ended, "{span:?} outlasts {parent:?}");
        }
        let records = story.records();
        let (first, last) = (records.first().expect("records"), records.last().expect("records"));
        assert_eq!((by_key[ROOT].begun, by_key[ROOT].ended), (first.at, last.at));
    }
}

#[test]
fn spans_that_end_while_the_run_goes_on_are_the_same_as_those_told_at_its_end() {
    let story = eventful(1, 100);
    let (mut fold, mut told) = (Fold::default(), Vec::new());
    for record in story.records() {
        fold.apply(&record);
        told.extend(fold.take());
    }
    assert_eq!(told, spans(&story));
}

#[test]
fn waiting_for_people_is_a_span_and_so_is_a_teardown() {
    let asked = Fact::ApprovalAsked {
        step: StepPath::of("swap"),
        by: vec!["dr-lead".to_owned()],
        count: 1,
        digest: "d".to_owned(),
        tree: None,
        unforeseen: None,
        again: None,
    };
    let given = Fact::Approved {
        step: StepPath::of("swap"),
        by: who("erin"),
        role: None,
        reason: None,
        break_glass: false,
        digest: "d".to_owned(),
        valid_until: None,
    };
    let story = Story::begun(1, 0).then(10, asked).then(70, given).step_begun(71, "swap", 1).step_done(72, "swap");
    let spans = spans(&story.finished(73, RunStatus::Succeeded));
    let wait = spans.iter().find(|span| span.name == "approval of swap").expect("it was waited");
    assert_eq!(wait.ended.as_second() - wait.begun.as_second(), 60);
    let torn = self::spans(&drilled(3, 100, 160));
    assert!(torn.iter().any(|span| span.name == "teardown"), "{torn:?}");
    let root = torn.last().expect("the run");
    assert!(root.attributes.contains(&("muster.rto_ms", Attribute::Number(160_000))), "{root:?}");
}

#[test]
fn a_run_that_failed_is_an_error_with_its_reason() {
    let spans = spans(&Story::begun(1, 0).finished(5, RunStatus::Failed));
    assert_eq!(spans[0].error.as_deref().map(|why| why.starts_with("failed")), Some(true), "{spans:?}");
}
