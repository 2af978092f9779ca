//! Tar files of OCI image layouts, read in place: the members are found once, then each blob is
//! read from its offset, several at a time.
//!
//! Refused: compressed archives (a blob could not be found in them without reading all of it), and
//! tar files with too many members. As in extraction, the last of several members of one name
//! counts.

mod scan;
mod write;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layout::{MARKER, MAX_MARKER, check_marker};
use super::{Bytes, Store, disk};
use crate::core::cancel::Cancel;
use crate::core::digest::Digest;
use crate::error::{Error, Result};

pub use write::write;

/// A tar file of a layout, opened for reading.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    members: scan::Members,
    cancel: Cancel,
}

impl Archive {
    /// Opens the archive and finds its blobs; its `oci-layout` must be of version 1.x.
    pub fn open(path: &Path, cancel: Cancel) -> Result<Self> {
        let Some((file, size)) = disk::open_plain(path)? else {
            return Err(Error::usage(format!(
                "expected a tar file of an OCI image layout, found no such file: {}",
                path.display()
            ))
            .hint("a relative path in a spec starts at the spec's directory"));
        };
        let name = name_of(path);
        refuse_compressed(&file, path)?;
        let members = scan::members(&file, size, &name, &cancel)?;
        let archive = Self {
            path: path.to_owned(),
            file,
            members,
            cancel,
        };
        archive.check_marker(&name)?;
        Ok(archive)
    }

    fn check_marker(&self, name: &str) -> Result<()> {
        let Some(span) = self.members.marker else {
            return Err(Error::usage(format!(
                "expected a tar file of an OCI image layout, found no `{MARKER}` in {}",
                self.path.display()
            ))
            .hint(
                "`skopeo copy docker-archive:FILE oci:DIR` makes a layout of Docker's archives",
            ));
        };
        if span.size > MAX_MARKER {
            return Err(Error::integrity(format!(
                "{name}: {MARKER}: expected at most {MAX_MARKER} bytes, found {}",
                span.size
            )));
        }
        let mut marker = Vec::new();
        self.at(span)
            .read_to_end(&mut marker)
            .map_err(|error| Error::io(name, error))?;
        check_marker(&marker, name)
    }

    fn at(&self, span: scan::Span) -> At<'_> {
        At {
            file: &self.file,
            offset: span.offset,
            left: span.size,
        }
    }
}

impl Store for Archive {
    fn name(&self) -> String {
        name_of(&self.path)
    }

    fn open(&self, digest: &Digest) -> Result<Option<(u64, Bytes<'_>)>> {
        self.cancel.check()?;
        let span = self.members.blobs.get(digest);
        Ok(span.map(|&span| {
            let bytes = self.cancel.reader(self.at(span));
            (span.size, Box::new(bytes) as Bytes<'_>)
        }))
    }
}

/// Reads a part of a file, without the file's own position, so that others can read it too.
struct At<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        let n = self.file.read_at(&mut buf[..most], self.offset)?;
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

fn name_of(path: &Path) -> String {
    format!("oci-archive:{}", path.display())
}

fn refuse_compressed(file: &File, path: &Path) -> Result<()> {
    let mut magic = [0; 6];
    let read = At {
        file,
        offset: 0,
        left: 6,
    }
    .read_exact(&mut magic);
    let program = match (read, &magic) {
        (Ok(()), [0x1f, 0x8b, ..]) => "gzip",
        (Ok(()), [0x28, 0xb5, 0x2f, 0xfd, ..]) => "zstd",
        (Ok(()), [0xfd, b'7', b'z', b'X', b'Z', 0]) => "xz",
        (Ok(()), [b'B', b'Z', b'h', ..]) => "bzip2",
        _ => return Ok(()),
    };
    Err(Error::usage(format!(
        "expected a plain tar file, found one compressed with {}: {}",
        program,
        path.display()
    ))
    .hint(format!(
        "decompress it first: `{} -dc {} > layout.tar`",
        program,
        path.display()
    )))
}

#[cfg(test)]
mod tests;
