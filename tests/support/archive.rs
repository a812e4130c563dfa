//! A store with a long past: copies of a run that has ended, each with an id and a time of its own, and a whole journal.

use std::sync::Arc;
use std::time::Duration;

use muster::journal::{Fact, Head, RunJournal, Store, apart};
use muster::model::{RunId, Timestamp};

/// Stores copies of a run, each `apart` earlier than the one before; the newest as much before the run itself. Their ids, newest first.
pub fn copies(store: &Arc<dyn Store>, of: &RunId, count: usize, apart: Duration, seed: u64) -> Vec<RunId> {
    let (head, records) = (store.head(of).expect("a head"), apart::records(store.as_ref(), of).expect("a journal"));
    let one = |number: u32| {
        let back = apart * number;
        let at = |time: Timestamp| time.checked_sub(back).expect("not before time began");
        let run = RunId::from_entropy(seed + u64::from(number));
        let begun = Head {
            run: run.clone(),
            started: at(head.started),
            updated: at(head.started),
            records: 0,
            epoch: 0,
            holder: None,
            ..head.clone()
        };
        let mut journal = RunJournal::create(Arc::clone(store), Arc::default(), &begun).expect("a new run");
        for record in &records {
            let mut fact = record.fact.clone();
            if let Fact::RunStarted { run: its, .. } = &mut fact {
                its.clone_from(&run);
            }
            journal.push(fact, at(record.at));
        }
        journal.commit(&[], head.status, &head.detail).expect("durable");
        journal.release().expect("let go of");
        run
    };
    (1..=u32::try_from(count).expect("not that many")).map(one).collect()
}
