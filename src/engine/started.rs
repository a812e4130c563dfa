//! The start of the run, in a plan. Scripts reckon with the time of the plan: which backups have outlived their policy is told as
//! of now, and a run that comes to another answer leaves its plan. Where a call would write that time itself, it is the run's.

use std::sync::Arc;

use super::cell::RunCell;
use crate::model::Value;
use crate::model::unknown::{Shape, Unknown};

/// What scripts call it.
const SOURCE: &str = "run.started";
const WHY: &str = "when the run starts";

/// A planned call's arguments with an unknown wherever the start of the run stands, within a longer text too.
pub(super) fn of_run(cell: &RunCell, args: Value) -> Value {
    let core = cell.core.lock();
    // The rest of a run that has begun is planned with its own start.
    let header = core.state.header.as_ref().filter(|_| core.state.rest.is_none());
    let started = header.map(|header| header.started.to_string());
    drop(core);
    match started {
        Some(started) => left_open(args, &started),
        None => args,
    }
}

fn left_open(args: Value, started: &str) -> Value {
    if let Some(unknown) = Unknown::of(&args) {
        // A text that is put together has its known pieces in its source; no part of a time is escaped there.
        return match unknown.source.starts_with('`') {
            true => Unknown { source: named(&unknown.source, started), ..unknown }.to_value(),
            false => args,
        };
    }
    match args {
        Value::String(text) if text == started => Unknown::new(WHY, SOURCE, Shape::Text).to_value(),
        Value::String(text) if text.contains(started) => {
            let mut source = String::from("`");
            for c in text.chars() {
                if matches!(c, '`' | '\\' | '}' | '$') {
                    source.push('\\');
                }
                source.push(c);
            }
            source.push('`');
            Unknown::new(WHY, &named(&source, started), Shape::Text).to_value()
        }
        Value::Array(items) => items.into_iter().map(|item| left_open(item, started)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, left_open(value, started))).collect(),
        other => other,
    }
}

fn named(source: &str, started: &str) -> Arc<str> {
    source.replace(started, &format!("${{{SOURCE}}}")).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::left_open;
    use crate::engine::bound::fits;
    use crate::model::unknown::{Shape, Unknown};

    const PLAN: &str = "2026-01-02T03:04:05.006Z";
    const RUN: &str = "2026-01-02T09:00:00Z";

    #[test]
    fn the_start_of_the_run_is_open_wherever_it_stands_and_nothing_else_is() {
        let part =
            Unknown::new("the sum", "`${fs.sha256.sha256} $\\{ 2026-01-02T03:04:05.006Z`", Shape::Text).to_value();
        let args = |at: &str| json!({ "at": at, "list": [1, format!("`a`-{at}}}")], "day": "2026-01-02", "deep": { "at": at } });
        let mut planned = args(PLAN);
        planned["part"] = part;
        let planned = left_open(planned, PLAN);
        let mut made = args(RUN);
        made["part"] = json!(format!("0f ${{ {RUN}"));
        assert!(fits(&planned, &made), "{planned:#}");
        assert_eq!(planned["at"], Unknown::new("when the run starts", "run.started", Shape::Text).to_value());
        for (name, other) in
            [("at", json!(3)), ("list", json!([1, "`b`-now}"])), ("day", json!("2026-01-03")), ("part", json!("0f"))]
        {
            let mut wrong = made.clone();
            wrong[name] = other;
            assert!(!fits(&planned, &wrong), "{name}: {planned:#}");
        }
    }
}
