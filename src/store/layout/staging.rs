//! The directory inside a layout in which blobs are made before they get their name. It is locked
//! for as long as it is in use, so that what a killed run left behind is told from what another
//! run is writing.

use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::disk;
use crate::core::cancel::Cancel;
use crate::error::Result;

/// A staging directory; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    dir: TempDir,
    /// Holds the lock; the directory is removed before it is closed.
    _lock: File,
}

impl Staging {
    /// Makes a staging directory in `layout`, whose lock the caller must hold: else another run
    /// could take it for a leftover before it is locked.
    pub(super) fn create(layout: &Path, cancel: &Cancel) -> Result<Self> {
        cancel.check()?;
        let dir = tempfile::Builder::new()
            .prefix(disk::PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(layout)
            .map_err(|error| disk::cannot_write(layout, error))?;
        let lock = disk::open_dir(dir.path(), false)
            .and_then(|lock| {
                lock.try_lock()?;
                Ok(lock)
            })
            .map_err(|error| disk::cannot_write(dir.path(), error))?;
        Ok(Self { dir, _lock: lock })
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Whether a file name could be that of a staging directory.
pub(super) fn is_name(name: &std::ffi::OsStr) -> bool {
    name.as_bytes()
        .strip_prefix(disk::PREFIX.as_bytes())
        .is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
}

/// Removes the staging directories of killed runs from `layout`, whose lock the caller must hold,
/// as far as that is possible. Whether any is left.
pub(super) fn sweep(layout: &Path) -> bool {
    let Ok(entries) = fs::read_dir(layout) else {
        return false;
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            is_name(&entry.file_name()) && entry.file_type().is_ok_and(|found| found.is_dir())
        })
        .filter(|entry| {
            let path = entry.path();
            let free = disk::open_dir(&path, false).is_ok_and(|dir| dir.try_lock().is_ok());
            !(free && fs::remove_dir_all(&path).is_ok())
        })
        .count()
        > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::names;

    #[test]
    fn leftovers_are_removed_and_live_ones_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join(".customize-Ab12cD/x")).expect("directories");
        fs::write(dir.path().join(".customize-Ab12cD/x/y"), b"").expect("a file");
        fs::create_dir(dir.path().join(".customize-other-name")).expect("a directory");
        std::os::unix::fs::symlink(
            ".customize-other-name",
            dir.path().join(".customize-Ab12cE"),
        )
        .expect("a link");
        let live = Staging::create(dir.path(), &Cancel::default()).expect("staging");
        assert!(sweep(dir.path()));
        let mut left = names(dir.path());
        left.retain(|name| !live.path("").ends_with(name));
        assert_eq!(left, [".customize-Ab12cE", ".customize-other-name"]);
        drop(live);
        assert!(!sweep(dir.path()));
        assert_eq!(names(dir.path()), left);
    }
}
