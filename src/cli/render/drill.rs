//! What a drill has come to, as people read it.

use super::brief::one_line;
use super::look::{Look, Tone};
use super::view::View;
use super::when;
use crate::model::Value;
use crate::plan::drill::DrillReport;

/// The lines of a drill, each with its name before it; nothing for other runs.
#[must_use]
pub fn text(view: &View, look: Look) -> String {
    let Some(drill) = view.drill() else { return String::new() };
    let mut text = String::new();
    for (name, value) in fields(drill, look) {
        text.push_str(&format!("  {name:<9} {value}\n"));
    }
    text
}

fn fields(drill: &DrillReport, look: Look) -> Vec<(&'static str, String)> {
    let mut fields = vec![("declared", when::instant(drill.declared_at))];
    let measured = |found: String, objective: Option<u64>, missed: bool| {
        let objective = objective.map(|objective| when::millis(i64::try_from(objective).unwrap_or(i64::MAX)));
        let against = match &objective {
            Some(objective) => format!(", objective {objective}"),
            None => ", no objective".to_owned(),
        };
        format!("{}{against}", look.paint(if missed { Tone::Bad } else { Tone::Good }, &found))
    };
    let late = |found: i64, objective: Option<u64>| {
        objective.is_some_and(|objective| u64::try_from(found).is_ok_and(|found| found > objective))
    };
    if let Some(rto) = drill.rto {
        let parts = format!(
            "detect {}, decide {}, machine {}, verify {}",
            when::millis(rto.detect_ms),
            when::millis(rto.decide_ms),
            when::millis(rto.machine_ms),
            when::millis(rto.verify_ms)
        );
        let missed = late(rto.total_ms, drill.rto_objective_ms);
        let found = measured(when::millis(rto.total_ms), drill.rto_objective_ms, missed);
        fields.push(("RTO", format!("{found} ({parts})")));
    } else {
        fields.push(("RTO", look.paint(Tone::Warn, "not measured: the recovery was not proved")));
    }
    if let Some(rpo) = drill.rpo_ms {
        let newest = drill.newest.map(|at| format!("; the newest data are of {}", when::instant(at)));
        let found = measured(when::millis(rpo), drill.rpo_objective_ms, late(rpo, drill.rpo_objective_ms));
        fields.push(("RPO", format!("{found}{}", newest.unwrap_or_default())));
    } else if drill.rto.is_some() {
        let why = drill.faults.get(crate::model::drill::RPO).map(|why| one_line(why));
        let why = why.unwrap_or_else(|| "the playbook's drill does not say by which data".to_owned());
        fields.push(("RPO", look.paint(Tone::Warn, &format!("not measured: {why}"))));
    }
    for (name, value) in drill.values.iter().filter(|(name, _)| *name != crate::model::drill::RPO) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fields.push(("measured", format!("{name}: {}", one_line(&value))));
    }
    if !drill.skipped.is_empty() {
        fields.push(("left out", drill.skipped.join(", ")));
    }
    if !drill.waived.is_empty() {
        fields
            .push(("waived", format!("the approval of {}: all of it lies inside the fence", drill.waived.join(", "))));
    }
    if let Some(teardown) = &drill.teardown {
        let took =
            teardown.took_ms.map_or_else(|| "under way".to_owned(), |took| format!("took {}", when::millis(took)));
        fields.push(("teardown", format!("{took}: {}", one_line(&teardown.why))));
    }
    match (drill.swept, drill.leaks.is_empty()) {
        (Some(looked), true) => fields.push(("sweep", format!("{looked} things looked for, none is left"))),
        (Some(looked), false) => {
            let left = format!("{looked} things looked for, {} left", drill.leaks.len());
            fields.push(("sweep", look.paint(Tone::Bad, &left)));
        }
        (None, _) => {}
    }
    if !drill.asked.is_empty() {
        fields.push(("asked", format!("{}: for what carries its mark", one_line(&drill.asked.join(", ")))));
    }
    for (what, why) in &drill.unasked {
        fields.push(("not asked", look.paint(Tone::Warn, &format!("{}: {}", one_line(what), one_line(why)))));
    }
    for leak in &drill.leaks {
        let by = leak.call.as_ref().map(|call| format!(" (by {call})")).unwrap_or_default();
        fields.push(("leak", format!("{}{by}: {}", one_line(&leak.resource), one_line(&leak.found))));
        if let Some(command) = &leak.remove {
            fields.push(("", look.paint(Tone::Strong, command)));
        }
    }
    fields
}

/// The same for machines.
#[must_use]
pub fn json(view: &View) -> Value {
    serde_json::to_value(view.drill()).unwrap_or_default()
}
