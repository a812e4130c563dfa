//! A run handed over to another store, and one taken over from another.

use std::path::{Path, PathBuf};

use super::{App, AppError};
use crate::evidence::handover::{self, Arrived, Beside, FORMAT, Handover};
use crate::evidence::pack::archive::is_name;
use crate::evidence::pack::key::{PublicKey, SigningKey};
use crate::evidence::pack::make::PackError;
use crate::journal::document::Write;
use crate::journal::handover::{HandedOver, KIND};
use crate::journal::{Append, Fact, Head, Record, Store as _, StoreError, apart, chain};
use crate::model::command::Actor;
use crate::model::status::Mode;
use crate::model::{RunId, Timestamp};
use crate::ops::context::Writer;
use crate::ops::files::write_atomically;
use crate::ops::process::ChildStatus;

/// A file beside the store that is longer than this stays where it is.
const LARGEST_BESIDE: u64 = 64 << 20;

/// Why a run is not handed over, or not taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The file is not what was exported.
    #[error("{0}")]
    Damaged(String),
    /// It is a copy, and the store it comes from may go on with the run.
    #[error("run {run} was not released: store and file may both go on with it")]
    NotReleased { run: RunId },
    /// There is such a run here already.
    #[error("run {run} is in this store already")]
    Here { run: RunId },
    /// It cannot be packed.
    #[error("{0}")]
    Unpackable(String),
}

/// A run that was put into a file.
pub struct Exported {
    /// The file.
    pub bytes: Vec<u8>,
    /// What whoever takes it over has to know.
    pub note: Handover,
}

impl App {
    /// Puts a run into a file that another store can go on with. With `release`, why: this store then refuses to go on with it, from before
    /// the file is there; doing it once more gives the file again. Without, it is a copy.
    ///
    /// # Errors
    /// When the run has ended, somebody holds it (to release it), or its journal is not what was written.
    pub fn export(
        &self,
        run: &RunId,
        release: Option<&str>,
        by: &Actor,
        key: &SigningKey,
    ) -> Result<Exported, AppError> {
        let head = self.store.head(run)?;
        if head.status.is_terminal() {
            return Err(AppError::Over { run: run.clone(), status: head.status.as_str() });
        }
        let before = self.store.document(KIND, run.as_str())?;
        let before = before.and_then(|document| serde_json::from_value::<HandedOver>(document.body).ok());
        let Some(reason) = release else {
            let epoch = before.as_ref().map_or(head.epoch, |over| over.epoch);
            return self.exported(&head, before.is_some(), epoch, "a copy", by, key);
        };
        if let Some(over) = before {
            return self.exported(&head, true, over.epoch, reason, by, key);
        }
        let epoch = self.lease(run)?;
        let released = || -> Result<Exported, AppError> {
            let at = self.clock.now();
            let over = HandedOver { epoch, at, by: by.name.clone(), reason: reason.to_owned() };
            let body = serde_json::to_value(over).unwrap_or_default();
            // First: from here on nobody goes on with it here, nor tells it anything that the file would not have.
            self.store.write_documents(&[Write::create(KIND, run.as_str(), body)], at)?;
            let exported = self.store.head(run).map_err(AppError::from);
            let exported = exported.and_then(|head| self.exported(&head, true, epoch, reason, by, key));
            if exported.is_err()
                && let Some(document) = self.store.document(KIND, run.as_str())?
            {
                self.store.write_documents(&[Write::remove(KIND, &document)], at)?;
            }
            exported
        };
        let outcome = released();
        self.store.release(run, epoch)?;
        outcome
    }

    fn exported(
        &self,
        head: &Head,
        released: bool,
        epoch: u64,
        reason: &str,
        by: &Actor,
        key: &SigningKey,
    ) -> Result<Exported, AppError> {
        let (beside, missing) = self.beside(&head.run)?;
        let orders = self.store.inbox(&head.run)?.into_iter().map(|(_, command)| command).collect();
        let at = self.clock.now();
        let note = |records: &[Record]| {
            let (secrets, sealed) = Handover::secrets_of(records);
            Handover {
                format: FORMAT,
                released,
                epoch,
                by: by.name.clone(),
                at,
                reason: reason.to_owned(),
                status: head.status,
                detail: head.detail.clone(),
                secrets,
                sealed,
                missing,
                orders,
            }
        };
        let written = handover::write(self.store.as_ref(), &head.run, beside, key, note);
        let (bytes, note) = written.map_err(|error| match error {
            PackError::Store(error) => AppError::Store(error),
            other => HandoverError::Unpackable(other.to_string()).into(),
        })?;
        Ok(Exported { bytes, note })
    }

    /// What stands beside the store for a run: what can be taken along, and what is said to be missing.
    fn beside(&self, run: &RunId) -> Result<(Beside, Vec<String>), AppError> {
        let (mut beside, mut missing) = (Vec::new(), Vec::new());
        let worlds = self.kept_worlds(run);
        gather(worlds.folder(), "worlds", &mut beside, &mut missing);
        let mine = format!("m-{run}-");
        for key in self.children.keys()?.into_iter().filter(|key| key.starts_with(&mine)) {
            match self.children.status(&key)? {
                ChildStatus::Ended(_) => {
                    gather(&self.children_folder().join(&key), &format!("children/{key}"), &mut beside, &mut missing);
                }
                _ => missing
                    .push(format!("the program of call {key}, which may still be at work where the run comes from")),
            }
        }
        let writer = Writer::new(std::sync::Arc::clone(&self.children));
        if writer.runs_with_images().contains(run) {
            let what = "what files held before the run changed them: it stands beside these files, and undoing such a change takes the machine they are on";
            missing.push(what.to_owned());
        }
        Ok((beside, missing))
    }

    fn children_folder(&self) -> PathBuf {
        self.settings.side_folder().join("children")
    }

    /// Takes a run over from a file that bears this signature. A file that was not released needs a reason to be taken all the same. The
    /// run's record says from then on where it came from.
    ///
    /// # Errors
    /// When the file is not what was exported, was not released, or the run is here already.
    pub fn adopt(
        &self,
        bytes: &[u8],
        pinned: &PublicKey,
        take_over: Option<&str>,
        by: &Actor,
    ) -> Result<Arrived, AppError> {
        let arrived = handover::read(bytes, pinned).map_err(|error| HandoverError::Damaged(error.to_string()))?;
        let run = arrived.run.clone();
        if !arrived.note.released && take_over.is_none() {
            return Err(HandoverError::NotReleased { run }.into());
        }
        match self.store.head(&run) {
            // A run of which nothing was ever written is one whose taking over was cut short.
            Ok(head) if head.records > 0 => return self.take_back(arrived, take_over, by),
            Ok(_) | Err(StoreError::NoSuchRun(_)) => {
                let last = arrived.records.last().map_or(0, |record| record.epoch);
                let head = Head {
                    epoch: arrived.note.epoch.max(last),
                    ..crate::evidence::pack::verify::head_of(&run, &arrived.lines)
                        .map_err(|error| HandoverError::Damaged(error.to_string()))?
                };
                self.put_beside(&run, &arrived.beside)?;
                arrived.blobs.iter().try_for_each(|blob| self.store.put_blob(blob).map(drop))?;
                self.keep_bundle(&arrived.bundle)?;
                self.store.create(&head)?;
            }
            Err(error) => return Err(error.into()),
        }
        let epoch = self.lease(&run)?;
        let text = format!(
            "taken over from another store: exported by {} at {} under epoch {} ({}), signed with {}{}",
            arrived.note.by,
            arrived.note.at,
            arrived.note.epoch,
            if arrived.note.released { "released" } else { "a copy: the other store may go on with it" },
            arrived.signer.fingerprint(),
            take_over.map(|reason| format!("; taken over because: {reason}")).unwrap_or_default()
        );
        let written = self.write_journal(&arrived, epoch, text, by);
        self.store.release(&run, epoch)?;
        written?;
        for command in &arrived.note.orders {
            self.store.post(&run, command)?;
        }
        Ok(arrived)
    }

    /// A run that this store released, and that comes back as it went: nobody has gone on with it, says whoever gives the reason.
    fn take_back(&self, arrived: Arrived, take_over: Option<&str>, by: &Actor) -> Result<Arrived, AppError> {
        let run = arrived.run.clone();
        let here = || AppError::from(HandoverError::Here { run: run.clone() });
        let document = self.store.document(KIND, run.as_str())?.ok_or_else(here)?;
        let reason = take_over.ok_or_else(here)?;
        if self.store.load(&run)?.lines != arrived.lines {
            return Err(here());
        }
        self.store.write_documents(&[Write::remove(KIND, &document)], self.clock.now())?;
        let text = format!("taken back, nobody having gone on with it: {reason}");
        self.store.post(
            &run,
            &crate::model::command::Command { by: by.clone(), what: crate::model::command::Order::Note { text } },
        )?;
        Ok(arrived)
    }

    /// All of the journal, and where it came from, in one append: it is here whole or not at all.
    fn write_journal(&self, arrived: &Arrived, epoch: u64, text: String, by: &Actor) -> Result<(), AppError> {
        let in_sandbox = matches!(
            arrived.records.first().map(|record| &record.fact),
            Some(Fact::RunStarted { mode: Mode::Sandbox, .. })
        );
        // In the sandbox no time passes on the way.
        let now = if in_sandbox { Timestamp::MIN } else { self.clock.now() };
        let at = arrived.records.last().map_or(now, |record| record.at.max(now));
        let seq = arrived.records.len() as u64;
        let mut record = Record { seq, at, epoch, fact: Fact::Noted { by: by.clone(), text } };
        let (line, blobs) = apart::encode(&mut record);
        let mut lines = arrived.lines.clone();
        let hash = chain::fold(&arrived.hash, &line);
        lines.push(line);
        Ok(self.store.append(Append {
            run: arrived.run.clone(),
            epoch,
            first_seq: 0,
            lines,
            blobs,
            hash,
            consumed: Vec::new(),
            status: arrived.note.status,
            detail: arrived.note.detail.clone(),
            updated: at,
        })?)
    }

    fn put_beside(&self, run: &RunId, beside: &Beside) -> Result<(), AppError> {
        let mine = format!("m-{run}-");
        for (name, content) in beside {
            let parts: Vec<&str> = name.split('/').collect();
            let path = match parts.as_slice() {
                ["worlds", file] => self.kept_worlds(run).folder().join(file),
                ["children", key, file] if key.starts_with(&mine) => self.children_folder().join(key).join(file),
                _ => {
                    return Err(HandoverError::Damaged(format!("{name} is nothing that belongs beside a store")).into());
                }
            };
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|source| AppError::System { act: "make the folder beside the store", source })?;
            }
            write_atomically(&path, content, 0o600)?;
        }
        Ok(())
    }
}

/// The plain files of a folder as members; what cannot be one is said to be missing.
fn gather(folder: &Path, prefix: &str, beside: &mut Beside, missing: &mut Vec<String>) {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "lock" && !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    for name in names {
        let (path, member) = (folder.join(&name), format!("{prefix}/{name}"));
        let plain = path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_BESIDE);
        match std::fs::read(&path) {
            Ok(content) if plain && is_name(&member) => beside.push((member, content)),
            _ => missing.push(format!("{}, which cannot be taken along", path.display())),
        }
    }
}
