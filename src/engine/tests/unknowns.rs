//! Plans over what only the run will know: every way is shown, what is common once, and nothing is claimed that is not known.

use super::Rig;
use super::books::{book, set, step};
use crate::journal::Fact;
use crate::model::Value;
use crate::model::forecast::WayEnd;
use crate::model::status::Mode;
use crate::model::unknown::Unknown;
use crate::playbook::types::{OnFailure, Step};

/// Draws an object of which only the run will know what it has.
const DRAW: &str = "let d = parse_json(host::rand::hex(#{ bytes: 4 })); ";

fn planned(steps: Vec<Step>) -> Rig {
    let mut rig = Rig::new(book(steps));
    rig.mode = Mode::Plan;
    rig.drive();
    rig
}

fn draws(script: &str) -> Step {
    step("work", &[], &format!("{DRAW}{script}"))
}

/// The effects, in order: what they set, under which answers, in which loop.
fn effects(rig: &Rig) -> Vec<String> {
    let records = rig.records();
    let lines = records.iter().filter_map(|record| match &record.fact {
        Fact::Foreseen { op, args, branch, repeated, .. } if op == "fs.write_text" => {
            let text = |value: &Value| {
                Unknown::of(value).map_or_else(|| value.as_str().unwrap_or_default().to_owned(), |of| of.shown())
            };
            let branch: Vec<String> =
                branch.iter().map(|d| format!("{}{}", if d.answer { "" } else { "not " }, d.question)).collect();
            let branch = if branch.is_empty() { String::new() } else { format!(" if {}", branch.join(" and ")) };
            let repeated = repeated.as_ref().map(|of| format!(" for {of}")).unwrap_or_default();
            Some(
                format!("{}={}{branch}{repeated}", text(&args["path"]), text(&args["text"]))
                    .replace("rand.hex.parse_json()", "d"),
            )
        }
        _ => None,
    });
    lines.collect()
}

/// The ways that stop or were not followed, and why.
fn told(rig: &Rig) -> Vec<String> {
    let records = rig.records();
    let lines = records.iter().filter_map(|record| match &record.fact {
        Fact::Foretold { branch, end, .. } => {
            let end = match end {
                WayEnd::Stops { message } => {
                    format!("stops: {}", message.split(" (line").next().unwrap_or_default())
                }
                WayEnd::Unfollowed { why } => format!("not followed: {why}"),
                WayEnd::Returns | WayEnd::GoesOn => return None,
            };
            let branch: Vec<String> =
                branch.iter().map(|d| format!("{}{}", if d.answer { "" } else { "not " }, d.question)).collect();
            Some(format!("[{}] {end}", branch.join(" and ")).replace("rand.hex.parse_json()", "d"))
        }
        _ => None,
    });
    lines.collect()
}

#[test]
fn both_branches_are_shown_and_what_follows_on_either_once() {
    let branch = format!("if d.n > 5 {{ {} }} else {{ {} }} {} d.n", set("a", "1"), set("b", "1"), set("c", "1"));
    let rig = planned(vec![draws(&branch)]);
    assert_eq!(effects(&rig), ["/a=1 if d.n > 5", "/b=1 if not d.n > 5", "/c=1"]);
    assert_eq!(rig.output("work")["source"], "steps.work");
}

#[test]
fn a_way_that_stops_is_told_and_the_rest_is_what_the_step_does() {
    let rig = planned(vec![
        draws(&format!("{} if d.n == 0 {{ throw \"it is empty\"; }} {}", set("a", "1"), set("b", "1"))),
        step("after", &["work"], &set("c", "1")),
    ]);
    assert_eq!(effects(&rig), ["/a=1", "/b=1", "/c=1"]);
    assert_eq!(told(&rig), ["[d.n == 0] stops: it is empty"]);
}

#[test]
fn a_step_that_stops_on_every_way_fails() {
    let rig = planned(vec![draws("if d.n == 0 { throw \"one\"; } throw \"other\"")]);
    assert!(rig.state().detail().contains("o"), "{}", rig.state().detail());
    assert!(effects(&rig).is_empty());
}

#[test]
fn a_step_that_may_be_left_out_is_shown_with_its_condition() {
    let rig = planned(vec![
        draws("d"),
        step("maybe", &["work"], &set("a", "1")).when("steps.work.n > 5"),
        step(
            "after",
            &["maybe"],
            "if steps.maybe == () { host::fs::write_text(#{ path: \"/b\", text: \"1\", replace: true }); }",
        ),
    ]);
    assert_eq!(effects(&rig), ["/a=1 if steps.work.n > 5", "/b=1 if steps.maybe == ()"]);
}

#[test]
fn a_foreach_over_an_unknown_list_is_shown_as_one_instance_that_stands_for_all() {
    let each = "host::fs::write_text(#{ path: `/${item}`, text: key, replace: true })";
    let rig = planned(vec![
        draws("d.names"),
        step("each", &["work"], each).foreach("steps.work", None),
        step("after", &["each"], "if steps.each.len() == 1 { throw \"one\" }"),
    ]);
    assert_eq!(effects(&rig), ["/(steps.work[])=(the key of each[*]) for each of steps.work"]);
    assert_eq!(told(&rig), ["[steps.each.len() == 1] stops: one"], "nobody knows how many there are");
}

#[test]
fn a_known_list_of_unknown_items_has_an_instance_for_each() {
    let rig = planned(vec![
        draws("d"),
        step("each", &["work"], "host::fs::write_text(#{ path: \"/x\", text: key, replace: true })")
            .foreach("[steps.work.a, \"known\", steps.work.b]", None),
    ]);
    let instances = rig.state().expanded["each"].iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(instances, ["*(steps.work.a)", "known", "*(steps.work.b)"]);
}

#[test]
fn no_instance_of_a_run_has_a_key_that_stands_for_others() {
    let rig = Rig::new(book(vec![step("each", &[], &set("a", "1")).foreach("[\"*\"]", None)]));
    rig.drive();
    assert!(rig.state().detail().contains("`*` cannot be the key"), "{}", rig.state().detail());
    assert!(rig.world.texts().is_empty());
}

#[test]
fn a_loop_over_an_unknown_is_shown_once_and_what_it_changes_is_unknown_after_it() {
    let body = "let n = 0; for x in d.list { host::fs::write_text(#{ path: `/${x}`, text: `${n}`, replace: true }); n += 1; } \
                host::fs::write_text(#{ path: \"/n\", text: `${n}`, replace: true });";
    let rig = planned(vec![draws(body)]);
    let seen = effects(&rig);
    assert_eq!(seen[0], "/(d.list[])=(n as it changes with each of d.list) for each of d.list");
    assert!(seen[1].starts_with("/n=(n as it changes with each of d.list"), "{seen:?}");
    assert_eq!(seen.len(), 2);
}

#[test]
fn what_a_loop_may_have_left_as_nothing_is_asked_about_after_it() {
    let found = "let found = (); for x in d.list { found = x.id; } if found == () { throw \"none\"; } ";
    let rig = planned(vec![draws(&format!("{found}{}", set("a", "1")))]);
    assert_eq!(effects(&rig), ["/a=1"]);
    assert_eq!(told(&rig).len(), 1, "{:?}", told(&rig));
    assert!(told(&rig)[0].ends_with("stops: none"));
}

#[test]
fn what_is_thrown_and_only_the_run_will_know_is_told_in_words() {
    for (thrown, message) in [
        ("d.why", "(d.why)"),
        ("`no room for ${d.size}`", "no room for (d.size)"),
        ("\"no room for \" + d.size", "no room for (d.size)"),
        ("#{ message: `it has ${d.size}`, code: 3 }", "it has (d.size)"),
        ("#{ size: d.size, code: 3 }", r#"{"code":3,"size":"(d.size)"}"#),
    ] {
        let rig = planned(vec![draws(&format!("if d.n == 0 {{ throw {thrown}; }} {}", set("a", "1")))]);
        assert_eq!(told(&rig), [format!("[d.n == 0] stops: {message}")], "{thrown}");
    }
}

#[test]
fn a_line_of_the_log_may_say_what_only_the_run_will_know() {
    for line in ["d.why", "`no room for ${d.size}`", "\"no room for \" + d.size", "\"no room for \" + d.why + d.size"] {
        let rig = planned(vec![draws(&format!("host::log::info({line}); host::log::warn({line}); {}", set("a", "1")))]);
        assert!(rig.state().pauses.is_empty(), "{line}: {:?}", rig.state().pauses);
        assert_eq!((effects(&rig), told(&rig)), (vec!["/a=1".to_owned()], vec![]), "{line}");
    }
}

#[test]
fn a_loop_that_ends_the_step_may_go_round_not_even_once() {
    let rig = planned(vec![draws(&format!("for x in d.list {{ {} return 1; }} {}", set("a", "1"), set("b", "1")))]);
    assert_eq!(effects(&rig), ["/b=1 if d.list.is_empty()", "/a=1 if not d.list.is_empty() for each of d.list"]);
    let rig = planned(vec![draws(&format!("for x in d.list {{ throw \"no\"; }} {}", set("b", "1")))]);
    assert_eq!(effects(&rig), ["/b=1"]);
    assert_eq!(told(&rig), ["[not d.list.is_empty()] stops: no"]);
}

#[test]
fn a_while_over_an_unknown_is_shown_once() {
    let body = format!("let n = 0; while n < d.times {{ {} n += 1; }} {}", set("a", "1"), set("b", "1"));
    let rig = planned(vec![draws(&body)]);
    assert_eq!(effects(&rig).len(), 2, "{:?}", effects(&rig));
    assert!(effects(&rig)[0].contains("for each round of the loop in line 1"), "{:?}", effects(&rig));
    assert_eq!(effects(&rig)[1], "/b=1");
}

#[test]
fn what_follows_a_loop_left_by_return_is_not_in_it() {
    let find = "fn find(d) { let n = 0; while n < d.times { if d.hit == n { return n; } n += 1; } -1 } ";
    let script = format!("{find}{DRAW}let at = find(d); {}", set("a", "1"));
    let rig = planned(vec![step("work", &[], &script)]);
    assert!(effects(&rig).iter().all(|line| !line.contains(" for ")), "{:?}", effects(&rig));
}

#[test]
fn loops_are_told_apart_and_within_each_other() {
    let write = |to: &str, what: &str| {
        format!("host::fs::write_text(#{{ path: \"/{to}\", text: `${{{what}}}`, replace: true }});")
    };
    let body = format!(
        "for x in d.a {{ {} for y in x {{ {} }} }} for x in d.a {{ {} }}",
        write("o", "x"),
        write("i", "y"),
        write("again", "x")
    );
    let rig = planned(vec![draws(&body)]);
    let loops: Vec<String> =
        effects(&rig).iter().filter_map(|line| line.split_once(" for ").map(|(_, of)| of.to_owned())).collect();
    assert_eq!(loops, ["each of d.a", "each of d.a, in it each of d.a[]", "each of d.a (2)"]);
    let at_most: Vec<u64> = rig
        .records()
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Foreseen { at_most, .. } => *at_most,
            _ => None,
        })
        .collect();
    assert_eq!(at_most, [1_000, 1_000_000, 1_000]);
}

#[test]
fn outputs_join_where_they_differ() {
    let rig = planned(vec![draws("if d.ok { #{ a: 1, b: 2 } } else { #{ a: 1, b: 3 } }")]);
    let output = rig.output("work");
    assert_eq!(output["a"], 1);
    assert!(output["b"].get("$unknown").is_some(), "{output}");
}

#[test]
fn an_error_that_comes_from_an_unknown_cannot_be_caught() {
    let rig = planned(vec![draws(&format!("try {{ [1, 2][d.n] }} catch {{ {} }}", set("a", "1")))]);
    assert!(effects(&rig).is_empty(), "{:?}", effects(&rig));
    assert!(told(&rig).iter().any(|line| line.contains("not followed")) || !rig.output("work").is_number());
}

#[test]
fn connectives_ask_what_they_hang_on() {
    let script = format!("if d.a && !d.b || d.c {{ {} }}", set("x", "1"));
    let rig = planned(vec![draws(&script)]);
    assert_eq!(
        effects(&rig),
        ["/x=1 if d.a and d.b and d.c", "/x=1 if d.a and not d.b", "/x=1 if not d.a and d.c"],
        "each way on which it is made"
    );
}

#[test]
fn ways_past_the_cap_are_told_and_spoil_what_they_may_touch() {
    let ifs: String = (0..8).map(|n| format!("if d.f{n} {{ {} }} ", set(&format!("f{n}"), "1"))).collect();
    let rig =
        planned(vec![draws(&ifs), step("after", &["work"], "host::fs::read_text(#{ path: \"/somewhere\" }).text")]);
    rig.world.put("/somewhere", "known");
    assert_eq!(told(&rig).len(), 1);
    assert!(told(&rig)[0].contains("more than 32 ways"), "{:?}", told(&rig));
    let later = rig.records().into_iter().find_map(|record| match record.fact {
        Fact::Foreseen { op, basis, .. } if op == "fs.read_text" => Some(basis),
        _ => None,
    });
    assert_eq!(later, Some(crate::model::forecast::Basis::Unknown));
}

#[test]
fn a_step_that_may_fail_and_be_gone_on_without_has_an_unknown_output() {
    let rig = planned(vec![
        draws("if d.n == 0 { throw \"empty\"; } 1").on_failure(OnFailure::Continue),
        step("after", &["work"], &format!("if steps.work == 1 {{ {} }}", set("a", "1"))),
    ]);
    assert_eq!(effects(&rig), ["/a=1 if steps.work == 1"]);
}
