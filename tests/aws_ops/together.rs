//! Runs that work in one account at the same time: under names of their own they do not meet, and one that would make what another
//! makes is refused before it has done anything, and told whose it is.

use std::process::Output;
use std::time::Duration;

use serde_json::json;

use crate::estate::{Case, Estate, shop_with_a_snapshot};
use crate::faulty::Spoil;

fn shop() -> Estate {
    let case = Case { name: "together", playbook: "rds-restore", widely: true, stage: shop_with_a_snapshot };
    case.start().expect("it needs no program but ours")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn instances(estate: &Estate) -> Vec<String> {
    let answer = estate.ground.rds("DescribeDBInstances", &[]);
    let parts = answer.split("<DBInstanceIdentifier>").skip(1);
    let mut names: Vec<String> = parts.map(|part| part.split('<').next().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn two_restores_of_one_database_at_once_under_names_of_their_own_both_succeed() {
    let estate = shop();
    // Each is named after its run when nobody names it.
    let runs = ["one.db", "two.db"].map(|store| {
        let mut command = estate.begins(store, &[("new_id", json!(""))]);
        command.spawn().expect("the program starts")
    });
    for run in runs {
        let output = run.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let short = |store: &str| estate.state(store).and_then(|state| state.header).expect("a run").run.short().to_owned();
    let mut expected =
        vec!["shop".to_owned(), format!("shop-r-{}", short("one.db")), format!("shop-r-{}", short("two.db"))];
    expected.sort();
    assert_eq!(instances(&estate), expected);
}

#[test]
fn a_restore_to_a_name_that_another_run_has_is_refused_in_the_plan_and_before_any_effect() {
    let estate = shop();
    let first = estate.begins("one.db", &[]).output().expect("it ends");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let owner = estate.state("one.db").and_then(|state| state.header).expect("a run").run;
    let before = estate.picture();
    let whose = format!("instance shop-restored is there already (run {owner} made it");
    let plan = estate.plans(&[]).output().expect("it ends");
    assert!(said(&plan).contains(&whose), "{}", said(&plan));
    let second = estate.begins("two.db", &[]).output().expect("it ends");
    assert_eq!(second.status.code(), Some(7), "{}", said(&second));
    assert!(said(&second).contains(&whose), "{}", said(&second));
    assert_eq!(estate.ground.proxy.count("Action=RestoreDBInstance"), 1, "the second has asked AWS for nothing");
    assert_eq!(estate.picture(), before);
}

#[test]
fn of_two_restores_to_one_name_at_once_one_wins_and_the_other_says_whose_it_is_and_leaves_it_alone() {
    let estate = shop();
    // Both find the name free: the request of the first is on its way for a while.
    estate.ground.proxy.spoil("Action=RestoreDBInstance", Spoil::Late(Duration::from_secs(3)));
    let first = estate.begins("one.db", &[]).spawn().expect("the program starts");
    crate::live_world::until("the first has sent its request", || {
        estate.ground.proxy.count("Action=RestoreDBInstance") > 0
    });
    let second = estate.begins("two.db", &[]).output().expect("it ends");
    assert_eq!(second.status.code(), Some(0), "{}", said(&second));
    let first = first.wait_with_output().expect("it ends");
    assert_eq!(first.status.code(), Some(7), "{}", said(&first));
    let winner = estate.state("two.db").and_then(|state| state.header).expect("a run").run;
    assert!(said(&first).contains(&format!("run {winner} made it")), "{}", said(&first));
    let before = estate.picture();
    let mut back = estate.program("one.db", &["rollback", "@latest"]);
    let back = back.output().expect("it ends");
    assert_eq!(back.status.code(), Some(5), "{}", said(&back));
    assert_eq!(estate.picture(), before, "what the other run made is not taken away");
}
