//! What an operation may use while it works: the call's identity, secrets, processes and files. The reading context has no
//! way to write; the writing one adds it.

use std::path::Path;
use std::sync::Arc;

use super::images::Images;
use super::process::{Captured, Children, ReadCommand, WriteCommand};
use super::secrets::Secrets;
use crate::clock::Clock;
use crate::model::fault::OpError;
use crate::model::{RunId, Timestamp, Value};

/// The tools an operation reads with.
pub struct ReadContext<'c> {
    /// The run that asks.
    pub run: &'c RunId,
    /// The idempotency key of the call; empty for calls without an effect.
    pub key: &'c str,
    /// The image taken before the intent; `Null` before that, and for calls without an effect.
    pub before: &'c Value,
    /// When the call must have ended.
    pub deadline: Option<Timestamp>,
    /// The clock.
    pub clock: &'c dyn Clock,
    /// Resolves secret handles, and learns them for redaction.
    pub secrets: &'c Secrets,
    /// Supervised children, by key: status of those started, by this process or a former one.
    pub children: &'c Children,
}

impl ReadContext<'_> {
    /// Runs a program that only reads, captures what it prints and waits for its end (30 s unless the command says
    /// otherwise).
    ///
    /// # Errors
    /// Refused when the binary is missing; failed when it exits non-zero and the command does not allow that; transient
    /// when it does not end in time.
    pub fn run_read(&self, command: &ReadCommand) -> Result<Captured, OpError> {
        super::process::run_read(command, self.deadline, self.clock)
    }
}

/// The tools an operation writes with.
pub struct WriteContext<'c> {
    /// What it reads with.
    pub read: ReadContext<'c>,
    pub(super) writer: &'c Writer,
}

/// The right to write. Only the live backend makes one; a plan has none, so that it cannot build a [`WriteContext`].
pub struct Writer {
    pub(super) children: Arc<Children>,
    pub(super) images: Images,
}

impl Writer {
    /// The right to write, with children and lists of before-images in the same folder.
    #[must_use]
    pub fn new(children: Arc<Children>) -> Self {
        let images = Images::in_folder(children.folder.clone());
        Self { children, images }
    }

    /// The runs that have before-images. They are dropped at the end of a run, unless the engine dies right then.
    #[must_use]
    pub fn runs_with_images(&self) -> Vec<RunId> {
        self.images.runs()
    }

    /// Deletes the before-images of a run that has ended.
    pub fn drop_images(&self, run: &RunId) {
        self.images.drop_all(run);
    }
}

impl WriteContext<'_> {
    /// Runs a short program that writes and waits for its end. For programs whose effect the probe can see in the world.
    ///
    /// # Errors
    /// As [`ReadContext::run_read`], but a program that does not end in time leaves the call unknown.
    pub fn run_write(&self, command: &ReadCommand) -> Result<Captured, OpError> {
        super::process::run_write(command, self.read.deadline, self.read.clock)
    }

    /// Starts a program under a supervisor that outlives this process and leaves a durable status under the call's key.
    ///
    /// # Errors
    /// Refused when nothing was started.
    pub fn launch(&self, command: &WriteCommand) -> Result<(), OpError> {
        self.writer.children.launch(self.read.key, command, self.read.deadline)
    }

    /// Forgets the child of this call: its status and captured output.
    pub fn forget_child(&self) {
        self.writer.children.forget(self.read.key);
    }

    /// Notes durably that a before-image of this run is about to be at this path: it is deleted when the run has ended. Its
    /// name has to have `.before-` in it.
    ///
    /// # Errors
    /// Failed, when the list cannot be written.
    pub fn keep_image(&self, image: &Path) -> Result<(), OpError> {
        self.writer
            .images
            .note(self.read.run, image)
            .map_err(|e| super::files::cannot("note the before-image", image, &e))
    }

    /// Writes a file so that a crash leaves the old or the new one: temporary name, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// Failed, with the path and the system's reason.
    pub fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), OpError> {
        super::files::write_atomically(path, bytes, mode)
    }
}
