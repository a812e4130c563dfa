//! Runs as lists show them: those that whoever asks may see, newest first.

use crate::access::Identity;
use crate::journal::{Head, Selection, Store, StoreError};

/// Runs that are selected, of those that somebody may see: at most so many, and whether there are more. Reads no more than that of each
/// playbook.
///
/// # Errors
/// When the store cannot be read.
pub fn visible(
    store: &dyn Store,
    who: &Identity,
    of: Selection,
    limit: usize,
) -> Result<(Vec<Head>, bool), StoreError> {
    let of = Selection { limit: Some(limit + 1), ..of };
    let mut found = match &of.playbook {
        Some(playbook) if !who.sees(playbook) => Vec::new(),
        None if !who.playbooks.is_empty() => {
            let mut found = Vec::new();
            for playbook in store.playbooks()?.into_iter().filter(|playbook| who.sees(playbook)) {
                found.extend(store.select(&Selection { playbook: Some(playbook), ..of.clone() })?);
            }
            found.sort_by(|a, b| (b.started, &b.run).cmp(&(a.started, &a.run)));
            found
        }
        _ => store.select(&of)?,
    };
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Fact, MemoryStore, RunJournal, record};
    use crate::model::command::Actor;
    use crate::model::status::{Mode, RunStatus};
    use crate::model::{RunId, Timestamp};

    fn store(runs: u64) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        for number in 0..runs {
            let at = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(number / 3);
            let head = Head {
                run: RunId::from_entropy(number + 1),
                playbook: ["restore", "pg-clone", "pg-dump"][usize::try_from(number % 3).expect("small")].to_owned(),
                version: "1.0.0".into(),
                bundle: "b".repeat(64),
                status: RunStatus::Running,
                detail: String::new(),
                started: at,
                updated: at,
                records: 0,
                epoch: 0,
                holder: None,
            };
            let mut journal = RunJournal::create(Arc::clone(&store), Arc::default(), &head).expect("a run");
            let first = Fact::RunStarted {
                format: record::FORMAT,
                run: head.run,
                playbook: head.playbook,
                version: head.version,
                bundle: head.bundle,
                mode: Mode::Live,
                params: serde_json::json!({}),
                by: Actor { name: "alice".into() },
                seed: 1,
                engine: "0".into(),
                forked_from: None,
                drill: None,
            };
            journal.push(first, at);
            journal.commit(&[], RunStatus::Succeeded, "").expect("durable");
        }
        store
    }

    fn who(patterns: &[&str]) -> Identity {
        Identity {
            playbooks: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            ..Identity::system("somebody")
        }
    }

    /// All pages of a list, one after the other.
    fn paged(store: &dyn Store, who: &Identity, limit: usize) -> Vec<Head> {
        let (mut all, mut of) = (Vec::new(), Selection::default());
        loop {
            let (page, more) = visible(store, who, of.clone(), limit).expect("readable");
            assert!(page.len() <= limit && (!more || page.len() == limit));
            of.after = page.last().map(|head| (head.started, head.run.clone()));
            all.extend(page);
            if !more {
                return all;
            }
        }
    }

    #[test]
    fn pages_together_are_the_whole_list_of_what_somebody_may_see() {
        let store = store(50);
        let whole = store.heads().expect("readable");
        for patterns in [&[][..], &["pg-*"], &["restore"], &["pg-dump", "restore"], &["nothing"]] {
            let who = who(patterns);
            let expected: Vec<Head> = whole.iter().filter(|head| who.sees(&head.playbook)).cloned().collect();
            for limit in [1, 7, 50, 100] {
                assert_eq!(paged(store.as_ref(), &who, limit), expected, "{patterns:?}, {limit} a page");
            }
        }
    }

    #[test]
    fn a_playbook_out_of_reach_has_no_runs() {
        let store = store(9);
        let of = Selection { playbook: Some("restore".into()), ..Selection::default() };
        let (found, more) = visible(store.as_ref(), &who(&["pg-*"]), of, 5).expect("readable");
        assert!(found.is_empty() && !more);
    }
}
