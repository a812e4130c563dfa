//! A run in the foreground of a process: drives it, listens for commands, and lets go of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::AppError;
use crate::engine::{Engine, Rest, RunState};
use crate::model::RunId;

/// How often the inbox is looked into.
const MAIL_EVERY: Duration = Duration::from_millis(100);

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run has ended.
    Ended,
    /// It waits for people, and nobody holds it now.
    Paused,
    /// It was let go of on request; another process can go on.
    Parked,
}

/// A run in this process's hands.
pub struct Session {
    engine: Engine,
    run: RunId,
    /// In the sandbox time is virtual: everything is done on one thread, and nobody waits for a clock.
    in_sandbox: bool,
    /// Who says yes to what the run asks of people.
    yes: Option<Yes>,
}

/// Says yes to what a run asks of people; see [`super::sandbox`].
pub(super) type Yes = Box<dyn Fn(&RunState) -> Result<bool, AppError> + Send>;

impl Session {
    pub(super) fn new(engine: Engine, run: RunId) -> Self {
        Self { engine, run, in_sandbox: false, yes: None }
    }

    pub(super) fn in_sandbox(engine: Engine, run: RunId) -> Self {
        Self { engine, run, in_sandbox: true, yes: None }
    }

    pub(super) fn say_yes(mut self, yes: Yes) -> Self {
        self.yes = Some(yes);
        self
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its state, as far as it has got.
    #[must_use]
    pub fn state(&self) -> Option<RunState> {
        self.engine.state(&self.run)
    }

    /// Drives the run until it ends or waits for people. With `stay`, waits for these people; commands from other processes
    /// reach it here. `interrupts` counts requests to stop: the first parks the run politely, the second lets go at once.
    ///
    /// # Errors
    /// When the engine cannot go on. The run is as its journal says, and can be resumed.
    pub fn drive(self, workers: usize, stay: bool, interrupts: &Arc<AtomicUsize>) -> Result<Ending, AppError> {
        let workers = if self.in_sandbox { 0 } else { workers };
        self.engine.spawn_workers(workers).map_err(|source| AppError::System { act: "start threads", source })?;
        let outcome = self.follow(stay, interrupts);
        self.engine.stop();
        match outcome {
            Ok(ending) => {
                self.engine.release(&self.run)?;
                // Who wants to be gone at once does not wait for a call in flight.
                if interrupts.load(Ordering::SeqCst) < 2 {
                    self.engine.join();
                }
                Ok(ending)
            }
            Err(error) => {
                // Best effort: if the store is gone, the lease ends with this process.
                let _ = self.engine.release(&self.run);
                Err(error)
            }
        }
    }

    fn follow(&self, stay: bool, interrupts: &AtomicUsize) -> Result<Ending, AppError> {
        let mut parking = false;
        loop {
            if self.in_sandbox {
                self.engine.run_until_idle();
            }
            let rest = self.engine.wait(&self.run, MAIL_EVERY);
            if let Some(error) = self.engine.take_failure(&self.run) {
                return Err(error.into());
            }
            match interrupts.load(Ordering::SeqCst) {
                0 => {}
                1 if !parking => {
                    parking = true;
                    self.engine.park(&self.run);
                    continue;
                }
                1 => {}
                _ => return Ok(Ending::Parked),
            }
            if parking {
                if !self.engine.is_busy(&self.run) {
                    return Ok(Ending::Parked);
                }
                continue;
            }
            self.engine.collect_mail()?;
            match rest {
                Some(Rest::Ended) => return Ok(Ending::Ended),
                Some(Rest::Paused) => {
                    // A command may have come in the same moment: it is answered before the run is let go of.
                    if self.engine.settle_mail(&self.run) {
                        continue;
                    }
                    if let (Some(yes), Some(state)) = (&self.yes, self.state())
                        && yes(&state)?
                    {
                        continue;
                    }
                    if !stay {
                        return Ok(Ending::Paused);
                    }
                    std::thread::sleep(MAIL_EVERY);
                }
                Some(Rest::Broken) | None => {}
            }
        }
    }
}
