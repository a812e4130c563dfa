//! The arguments that name a period of time.

use super::failure::Failure;
use crate::evidence::window::{NoPeriod, Window};
use crate::model::Timestamp;

/// A period.
#[derive(clap::Args, Clone, Debug)]
pub struct Period {
    /// From then on: a time ago (30d, 12h), a day (2026-03-01, in UTC) or an instant (2026-03-01T12:00:00Z).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Up to then; now if not given.
    #[arg(long, value_name = "WHEN", requires = "since")]
    until: Option<String>,
    /// Only runs of this playbook.
    #[arg(long, value_name = "NAME", requires = "since")]
    playbook: Option<String>,
}

impl Period {
    /// The period, if one was named.
    ///
    /// # Errors
    /// When a text is no instant, or the end lies before the beginning.
    pub fn window(&self, now: Timestamp) -> Result<Option<Window>, Failure> {
        let Some(since) = &self.since else { return Ok(None) };
        let window = Window::of(since, self.until.as_deref(), self.playbook.clone(), now);
        window.map(Some).map_err(|error| match error {
            NoPeriod::Backwards => Failure::user(error.to_string()).hint("--until is to be later than --since"),
            NoPeriod::NoTime(_) => Failure::user(error.to_string()).hint(error.hint()),
        })
    }
}
