//! Writes tar files (POSIX ustar) whose bytes depend on nothing but names and contents: mode fixed,
//! time and owner zero. Numbers that ustar's fields cannot hold are written in base 256, which all
//! readers know.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::disk::{self, Stop};
use crate::error::{Error, Result};

const BLOCK: usize = 512;

/// A tar file being written.
pub(super) struct Tarball<'a, W> {
    out: W,
    /// The name of the file, for errors.
    path: PathBuf,
    stop: &'a Stop<'a>,
}

impl<'a, W: Write + Seek> Tarball<'a, W> {
    pub(super) fn new(out: W, path: &Path, stop: &'a Stop<'a>) -> Self {
        Self {
            out,
            path: path.to_owned(),
            stop,
        }
    }

    /// Adds a directory; the name ends in a slash.
    pub(super) fn dir(&mut self, name: &str) -> Result<()> {
        let header = header(name, EntryType::Directory, 0o755, 0)?;
        self.put(header.as_bytes())
    }

    /// Adds a small file.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let header = header(name, EntryType::Regular, 0o644, bytes.len() as u64)?;
        self.put(header.as_bytes())?;
        self.put(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Adds a file of all that `from` gives, whose size is not known before; `place` names it in
    /// errors.
    pub(super) fn stream(
        &mut self,
        name: &str,
        from: &mut impl std::io::Read,
        place: &str,
    ) -> Result<()> {
        let start = self.seek(SeekFrom::Current(0))?;
        self.put(&[0; BLOCK])?;
        let size = disk::copy(from, &mut self.out, self.stop, place, &self.path)?;
        self.pad(size)?;
        let end = self.seek(SeekFrom::Current(0))?;
        self.seek(SeekFrom::Start(start))?;
        self.put(header(name, EntryType::Regular, 0o644, size)?.as_bytes())?;
        self.seek(SeekFrom::Start(end)).map(drop)
    }

    /// Ends the tar file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.put(&[0; 2 * BLOCK])
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(0), rest),
            &mut self.out,
        )
        .map(drop)
        .map_err(|error| disk::cannot_write(&self.path, error))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|error| disk::cannot_write(&self.path, error))
    }

    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.out
            .seek(to)
            .map_err(|error| disk::cannot_write(&self.path, error))
    }
}

fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(|error| {
        Error::internal(format!("cannot name a tar member `{name}`")).because(error)
    })?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}
