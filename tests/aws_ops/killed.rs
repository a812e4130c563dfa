//! The program killed by `kill -9` in the middle of a live run of a playbook for AWS: before the server hears of a call, and after it
//! has done what was asked while nobody has heard of it. Resumed, the run comes to where an undisturbed one comes to; rolled back and
//! killed meanwhile, to what there was before. What changes something is tried here, every call with `MUSTER_TEST_FAULTS=full`.

use std::collections::BTreeSet;

use crate::estate::{Case, Estate, Picture, Point, differences, in_full, side_by_side};
use crate::faulty::Spoil;

/// Where the program is killed.
#[derive(Clone, Debug)]
enum Kill {
    /// At a call to AWS, or right after it.
    At(Point, Spoil),
    /// At a helm that changes the release: before it begins, or when it is done.
    Helm(&'static str),
}

/// At which calls to kill: all, or those that change something and, where it is swept widely, the first of each kind.
fn kills(points: &[Point], widely: bool) -> Vec<Kill> {
    let mut seen = BTreeSet::new();
    let mut kills = Vec::new();
    for point in points {
        let is_first = seen.insert(&point.call);
        // What is looked at once more after a kill does not depend on whether the server has answered.
        let moments: &[Spoil] = match in_full() || point.writes() {
            true => &[Spoil::KilledBefore, Spoil::KilledAfter],
            false => &[Spoil::KilledAfter],
        };
        if in_full() || (is_first && widely) || point.writes() {
            kills.extend(moments.iter().map(|moment| Kill::At(point.clone(), moment.clone())));
        }
    }
    kills
}

fn set(estate: &Estate, kill: &Kill) {
    match kill {
        Kill::At(point, moment) => point.spoil(estate, 1, moment.clone()),
        Kill::Helm(when) => estate.kill_at_helm(when),
    }
}

fn resumed(case: &Case, after: &Picture, kill: &Kill) -> Option<String> {
    let estate = case.start()?;
    set(&estate, kill);
    let begun = estate.begin();
    if begun.0.is_some() {
        return Some(format!("{} {kill:?}: nobody killed it: {}", case.name, begun.1));
    }
    let wrong = match estate.carry_on(begun) {
        Ok(asked) if asked.is_empty() => differences(after, &estate.picture(), &[]),
        Ok(asked) => vec![format!("it asked {asked:?}")],
        Err(why) => vec![why],
    };
    (!wrong.is_empty()).then(|| format!("{} {kill:?}: {}", case.name, wrong.join("\n")))
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
    let wrong = side_by_side(&kills, |kill| resumed(case, &after, kill));
    println!("{name}: killed {} times", kills.len());
    assert!(wrong.is_empty(), "{} of {} runs of {name}:\n{}", wrong.len(), kills.len(), wrong.join("\n\n"));
}

/// A run that was stopped at the last call to AWS, for good: what is left is to roll it back.
fn stuck(case: &Case, last: &Point) -> Option<(Estate, Picture)> {
    let estate = case.start()?;
    let before = estate.picture();
    last.spoil(&estate, usize::MAX, Spoil::Instead(403, "AccessDenied"));
    let (code, said) = estate.begin();
    assert_eq!(code, Some(7), "{}: {said}", case.name);
    estate.ground.proxy.lift();
    Some((estate, before))
}

fn killed_while_it_rolls_back(name: &str) {
    let case = Case::named(name);
    let Some(estate) = case.start() else { return };
    let (code, said) = estate.begin();
    assert_eq!(code, Some(0), "{name}: {said}");
    let points = Point::of(&estate.ground.proxy.calls());
    let last = points.last().expect("it calls AWS");
    let Some((estate, before)) = stuck(case, last) else { return };
    let earlier = estate.ground.proxy.calls().len();
    estate.roll_back().expect("it is rolled back");
    let wrong = differences(&before, &estate.picture(), &[]);
    assert!(wrong.is_empty(), "{name} rolled back: {wrong:#?}");
    // Numbered over both lives of the program, as the proxy counts.
    let points = Point::of(&estate.ground.proxy.calls()).split_off(earlier);
    let first = |point: &Point| points.iter().filter(|other| other.call == point.call).map(|other| other.number).min();
    let numbered = points
        .iter()
        .map(|point| Point { number: point.number - first(point).unwrap_or_default(), call: point.call.clone() });
    let kills = kills(&numbered.collect::<Vec<_>>(), false);
    let wrong = side_by_side(&kills, |kill| {
        let (estate, before) = stuck(case, last)?;
        set(&estate, kill);
        if estate.say(&["rollback", "@latest"]).0.is_some() {
            return Some(format!("{name} {kill:?}: nobody killed it"));
        }
        let wrong = match estate.say(&["resume", "@latest"]) {
            // Rolled back cleanly.
            (Some(5), _) => differences(&before, &estate.picture(), &[]),
            (code, said) => vec![format!("{code:?}: {said}")],
        };
        (!wrong.is_empty()).then(|| format!("{name} {kill:?}: {}", wrong.join("\n")))
    });
    println!("{name}: killed {} times while it rolls back", kills.len());
    assert!(wrong.is_empty(), "{} of {} rollbacks of {name}:\n{}", wrong.len(), kills.len(), wrong.join("\n\n"));
}

macro_rules! sweep {
    ($($test:ident $work:ident $case:literal),+ $(,)?) => {$(
        #[test]
        fn $test() {
            $work($case);
        }
    )+};
}

sweep! {
    rds_restore_killed_at_any_call_does_nothing_twice killed "rds-restore",
    rds_restore_of_a_cluster_killed_at_any_call_does_nothing_twice killed "rds-restore-cluster",
    rds_restore_to_a_time_killed_at_any_call_does_nothing_twice killed "rds-restore-time",
    ai_vault_restore_killed_at_any_call_does_nothing_twice killed "ai-vault-restore",
    ai_vault_backup_killed_at_any_call_does_nothing_twice killed "ai-vault-backup",
    rds_restore_of_a_cluster_killed_while_it_rolls_back_leaves_nothing killed_while_it_rolls_back "rds-restore-cluster",
}
