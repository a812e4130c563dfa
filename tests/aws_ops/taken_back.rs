//! A release that a live run of a playbook for AWS has upgraded, and that is taken back: the program killed before helm does it, while
//! it does and after it has, and helm itself killed halfway. In the end it is as it was, and was rolled back once.

use std::path::Path;

use crate::estate::{Case, Estate, Picture, differences};
use crate::kube::Pace;
use crate::live_world::{lives, until};

/// A run whose release is upgraded, and whose rollout failed; what there was before.
fn stuck() -> Option<(Estate, Picture)> {
    let estate = Case::named("ai-vault-restore").start()?;
    let before = estate.picture();
    estate.cluster().pace(Pace::Exceeded);
    let (code, said) = estate.begin();
    assert_eq!(code, Some(7), "{said}");
    estate.cluster().pace(Pace::Ready);
    Some((estate, before))
}

fn resumed(estate: &Estate) {
    let (code, said) = estate.say(&["resume", "@latest"]);
    assert_eq!(code, Some(5), "{said}");
}

/// What a rollback comes to that nobody disturbs.
fn undisturbed() -> Option<Picture> {
    let (estate, before) = stuck()?;
    let (code, said) = estate.say(&["rollback", "@latest"]);
    assert_eq!(code, Some(5), "{said}");
    let after = estate.picture();
    assert_eq!(differences(&before, &after, &["revisions"]), Vec::<String>::new());
    let revisions = &after["revisions"];
    assert_eq!((revisions.matches("superseded").count(), revisions.matches("deployed").count()), (2, 1), "{revisions}");
    Some(after)
}

/// Rolls back, and kills the program once helm has begun and waits for the cluster; helm goes on with what it does.
fn killed_meanwhile(estate: &Estate, helm_too: bool) {
    let cluster = estate.cluster();
    let earlier = cluster.writes().len();
    cluster.hold("deployments");
    std::thread::scope(|scope| {
        let said = scope.spawn(|| estate.say(&["rollback", "@latest"]));
        until("helm is in the middle", || cluster.writes()[earlier..].iter().any(|one| one.contains("/deployments/")));
        estate.kill();
        assert_eq!(said.join().expect("no test panics here").0, None);
    });
    if helm_too {
        let helm = helm_of(cluster.folder());
        // SAFETY: a signal to a process that this test started.
        unsafe { libc::kill(helm, libc::SIGKILL) };
        until("helm is gone", || !lives(helm));
    }
    cluster.hold("");
}

/// The process of the real helm that works on the cluster of this folder.
fn helm_of(folder: &Path) -> i32 {
    let folder = folder.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse::<i32>().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    let is_helm = |line: &str| line.split(' ').next().is_some_and(|program| program.ends_with("/helm"));
    let mut found =
        processes.filter(|(_, line)| is_helm(line) && line.contains(" rollback ") && line.contains(&folder));
    let (pid, _) = found.next().expect("helm is at work");
    assert!(pid > 1);
    pid
}

#[test]
fn a_release_is_taken_back_once_whenever_the_program_is_killed() {
    let Some(wanted) = undisturbed() else { return };
    for when in ["before", "after"] {
        let Some((estate, _)) = stuck() else { return };
        estate.kill_at_helm(when);
        assert_eq!(estate.say(&["rollback", "@latest"]).0, None, "{when}");
        resumed(&estate);
        assert_eq!(differences(&wanted, &estate.picture(), &[]), Vec::<String>::new(), "{when}");
    }
    let Some((estate, _)) = stuck() else { return };
    killed_meanwhile(&estate, false);
    resumed(&estate);
    assert_eq!(differences(&wanted, &estate.picture(), &[]), Vec::<String>::new());
}

#[test]
fn a_helm_killed_halfway_back_is_sent_again_and_only_one_revision_counts() {
    let Some((estate, before)) = stuck() else { return };
    killed_meanwhile(&estate, true);
    resumed(&estate);
    let after = estate.picture();
    assert_eq!(differences(&before, &after, &["revisions"]), Vec::<String>::new());
    // What the killed one had begun stays in the history as what it is.
    let revisions = &after["revisions"];
    let count = |status: &str| revisions.matches(&format!("\"{status}\"")).count();
    assert_eq!((count("deployed"), count("pending-rollback"), count("superseded")), (1, 1, 2), "{revisions}");
}
