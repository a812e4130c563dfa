//! Which before-images a run has left beside the files it replaced: a durable list, so that the end of the run can delete them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::files::{kill_point, sync_folder};
use crate::model::RunId;

/// The lists, one file a run.
pub(super) struct Images {
    folder: PathBuf,
}

/// What the name of every before-image has in it. Nothing without it is ever deleted.
const MARK: &str = ".before-";

impl Images {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Notes durably that there is about to be a before-image of this run at this path.
    pub(super) fn note(&self, run: &RunId, image: &Path) -> io::Result<()> {
        kill_point();
        std::fs::create_dir_all(&self.folder)?;
        let mut list = OpenOptions::new().append(true).create(true).mode(0o600).open(self.list_of(run))?;
        // One line a path; a line that a crash cut short has no image yet.
        list.write_all(format!("{}\n", serde_json::to_string(image)?).as_bytes())?;
        list.sync_all()?;
        sync_folder(&self.folder)
    }

    /// Deletes the before-images of a run.
    pub(super) fn drop_all(&self, run: &RunId) {
        let list = self.list_of(run);
        let Ok(text) = std::fs::read_to_string(&list) else { return };
        for image in text.lines().filter_map(|line| serde_json::from_str::<PathBuf>(line).ok()) {
            if image.file_name().is_some_and(|name| name.to_string_lossy().contains(MARK)) {
                let _ = std::fs::remove_file(image);
            }
        }
        let _ = std::fs::remove_file(list);
    }

    /// The runs that have before-images.
    pub(super) fn runs(&self) -> Vec<RunId> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().ok();
        entries.flatten().filter_map(|entry| name(entry)?.strip_suffix(".images")?.parse().ok()).collect()
    }

    fn list_of(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("{run}.images"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_deletes_its_before_images_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (RunId::from_entropy(1), RunId::from_entropy(2));
        let images = Images::in_folder(dir.path().join("children"));
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let (mine, foreign, precious) = (file(".a.before-k"), file(".b.before-k"), file("precious"));
        images.note(&one, &mine).unwrap();
        images.note(&one, &precious).unwrap();
        images.note(&two, &foreign).unwrap();
        images.drop_all(&one);
        images.drop_all(&one);
        assert_eq!((mine.exists(), foreign.exists(), precious.exists()), (false, true, true));
    }
}
