//! Files as every part of the store needs them: opened without blocking, copied so that the work
//! can be stopped, locked, and synced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::core::cancel::Cancel;
use crate::error::{Error, Kind, Result};

/// What the names of our temporary files and directories begin with.
pub(super) const PREFIX: &str = ".customize-";

/// The size of the pieces in which blobs are copied, in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// Opens a plain file to read: the file and its size, `None` where there is none. Everything that
/// is not a plain file is an error, found before it could block.
pub(super) fn open_plain(path: &Path) -> Result<Option<(File, u64)>> {
    let refused = || {
        Error::usage(format!(
            "expected a plain file, found something else: {}",
            path.display()
        ))
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(refused()),
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(Error::file("read", path, error)),
    }
    let file = open_with(path, OFlags::NONBLOCK).map_err(|e| Error::file("read", path, e))?;
    let found = file
        .metadata()
        .map_err(|error| Error::file("read", path, error))?;
    if !found.is_file() {
        return Err(refused());
    }
    Ok(Some((file, found.len())))
}

/// Reads a small file whole: at most `limit` bytes; `None` where there is none.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some((file, size)) = open_plain(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::file("read", path, error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::integrity(format!(
            "{}: expected at most {limit} bytes, found {}",
            path.display(),
            size.max(bytes.len() as u64)
        )));
    }
    Ok(Some(bytes))
}

/// Opens a directory, never anything else.
pub(super) fn open_dir(path: &Path, follow: bool) -> io::Result<File> {
    let follow = if follow {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    open_with(path, OFlags::DIRECTORY | OFlags::NONBLOCK | follow)
}

pub(super) fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Whether the error says that there is nothing by that name.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether `path` names the open file or directory `handle`.
pub(super) fn is_same(path: &Path, handle: &File) -> bool {
    let id = |found: fs::Metadata| (found.dev(), found.ino());
    match (fs::metadata(path), handle.metadata()) {
        (Ok(a), Ok(b)) => id(a) == id(b),
        _ => false,
    }
}

/// The error of a failed write, with what helps.
pub(super) fn cannot_write(path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or write to another disk"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "write to a directory where you may create files"
        }
        _ => return Error::file("write", path, source),
    };
    Error::file("write", path, source).hint(hint)
}

/// Tells workers to stop: the user's word, or the failure of another worker.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    cancel: &'a Cancel,
    failed: AtomicBool,
}

impl<'a> Stop<'a> {
    pub(super) fn new(cancel: &'a Cancel) -> Self {
        Self {
            cancel,
            failed: AtomicBool::new(false),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.cancel.check()?;
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Interrupted, "another copy failed"));
        }
        Ok(())
    }
}

/// Copies all of `from` to `to`, in pieces; `place` names what is read, `path` what is written.
pub(super) fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    stop: &Stop<'_>,
    place: &str,
    path: &Path,
) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut count = 0;
    loop {
        stop.check()?;
        let n = match from.read(&mut piece) {
            Ok(0) => return Ok(count),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(place, error)),
        };
        to.write_all(&piece[..n])
            .map_err(|error| cannot_write(path, error))?;
        count += n as u64;
    }
}

/// Does `work` for each number below `count`, a few at a time. The first failure stops the others
/// and is the error.
pub(super) fn each<T: Send>(
    count: usize,
    cancel: &Cancel,
    work: impl Fn(usize, &Stop<'_>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let stop = Stop::new(cancel);
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(count), None));
    let lock = || {
        done.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            match stop.check().and_then(|()| work(number, &stop)) {
                Ok(value) => lock().0.push((number, value)),
                Err(error) => {
                    lock().1.get_or_insert(error);
                    stop.failed.store(true, Ordering::Release);
                    return;
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(2, 4).min(count) {
            scope.spawn(worker);
        }
        worker();
    });
    let (mut values, error) = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    values.sort_unstable_by_key(|&(number, _)| number);
    Ok(values.into_iter().map(|(_, value)| value).collect())
}

/// An exclusive lock (flock) on an open file or directory, until it is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    /// Waits for the lock; `path` names the file in errors.
    pub(super) fn new(file: &'a File, path: &Path, cancel: &Cancel) -> Result<Self> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(Error::file("lock", path, error).hint(
                        "the file system must support locks: write to a local directory and copy the result",
                    ));
                }
            }
            cancel.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Puts the names in a directory on the disk. Not every file system can; those that cannot do so
/// on their own.
pub(super) fn sync_dir(path: &Path) -> Result<()> {
    match open_dir(path, true).and_then(|dir| dir.sync_all()) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Err(cannot_write(path, error))
        }
        _ => Ok(()),
    }
}

/// Writes a new small file and puts it on the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| cannot_write(path, error))
}

/// The directory that holds `path`.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// The error of a target whose parent directory is missing.
pub(super) fn no_parent(target: &Path) -> Error {
    let parent = parent_of(target);
    Error::usage(format!(
        "expected the directory {} to exist, to write {}",
        parent.display(),
        target.display()
    ))
    .hint(format!("create it first: `mkdir -p {}`", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let dir = tempfile::tempdir().expect("a directory");
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()));
        let error = open_plain(&fifo).expect_err("a FIFO");
        assert_eq!(
            error.to_string(),
            format!(
                "expected a plain file, found something else: {}",
                fifo.display()
            )
        );
        assert!(open_plain(dir.path()).is_err());
        assert!(open_plain(Path::new("/dev/zero")).is_err());
        assert!(open_plain(&dir.path().join("none")).is_ok_and(|found| found.is_none()));
    }

    #[test]
    fn a_small_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        fs::write(&path, b"abcd").expect("a file");
        assert_eq!(read_small(&path, 4).ok().flatten(), Some(b"abcd".to_vec()));
        assert_eq!(
            read_small(&path, 3).expect_err("too large").to_string(),
            format!("{}: expected at most 3 bytes, found 4", path.display())
        );
    }

    #[test]
    fn the_first_failure_stops_the_others() {
        let cancel = Cancel::default();
        let result = each(100, &cancel, |number, stop| {
            if number == 3 {
                return Err(Error::integrity("number 3"));
            }
            if number > 3 {
                while stop.check().is_ok() {
                    std::thread::yield_now();
                }
                stop.check()?;
            }
            Ok(number)
        });
        assert_eq!(result.expect_err("a failure").to_string(), "number 3");
        let all = each(100, &cancel, |number, _| Ok(number)).expect("numbers");
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
