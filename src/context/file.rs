//! The bytes of one file of the context: found now, read later, and the same in between.
//!
//! No descriptor is kept from the one moment to the other. The file is opened beneath the context
//! again and compared, before its first byte is given and before its last one is.

use std::io::{self, Read};
use std::sync::Arc;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions};

use super::resolve::Resolved;
use super::{Inner, errors, native, native_name};
use crate::core::digest::Digest;
use crate::core::entry::{Content, ContentSource, SourceKind};
use crate::core::path::LayerPath;
use crate::error::{Error, Result};

/// What tells one file, and one state of it, from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    /// Seconds and nanoseconds of the last write.
    mtime: (i64, i64),
    /// Seconds and nanoseconds of the last change of any kind; unlike `mtime` it cannot be set.
    ctime: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether two metadata are of one inode.
pub(super) fn same_inode(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Takes the regular file at `name` below `directory`. `seen` is its path in the context and what was
/// there when it was looked at. The file is opened, so that one that cannot be read is an error now.
pub(super) fn found(
    inner: &Arc<Inner>,
    directory: &Dir,
    name: &[u8],
    seen: &Resolved,
) -> Result<SourceKind> {
    let kind = seen.metadata.file_type();
    if !kind.is_file() {
        return Err(errors::special(inner, &seen.path, kind));
    }
    let opened = open(directory, name).and_then(|file| file.metadata());
    let metadata = opened.map_err(|error| match inner.metadata(&seen.path) {
        Ok(now) if same_inode(&now, &seen.metadata) => errors::unreadable(inner, &seen.path, error),
        now => changed(inner, &seen.path, Identity::of(&seen.metadata), now.ok()),
    })?;
    if !metadata.is_file() || !same_inode(&metadata, &seen.metadata) {
        let before = Identity::of(&seen.metadata);
        return Err(changed(inner, &seen.path, before, Some(metadata)));
    }
    Ok(SourceKind::File {
        executable: metadata.mode() & 0o111 != 0,
        content: Content::new(ContextFile {
            inner: Arc::clone(inner),
            path: seen.path.clone(),
            identity: Identity::of(&metadata),
        }),
    })
}

/// Opens without following a link at the end, and without waiting for the other end of a FIFO.
fn open(directory: &Dir, name: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    directory.open_with(native_name(name), &options)
}

struct ContextFile {
    inner: Arc<Inner>,
    path: LayerPath,
    identity: Identity,
}

impl ContentSource for ContextFile {
    fn size(&self) -> u64 {
        self.identity.size
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let file = open(&self.inner.root, self.path.as_bytes())
            .map_err(|error| self.cannot_open(error).into_io())?;
        let mut reading = Reading {
            source: self,
            file,
            left: self.identity.size,
            failed: false,
        };
        reading.check()?;
        if self.identity.size == 0 {
            reading.check_end()?;
        }
        Ok(Box::new(reading))
    }
}

impl ContextFile {
    fn cannot_open(&self, error: io::Error) -> Error {
        match self.inner.root.symlink_metadata(native(&self.path)) {
            Ok(now) if now.is_file() && Identity::of(&now) == self.identity => {
                errors::unreadable(&self.inner, &self.path, error)
            }
            Ok(now) => changed(&self.inner, &self.path, self.identity, Some(now)),
            Err(now) if now.kind() == io::ErrorKind::NotFound => {
                changed(&self.inner, &self.path, self.identity, None)
            }
            Err(_) => errors::unreadable(&self.inner, &self.path, error),
        }
    }

    fn found_bytes(&self, found: &str) -> io::Error {
        let expected = bytes(self.identity.size);
        errors::changed(&self.inner, &self.path, &expected, found).into_io()
    }
}

/// A file that is being read.
struct Reading<'a> {
    source: &'a ContextFile,
    file: File,
    left: u64,
    failed: bool,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("reading went on after an error"));
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let result = self.read_some(&mut buffer[..most]);
        self.failed = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl Reading<'_> {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .file
            .read(buffer)
            .map_err(|error| self.failure(error))?;
        if count == 0 {
            let found = bytes(self.source.identity.size - self.left);
            return Err(self.source.found_bytes(&found));
        }
        self.left -= count as u64;
        // before the last byte is given away, as nobody need ask for the end
        if self.left == 0 {
            self.check_end()?;
        }
        Ok(count)
    }

    /// Checks that nothing follows the last byte and that the file is still the one it was.
    fn check_end(&mut self) -> io::Result<()> {
        loop {
            match self.file.read(&mut [0]) {
                Ok(0) => return self.check(),
                Ok(_) => return Err(self.source.found_bytes("more")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        let now = self.file.metadata().map_err(|error| self.failure(error))?;
        let source = self.source;
        if now.is_file() && Identity::of(&now) == source.identity {
            return Ok(());
        }
        Err(changed(&source.inner, &source.path, source.identity, Some(now)).into_io())
    }

    fn failure(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        errors::unreadable(&self.source.inner, &self.source.path, error).into_io()
    }
}

/// The file was as `before` and is `now`, which is nothing when it vanished.
fn changed(inner: &Inner, path: &LayerPath, before: Identity, now: Option<Metadata>) -> Error {
    let (expected, found) = match now {
        None => (
            format!("a file of {}", bytes(before.size)),
            "nothing".to_owned(),
        ),
        Some(now) if !now.is_file() => (
            format!("a file of {}", bytes(before.size)),
            errors::describe(now.file_type()).to_owned(),
        ),
        Some(now) => difference(before, Identity::of(&now)),
    };
    errors::changed(inner, path, &expected, &found)
}

/// The first difference of two files that a user can make sense of.
fn difference(before: Identity, now: Identity) -> (String, String) {
    if before.size != now.size {
        (bytes(before.size), bytes(now.size))
    } else if (before.dev, before.ino) != (now.dev, now.ino) {
        (
            "the file that was found first".to_owned(),
            "another one in its place".to_owned(),
        )
    } else if before.mtime != now.mtime {
        (
            format!("a file last written at {}", time(before.mtime)),
            format!("one written at {}", time(now.mtime)),
        )
    } else {
        (
            format!("a file last changed at {}", time(before.ctime)),
            format!("one changed at {}", time(now.ctime)),
        )
    }
}

fn bytes(count: u64) -> String {
    if count == 1 {
        "1 byte".to_owned()
    } else {
        format!("{count} bytes")
    }
}

/// RFC 3339 where the time can be said so, else seconds since the epoch.
fn time((seconds, nanoseconds): (i64, i64)) -> String {
    i32::try_from(nanoseconds)
        .ok()
        .and_then(|nanoseconds| jiff::Timestamp::new(seconds, nanoseconds).ok())
        .map_or_else(|| format!("{seconds} s"), |time| time.to_string())
}
