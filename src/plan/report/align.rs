//! Which planned call is which call of the run: the pairing of two sequences that keeps the most calls together, in order.

use crate::engine::bound::fits;
use crate::model::Value;
use crate::plan::PlannedCall;

/// Beyond so many pairs to weigh, calls are paired from the front only.
const MOST: usize = 4_000_000;

/// What a call that stands on both sides is worth, against one that stands on one side only.
const BOTH: i64 = 1000;

/// A planned call, a made one, or both in one: places in the two sequences.
pub(super) type Pair = (Option<usize>, Option<usize>);

#[derive(Clone, Copy)]
enum Step {
    /// The end.
    Stop,
    /// The planned call of this place was made.
    Both(usize),
    /// The planned one was not made.
    Planned,
    /// The made one was not planned.
    Made,
}

fn same(planned: &PlannedCall, made: (&str, &Value)) -> bool {
    planned.op == made.0 && fits(&planned.args, made.1)
}

/// A call that the run need not make to have followed the plan.
pub(super) fn may_be_left_out(planned: &PlannedCall) -> bool {
    // A call whose precondition does not hold ends before there is a record of it.
    !planned.branch.is_empty() || planned.repeated.is_some() || planned.refused.is_some()
}

/// Pairs the calls of a plan's step with those that were made. A planned call of a loop can stand in several pairs.
pub(super) fn align(planned: &[PlannedCall], made: &[(&str, &Value)]) -> Vec<Pair> {
    let straight = planned
        .iter()
        .zip(made)
        .take_while(|(planned, made)| !may_be_left_out(planned) && same(planned, **made))
        .count();
    let mut pairs: Vec<Pair> = (0..straight).map(|place| (Some(place), Some(place))).collect();
    let (planned, made) = (&planned[straight..], &made[straight..]);
    let rest = if (planned.len() + 1).saturating_mul(made.len() + 1) <= MOST {
        weighed(planned, made)
    } else {
        from_the_front(planned, made)
    };
    let shift = |place: Option<usize>| place.map(|place| place + straight);
    pairs.extend(rest.into_iter().map(|(planned, made)| (shift(planned), shift(made))));
    pairs
}

fn weighed(planned: &[PlannedCall], made: &[(&str, &Value)]) -> Vec<Pair> {
    let width = planned.len() + 1;
    let mut best: Vec<(i64, Step)> = vec![(0, Step::Stop); width * (made.len() + 1)];
    for m in (0..=made.len()).rev() {
        for p in (0..width).rev() {
            let worth = |p: usize, m: usize| best[m * width + p].0;
            let mut here = (i64::MIN, Step::Stop);
            let mut offer = |worth: i64, step: Step| {
                if worth > here.0 {
                    here = (worth, step);
                }
            };
            if let Some(call) = made.get(m) {
                if p < planned.len() && same(&planned[p], *call) {
                    offer(BOTH + worth(p + 1, m + 1), Step::Both(p));
                }
                // Once more through the loop that the last planned call stands in.
                if let Some(of) = p.checked_sub(1).and_then(|last| planned[last].repeated.as_ref()) {
                    let body = (0..p).rev().take_while(|place| planned[*place].repeated.as_ref() == Some(of));
                    for place in body.filter(|place| same(&planned[*place], *call)) {
                        offer(BOTH + worth(place + 1, m + 1), Step::Both(place));
                    }
                }
            }
            if p < planned.len() {
                offer(worth(p + 1, m) - i64::from(!may_be_left_out(&planned[p])), Step::Planned);
            }
            if m < made.len() {
                offer(worth(p, m + 1) - 1, Step::Made);
            }
            if p == planned.len() && m == made.len() {
                here = (0, Step::Stop);
            }
            best[m * width + p] = here;
        }
    }
    let (mut p, mut m) = (0, 0);
    let mut pairs = Vec::new();
    loop {
        match best[m * width + p].1 {
            Step::Stop => return pairs,
            Step::Both(place) => {
                pairs.push((Some(place), Some(m)));
                (p, m) = (place + 1, m + 1);
            }
            Step::Planned => {
                pairs.push((Some(p), None));
                p += 1;
            }
            Step::Made => {
                pairs.push((None, Some(m)));
                m += 1;
            }
        }
    }
}

fn from_the_front(planned: &[PlannedCall], made: &[(&str, &Value)]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut next = 0;
    for (place, call) in made.iter().enumerate() {
        let found = (next..planned.len()).take(100).find(|at| same(&planned[*at], *call));
        let Some(found) = found else {
            pairs.push((None, Some(place)));
            continue;
        };
        pairs.extend((next..found).map(|left_out| (Some(left_out), None)));
        pairs.push((Some(found), Some(place)));
        next = found + 1;
    }
    pairs.extend((next..planned.len()).map(|left_out| (Some(left_out), None)));
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::forecast::Decision;

    fn call(op: &str, only_if: Option<(&str, bool)>, repeated: Option<&str>) -> PlannedCall {
        let branch: Vec<Decision> =
            only_if.into_iter().map(|(question, answer)| Decision { question: question.to_owned(), answer }).collect();
        serde_json::from_value(json!({
            "op": op, "writes": true, "basis": "predicted", "resource": "", "args": { "of": op }, "takes_ms": 0,
            "branch": branch, "repeated": repeated,
        }))
        .unwrap()
    }

    fn plain(op: &str) -> PlannedCall {
        call(op, None, None)
    }

    fn shown(planned: &[PlannedCall], made: &[&str]) -> String {
        let args: Vec<Value> = made.iter().map(|op| json!({ "of": op })).collect();
        let made: Vec<(&str, &Value)> = made.iter().copied().zip(&args).collect();
        let words = align(planned, &made).into_iter().map(|pair| match pair {
            (Some(at), Some(_)) => planned[at].op.clone(),
            (Some(at), None) => format!("-{}", planned[at].op),
            (None, Some(at)) => format!("+{}", made[at].0),
            (None, None) => "?".to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn calls_stand_together_in_order() {
        let plan = [plain("a"), plain("b"), plain("c")];
        assert_eq!(shown(&plan, &["a", "b", "c"]), "a b c");
        assert_eq!(shown(&plan, &["a", "c"]), "a -b c");
        assert_eq!(shown(&plan, &["a", "x", "b", "c", "c"]), "a +x b c +c");
        assert_eq!(shown(&plan, &[]), "-a -b -c");
        assert_eq!(shown(&[], &["a"]), "+a");
    }

    #[test]
    fn a_loop_is_gone_round_as_often_as_it_was() {
        let plan = [plain("a"), call("b", None, Some("l")), call("c", Some(("q", true)), Some("l")), plain("d")];
        assert_eq!(shown(&plan, &["a", "b", "c", "b", "b", "c", "d"]), "a b c b b c d");
        assert_eq!(shown(&plan, &["a", "d"]), "a -b -c d");
        assert_eq!(shown(&plan, &["a", "b", "d", "b"]), "a b -c d +b");
    }

    #[test]
    fn the_way_that_was_taken_is_found() {
        let plan = [call("a", Some(("q", true)), None), call("b", Some(("q", false)), None), plain("c")];
        assert_eq!(shown(&plan, &["b", "c"]), "-a b c");
    }

    #[test]
    fn very_long_steps_are_paired_too() {
        let plan: Vec<PlannedCall> = (0..3000).map(|n| plain(&format!("op{n}"))).collect();
        let made: Vec<String> = (0..3000).filter(|n| *n != 1).map(|n| format!("op{n}")).collect();
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        let shown = shown(&plan, &made);
        assert!(shown.starts_with("op0 -op1 op2 ") && shown.ends_with(" op2999"), "{}", &shown[..60]);
        assert!(!shown.contains('+'));
    }
}
