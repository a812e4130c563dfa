//! The mark beside what a call is about to put in place: what it will be there. It is durable before the rename that puts it
//! there, so that a later process can tell whether the rename took place.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::fault::OpError;
use crate::ops::files::{beside, cannot, id_at, remove_if_there, write_by_way_of};

/// The paths that belong to one call that puts something at `target`.
pub(in crate::ops) struct Beside {
    pub target: PathBuf,
    /// Where it is made.
    pub stage: PathBuf,
    /// Where what was there before is kept.
    pub image: PathBuf,
    mark: PathBuf,
}

/// What a call is about to put in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::ops) struct Mark {
    /// Device and inode: a rename keeps them.
    pub id: String,
    pub bytes: u64,
    pub sha256: String,
    pub entries: u64,
}

/// Where what was marked is.
pub(in crate::ops) enum Where {
    /// Nothing was ever marked: at most unfinished work lies under the temporary name.
    Nowhere,
    /// Under its temporary name still.
    Staged,
    /// In place.
    InPlace(Mark),
    /// It was put in place, and is not there any more.
    Gone,
}

impl Beside {
    pub(in crate::ops) fn of(target: &Path, key: &str) -> Self {
        Self {
            target: target.to_owned(),
            stage: beside(target, "part", key),
            image: beside(target, "before", key),
            mark: beside(target, "made", key),
        }
    }

    pub(in crate::ops) fn write_mark(&self, mark: &Mark) -> Result<(), OpError> {
        let text = serde_json::to_vec(mark).map_err(|e| cannot("write", &self.mark, &e.into()))?;
        write_by_way_of(&self.unfinished_mark(), &self.mark, &text, 0o600)
    }

    pub(in crate::ops) fn remove_mark(&self) -> Result<(), OpError> {
        remove_if_there(&self.unfinished_mark())?;
        remove_if_there(&self.mark)
    }

    fn unfinished_mark(&self) -> PathBuf {
        self.mark.with_added_extension("new")
    }

    pub(in crate::ops) fn locate(&self) -> Result<Where, OpError> {
        let mark: Mark = match std::fs::read(&self.mark) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| cannot("read", &self.mark, &e.into()))?,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Where::Nowhere);
            }
            Err(e) => return Err(cannot("read", &self.mark, &e)),
        };
        let is_at = |path: &Path| Ok::<_, OpError>(id_at(path)?.as_deref() == Some(mark.id.as_str()));
        Ok(if is_at(&self.target)? {
            Where::InPlace(mark)
        } else if is_at(&self.stage)? {
            Where::Staged
        } else {
            Where::Gone
        })
    }

    /// Whether what is at the target was put there by this call, as far as its mark tells.
    pub(in crate::ops) fn is_in_place(&self) -> Result<bool, OpError> {
        Ok(matches!(self.locate()?, Where::InPlace(_)))
    }
}
