//! The life of the server: it waits for its turn, serves, drains, and ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use super::leader::{self, Claim, Leader};
use super::otlp::Exporter;
use super::pages::memo;
use super::server::{Options, Phase, Server};
use super::{http, messages, schedules, table, traces};
use crate::access::{AccessError, Desk};
use crate::app::App;
use crate::journal::StoreError;
use crate::schedule::file::FileError;

/// How often a server that stands by looks whether the other lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether somebody asked it to end.
const HEED_EVERY: Duration = Duration::from_millis(50);
/// How many requests may wait for the store, and tasks read it, at the same time.
const BLOCKING: usize = 64;

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another does.
    #[error("this store is served already: process {} at {} since {}", .leader.holder.pid, .leader.address, .leader.since)]
    Served { leader: Box<Leader> },
    /// It would be reached from elsewhere, and nobody could say who they are.
    #[error("refused to listen on {address}: there is no token, so whoever reaches it could do anything")]
    NoToken { address: SocketAddr },
    /// The system.
    #[error("cannot {act}: {source}")]
    System { act: String, source: std::io::Error },
    /// What the environment says of traces does not do.
    #[error("cannot export traces: {why}")]
    Traces { why: String },
    /// The schedules cannot be read.
    #[error(transparent)]
    Schedules(#[from] FileError),
    /// Tokens cannot be read.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Serves until it is told to end. `signals` counts how often that was: the first drains, the second ends at once. `ready` is told where it
/// listens and whether it serves or stands by, each time that changes.
///
/// # Errors
/// When another serves this store and it is not to stand by, or it cannot listen.
pub fn serve(
    app: App,
    options: Options,
    signals: &Arc<AtomicUsize>,
    ready: &dyn Fn(SocketAddr, Phase),
) -> Result<usize, ServeError> {
    let system = |act: &str| {
        let act = act.to_owned();
        move |source| ServeError::System { act, source }
    };
    let app = Arc::new(app);
    if !options.listen.ip().is_loopback()
        && !Desk::new(app.store(), Arc::clone(&app.redactor)).has_tokens(app.clock.now())?
    {
        return Err(ServeError::NoToken { address: options.listen });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(system("start threads"))?;
    let listener = runtime
        .block_on(TcpListener::bind(options.listen))
        .map_err(system(&format!("listen on {}", options.listen)))?;
    let address = listener.local_addr().map_err(system("listen"))?;
    let server = Arc::new(Server::new(app, options, table::endpoints(), runtime.handle().clone()));
    let scheduler = match &server.options.schedules {
        Some(path) => Some(schedules::scheduler(&server, path)?),
        None => None,
    };
    let exporter = server.options.traces.then(|| Exporter::new(runtime.handle().clone())).transpose();
    let exporter = exporter.map_err(|why| ServeError::Traces { why })?;
    let told = || signals.load(Ordering::SeqCst);
    // Asked before anything is answered: who only wanted to be the first does not appear at all.
    let store = server.app.store();
    let first = leader::claim(store.as_ref(), server.app.clock.as_ref(), &address.to_string())?;
    if let (Claim::Theirs(leader), false) = (&first, server.options.standby) {
        return Err(ServeError::Served { leader: leader.clone() });
    }
    let serving = runtime.spawn(http::serve(Arc::clone(&server), listener));
    if let Some(exporter) = exporter {
        traces::watch(&server, exporter).map_err(system("start threads"))?;
    }
    let mut claim = first;
    if claim != Claim::Ours {
        ready(address, Phase::Standby);
    }
    while claim != Claim::Ours && told() == 0 {
        std::thread::sleep(LOOK_EVERY);
        claim = leader::claim(store.as_ref(), server.app.clock.as_ref(), &address.to_string())?;
    }
    let mut parked = 0;
    if claim == Claim::Ours {
        server.phase.send_replace(Phase::Leading);
        server.runner.work(server.options.workers).map_err(system("start threads"))?;
        let looking = scheduler.map(|scheduler| schedules::watch(&server, scheduler)).transpose();
        let looking = looking.map_err(system("start threads"))?;
        if let Some(config) = server.options.notify.clone() {
            messages::watch(&server, config).map_err(system("start threads"))?;
        }
        memo::warm(&server).map_err(system("start threads"))?;
        ready(address, Phase::Leading);
        while told() == 0 {
            std::thread::sleep(HEED_EVERY);
        }
        ready(address, Phase::Draining);
        server.phase.send_replace(Phase::Draining);
        if let Some(looking) = looking {
            // A panic in there has been told.
            let _ = looking.join();
        }
        parked = server.runner.drain(&|| told() > 1)?;
        leader::resign(store.as_ref(), server.app.clock.as_ref())?;
    }
    server.phase.send_replace(Phase::Over);
    if told() < 2 {
        // What was asked before is answered.
        let _ = runtime.block_on(serving);
    }
    runtime.shutdown_timeout(Duration::from_millis(500));
    Ok(parked)
}
