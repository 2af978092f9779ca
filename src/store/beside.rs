//! A file that is written beside the one that it will replace, and takes its name only when it is
//! whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use super::disk;
use crate::error::{Error, Result};

/// A temporary file beside the file that it will replace. Dropped, it is removed; left behind by a
/// kill, it is removed by the next one for the same target: a lock tells which are in use.
#[derive(Debug)]
pub(super) struct Beside {
    temp: NamedTempFile,
    target: PathBuf,
}

impl Beside {
    /// Whether `target` could be replaced, as far as a look tells: the file that would be, at the
    /// end of a symlink. Nothing is changed.
    pub(super) fn check(target: &Path) -> Result<PathBuf> {
        let target = match fs::symlink_metadata(target) {
            Ok(found) if found.is_symlink() => fs::canonicalize(target)
                .map_err(|error| Error::file("follow the link", target, error))?,
            _ => target.to_owned(),
        };
        match fs::metadata(&target) {
            Ok(found) if !found.is_file() => {
                return Err(Error::usage(format!(
                    "expected a plain file or nothing, found {}: {}",
                    if found.is_dir() {
                        "a directory"
                    } else {
                        "something else"
                    },
                    target.display()
                )));
            }
            _ => {}
        }
        if !disk::parent_of(&target).is_dir() {
            return Err(disk::no_parent(&target));
        }
        Ok(target)
    }

    /// Creates the temporary file, `mode` less the umask. A symlink is followed, so that the file
    /// it points to is the one that is replaced.
    pub(super) fn create(target: &Path, mode: u32) -> Result<Self> {
        let target = Self::check(target)?;
        let parent = disk::parent_of(&target);
        let prefix = temp_prefix(target.file_name().unwrap_or_default());
        sweep_files(parent, &prefix);
        let temp = loop {
            let temp = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(parent)
                .map_err(|error| disk::cannot_write(&target, error))?;
            // Between creation and lock another run may have taken the file for a leftover. Without
            // locks there is nothing that could.
            let _ = temp.as_file().lock();
            match temp.as_file().metadata() {
                Ok(found) if found.nlink() == 0 => {}
                _ => break temp,
            }
        };
        Ok(Self { temp, target })
    }

    /// The temporary file.
    pub(super) fn file(&mut self) -> &mut File {
        self.temp.as_file_mut()
    }

    /// The file to be replaced.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Replaces the target, unless it holds the same bytes already: whether it was replaced.
    /// With `sync`, bytes and name are on the disk when this returns.
    pub(super) fn publish(self, sync: bool) -> Result<bool> {
        if self.equals_target() {
            return Ok(false);
        }
        let Self { temp, target } = self;
        if sync {
            temp.as_file()
                .sync_all()
                .map_err(|error| disk::cannot_write(&target, error))?;
        }
        temp.persist(&target)
            .map_err(|error| disk::cannot_write(&target, error.error))?;
        if sync {
            disk::sync_dir(disk::parent_of(&target))?;
        }
        Ok(true)
    }

    fn equals_target(&self) -> bool {
        let Ok(Some((old, size))) = disk::open_plain(&self.target) else {
            return false;
        };
        let Ok(new) = File::open(self.temp.path()) else {
            return false;
        };
        new.metadata().is_ok_and(|found| found.len() == size) && same_bytes(old, new)
    }
}

fn same_bytes(old: impl Read, new: impl Read) -> bool {
    let (mut old, mut new) = (old, new);
    let (mut a, mut b) = (vec![0; disk::PIECE], vec![0; disk::PIECE]);
    loop {
        let Ok(n) = old.read(&mut a) else {
            return false;
        };
        if n == 0 {
            return new.read(&mut b).is_ok_and(|m| m == 0);
        }
        if new.read_exact(&mut b[..n]).is_err() || a[..n] != b[..n] {
            return false;
        }
    }
}

/// The beginning of the names of temporary files for a target of this name.
fn temp_prefix(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    let mut prefix = OsString::from(disk::PREFIX);
    prefix.push(OsStr::from_bytes(&bytes[..bytes.len().min(200)]));
    prefix.push("-");
    prefix
}

/// Removes temporary files of killed runs: those that nobody holds the lock of.
fn sweep_files(dir: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
        let ours = rest
            .is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
            && entry.file_type().is_ok_and(|found| found.is_file());
        let path = entry.path();
        if ours
            && disk::open_with(&path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
                .is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::Kind;
    use crate::store::testing::names;

    #[test]
    fn a_file_is_replaced_only_by_other_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.tar");
        let write = |bytes: &[u8]| {
            let mut beside = Beside::create(&path, 0o666).expect("a file");
            beside.file().write_all(bytes).expect("written");
            beside.publish(true).expect("published")
        };
        assert!(write(b"one"));
        let first = fs::metadata(&path).expect("metadata").ino();
        assert!(!write(b"one"));
        assert_eq!(fs::metadata(&path).expect("metadata").ino(), first);
        assert!(write(b"two"));
        assert_eq!(fs::read(&path).expect("read"), b"two");
        drop(Beside::create(&path, 0o666));
        assert_eq!(names(dir.path()), ["a.tar"]);
    }

    #[test]
    fn leftovers_are_removed_and_files_in_use_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.tar");
        fs::write(dir.path().join(".customize-a.tar-Ab12cD"), b"left").expect("a file");
        fs::write(dir.path().join(".customize-b.tar-Ab12cD"), b"other").expect("a file");
        let live = Beside::create(&path, 0o666).expect("a file");
        let again = Beside::create(&path, 0o666).expect("a file");
        assert!(live.temp.path().exists() && again.temp.path().exists());
        drop((live, again));
        assert_eq!(names(dir.path()), [".customize-b.tar-Ab12cD"]);
    }

    #[test]
    fn a_link_is_followed_and_what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, b"old").expect("a file");
        std::os::unix::fs::symlink("real", &link).expect("a link");
        let mut beside = Beside::create(&link, 0o666).expect("a file");
        beside.file().write_all(b"new").expect("written");
        assert!(beside.publish(true).expect("published"));
        assert_eq!(fs::read(&real).expect("read"), b"new");
        assert!(fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()));
        assert_eq!(
            Beside::create(dir.path(), 0o666)
                .expect_err("a directory")
                .to_string(),
            format!(
                "expected a plain file or nothing, found a directory: {}",
                dir.path().display()
            )
        );
        let orphan = dir.path().join("no/such.tar");
        let error = Beside::create(&orphan, 0o666).expect_err("no parent");
        assert_eq!(error.kind(), Kind::Usage);
    }
}
