//! Reads hostile tars as a stream in bounded memory: v7, ustar, star, GNU long names and PAX.
//!
//! It takes what the runtimes take, and reads it as they do. It refuses what they refuse, what
//! readers understand in different ways, and sparse files. Paths are given as they stand in the
//! tar: what they mean, and whether they leave the root, is for the caller.
//!
//! `tar::Archive` is not used because it holds long names and PAX headers of any size in memory
//! and splits PAX records at newlines, which values may hold.

mod header;
mod number;
mod pax;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use super::entry::Metadata;
use super::path::escape;
use crate::error::{Error, Result};
use header::{BLOCK, Header, until_nul};
use pax::Records;

/// The largest PAX header or GNU long name that is taken, in bytes; Go's reader has the same limit.
pub const MAX_EXTENSION: u64 = 1 << 20;

/// The most bytes, padding as a rule, that may follow the end marker.
pub const MAX_TRAILER: u64 = 16 << 20;

const DAMAGED: &str =
    "the layer is damaged, or of a form that not every runtime reads alike: make or fetch it again";

/// An entry of a tar, all but its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// The path as it stands in the tar: it may be absolute, hold `..`, or be empty.
    pub path: Vec<u8>,
    /// What the entry is.
    pub kind: TarKind,
    /// Mode without the bits of the file type, owner, time rounded down to seconds, extended
    /// attributes.
    pub metadata: Metadata,
    /// The number of data bytes, which [`TarReader`] gives as a `Read`; zero unless it is a file.
    pub size: u64,
}

/// What a [`TarEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink {
        /// As it stands in the tar.
        target: Vec<u8>,
    },
    /// Another name for an entry of the same image.
    HardLink {
        /// As it stands in the tar.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Of the device number.
        major: u32,
        /// Of the device number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Of the device number.
        major: u32,
        /// Of the device number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Reads the entries of a tar one after the other. As a `Read`, it gives the data of the entry
/// that [`TarReader::next_entry`] gave last. After an error it is of no further use.
#[derive(Debug)]
pub struct TarReader<R> {
    inner: R,
    /// The number of the entry that is being read, from 1.
    number: u64,
    /// Its path, as far as it is known.
    path: Vec<u8>,
    /// Data bytes of it that are still to be read.
    remaining: u64,
    /// Bytes that fill up its last block.
    padding: u64,
    /// Whether the end marker, or the end of the stream instead of it, was seen.
    ended: bool,
}

/// The extension headers before an entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Records>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

impl<R: Read> TarReader<R> {
    /// Reads the tar that `inner` gives; nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            number: 0,
            path: Vec::new(),
            remaining: 0,
            padding: 0,
            ended: false,
        }
    }

    /// The next entry, after what is left of the data of the one before; `None` at the end
    /// marker, or where the stream ends after a whole entry.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>> {
        self.skip_data()?;
        if self.ended {
            return Ok(None);
        }
        self.number += 1;
        self.path.clear();
        let mut extensions = Extensions::default();
        while let Some(block) = self.header_block()? {
            let header = Header::parse(&block).map_err(|error| self.refuse(error))?;
            if matches!(header.flag, b'x' | b'g' | b'L' | b'K') {
                self.extend(&mut extensions, &header)?;
            } else {
                return self.entry(header, extensions).map(Some);
            }
        }
        if extensions.is_empty() {
            Ok(None)
        } else {
            Err(self.refuse("the tar ends after an extension header, without its entry"))
        }
    }

    /// Reads to the end of the stream and gives it back. What follows the end marker, at most
    /// [`MAX_TRAILER`] bytes, is read too, so that a digest below sees all bytes.
    pub fn finish(mut self) -> Result<R> {
        self.skip_data()?;
        while !self.ended {
            self.next_entry()?;
            self.skip_data()?;
        }
        let mut trailer = (&mut self.inner).take(MAX_TRAILER + 1);
        let trailer = io::copy(&mut trailer, &mut io::sink())
            .map_err(|error| Error::io("tar: after the last entry", error))?;
        if trailer > MAX_TRAILER {
            return Err(Error::integrity(format!(
                "tar: expected at most {MAX_TRAILER} bytes after the end marker, found more"
            ))
            .hint(DAMAGED));
        }
        Ok(self.inner)
    }

    /// Takes an extension header and its data.
    fn extend(&mut self, extensions: &mut Extensions, header: &Header) -> Result<()> {
        let data = self.extension_data(header)?;
        let doubled = match header.flag {
            b'g' => {
                if !extensions.is_empty() {
                    return Err(self.refuse(
                        "a global extended header between an entry and its extension header",
                    ));
                }
                return pax::Records::check_global(&data).map_err(|error| self.refuse(error));
            }
            b'x' => {
                let records = Records::parse(&data).map_err(|error| self.refuse(error))?;
                if let Some(path) = &records.path {
                    self.path.clone_from(path);
                }
                extensions.pax.replace(records).is_some()
            }
            b'L' => {
                let path = until_nul(&data).to_vec();
                self.path.clone_from(&path);
                extensions.path.replace(path).is_some()
            }
            _ => extensions.link.replace(until_nul(&data).to_vec()).is_some(),
        };
        if doubled {
            return Err(self.refuse(format!(
                "two extension headers of type `{}` for one entry",
                char::from(header.flag)
            )));
        }
        Ok(())
    }

    fn extension_data(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = self.data_size(header.size)?;
        if size > MAX_EXTENSION {
            return Err(self.refuse(format!(
                "an extension header of {size} bytes, at most {MAX_EXTENSION} are taken"
            )));
        }
        let mut data = Vec::new();
        self.read_to_end(&mut data)
            .map_err(|error| self.failed(error))?;
        self.skip_data()?;
        Ok(data)
    }

    /// Puts the entry together from its header and its extension headers. Where both name it, GNU
    /// long names win over PAX records, as in Go.
    fn entry(&mut self, header: Header, extensions: Extensions) -> Result<TarEntry> {
        let pax = extensions.pax.unwrap_or_default();
        let path = extensions.path.filter(|path| !path.is_empty());
        let path = path.or(pax.path).unwrap_or(header.path);
        self.path.clone_from(&path);
        let target = extensions.link.filter(|link| !link.is_empty());
        let target = target.or(pax.link).unwrap_or(header.link);
        let device = (header.major, header.minor);
        let kind = self.kind(header.flag, target, device)?;
        let size = pax.size.unwrap_or(header.size);
        // the size of anything but a file is without meaning: no data follows
        let size = if kind == TarKind::File { size } else { 0 };
        let metadata = Metadata {
            mode: u32::try_from(header.mode & 0o7777)
                .map_err(|_| self.refuse("a negative mode"))?,
            uid: self.number32("uid", pax.uid.unwrap_or(header.uid))?,
            gid: self.number32("gid", pax.gid.unwrap_or(header.gid))?,
            mtime: pax.mtime.unwrap_or(header.mtime),
            xattrs: pax.xattrs.into_iter().collect(),
        };
        Ok(TarEntry {
            size: self.data_size(size)?,
            path,
            kind,
            metadata,
        })
    }

    fn kind(&self, flag: u8, target: Vec<u8>, (major, minor): (i64, i64)) -> Result<TarKind> {
        let is_slashed = self.path.ends_with(b"/");
        let number = |name, number| self.number32(name, number);
        Ok(match flag {
            // before POSIX, directories were files whose names end in a slash
            0 if is_slashed => TarKind::Directory,
            b'0' | b'7' if is_slashed => {
                return Err(self.refuse(
                    "a regular file whose name ends in a slash: some readers make it a directory",
                ));
            }
            0 | b'0' | b'7' => TarKind::File,
            b'1' => TarKind::HardLink { target },
            b'2' => TarKind::Symlink { target },
            b'3' => TarKind::CharDevice {
                major: number("device number", major)?,
                minor: number("device number", minor)?,
            },
            b'4' => TarKind::BlockDevice {
                major: number("device number", major)?,
                minor: number("device number", minor)?,
            },
            b'5' => TarKind::Directory,
            b'6' => TarKind::Fifo,
            b'S' => return Err(self.refuse("a sparse file (GNU type `S`)")),
            b'M' => return Err(self.refuse("the tar is a part of several (GNU type `M`)")),
            other => {
                let shown = char::from(other).escape_default();
                return Err(self.refuse(format!("an entry of the unknown type `{shown}`")));
            }
        })
    }

    fn number32(&self, name: &str, number: i64) -> Result<u32> {
        u32::try_from(number).map_err(|_| {
            self.refuse(format!(
                "expected a {name} of 0 to {}, found {number}",
                u32::MAX
            ))
        })
    }

    /// Notes the size of the data that follows.
    fn data_size(&mut self, size: i64) -> Result<u64> {
        let Ok(size) = u64::try_from(size) else {
            return Err(self.refuse(format!("a size of {size} bytes")));
        };
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(size)
    }

    /// The next block that is a header; `None` at the end marker or at the end of the stream.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let Some(block) = self.block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        if self.block()?.is_some_and(|second| second != [0; BLOCK]) {
            return Err(self.refuse("a block of zeros with no second one: the end marker has two"));
        }
        self.ended = true;
        Ok(None)
    }

    /// A whole block, or `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => {
                    return Err(self.refuse(format!(
                        "the tar ends in the middle of a header, after {filled} of {BLOCK} bytes"
                    )));
                }
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(Some(block))
    }

    /// Reads over what is left of the current entry's data and its padding.
    fn skip_data(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).map_err(|error| self.failed(error))?;
        let padding = io::copy(&mut self.inner.by_ref().take(self.padding), &mut io::sink())
            .map_err(|error| self.failed(error))?;
        if padding < self.padding {
            return Err(self.refuse("the tar ends in the middle of the entry's last block"));
        }
        self.padding = 0;
        Ok(())
    }

    fn place(&self) -> String {
        if self.path.is_empty() {
            format!("tar entry {}", self.number)
        } else {
            let shown = &self.path[..self.path.len().min(256)];
            format!("tar entry {} (`{}`)", self.number, escape(shown))
        }
    }

    fn refuse(&self, what: impl Into<String>) -> Error {
        let what = what.into();
        let hint = if what.starts_with("a sparse file") {
            "make the layer without sparse files: run `tar` without `--sparse`"
        } else {
            DAMAGED
        };
        Error::integrity(what).at(self.place()).hint(hint)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(self.place(), error)
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining).map_or(buf.len(), |n| n.min(buf.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buf[..wanted])?;
        if n == 0 {
            // whoever reads knows which entry it is
            return Err(Error::integrity(format!(
                "the tar ends where {} more bytes of data were expected",
                self.remaining
            ))
            .hint(DAMAGED)
            .into_io());
        }
        self.remaining -= n as u64;
        Ok(n)
    }
}
