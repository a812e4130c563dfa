//! A run in the foreground: drives it, shows it, heeds Ctrl-C, and says at the end what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::context::{self, Context};
use super::exit::Code;
use super::failure::Failure;
use super::order;
use super::printer::Format;
use super::render::line;
use super::render::live::Live;
use super::render::summary;
use super::render::view::View;
use crate::app::{App, AppError, Ending, Session};
use crate::clock::{Clock as _, SystemClock};
use crate::engine::Observer;
use crate::journal::{Record, Store as _};
use crate::model::command::{Command, Order};
use crate::model::secret::Redactor;
use crate::model::{RunId, StepPath};

/// How often the tree is redrawn.
const REDRAW: Duration = Duration::from_millis(120);

/// How a run is shown, and when it is let go of.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Watch {
    /// How the run is shown: json prints one record a line.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// At a pause, stay and wait for orders from elsewhere instead of exiting.
    #[arg(long)]
    pub wait: bool,
}

/// What the engine has to say, on its way to the display. The engine never waits for a terminal.
enum News {
    Record(Box<Record>),
    Progress(StepPath, String),
    End,
}

/// Takes news from the engine's threads.
struct Reporter {
    news: Mutex<Sender<News>>,
    redactor: Arc<Redactor>,
}

impl Reporter {
    fn tell(&self, news: News) {
        // The display ends after the run; what comes later interests nobody.
        let _ = self.news.lock().send(news);
    }
}

impl Observer for Reporter {
    fn record(&self, _run: &RunId, record: &Record) {
        self.tell(News::Record(Box::new(record.clone())));
    }

    fn progress(&self, _run: &RunId, step: &StepPath, text: &str) {
        self.tell(News::Progress(step.clone(), self.redactor.scrub(text).into_owned()));
    }
}

/// Takes up a run that nobody holds, and drives it. `said` is the order that was just left in its inbox, if one was.
///
/// # Errors
/// When somebody else was faster, the engine cannot go on, or the order was refused.
pub fn carry_on(context: &Context, run: &RunId, watch: Watch, said: Option<&Command>) -> Result<Code, Failure> {
    let app = context.app()?;
    let head = app.store.head(run)?;
    let view = context::outline(app.store.as_ref(), &head.bundle);
    let code = follow(context, &app, view, head.records, watch, |app, observer| app.take(run, observer))?;
    let Some(command) = said else { return Ok(code) };
    let records = context::records_of(app.store.as_ref(), run, head.records)?;
    if let Some(Err(why)) = order::fate(&records, command) {
        return Err(Failure::user(format!("{} was refused: {why}", line::order(&command.what))));
    }
    if matches!(command.what, Order::Kill) {
        stop_children(context, &app, run)?;
    }
    Ok(code)
}

/// Stops the programs that a killed run has left at work.
///
/// # Errors
/// When their statuses cannot be read.
pub fn stop_children(context: &Context, app: &App, run: &RunId) -> Result<(), Failure> {
    let stopped = app.kill_children(run)?;
    if stopped > 0 {
        context.printer.note(&format!("{stopped} programs of the run were stopped"));
    }
    Ok(())
}

/// Begins or takes up a run by `begin`, drives it, and says what became of it. Its first `known` records are history.
///
/// # Errors
/// When it cannot be begun, or the engine cannot go on.
pub fn follow(
    context: &Context,
    app: &App,
    view: View,
    known: u64,
    watch: Watch,
    begin: impl FnOnce(&App, Arc<dyn Observer>) -> Result<Session, AppError>,
) -> Result<Code, Failure> {
    let printer = context.printer;
    let (sender, receiver) = channel();
    let reporter = Arc::new(Reporter { news: Mutex::new(sender), redactor: Arc::clone(&app.redactor) });
    let session = begin(app, Arc::clone(&reporter) as Arc<dyn Observer>).map_err(|error| printer.explain(error))?;
    let run = session.run().clone();
    let interrupts = Arc::new(AtomicUsize::new(0));
    let listening = listen(context, &run, &interrupts)?;
    let live = Live::new(view, printer.style(watch.output), printer.err);
    let display = std::thread::Builder::new()
        .name("display".to_owned())
        .spawn(move || show(live, &receiver, known))
        .map_err(|error| Failure::user(format!("cannot start a thread: {error}")))?;
    let ended = session.drive(app.settings.workers, watch.wait, &interrupts);
    reporter.tell(News::End);
    let view = display.join().map_err(|_| Failure::user("the display has failed; the run is as its journal says"))?;
    listening.close();
    let ending = ended.map_err(|error| {
        Failure::from(error).hint(format!("nothing is lost: `muster resume {}` goes on from here", run.short()))
    })?;
    if watch.output == Format::Table {
        printer.result(&summary::text(&view, context.now(), printer.out))?;
    }
    if ending == Ending::Parked {
        printer.note(&format!("parked; `muster resume {}` goes on from here", run.short()));
    }
    Ok(Code::of_run(&view))
}

fn show(mut live: Live, news: &Receiver<News>, known: u64) -> View {
    let mut broken = false;
    loop {
        match news.recv_timeout(REDRAW) {
            Ok(News::Record(record)) if record.seq < known || broken => live.recall(&record),
            // Nobody reads standard output any more: the run goes on all the same.
            Ok(News::Record(record)) => broken = live.record(&record).is_err(),
            Ok(News::Progress(step, text)) => live.progress(&step, &text),
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return live.finish(),
            Err(RecvTimeoutError::Timeout) => live.draw(SystemClock.now()),
        }
    }
}

/// Counts requests to stop. The first parks the run, the second lets go of it at once, a third ends the process.
fn listen(
    context: &Context,
    run: &RunId,
    interrupts: &Arc<AtomicUsize>,
) -> Result<signal_hook::iterator::Handle, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::user(format!("cannot listen for signals: {error}")))?;
    let handle = signals.handle();
    let (counter, printer, run) = (Arc::clone(interrupts), context.printer, run.clone());
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                match counter.fetch_add(1, Ordering::SeqCst) {
                    0 => printer.note(&format!(
                        "parking run {}: nothing new is begun, calls in flight end (once more to stop at once)",
                        run.short()
                    )),
                    1 => printer.note("stopping at once: what is in flight will be looked up when the run is resumed"),
                    _ => {
                        let _ = signal_hook::low_level::emulate_default_handler(signal);
                    }
                }
            }
        })
        .map_err(|error| Failure::user(format!("cannot start a thread: {error}")))?;
    Ok(handle)
}
