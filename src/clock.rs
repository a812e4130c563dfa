//! The clock: the only way to the time. Everything that waits, waits through it, so that tests and the sandbox can move it.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The instant by the wall.
    fn now(&self) -> Timestamp;

    /// Blocks for a short while. A simulated clock moves on instead.
    fn sleep(&self, duration: Duration);

    /// Whether time moves only when it is told to: nobody then waits on a real timer.
    fn is_virtual(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that moves only by [`SimClock::advance_to`] and [`Clock::sleep`].
pub struct SimClock {
    now: Mutex<Timestamp>,
}

impl SimClock {
    /// A clock that shows this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves on to `then`; never back.
    pub fn advance_to(&self, then: Timestamp) {
        let mut now = self.now.lock();
        *now = then.max(*now);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        *self.now.lock()
    }

    fn sleep(&self, duration: Duration) {
        let mut now = self.now.lock();
        *now = now.saturating_add(duration).unwrap_or(Timestamp::MAX);
    }

    fn is_virtual(&self) -> bool {
        true
    }
}
