//! `muster serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::schedule::default_path;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::evidence::notify::config::Config;
use crate::serve::otlp::is_wanted;
use crate::serve::{self, Options, Phase, runner};

/// Serve runs, schedules and the API from one process.
///
/// Carries on the runs that are begun through it, and those whose holder died; answers the HTTP API. One server works for a store at a
/// time: a second one is refused, or with --standby waits and takes over within seconds when the first dies. SIGTERM drains: nothing new is
/// begun, calls in flight end, and the next server carries the runs on; once more ends at once.
///
/// Example: muster serve --listen 127.0.0.1:8099 --playbooks /etc/muster/playbooks
#[derive(clap::Args)]
#[command(after_help = "GET /api/v1/openapi.json describes the API. docs/serve.md says how to run it as a service.")]
pub struct Args {
    /// Where to listen; port 0 takes any and says which. Beyond this machine only once there is a token.
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// A folder with playbooks that may be started, besides the shipped ones; ./playbooks if none is given.
    #[arg(long, value_name = "DIR")]
    playbooks: Vec<PathBuf>,
    /// The schedules to look at; $MUSTER_SCHEDULES, or schedules.yaml in this folder if there is one, if not given.
    #[arg(long, value_name = "FILE")]
    schedules: Option<PathBuf>,
    /// Who is told what happens to runs; $MUSTER_NOTIFY, or notify.yaml in this folder if there is one, if not given.
    #[arg(long, value_name = "FILE")]
    notify: Option<PathBuf>,
    /// Where people reach it, if not at the address itself: requests to other names are refused.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// When another server works for this store, wait and take over when it ends.
    #[arg(long)]
    standby: bool,
    /// How many calls may be in flight at the same time.
    #[arg(long, default_value_t = runner::WORKERS, value_name = "N", value_parser = workers)]
    workers: usize,
    /// Form of the log on standard error; $MUSTER_LOG sets what is logged (`info`, `debug`, `muster::serve=debug`).
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=256) => Ok(count),
        _ => Err("from 1 to 256".to_owned()),
    }
}

/// Form of the log.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line an event, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Does it.
///
/// # Errors
/// When another serves the store, or it cannot listen.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    log_to_stderr(args.log_format)?;
    let app = context.app()?;
    let playbooks = if args.playbooks.is_empty() { vec![PathBuf::from("playbooks")] } else { args.playbooks.clone() };
    for folder in &args.playbooks {
        if !folder.is_dir() {
            return Err(
                Failure::user(format!("there is no folder {}", folder.display())).hint("--playbooks names a folder")
            );
        }
    }
    let notify = args.notify.clone().or_else(|| std::env::var_os("MUSTER_NOTIFY").map(PathBuf::from));
    let notify = notify.or_else(|| Some(PathBuf::from("notify.yaml")).filter(|path| path.is_file()));
    let notify = notify.map(|path| Config::read(&path)).transpose();
    let notify = notify.map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
    let options = Options {
        notify,
        listen: args.listen,
        playbooks,
        schedules: args.schedules.clone().or_else(|| Some(default_path()).filter(|path| path.is_file())),
        public_url: args.public_url.clone(),
        traces: is_wanted(&|name| std::env::var(name).ok()),
        standby: args.standby,
        workers: args.workers,
    };
    let signals = Arc::new(AtomicUsize::new(0));
    let listening = listen(&signals)?;
    let printer = context.printer;
    let parked = serve::serve(app, options, &signals, &|address, phase| match phase {
        Phase::Standby => {
            printer.note(&format!("standing by at http://{address}: another server works for this store"))
        }
        Phase::Leading => printer.note(&format!("serving at http://{address}")),
        Phase::Draining | Phase::Over => {
            printer.note("draining: nothing new is begun, calls in flight end (once more to stop at once)");
        }
    })?;
    listening.close();
    if parked > 0 {
        printer.note(&format!("{parked} runs parked for the next server"));
    }
    Ok(Code::Done)
}

fn listen(counter: &Arc<AtomicUsize>) -> Result<signal_hook::iterator::Handle, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::user(format!("cannot listen for signals: {error}")))?;
    let (handle, counter) = (signals.handle(), Arc::clone(counter));
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if counter.fetch_add(1, Ordering::SeqCst) >= 2 {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        })
        .map_err(|error| Failure::user(format!("cannot start a thread: {error}")))?;
    Ok(handle)
}

fn log_to_stderr(format: LogFormat) -> Result<(), Failure> {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;
    let filter = match std::env::var("MUSTER_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::user(format!("MUSTER_LOG is no filter: {error}")).hint("like `info` or `debug`")
        })?,
        _ => EnvFilter::new("info"),
    };
    let writer = std::io::stderr;
    let registry = tracing_subscriber::registry().with(filter);
    let set = match format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
            tracing::subscriber::set_global_default(registry.with(layer))
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().with_writer(writer).with_ansi(false);
            tracing::subscriber::set_global_default(registry.with(layer))
        }
    };
    set.map_err(|error| Failure::user(format!("cannot log: {error}")))
}
