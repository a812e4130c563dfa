//! What every command works with: where the store is, how output looks, what time it is.

use std::sync::Arc;

use super::failure::Failure;
use super::printer::Printer;
use super::render::brief;
use super::render::view::View;
use crate::access::audit::Deed;
use crate::access::{AccessError, Act, Desk, Identity, Subject, decide};
use crate::app::{App, Settings};
use crate::clock::{Clock as _, SystemClock};
use crate::journal::sqlite::{Options, SqliteStore};
use crate::journal::{Head, Record, Store, StoreError, apart};
use crate::model::secret::Redactor;
use crate::model::{RunId, Timestamp};
use crate::playbook::bundle::Bundle;

/// What every command works with.
pub struct Context {
    /// Where things are, and who is at the keyboard.
    pub settings: Settings,
    /// Where output goes.
    pub printer: Printer,
}

impl Context {
    /// Opens the store, to look or to leave an order. What its owner should know goes to standard error.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self) -> Result<Arc<SqliteStore>, Failure> {
        let options = Options { who: Some(self.settings.actor.name.clone()), ..Options::default() };
        let store = SqliteStore::open(&self.settings.store, options)?;
        self.warn_of(&store);
        Ok(Arc::new(store))
    }

    /// Opens the store and what belongs to it, to carry runs on.
    ///
    /// # Errors
    /// When it cannot be opened, or is read-only.
    pub fn app(&self) -> Result<App, Failure> {
        let app = App::open(self.settings.clone())?;
        self.warn_of(&app.store);
        Ok(app)
    }

    /// Who is at the keyboard, asserted: whoever can write the store's file can do everything to it anyway.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::asserted(&self.settings.actor)
    }

    /// Where it is decided what they may do, and written down.
    #[must_use]
    pub fn desk(&self, store: Arc<SqliteStore>) -> Desk {
        Desk::new(store, Arc::new(Redactor::default()))
    }

    /// Lets whoever is at the keyboard do something with a playbook, and writes it down before it is done.
    ///
    /// # Errors
    /// When they may not, or the store cannot be written.
    pub fn permit(&self, app: &App, act: Act, playbook: &str, on: &str) -> Result<(), Failure> {
        let desk = Desk::new(app.store(), Arc::clone(&app.redactor));
        let deed = Deed::done(act.name(), on).with("playbook", playbook);
        Ok(desk.permit(&self.identity(), act, &Subject::Playbook(playbook), deed, self.now())?)
    }

    /// Writes down that evidence or a run is taken away, before it is. A store that cannot be written keeps nobody from it: what has become of
    /// it is often the reason. That it is not in the log is said.
    ///
    /// # Errors
    /// When they may not.
    pub fn take_away(
        &self,
        store: Arc<SqliteStore>,
        act: Act,
        playbook: Option<&str>,
        on: &str,
    ) -> Result<(), Failure> {
        let deed = Deed::done(act.name(), on);
        let subject = playbook.map_or(Subject::Whole, Subject::Playbook);
        decide(&self.identity(), act, &subject).map_err(AccessError::from)?;
        match self.desk(store).permit(&self.identity(), act, &subject, deed, self.now()) {
            Err(AccessError::Store(error)) => {
                self.printer.warn(&format!("that this was taken away is not in the audit log: {error}"));
                Ok(())
            }
            other => Ok(other?),
        }
    }

    fn warn_of(&self, store: &SqliteStore) {
        for warning in store.warnings() {
            self.printer.warn(&warning);
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// The head of the run meant by an id, a prefix or `@latest`.
///
/// # Errors
/// When there is no such run, or several.
pub fn head_of(store: &dyn Store, text: &str) -> Result<Head, Failure> {
    let run = store.resolve(&brief::cut(text, 80)).map_err(|error| match (&error, text) {
        (StoreError::NoSuchRun(_), "@latest") => {
            Failure::user("there is no run yet").hint("`muster run PLAYBOOK` starts one")
        }
        _ => Failure::from(error),
    })?;
    Ok(store.head(&run)?)
}

/// A run's records, as far as they can be read, without the proof that they are what was written.
///
/// # Errors
/// When the store cannot be read, or a record is none.
pub fn records_of(store: &dyn Store, run: &RunId, from_seq: u64) -> Result<Vec<Record>, Failure> {
    let lines = store.tail(run, from_seq)?;
    lines.iter().enumerate().map(|(place, line)| record_of(store, run, from_seq + place as u64, line)).collect()
}

/// The record on a stored line, with what is kept apart of it.
///
/// # Errors
/// When it is none, or what is kept apart of it is not there.
pub fn record_of(store: &dyn Store, run: &RunId, seq: u64, line: &str) -> Result<Record, Failure> {
    Ok(apart::record(store, run, seq, line)?)
}

/// A run as people see it, with the steps it has not come to, if its bundle can be read.
///
/// # Errors
/// When its journal cannot be read.
pub fn view_of(store: &dyn Store, head: &Head) -> Result<View, Failure> {
    let mut view = outline(store, &head.bundle);
    for record in records_of(store, &head.run, 0)? {
        view.apply(&record);
    }
    Ok(view)
}

/// A view of nothing but the steps of a stored bundle; of nothing at all if it cannot be read.
#[must_use]
pub fn outline(store: &dyn Store, digest: &str) -> View {
    let bundle = store.blob(digest).ok().and_then(|bytes| Bundle::from_bytes(&bytes).ok());
    bundle.map(|bundle| outline_of(&bundle)).unwrap_or_default()
}

/// A view of nothing but the steps of a bundle.
#[must_use]
pub fn outline_of(bundle: &Bundle) -> View {
    View::of_steps(bundle.playbook.steps.iter().map(|step| (step.id.value.as_str(), step.title.as_str())))
}
