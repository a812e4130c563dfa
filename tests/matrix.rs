//! The promises of a run on real containers, call by call: the engine is killed at every instant of every kind of call, and every
//! call is made to fail and the run rolled back. The program under test knows nothing of it: the engine is followed by ptrace, and
//! its container client is a wrapper that counts, holds and fails.
//!
//! `MUSTER_TEST_MATRIX=full` takes every call instead of one of each kind. `MUSTER_TEST_CASE='restore before'` (a scenario, then
//! words that the case's name has to hold) takes single cases, each in a run of its own.

#[path = "matrix/calls.rs"]
mod calls;
#[path = "support/deployment.rs"]
mod deployment;
#[path = "matrix/ground.rs"]
mod ground;
#[path = "matrix/points.rs"]
mod points;
#[path = "matrix/rig.rs"]
mod rig;
#[path = "matrix/tracer.rs"]
mod tracer;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use calls::Call;
use ground::{Ground, Picture, difference};
use points::{MOMENTS, Moment, Score};
use rig::{BACKUP, Outcome, RESTORE, ROLLBACK, Scenario, VERIFY, named};

/// A call, and the instant of it at which to kill.
type Point<'c> = (&'c Call, Moment);

fn is_full() -> bool {
    std::env::var("MUSTER_TEST_MATRIX").is_ok_and(|text| text == "full")
}

/// The one case that is asked for.
fn only() -> Option<String> {
    std::env::var("MUSTER_TEST_CASE").ok().filter(|text| !text.is_empty())
}

fn is_asked_for(case: &str) -> bool {
    only().is_none_or(|wanted| wanted.split_whitespace().all(|word| case.split_whitespace().any(|part| part == word)))
}

fn again(case: &str) -> String {
    format!("{case}\n    again: MUSTER_TEST_CASE='{case}' cargo test --test matrix -- --nocapture")
}

/// What is wrong with the end of a run that was killed.
fn faults_of(outcome: &Outcome, score: &Score, end: &Picture, wanted: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if outcome.book.status != wanted {
        faults.push(format!(
            "it ended as {} {}\n    {}",
            outcome.book.status,
            outcome.book.detail,
            outcome.book.tail()
        ));
    }
    faults.extend(difference(end, &outcome.picture));
    for (effect, count) in &outcome.effects {
        let once = score.effects.get(effect).copied().unwrap_or(0);
        if *count > once {
            faults.push(format!(
                "{effect} was completed {count} times at the container client, and {once} times undisturbed"
            ));
        }
    }
    for (change, count) in named(&outcome.points.changes, &outcome.book.run) {
        let once = score.changes.get(&change).copied().unwrap_or(0);
        if count > once {
            faults.push(format!("{change} was done {count} times in the file system, and {once} times undisturbed"));
        }
    }
    if !outcome.points.reached.iter().any(|(_, moment)| *moment == Moment::Torn) && !outcome.asked.is_empty() {
        faults.push(format!("a person was asked: {:?}", outcome.asked));
    }
    faults
}

fn name(scenario: &Scenario, call: &Call, moment: Moment) -> String {
    format!("{} {} {moment}", scenario.name, call.title())
}

/// Which moments are tried in one run. What was torn is done again, so that no other moment of the same call comes before it.
fn rounds() -> Vec<Vec<Moment>> {
    let together = vec![Moment::Before, Moment::Half, Moment::After, Moment::Durable];
    let mut rounds: Vec<Vec<Moment>> = if is_full() { MOMENTS.map(|moment| vec![moment]).to_vec() } else { Vec::new() };
    rounds.push(together);
    if !is_full() {
        rounds.push(vec![Moment::Torn]);
    }
    rounds
}

/// Kills one run of a scenario at all these points; what was wrong, and the points that it did not get to.
fn kill_at(
    ground: &Ground,
    scenario: &Scenario,
    score: &Score,
    end: &Picture,
    points: &[Point<'_>],
) -> (Vec<String>, BTreeSet<(String, Moment)>) {
    let wanted: Vec<(String, Moment)> = points.iter().map(|(call, moment)| (call.name.clone(), *moment)).collect();
    let outcome = ground.killed(scenario, score, &wanted);
    let faults = faults_of(&outcome, score, end, if scenario.rollback { "rolled back" } else { "succeeded" });
    if !faults.is_empty() {
        eprintln!("{}", rig::logs(ground));
    }
    (faults, outcome.points.wanted)
}

/// The scenarios that share a deployment. The groups are played side by side: nearly all the time goes by in waiting.
const GROUPS: [&[Scenario]; 2] = [&[BACKUP, VERIFY], &[RESTORE, ROLLBACK]];

/// A scenario as it goes when nobody disturbs it.
struct Piece {
    scenario: &'static Scenario,
    score: Score,
    end: Picture,
    /// What is there when it begins; looked at when it is needed.
    before: OnceCell<Picture>,
}

/// Plays every scenario undisturbed; then makes of them what is to be tried, one group after the other, so that a kind that one
/// group tries is left out by the next; then tries it. How many cases there were, and what was wrong.
fn in_groups<C>(
    name: &str,
    takes: fn(&Scenario) -> bool,
    choose: fn(&[Piece], &mut BTreeSet<String>) -> Vec<C>,
    attempt: fn(&Ground, &[Piece], C, &mut Vec<String>) -> usize,
) {
    if !tracer::is_possible() {
        eprintln!("skipped: programs cannot be followed by ptrace here");
        return;
    }
    let is_asked_for = |scenario: &&'static Scenario| {
        takes(scenario)
            && only().is_none_or(|only| only.split_whitespace().next().is_some_and(|word| word == scenario.name))
    };
    let play = |number: usize, before: Receiver<BTreeSet<String>>, after: Sender<BTreeSet<String>>| {
        let (mut cases, mut failed) = (0, Vec::new());
        let scenarios: Vec<&'static Scenario> = GROUPS[number].iter().filter(is_asked_for).collect();
        if scenarios.is_empty() {
            return (cases, failed);
        }
        let begun = Instant::now();
        let ground = Ground::start(&format!("{name}{number}"));
        let undisturbed = |scenario: &&'static Scenario| {
            let (score, end) = ground.undisturbed(scenario);
            Piece { scenario, score, end, before: OnceCell::new() }
        };
        let pieces: Vec<Piece> = scenarios.iter().map(undisturbed).collect();
        let mut seen = before.recv().unwrap_or_default();
        let chosen = choose(&pieces, &mut seen);
        // The last group tells nobody.
        let _ = after.send(seen);
        for one in chosen {
            cases += attempt(&ground, &pieces, one, &mut failed);
            eprintln!("{:4} s: {name}{number}: {cases} cases, {} failed", begun.elapsed().as_secs(), failed.len());
        }
        (cases, failed)
    };
    let begun = Instant::now();
    let (cases, failed) = std::thread::scope(|scope| {
        let (first, mut before) = channel();
        let _ = first.send(BTreeSet::new());
        let mut groups = Vec::new();
        for number in 0..GROUPS.len() {
            let (after, next) = channel();
            let mine = std::mem::replace(&mut before, next);
            groups.push(scope.spawn(move || play(number, mine, after)));
        }
        let (mut cases, mut failed) = (0, Vec::new());
        for group in groups {
            let (some, faults) = group.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            cases += some;
            failed.extend(faults);
        }
        (cases, failed)
    });
    eprintln!("{name}: {cases} cases in {:.0} s", begun.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{} of {cases}:\n{}", failed.len(), failed.join("\n"));
}

/// A run to be killed: of which piece, and at which points, each a call by its number.
type Killing = (usize, Vec<(usize, Moment)>);

fn killings(pieces: &[Piece], seen: &mut BTreeSet<String>) -> Vec<Killing> {
    let mut killings = Vec::new();
    for (number, Piece { scenario, score, .. }) in pieces.iter().enumerate() {
        for moments in rounds() {
            let mut points = Vec::new();
            for moment in moments {
                for (place, call) in score.calls.iter().enumerate() {
                    if call.undoing == scenario.rollback
                        && score.has(call, moment)
                        && is_asked_for(&name(scenario, call, moment))
                        && (is_full() || only().is_some() || seen.insert(format!("{moment} {}", call.op)))
                    {
                        points.push((place, moment));
                    }
                }
            }
            if !points.is_empty() {
                killings.push((number, points));
            }
        }
    }
    killings
}

/// One run is killed at all the points. Each has a run of its own when that goes wrong, to say which it was, or when other kills
/// kept the run from getting to it: what a killed engine has left running is then already done.
fn kill(ground: &Ground, pieces: &[Piece], (number, points): Killing, failed: &mut Vec<String>) -> usize {
    let Piece { scenario, score, end, .. } = &pieces[number];
    let points: Vec<Point<'_>> = points.into_iter().map(|(place, moment)| (&score.calls[place], moment)).collect();
    let (faults, missed) = kill_at(ground, scenario, score, end, &points);
    let (many, name_of) = (points.len(), scenario.name);
    let what = points.iter().map(|(_, moment)| *moment).collect::<BTreeSet<Moment>>();
    let what: Vec<String> = what.iter().map(ToString::to_string).collect();
    let what = what.join("+");
    eprintln!("{name_of} killed at {many} points, {what}: {} faults, {} missed", faults.len(), missed.len());
    if !faults.is_empty() {
        eprintln!("  {}", faults.join("\n  "));
        failed.push(format!("{name_of} {what}, {many} points in one run: {}", faults.join("\n  ")));
    }
    for point in points {
        if faults.is_empty() && !missed.contains(&(point.0.name.clone(), point.1)) {
            continue;
        }
        let (mut faults, mut missed) = kill_at(ground, scenario, score, end, &[point]);
        if faults.is_empty() && !missed.is_empty() {
            // A quick call can be over before it is looked at. Once more; what is never reached is not tested.
            (faults, missed) = kill_at(ground, scenario, score, end, &[point]);
        }
        if !missed.is_empty() {
            faults.push("the run did not get to that point, twice".to_owned());
        }
        if !faults.is_empty() {
            let case = name(scenario, point.0, point.1);
            eprintln!("  alone: {case}: {}", faults.join("\n  "));
            failed.push(format!("{}\n  {}", again(&case), faults.join("\n  ")));
        }
    }
    many
}

#[test]
fn killed_at_every_kind_of_call_a_run_comes_to_the_same_end_and_does_nothing_twice() {
    in_groups("kill", |_| true, killings, kill);
}

/// A run in which a call fails: of which piece, the number of the call, and how.
type Failing = (usize, usize, Failure);

fn failings(pieces: &[Piece], seen: &mut BTreeSet<String>) -> Vec<Failing> {
    let mut failings = Vec::new();
    let everything = is_full() || only().is_some();
    for (number, Piece { scenario, score, .. }) in pieces.iter().enumerate() {
        // The later call and the later failure are the harder ones: a part of the work is done.
        for (place, call) in score.calls.iter().enumerate().rev() {
            if call.undoing || !(everything || seen.insert(kind(call).to_owned())) {
                continue;
            }
            let some = failures(call, score);
            let first = if everything { 0 } else { some.len() - 1 };
            let asked =
                some.into_iter().skip(first).filter(|(how, ..)| is_asked_for(&failing_name(scenario, call, how)));
            failings.extend(asked.map(|failure| (number, place, failure)));
        }
    }
    failings
}

/// What is alike when it fails: whatever writes or moves one small file is undone in the same way.
fn kind(call: &Call) -> &str {
    match call.op.as_str() {
        "fs.make_dir" | "fs.copy" | "fs.write_json" | "fs.write_text" | "fs.rename" => "a small file",
        op => op,
    }
}

fn failing_name(scenario: &Scenario, call: &Call, how: &str) -> String {
    format!("{} {} {how}", scenario.name, call.title())
}

fn fail(
    ground: &Ground,
    pieces: &[Piece],
    (number, place, (how, fault, plan)): Failing,
    failed: &mut Vec<String>,
) -> usize {
    let Piece { scenario, score, end, before } = &pieces[number];
    let call = &score.calls[place];
    let case = failing_name(scenario, call, how);
    let plans: Vec<(String, &str)> = plan.map(|plan| attempts(call, plan)).unwrap_or_default();
    let before = before.get_or_init(|| {
        ground.reset(scenario.state);
        ground.picture("")
    });
    let outcome = ground.failed(scenario, score, fault, &plans);
    let faults = faults_of_rollback(&outcome, before, end);
    eprintln!("{case}: {} {} faults", outcome.book.status, faults.len());
    if !faults.is_empty() {
        eprintln!("{}  {}", rig::logs(ground), faults.join("\n  "));
        failed.push(format!("{}\n  {}", again(&case), faults.join("\n  ")));
    }
    1
}

#[test]
fn a_failure_of_every_kind_of_call_is_rolled_back_to_what_was_before() {
    in_groups("fail", |scenario| !scenario.rollback, failings, fail);
}

/// How a call can be made to fail: the kernel refuses its first or its last change of a file, or its container client fails before
/// or after it has done its work.
type Failure = (&'static str, Option<(String, usize, i32)>, Option<&'static str>);

fn failures(call: &Call, score: &Score) -> Vec<Failure> {
    if call.client().is_some() {
        return vec![("refused", None, Some("refuse")), ("spoilt", None, Some("spoil"))];
    }
    let steps = score.steps.get(&call.name).copied().unwrap_or(1);
    let mut failures = vec![("disk-full-first", Some((call.name.clone(), 1, libc::ENOSPC)), None)];
    if steps > 1 {
        failures.push(("disk-full-last", Some((call.name.clone(), steps, libc::ENOSPC)), None));
    }
    failures
}

/// The wrapper's plan for a call, also when it is tried again.
fn attempts(call: &Call, plan: &'static str) -> Vec<(String, &'static str)> {
    let client = call.client().expect("it has one");
    let mut parts = client.rsplitn(3, '-');
    let (number, attempt, rest) = (parts.next(), parts.next(), parts.next());
    match (number, attempt, rest) {
        (Some(number), Some("1"), Some(rest)) => (1..=4)
            .flat_map(|attempt| {
                ["", "-r1", "-r2", "-r3", "-r4"].map(|again| (format!("{rest}-{attempt}-{number}{again}"), plan))
            })
            .collect(),
        _ => vec![(client, plan)],
    }
}

fn faults_of_rollback(outcome: &Outcome, before: &Picture, end: &Picture) -> Vec<String> {
    // What a point of no return has deleted, and what went well all the same, is not rolled back.
    let crossed = outcome.book.facts.iter().any(|fact| fact["fact"] == "no_return");
    if crossed {
        return if outcome.book.status == "rolled back" {
            vec!["it was rolled back over a point of no return".to_owned()]
        } else {
            Vec::new()
        };
    }
    // The client may say that it failed where the world says that it is done.
    if outcome.book.status == "succeeded" {
        return difference(end, &outcome.picture);
    }
    let mut faults = Vec::new();
    if outcome.book.status != "rolled back" {
        faults.push(format!(
            "it ended as {} {}, asked {:?}\n    {}",
            outcome.book.status,
            outcome.book.detail,
            outcome.asked,
            outcome.book.tail()
        ));
    }
    let mut after = outcome.picture.clone();
    for own in ["left over", "children of the store"] {
        if after.get(own).is_some_and(String::is_empty) {
            after.remove(own);
        }
    }
    faults.extend(difference(before, &after));
    faults
}
