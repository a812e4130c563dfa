//! Looks at the schedules, four times a second, as long as this server leads; their runs are carried on like any other.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::server::{Phase, Server};
use crate::access::Identity;
use crate::access::audit::Deed;
use crate::app::AppError;
use crate::engine::EngineError;
use crate::journal::StoreError;
use crate::model::fault::ErrorClass;
use crate::schedule::file::FileError;
use crate::schedule::scheduler::{ACTOR, Begin, Event, Scheduler, StartError, Starter};

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A scheduler for the schedules of a file.
///
/// # Errors
/// When they cannot be read.
pub fn scheduler(server: &Server, path: &Path) -> Result<Scheduler, FileError> {
    Scheduler::watching(server.app.store(), path)
}

/// Looks at the schedules on a thread of its own until the server leads no more.
///
/// # Errors
/// When the system gives no thread.
pub fn watch(server: &Arc<Server>, scheduler: Scheduler) -> std::io::Result<JoinHandle<()>> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("schedules".to_owned()).spawn(move || look(&server, scheduler))
}

fn look(server: &Server, mut scheduler: Scheduler) {
    let mut failing = false;
    while server.phase() == Phase::Leading {
        match scheduler.turn(&Hands(server), server.app.clock.now()) {
            Ok(events) => {
                failing = false;
                events.iter().for_each(|event| tell(server, event));
            }
            // Told once: a full disk stays full for a while.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the schedules cannot be looked at; tried again");
            }
            Err(_) => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn tell(server: &Server, event: &Event) {
    match event {
        Event::Decided(decision) => {
            for tick in decision.due.iter().chain(&decision.changed) {
                for _ in 0..tick.count {
                    server.metrics.tick(&tick.fate.to_string());
                }
                tracing::info!(schedule = tick.schedule, at = %tick.at, ticks = tick.count, fate = %tick.fate, "due");
            }
        }
        Event::Started { schedule, run } => {
            tracing::info!(schedule, run = %run, "begun");
            let deed = Deed::done("scheduled start", format!("run {run}")).with("schedule", schedule);
            let by = Identity::system(format!("{ACTOR}{schedule}"));
            if let Err(error) = server.desk.write_down(&by, deed, server.app.clock.now()) {
                tracing::error!(%error, run = %run, "its start is not in the audit log");
            }
        }
        Event::Delayed { schedule, run, why } => tracing::warn!(schedule, run = %run, why, "cannot be begun now"),
        Event::Refused { schedule, run, why } => tracing::error!(schedule, run = %run, why, "cannot be begun: missed"),
        Event::Reread => tracing::info!("the schedules were read anew"),
        Event::Broken { why } => {
            tracing::error!(why, "the schedules cannot be read: as they were before, they still count");
        }
    }
}

/// Begins the runs of ticks on this server.
struct Hands<'s>(&'s Server);

impl Starter for Hands<'_> {
    fn start(&self, begin: &Begin<'_>) -> Result<(), StartError> {
        let Self(server) = self;
        let start = server.app.prepare_tick(begin).map_err(why)?;
        server.runner.begin(&start).map(drop).map_err(why)
    }
}

/// Whether it may work later.
fn why(error: AppError) -> StartError {
    match &error {
        AppError::Store(StoreError::Full { .. } | StoreError::Database { .. } | StoreError::Fenced { .. })
        | AppError::Engine(EngineError::Store(_))
        | AppError::System { .. } => StartError::Later(error.to_string()),
        AppError::Precondition(fault) if !matches!(fault.class, ErrorClass::Refused | ErrorClass::Failed) => {
            StartError::Later(error.to_string())
        }
        AppError::Invalid { diagnostics, .. } => {
            let first = diagnostics.first().map(|one| one.message.as_str()).unwrap_or_default();
            StartError::Refused(format!("{error}: {first}"))
        }
        _ => StartError::Refused(error.to_string()),
    }
}
