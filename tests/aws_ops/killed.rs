//! The program killed by `kill -9` in the middle of a live run of a playbook for AWS: before the server hears of a call, and after it
//! has done what was asked while nobody has heard of it. Resumed, the run comes to where an undisturbed one comes to; rolled back and
//! killed meanwhile, to what there was before. What changes something is tried here, a run killed at one such call after the other;
//! with `MUSTER_TEST_FAULTS=full` every call, each in a run of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::estate::{Case, Estate, Picture, TRACES, differences};
use crate::faulty::Spoil;
use crate::point::{Point, in_full, side_by_side};

/// Where the program is killed.
#[derive(Clone, Debug)]
enum Kill {
    /// At calls to AWS, or right after them.
    At(Vec<Point>, Spoil),
    /// At a helm that changes the release: before it begins, or when it is done.
    Helm(&'static str),
}

const MOMENTS: [Spoil; 2] = [Spoil::KilledBefore, Spoil::KilledAfter];

/// At which calls to kill: all; or those that change something and, where it is swept widely, the first of each kind.
fn kills(points: &[Point], widely: bool) -> Vec<Kill> {
    let both = |points: Vec<Point>| MOMENTS.map(|moment| Kill::At(points.clone(), moment));
    if in_full() {
        return points.iter().flat_map(|point| both(vec![point.clone()])).collect();
    }
    let kinds = Point::kinds(points);
    let writes = || kinds.values().filter(|kind| kind[0].writes());
    // What was not heard of is sent again, and counted again.
    let again = |(more, point): (usize, &&Point)| Point { number: point.number + more, call: point.call.clone() };
    let before = writes().flat_map(|kind| kind.iter().enumerate().map(again)).collect();
    let mut after: Vec<Point> = writes().flatten().map(|point| (*point).clone()).collect();
    // What is looked at once more after a kill does not depend on whether the server has answered.
    let looks = kinds.values().filter(|kind| widely && !kind[0].writes());
    after.extend(looks.map(|kind| kind[0].clone()));
    vec![Kill::At(before, Spoil::KilledBefore), Kill::At(after, Spoil::KilledAfter)]
}

fn set(estate: &Estate, kill: &Kill) {
    match kill {
        Kill::At(points, moment) => points.iter().for_each(|point| point.spoil(estate, 1, moment.clone())),
        Kill::Helm(when) => estate.kill_at_helm(when),
    }
}

/// Whether it is killed where something is changed.
fn changes(kill: &Kill) -> bool {
    !matches!(kill, Kill::At(points, _) if !points.iter().any(Point::writes))
}

/// The same where the program is killed at each of these alone, when it is killed at more of them.
fn alone(kill: &Kill) -> Vec<Kill> {
    match kill {
        Kill::At(points, moment) if points.len() > 1 => {
            points.iter().map(|point| Kill::At(vec![point.clone()], moment.clone())).collect()
        }
        _ => Vec::new(),
    }
}

fn resumed(case: &Case, after: &Picture, kill: &Kill) -> Option<String> {
    let estate = case.start()?;
    set(&estate, kill);
    let begun = estate.begin();
    // How often something is looked at may differ from run to run.
    if begun.0.is_some() && changes(kill) {
        return Some(format!("{} {kill:?}: nobody killed it: {}", case.name, begun.1));
    }
    let wrong = match estate.carry_on(begun) {
        Ok(asked) if asked.is_empty() => differences(after, &estate.picture(), &[]),
        Ok(asked) => vec![format!("it asked {asked:?}")],
        Err(why) => vec![why],
    };
    if wrong.is_empty() {
        return None;
    }
    println!("{} {kill:?}: {}", case.name, wrong.join("\n"));
    let alone: Vec<String> = alone(kill).iter().filter_map(|kill| resumed(case, after, kill)).collect();
    Some(format!("{} {kill:?}: {}\n{}", case.name, wrong.join("\n"), alone.join("\n")))
}

fn killed(name: &str) {
    let case = Case::named(name);
    let Some(estate) = case.start() else { return };
    let (code, said) = estate.begin();
    assert_eq!(code, Some(0), "{name}: {said}");
    let (after, points) = (estate.picture(), Point::of(&estate.ground.proxy.calls()));
    let mut kills = kills(&points, case.widely);
    if estate.changes_a_release() {
        kills.extend([Kill::Helm("before"), Kill::Helm("after")]);
    }
    let begun = std::time::Instant::now();
    let wrong = side_by_side(&kills, |kill| resumed(case, &after, kill));
    println!("{name}: killed in {} runs, {:?}", kills.len(), begun.elapsed());
    assert!(wrong.is_empty(), "{} of {} runs of {name}:\n{}", wrong.len(), kills.len(), wrong.join("\n\n"));
}

/// A run in which a call is forbidden for good, rolled back to its end, by itself or because it is said, and killed meanwhile as
/// often as that is set: what there was before, and how often it was killed.
fn rolled_back(
    case: &Case,
    forbidden: &Point,
    kill: Option<&Kill>,
) -> Option<Result<(Estate, Picture, usize), String>> {
    let estate = case.start()?;
    let before = estate.picture();
    forbidden.spoil(&estate, usize::MAX, Spoil::Instead(403, "AccessDenied"));
    kill.iter().for_each(|kill| set(&estate, kill));
    let (mut last, mut lives) = (estate.begin(), 0);
    for _ in 0..40 {
        last = match (last.0, estate.is_rolled_back()) {
            (None, _) => {
                lives += 1;
                estate.say(&["resume", "@latest"])
            }
            (Some(_), true) => return Some(Ok((estate, before, lives))),
            (Some(_), false) => {
                estate.ground.proxy.relieve();
                estate.say(&["rollback", "@latest"])
            }
        };
    }
    Some(Err(format!("it does not come to an end: {}", last.1)))
}

fn killed_back(case: &Case, forbidden: &Point, kill: &Kill, lives: &AtomicUsize) -> Option<String> {
    let wrong = match rolled_back(case, forbidden, Some(kill))? {
        Ok((estate, before, times)) => {
            lives.fetch_add(times, Ordering::SeqCst);
            differences(&before, &estate.picture(), &TRACES)
        }
        Err(why) => vec![why],
    };
    if wrong.is_empty() {
        return None;
    }
    println!("{} {kill:?}: {}", case.name, wrong.join("\n"));
    let alone: Vec<String> = alone(kill).iter().filter_map(|kill| killed_back(case, forbidden, kill, lives)).collect();
    Some(format!("{} {kill:?}: {}\n{}", case.name, wrong.join("\n"), alone.join("\n")))
}

/// As soon as this call of an undisturbed run is forbidden.
fn killed_while_it_rolls_back(name: &str, chosen: impl Fn(&[Point]) -> Option<&Point>) {
    let case = Case::named(name);
    let Some(estate) = case.start() else { return };
    let (code, said) = estate.begin();
    assert_eq!(code, Some(0), "{name}: {said}");
    let points = Point::of(&estate.ground.proxy.calls());
    let forbidden = chosen(&points).expect("it calls AWS");
    let Some(undisturbed) = rolled_back(case, forbidden, None) else { return };
    let (estate, before, _) = undisturbed.expect("it is rolled back");
    let wrong = differences(&before, &estate.picture(), &TRACES);
    assert!(wrong.is_empty(), "{name} rolled back: {wrong:#?}");
    // Numbered over both lives of the program, as the proxy counts.
    let points = Point::of(&estate.ground.proxy.calls());
    let at = points.iter().position(|point| point == forbidden).expect("it was forbidden");
    let of_way_back = kills(&points[at + 1..], false);
    let lives = AtomicUsize::default();
    let wrong = side_by_side(&of_way_back, |kill| killed_back(case, forbidden, kill, &lives));
    let lives = lives.into_inner();
    println!("{name}: killed {lives} times in {} runs while it rolls back", of_way_back.len());
    // Steps side by side may have come to less than in the run before.
    assert!(lives > 0, "nobody killed {name}");
    assert!(wrong.is_empty(), "{} of {} rollbacks of {name}:\n{}", wrong.len(), of_way_back.len(), wrong.join("\n\n"));
}

/// The last that changes something.
fn last_write(points: &[Point]) -> Option<&Point> {
    points.iter().rfind(|point| point.writes())
}

/// The one that gives the secret another value.
fn of_secret(points: &[Point]) -> Option<&Point> {
    points.iter().find(|point| point.call.ends_with(" PutSecretValue"))
}

macro_rules! sweep {
    ($($test:ident $work:ident $case:literal $(, $chosen:expr)?);+ $(;)?) => {$(
        #[test]
        fn $test() {
            $work($case $(, $chosen)?);
        }
    )+};
}

sweep! {
    rds_restore_killed_at_any_call_does_nothing_twice killed "rds-restore";
    rds_restore_of_a_cluster_killed_at_any_call_does_nothing_twice killed "rds-restore-cluster";
    rds_restore_to_a_time_killed_at_any_call_does_nothing_twice killed "rds-restore-time";
    ai_vault_restore_killed_at_any_call_does_nothing_twice killed "ai-vault-restore";
    ai_vault_backup_killed_at_any_call_does_nothing_twice killed "ai-vault-backup";
    omnichat_aws_backup_killed_at_any_call_does_nothing_twice killed "omnichat-aws-backup";
    omnichat_aws_restore_killed_at_any_call_does_nothing_twice killed "omnichat-aws-restore";
    omnichat_aws_restore_under_its_old_name_killed_at_any_call_does_nothing_twice killed "omnichat-aws-restore-swap";
    rds_restore_of_a_cluster_killed_while_it_rolls_back_leaves_nothing
        killed_while_it_rolls_back "rds-restore-cluster", <[Point]>::last;
    omnichat_aws_backup_killed_while_it_rolls_back_leaves_nothing
        killed_while_it_rolls_back "omnichat-aws-backup", last_write;
    omnichat_aws_restore_killed_while_it_rolls_back_leaves_nothing
        killed_while_it_rolls_back "omnichat-aws-restore", of_secret;
    omnichat_aws_restore_under_its_old_name_killed_while_it_rolls_back_leaves_nothing
        killed_while_it_rolls_back "omnichat-aws-restore-swap", last_write;
}
