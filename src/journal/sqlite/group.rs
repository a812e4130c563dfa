//! Group commit: threads that commit at the same time share one commit, and a lone thread pays for no other.
//!
//! The first thread to come leads: it commits for itself on its own stack. Who comes meanwhile queues up; when the leader is
//! done it hands the lead to the first of the queue, who commits for all of it in one go.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Shares commits of items `T` with results `R`.
pub(super) struct Group<T, R> {
    queue: Mutex<Queue<T, R>>,
}

struct Queue<T, R> {
    led: bool,
    waiting: Vec<(T, Arc<Ticket<R>>)>,
}

struct Ticket<R> {
    word: Mutex<Word<R>>,
    said: Condvar,
}

/// What a waiting thread is told.
enum Word<R> {
    Nothing,
    Lead,
    Result(R),
    /// The leader died of a panic: nobody knows whether the item was committed.
    Lost,
}

impl<R> Ticket<R> {
    fn say(&self, word: Word<R>) {
        *self.word.lock() = word;
        self.said.notify_one();
    }
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Self {
        Self { queue: Mutex::new(Queue { led: false, waiting: Vec::new() }) }
    }
}

impl<T, R> Group<T, R> {
    /// Commits the item, alone or with others; `commit` answers every item of the batch in order. `None` when the thread that
    /// committed it panicked.
    pub(super) fn submit(&self, item: T, commit: impl FnOnce(Vec<T>) -> Vec<R>) -> Option<R> {
        let mut queue = self.queue.lock();
        if !queue.led {
            queue.led = true;
            drop(queue);
            let lead = Lead { group: self, tickets: Vec::new() };
            let result = commit(vec![item]).pop();
            drop(lead);
            return result;
        }
        let ticket = Arc::new(Ticket { word: Mutex::new(Word::Nothing), said: Condvar::new() });
        queue.waiting.push((item, Arc::clone(&ticket)));
        drop(queue);
        let mut word = ticket.word.lock();
        while matches!(*word, Word::Nothing) {
            ticket.said.wait(&mut word);
        }
        let said = std::mem::replace(&mut *word, Word::Nothing);
        drop(word);
        match said {
            Word::Result(result) => Some(result),
            Word::Nothing | Word::Lost => None,
            Word::Lead => {
                let (items, tickets): (Vec<T>, Vec<_>) =
                    std::mem::take(&mut self.queue.lock().waiting).into_iter().unzip();
                let mut lead = Lead { group: self, tickets };
                let mut results = commit(items).into_iter();
                // The first of the queue is the one that was told to lead: this thread.
                let own = results.next();
                for (ticket, result) in lead.tickets.drain(..).skip(1).zip(results) {
                    ticket.say(Word::Result(result));
                }
                own
            }
        }
    }
}

/// The lead: hands itself on when it ends, by a panic too.
struct Lead<'g, T, R> {
    group: &'g Group<T, R>,
    tickets: Vec<Arc<Ticket<R>>>,
}

impl<T, R> Drop for Lead<'_, T, R> {
    fn drop(&mut self) {
        for ticket in self.tickets.drain(..).skip(1) {
            ticket.say(Word::Lost);
        }
        let mut queue = self.group.queue.lock();
        match queue.waiting.first() {
            Some((_, next)) => next.say(Word::Lead),
            None => queue.led = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_gets_its_own_answer_and_commits_are_shared() {
        let group = Group::<usize, usize>::default();
        let commits = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (group, commits) = (&group, &commits);
                scope.spawn(move || {
                    for n in 0..50 {
                        let item = thread * 1000 + n;
                        let answer = group.submit(item, |items| {
                            commits.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(std::time::Duration::from_micros(200));
                            items.into_iter().map(|item| item * 2).collect()
                        });
                        assert_eq!(answer, Some(item * 2));
                    }
                });
            }
        });
        assert!(commits.load(Ordering::Relaxed) < 16 * 50, "no commit was shared");
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let group = Group::<usize, usize>::default();
        std::thread::scope(|scope| {
            let (leads, waits) = std::sync::mpsc::channel();
            let group = &group;
            let first = scope.spawn(move || {
                group.submit(0, |_| {
                    leads.send(()).expect("the test listens");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    std::panic::resume_unwind(Box::new("died"));
                })
            });
            waits.recv().expect("the leader leads");
            let second = scope.spawn(move || group.submit(1, |items| items));
            assert!(first.join().is_err());
            assert_eq!(second.join().expect("no panic"), Some(1));
        });
        assert_eq!(group.submit(2, |items| items), Some(2));
    }
}
