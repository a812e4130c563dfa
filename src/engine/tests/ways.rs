//! Whatever a run finds, what it does was in its plan: scripts grown at random from a small grammar, planned once and run on many worlds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Rig;
use super::books::{book, step};
use crate::engine::bound::Bound;
use crate::engine::state::CallKind;
use crate::journal::Fact;
use crate::journal::record::Outcome;
use crate::model::forecast::WayEnd;
use crate::model::paths::{PathEffect, Paths};
use crate::model::status::Mode;
use crate::model::{StepPath, Value};
use crate::playbook::types::{Playbook, Step};

/// Grows a script; every choice is the next byte.
struct Grower<'b> {
    bytes: std::slice::Iter<'b, u8>,
    effects: usize,
    loops: usize,
}

impl Grower<'_> {
    fn pick(&mut self, of: u8) -> u8 {
        self.bytes.next().map_or(0, |byte| byte % of)
    }

    fn number(&mut self) -> String {
        match self.pick(6) {
            0 => self.pick(3).to_string(),
            1 => "d.n".to_owned(),
            2 => "a".to_owned(),
            3 => "b".to_owned(),
            4 => "(d.n + 1)".to_owned(),
            _ => "d.l.len()".to_owned(),
        }
    }

    fn condition(&mut self, depth: u8) -> String {
        match self.pick(if depth == 0 { 7 } else { 10 }) {
            0 => "d.ok".to_owned(),
            1 => format!("{} == {}", self.number(), self.pick(3)),
            2 => format!("{} > {}", self.number(), self.pick(3)),
            3 => "d.l.is_empty()".to_owned(),
            4 => "b == ()".to_owned(),
            5 => "d.l.some(|y| y > 1)".to_owned(),
            6 => "d.s == \"x\"".to_owned(),
            7 => format!("!({})", self.condition(depth - 1)),
            8 => format!("({} && {})", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("({} || {})", self.condition(depth - 1), self.condition(depth - 1)),
        }
    }

    fn list(&mut self) -> &'static str {
        ["d.l", "[1, 2]", "0..d.n", "d.l.map(|y| y + 1)", "d.l.filter(|y| y > 1)"][usize::from(self.pick(5))]
    }

    fn effect(&mut self) -> String {
        self.effects += 1;
        let text = match self.pick(4) {
            0 => "\"k\"".to_owned(),
            1 => "`n-${d.n}-of-${a}`".to_owned(),
            2 => "d.s".to_owned(),
            _ => format!("`${{{}}}`", self.number()),
        };
        format!("host::fs::write_text(#{{ path: \"/e{}\", text: {text}, replace: true }}); ", self.effects)
    }

    fn block(&mut self, depth: u8, within: bool) -> String {
        (0..=self.pick(3)).map(|_| self.statement(depth, within)).collect()
    }

    fn statement(&mut self, depth: u8, within: bool) -> String {
        match self.pick(if depth == 0 { 6 } else { 15 }) {
            0 | 1 => self.effect(),
            2 => "d = draw(); ".to_owned(),
            3 => format!("{} = {}; ", ["a", "b"][usize::from(self.pick(2))], self.number()),
            4 if within => format!("if {} {{ break; }} ", self.condition(0)),
            5 if within => ["break; ", "return 7; ", "b = x; ", "a = 1; "][usize::from(self.pick(4))].to_owned(),
            4 | 5 => format!("a = find(d.l, {}); ", self.pick(3)),
            6 => format!("if {} {{ {}}} ", self.condition(1), self.block(depth - 1, within)),
            7 => {
                let condition = self.condition(2);
                format!(
                    "if {condition} {{ {}}} else {{ {}}} ",
                    self.block(depth - 1, within),
                    self.block(depth - 1, within)
                )
            }
            8 | 9 => format!("for x in {} {{ {}}} ", self.list(), self.block(depth - 1, true)),
            10 => {
                self.loops += 1;
                let guard = format!("g{}", self.loops);
                let (condition, body) = (self.condition(1), self.block(0, false));
                format!("let {guard} = 0; while {condition} && {guard} < 3 {{ {guard} += 1; {body}}} ")
            }
            11 => {
                self.loops += 1;
                let guard = format!("g{}", self.loops);
                let (condition, body) = (self.condition(1), self.block(0, false));
                format!("let {guard} = 0; loop {{ {guard} += 1; {body}if {condition} || {guard} > 2 {{ break; }} }} ")
            }
            12 => {
                format!("if {} {{ {} }} ", self.condition(1), ["return 5;", "throw \"no\";"][usize::from(self.pick(2))])
            }
            // An error over a value of which the plan knows no type is none that it can foresee: these can have no other.
            13 => {
                let fact = ["d.ok", "d.n > 1", "d.s == \"x\""][usize::from(self.pick(3))];
                let (before, after) = (self.effect(), self.effect());
                format!("try {{ {before}if {fact} {{ throw \"t\"; }} {after}}} catch {{ {}}} ", self.effect())
            }
            _ => format!("d.l.for_each(|x| {{ {}}}); ", self.effect()),
        }
    }
}

const HEAD: &str = "fn draw() { parse_json(host::rand::hex(#{ bytes: 4 })) }
fn find(l, k) { for x in l { if x == k { return x; } } () }
let d = draw(); let a = 0; let b = (); ";

fn grown(bytes: &[u8]) -> String {
    let mut grower = Grower { bytes: bytes.iter(), effects: 0, loops: 0 };
    let body: String = (0..4).map(|_| grower.statement(3, false)).collect();
    format!("{HEAD}{body} #{{ a: a, l: d.l }}")
}

fn steps(script: &str) -> Vec<Step> {
    let write = |what: &str| format!("host::fs::write_text(#{{ path: \"/z\", text: `{what}`, replace: true }});");
    vec![
        step("work", &[], script),
        step("maybe", &["work"], &write("m-${steps.work.a}")).when("steps.work.a == 1"),
        step("each", &["work"], &write("i-${item}-${key}")).foreach("steps.work.l", None),
    ]
}

/// What the plan allows, and the steps that it says it did not follow to their end.
fn bound(playbook: Playbook) -> (Bound, Vec<String>) {
    let mut rig = Rig::new(playbook);
    rig.mode = Mode::Plan;
    rig.drive();
    let mut effects: BTreeMap<StepPath, Vec<PathEffect>> = BTreeMap::new();
    let mut steps = BTreeMap::new();
    let mut open = Vec::new();
    for record in rig.records() {
        match record.fact {
            Fact::Foreseen { call, op, args, outcome: Outcome::Done { .. }, at_most, .. }
                if crate::ops::find(&op).is_some_and(|op| op.effect.writes()) =>
            {
                effects.entry(call.step).or_default().push(PathEffect { op, args, at_most });
            }
            Fact::PathsForeseen { step, paths } => {
                steps.insert(step, paths);
            }
            Fact::Foretold { step, end: WayEnd::Unfollowed { .. }, .. } => open.push(step.step().to_owned()),
            Fact::StepSucceeded { step, output }
                if output["$unknown"].as_str().is_some_and(|why| why.starts_with("the result of step")) =>
            {
                open.push(step.step().to_owned());
            }
            _ => {}
        }
    }
    for (step, effects) in effects {
        steps.entry(step).or_insert_with(|| Paths::sequence(effects.into_iter()));
    }
    (Bound { digest: String::new(), steps }, open)
}

/// What a run does on a world that draws these, step by step.
fn made(playbook: Playbook, draws: &[String]) -> Vec<(StepPath, Vec<(String, Value)>)> {
    let rig = Rig::new(playbook);
    rig.world.things.lock().draws = draws.iter().cloned().collect();
    rig.drive();
    let state = rig.state();
    let effects = |body: &[usize]| {
        let calls = body.iter().map(|index| &state.calls[*index]);
        let calls = calls.filter(|call| matches!(call.kind, CallKind::Effect { .. }));
        calls.map(|call| (call.op.clone(), call.args.clone())).collect()
    };
    state.steps.iter().map(|(path, step)| (path.clone(), effects(&step.body))).collect()
}

fn drawn() -> impl Strategy<Value = String> {
    (0..4_u8, any::<bool>(), prop::collection::vec(0..4_u8, 0..4), 0..3_u8).prop_map(|(n, ok, mut l, s)| {
        l.sort_unstable();
        l.dedup();
        let s = ["x", "y", "n-1-of-0"][usize::from(s)];
        serde_json::json!({ "n": n, "ok": ok, "l": l, "s": s }).to_string()
    })
}

proptest! {
    #[test]
    fn every_run_stays_within_its_plan(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        worlds in prop::collection::vec(prop::collection::vec(drawn(), 0..6), 4),
    ) {
        let script = grown(&bytes);
        let (bound, open) = bound(book(steps(&script)));
        for world in worlds {
            for (path, effects) in made(book(steps(&script)), &world) {
                let effects: Vec<(&str, &Value)> = effects.iter().map(|(op, args)| (op.as_str(), args)).collect();
                // What hangs on a step that was not followed is told to be open with it.
                prop_assert!(
                    open.iter().any(|open| *open == "work" || *open == path.step()) || bound.admits(&path, &effects),
                    "{path} of\n{script}\nmakes {effects:?}\nwhere the plan has\n{}", shown(&bound)
                );
            }
        }
    }
}

/// Everything that a draw can be, but for the longest lists.
fn all_draws() -> Vec<String> {
    let lists = [&[][..], &[0], &[1], &[2], &[0, 2], &[1, 3]];
    let draw = |n: u8, ok: bool, l: &[u8], s: &str| serde_json::json!({ "n": n, "ok": ok, "l": l, "s": s }).to_string();
    let of = |l: &'static [u8]| (0..4).flat_map(move |n| [(n, true, l), (n, false, l)]);
    lists.into_iter().flat_map(of).flat_map(|(n, ok, l)| ["x", "y"].map(|s| draw(n, ok, l, s))).collect()
}

/// A script is followed to its end, and no world has a run of it leave the plan.
fn stays_within(body: &str) {
    let script = format!("{HEAD}{body} #{{ a: a, l: d.l }}");
    let (bound, open) = bound(book(steps(&script)));
    assert_eq!(open, Vec::<String>::new(), "{body}");
    for draw in all_draws() {
        for (path, effects) in made(book(steps(&script)), &vec![draw.clone(); 8]) {
            let effects: Vec<(&str, &Value)> = effects.iter().map(|(op, args)| (op.as_str(), args)).collect();
            assert!(
                bound.admits(&path, &effects),
                "{path} of\n{body}\non {draw} makes {effects:?}\nwhere the plan has\n{}",
                shown(&bound)
            );
        }
    }
}

fn e(number: u8) -> String {
    format!("host::fs::write_text(#{{ path: \"/e{number}\", text: \"k\", replace: true }}); ")
}

#[test]
fn what_follows_a_loop_is_not_within_it_though_its_body_asks_about_the_same_list() {
    stays_within(&format!("for x in d.l {{ if d.l.some(|y| y > 1) {{ {} }} {} }} {}", e(1), e(2), e(3)));
    stays_within(&format!("for x in d.l {{ for y in d.l {{ {} }} {} }} {}", e(1), e(2), e(3)));
    stays_within(&format!(
        "for x in d.l {{ d.l.for_each(|y| {{ {} }}); if x > 1 {{ break; }} {} }} {}",
        e(1),
        e(2),
        e(3)
    ));
}

#[test]
fn a_loop_that_could_not_be_doubted_any_more_leaves_its_step_open() {
    let many = "let g1 = 0; loop { g1 += 1; a = find(d.l, 0); if a == 0 || g1 > 2 { break; } } if d.l.is_empty() { d = draw(); \
         let g2 = 0; while (d.s == \"x\" && d.s == \"x\") && g2 < 3 { g2 += 1; } }";
    let script = format!("{HEAD}{many} for x in 0..d.n {{ throw \"no\"; }} {} #{{ a: a, l: d.l }}", e(1));
    let (bound, open) = bound(book(steps(&script)));
    let work = &bound.steps[&StepPath::of("work")];
    assert!(!work.effects.is_empty() || open.contains(&"work".to_owned()), "{open:?} {}", shown(&bound));
}

fn shown(bound: &Bound) -> String {
    bound.steps.iter().map(|(path, paths)| format!("{path}: {}\n", serde_json::json!(paths))).collect()
}
