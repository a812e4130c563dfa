//! A run in the foreground: shown while it goes on, listening to Ctrl-C, summed up at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::context::Context;
use super::exit::Code;
use super::failure::Failure;
use super::printer::Format;
use super::render::live::Live;
use super::render::summary;
use super::render::view::View;
use crate::app::{App, AppError, Session, Settings};
use crate::engine::Observer;
use crate::journal::Record;
use crate::journal::Store as _;
use crate::model::{RunId, StepPath};
use crate::playbook::types::Playbook;

/// How often the tree is redrawn.
const REDRAW: Duration = Duration::from_millis(150);

/// How a run is followed.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Stay with the run while it waits for people; what they say from elsewhere reaches it here.
    #[arg(long)]
    pub wait: bool,
    /// Form of the output: a live view, or one record a line.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Opens what a run needs.
///
/// # Errors
/// When the store cannot be opened.
pub fn app(context: &Context) -> Result<App, Failure> {
    let app = App::open(Settings::from_environment(Some(context.store_path.clone())))?;
    for warning in app.store.warnings() {
        context.printer.warn(&warning);
    }
    Ok(app)
}

/// Shows a run's records.
pub struct Screen {
    live: Mutex<Live>,
}

impl Screen {
    /// A screen for a playbook's steps.
    #[must_use]
    pub fn new(context: &Context, manner: Manner, playbook: &Playbook) -> Arc<Self> {
        let steps = playbook.steps.iter().map(|step| (step.id.value.as_str(), step.title.as_str()));
        let style = context.printer.style(manner.output);
        Arc::new(Self { live: Mutex::new(Live::new(View::of_steps(steps), style, context.printer.err)) })
    }

    /// Takes history in without showing it.
    pub fn recall(&self, records: &[Record]) {
        let mut live = self.live.lock();
        records.iter().for_each(|record| live.recall(record));
    }
}

/// Hands records on to the screen once it is to show them; before that it is recalled what happened earlier.
pub struct Watching {
    screen: Arc<Screen>,
    from: u64,
}

impl Watching {
    /// Shows records from this sequence number on; those before have been recalled.
    #[must_use]
    pub fn from(screen: &Arc<Screen>, from: u64) -> Arc<Self> {
        Arc::new(Self { screen: Arc::clone(screen), from })
    }
}

impl Observer for Watching {
    fn record(&self, _: &RunId, record: &Record) {
        if record.seq >= self.from {
            // A closed standard output must not stop a recovery.
            let _ = self.screen.live.lock().record(record);
        }
    }

    fn progress(&self, _: &RunId, step: &StepPath, text: &str) {
        self.screen.live.lock().progress(step, text);
    }
}

/// Drives a run to its end or to where it waits for people, and sums it up.
///
/// # Errors
/// When the engine cannot go on; the run can be resumed.
pub fn drive(
    context: &Context,
    app: &App,
    session: Session,
    screen: &Arc<Screen>,
    manner: Manner,
) -> Result<Code, Failure> {
    let interrupts = Arc::new(AtomicUsize::new(0));
    watch_signals(&interrupts);
    let run = session.run().clone();
    let drawing = Arc::new(AtomicBool::new(true));
    let artist = {
        let (screen, drawing, clock) = (Arc::clone(screen), Arc::clone(&drawing), Arc::clone(&app.clock));
        std::thread::spawn(move || {
            while drawing.load(Ordering::Relaxed) {
                screen.live.lock().draw(clock.now());
                std::thread::sleep(REDRAW);
            }
        })
    };
    let ended = session.drive(app.settings.workers, manner.wait, &interrupts);
    drawing.store(false, Ordering::Relaxed);
    // It only draws: if it panicked there is nothing to be had from it.
    let _ = artist.join();
    screen.live.lock().erase();
    let killed = app.store.head(&run).is_ok_and(|head| head.status == crate::model::status::RunStatus::Killed);
    if killed {
        app.kill_children(&run).map_err(AppError::from)?;
    }
    ended?;
    let live = screen.live.lock();
    let text = summary::text(live.view(), app.clock.now(), context.printer.err);
    if manner.output == Format::Table {
        context.printer.note(text.trim_end());
    }
    Ok(Code::of_run(live.view()))
}

/// Counts requests to stop: the first parks the run, the second lets go of it at once.
fn watch_signals(count: &Arc<AtomicUsize>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let count = Arc::clone(count);
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || {
            for _ in signals.forever() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

/// Takes up a run that nobody holds and drives it.
///
/// # Errors
/// When somebody alive holds it, it has ended, or the engine cannot go on.
pub fn take(context: &Context, app: &App, run: &RunId, manner: Manner) -> Result<Code, Failure> {
    let bundle = app.bundle_of(run)?;
    let screen = Screen::new(context, manner, &bundle.playbook);
    let history = app.records(run)?;
    screen.recall(&history);
    let session = app.take(run, Watching::from(&screen, history.len() as u64))?;
    drive(context, app, session, &screen, manner)
}
