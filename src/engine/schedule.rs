//! What is to be done next, on which thread: a queue of jobs, a heap of timers, and workers for both.
//!
//! A run that waits is an entry in the heap and nothing else: no thread, no task.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::model::{RunId, StepPath, Timestamp};

/// A piece of work. Each blocks its thread only for short calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Look at a run and decide.
    Drive(RunId),
    /// Run (or replay) a step's body, or ask its `verify`.
    Work(RunId, StepPath),
    /// Foresee what the approval of a step would let the run do, and ask for it. The run had this many records when the step was
    /// come to.
    Foresee(RunId, StepPath, u64),
    /// Measure what a drill is for.
    Measure(RunId),
    /// Settle open effects, then undo.
    Unwind(RunId),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    timers: BinaryHeap<Reverse<(Timestamp, u64, RunId)>>,
    counter: u64,
    stopped: bool,
}

/// The queue and the heap.
pub struct Schedule {
    queue: Mutex<Queue>,
    something: Condvar,
    clock: Arc<dyn Clock>,
}

impl Schedule {
    /// An empty schedule on this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { queue: Mutex::default(), something: Condvar::new(), clock }
    }

    /// Adds a job, unless the same one is waiting already.
    pub fn submit(&self, job: Job) {
        let mut queue = self.queue.lock();
        if !(matches!(job, Job::Drive(_)) && queue.jobs.len() < 64 && queue.jobs.contains(&job)) {
            queue.jobs.push_back(job);
        }
        drop(queue);
        self.something.notify_one();
    }

    /// Drives a run at an instant.
    pub fn wake_at(&self, run: &RunId, at: Timestamp) {
        let mut queue = self.queue.lock();
        queue.counter += 1;
        let counter = queue.counter;
        queue.timers.push(Reverse((at, counter, run.clone())));
        drop(queue);
        self.something.notify_one();
    }

    /// Ends all workers.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.something.notify_all();
    }

    /// The next job, without waiting. With a virtual clock and nothing to do, time moves to the next timer.
    pub fn try_next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        if let Some(job) = queue.jobs.pop_front() {
            return Some(job);
        }
        let Reverse((at, _, run)) = queue.timers.pop()?;
        let now = self.clock.now();
        if at > now {
            if !self.clock.is_virtual() {
                queue.counter += 1;
                let counter = queue.counter;
                queue.timers.push(Reverse((at, counter, run)));
                return None;
            }
            let ahead = at.duration_since(now);
            self.clock.sleep(Duration::try_from(ahead).unwrap_or_default());
        }
        Some(Job::Drive(run))
    }

    /// The next job; waits for one. `None` once stopped.
    pub fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            let now = self.clock.now();
            match queue.timers.peek() {
                Some(Reverse((at, _, _))) if *at <= now => {
                    if let Some(Reverse((_, _, run))) = queue.timers.pop() {
                        return Some(Job::Drive(run));
                    }
                }
                Some(Reverse((at, _, _))) => {
                    let ahead = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                    // The wall may be set forward meanwhile: look again at least once a second.
                    self.something.wait_for(&mut queue, ahead.min(Duration::from_secs(1)));
                }
                None => {
                    self.something.wait(&mut queue);
                }
            }
        }
    }
}
