//! The playbooks for AWS, live, with every exchange spoiled in turn: at the end there is exactly what an undisturbed run makes, or,
//! rolled back, what there was before. Here a run has the same happen to one call of every kind; `MUSTER_TEST_FAULTS=full` tries
//! everything at every call, each in a run of its own.

use std::time::Duration;

use muster::journal::Pause;
use muster::model::status::RunStatus;

use crate::estate::{Case, Estate, Picture, TRACES, differences};
use crate::faulty::Spoil;
use crate::point::{Point, in_full, side_by_side};

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

/// A run in which this happens to these calls.
struct Job {
    fault: Fault,
    points: Vec<Point>,
}

fn spoil(estate: &Estate, point: &Point, fault: &Fault) {
    match fault {
        // Without a body there is no code: S3 throttles a HEAD by its status.
        Fault::Passing(Spoil::Instead(400, _)) if point.call.contains("HEAD") => {
            point.spoil(estate, 1, Spoil::Instead(503, "SlowDown"));
        }
        Fault::Passing(spoil) => point.spoil(estate, 1, spoil.clone()),
        Fault::Outage => point.spoil_from(estate, LONG, Spoil::Instead(503, "ServiceUnavailable")),
        Fault::Expired => point.spoil_from(estate, usize::MAX, Spoil::Instead(403, "ExpiredToken")),
        Fault::Forbidden => point.spoil(estate, usize::MAX, Spoil::Instead(403, "AccessDenied")),
    }
}

/// Runs the case once more: what is wrong in the end.
fn spoiled(case: &Case, clean: &Clean, job: &Job) -> Option<String> {
    let Job { fault, points } = job;
    let estate = case.start()?;
    points.iter().for_each(|point| spoil(&estate, point, fault));
    let wrong = judged(&estate, clean, fault);
    if wrong.is_empty() {
        return None;
    }
    println!("{} {points:?} {fault:?}: {}", case.name, wrong.join("\n"));
    // Which of them it was is looked for where there are more.
    let alone = points
        .iter()
        .filter(|_| points.len() > 1)
        .filter_map(|point| spoiled(case, clean, &Job { fault: fault.clone(), points: vec![point.clone()] }));
    let alone: Vec<String> = alone.collect();
    Some(format!("{} {points:?} {fault:?}: {}\n{}", case.name, wrong.join("\n"), alone.join("\n")))
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
            Ok(()) => differences(&clean.before, &estate.picture(), &TRACES),
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

/// What is tried: everything, each alone. Or what passes, or has to be waited for, at one call of every kind in the same run, at the
/// next of that kind in the next run; and the last call of every kind that changes something forbidden. Of what another case tries
/// widely, a part.
fn jobs(case: &Case, points: &[Point]) -> Vec<Job> {
    if in_full() {
        let all = points.iter().flat_map(|point| FAULTS.iter().map(move |fault| (fault.clone(), vec![point.clone()])));
        return all.map(|(fault, points)| Job { fault, points }).collect();
    }
    let (every, kinds) = (if case.widely { 1 } else { 3 }, Point::kinds(points));
    let is_forbidden = |fault: &&Fault| matches!(fault, Fault::Forbidden);
    let others = FAULTS.iter().filter(|fault| !is_forbidden(fault)).enumerate().step_by(every);
    let together = others.map(|(turn, fault)| {
        let points = match fault {
            // A client that was throttled goes slowly from then on.
            Fault::Passing(Spoil::Instead(400, _)) => {
                points.iter().rfind(|point| point.writes()).cloned().into_iter().collect()
            }
            Fault::Passing(_) => kinds.values().map(|kind| kind[turn % kind.len()].clone()).collect(),
            // An outage and new credentials take their time.
            _ => kinds.values().filter(|kind| kind[0].writes()).map(|kind| kind[turn % kind.len()].clone()).collect(),
        };
        Job { fault: fault.clone(), points }
    });
    let last_writes = kinds.values().filter_map(|kind| kind.last()).filter(|point| point.writes()).step_by(every);
    let forbidden = last_writes.map(|point| Job { fault: Fault::Forbidden, points: vec![(*point).clone()] });
    together.chain(forbidden).collect()
}

fn swept(name: &str) {
    let case = Case::named(name);
    let Some(clean) = clean(case) else { return };
    let jobs = jobs(case, &clean.points);
    let begun = std::time::Instant::now();
    let wrong = side_by_side(&jobs, |job| spoiled(case, &clean, job));
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
    omnichat_aws_backup_survives_every_spoiled_call "omnichat-aws-backup",
    omnichat_aws_restore_survives_every_spoiled_call "omnichat-aws-restore",
    omnichat_aws_restore_under_its_old_name_survives_every_spoiled_call "omnichat-aws-restore-swap",
}
