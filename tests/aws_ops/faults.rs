//! The playbooks for AWS, live, with every exchange spoiled in turn: at the end there is exactly what an undisturbed run makes, or,
//! rolled back, what there was before. A call of a kind is tried with some of the spoils here; `MUSTER_TEST_FAULTS=full` tries all
//! of them at every call.

use std::time::Duration;

use muster::journal::Pause;
use muster::model::status::RunStatus;

use crate::estate::{Case, Estate, Picture, Point, differences, in_full, side_by_side};
use crate::faulty::Spoil;

/// What happens to a call, and what is to become of the run.
#[derive(Clone, Debug)]
enum Fault {
    /// Something that passes: the run comes to its end.
    Passing(Spoil),
    /// An outage that outlasts the attempts: the run waits for it, or for somebody who tries again.
    Outage,
    /// Credentials that have expired: somebody gets new ones, and resumes.
    Expired,
    /// It is forbidden: rolled back, all is as it was.
    Forbidden,
}

const FAULTS: [Fault; 11] = [
    Fault::Passing(Spoil::Unanswered),
    Fault::Forbidden,
    Fault::Passing(Spoil::Unsent),
    Fault::Passing(Spoil::Cut(40)),
    Fault::Passing(Spoil::Instead(503, "ServiceUnavailable")),
    Fault::Expired,
    Fault::Passing(Spoil::Afterwards(500, "InternalFailure")),
    Fault::Passing(Spoil::Instead(400, "Throttling")),
    Fault::Outage,
    Fault::Passing(Spoil::Instead(500, "InternalFailure")),
    Fault::Passing(Spoil::Late(Duration::from_millis(100))),
];

/// How many calls an outage turns away: more than the attempts of one.
const LONG: usize = 5;

struct Clean {
    before: Picture,
    after: Picture,
    points: Vec<Point>,
}

/// An undisturbed run; nothing where a program is missing.
fn clean(case: &Case) -> Option<Clean> {
    let estate = case.start()?;
    let before = estate.picture();
    let (code, said) = estate.begin();
    assert_eq!(code, Some(0), "{}: {said}", case.name);
    Some(Clean { before, after: estate.picture(), points: Point::of(&estate.ground.proxy.calls()) })
}

/// Runs the case once more with this fault at this call: what is wrong in the end.
fn spoiled(case: &Case, clean: &Clean, point: &Point, fault: &Fault) -> Option<String> {
    let estate = case.start()?;
    match fault {
        // Without a body there is no code: S3 throttles a HEAD by its status.
        Fault::Passing(Spoil::Instead(400, _)) if point.call.contains("HEAD") => {
            point.spoil(&estate, 1, Spoil::Instead(503, "SlowDown"));
        }
        Fault::Passing(spoil) => point.spoil(&estate, 1, spoil.clone()),
        Fault::Outage => point.spoil_from(&estate, LONG, Spoil::Instead(503, "ServiceUnavailable")),
        Fault::Expired => point.spoil_from(&estate, usize::MAX, Spoil::Instead(403, "ExpiredToken")),
        Fault::Forbidden => point.spoil(&estate, usize::MAX, Spoil::Instead(403, "AccessDenied")),
    }
    let wrong = judged(&estate, clean, fault);
    (!wrong.is_empty()).then(|| format!("{} {point:?} {fault:?}: {}", case.name, wrong.join("\n")))
}

fn judged(estate: &Estate, clean: &Clean, fault: &Fault) -> Vec<String> {
    let begun = estate.begin();
    let may_roll_back = matches!(fault, Fault::Forbidden | Fault::Outage);
    let stands = |estate: &Estate| estate.state("muster.db").map(|state| state.status());
    // Some playbooks go on without what they may not ask, and say so in the end.
    let has_ended = stands(estate).is_some_and(RunStatus::is_terminal);
    let gone_wrong = matches!(fault, Fault::Forbidden) && !has_ended;
    // Some playbooks roll back by themselves.
    if gone_wrong || (may_roll_back && stands(estate) == Some(RunStatus::RolledBack)) || is_rolling_back(estate) {
        if !may_roll_back {
            return vec![format!("nobody said that it is to be rolled back: {}", begun.1)];
        }
        estate.ground.proxy.lift();
        return match estate.roll_back() {
            // A release that was put back has a revision more than one that was left alone.
            Ok(()) => differences(&clean.before, &estate.picture(), &["revisions"]),
            Err(why) => vec![why],
        };
    }
    match estate.carry_on(begun) {
        Ok(asked) if matches!(fault, Fault::Passing(_)) && !asked.is_empty() => vec![format!("it asked {asked:?}")],
        Ok(_) if stands(estate) != Some(RunStatus::RolledBack) => differences(&clean.after, &estate.picture(), &[]),
        Ok(asked) => vec![format!("it is {:?}: {asked:?}", stands(estate))],
        Err(why) => vec![why],
    }
}

/// Whether it has begun to undo what it did, and waits.
fn is_rolling_back(estate: &Estate) -> bool {
    let pauses = estate.state("muster.db").map(|state| state.waiting_for_people()).unwrap_or_default();
    pauses.iter().any(|pause| matches!(pause, Pause::Undo { .. }))
}

/// What is tried: everything, or of what changes something three faults, and of the rest every third or fifth call with one, in turn.
fn jobs(case: &Case, points: &[Point]) -> Vec<(Point, Fault)> {
    let mut jobs = Vec::new();
    let mut turn = FAULTS.iter().cycle();
    // A proof that is forbidden is asked for again for a whole minute.
    let is_quick = |fault: &&Fault| !matches!(fault, Fault::Forbidden);
    for (place, point) in points.iter().enumerate() {
        let faults: Vec<&Fault> = match point.writes() {
            _ if in_full() => FAULTS.iter().collect(),
            true => turn.by_ref().take(3).collect(),
            false if place % if case.widely { 3 } else { 5 } == 0 => turn.by_ref().filter(is_quick).take(1).collect(),
            false => Vec::new(),
        };
        jobs.extend(faults.into_iter().map(|fault| (point.clone(), fault.clone())));
    }
    jobs
}

fn swept(name: &str) {
    let case = Case::named(name);
    let Some(clean) = clean(case) else { return };
    let jobs = jobs(case, &clean.points);
    let begun = std::time::Instant::now();
    let wrong = side_by_side(&jobs, |(point, fault)| spoiled(case, &clean, point, fault));
    println!("{name}: {} calls, {} runs, {:?}", clean.points.len(), jobs.len(), begun.elapsed());
    assert!(wrong.is_empty(), "{} of {} runs of {name}:\n{}", wrong.len(), jobs.len(), wrong.join("\n\n"));
}

macro_rules! sweep {
    ($($test:ident $case:literal),+ $(,)?) => {$(
        #[test]
        fn $test() {
            swept($case);
        }
    )+};
}

sweep! {
    rds_restore_survives_every_spoiled_call "rds-restore",
    rds_restore_to_a_time_survives_every_spoiled_call "rds-restore-time",
    rds_restore_of_a_cluster_survives_every_spoiled_call "rds-restore-cluster",
    ai_vault_restore_survives_every_spoiled_call "ai-vault-restore",
    ai_vault_backup_survives_every_spoiled_call "ai-vault-backup",
}
