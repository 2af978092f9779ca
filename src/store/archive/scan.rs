//! Finds the members of a tar file that make it a layout, header by header, without reading the
//! contents between: POSIX ustar, PAX and GNU long names.
//!
//! Memory is bounded whatever the file says: only blobs are remembered, the number of members and
//! the size of extended headers are limited.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header};

use crate::core::cancel::Cancel;
use crate::core::digest::Digest;
use crate::core::path::LayerPath;
use crate::error::{Error, Result};

/// The largest number of headers in an archive.
const MAX_MEMBERS: u64 = 100_000;
/// The largest extended header, in bytes.
const MAX_EXTENDED: u64 = 64 << 10;
const BLOCK: u64 = 512;

/// Where the content of a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The members that make a layout.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) marker: Option<Span>,
    pub(super) blobs: HashMap<Digest, Span>,
}

/// Finds the members of `file`, whose size is `end`; `name` is the archive's in errors.
pub(super) fn members(file: &File, end: u64, name: &str, cancel: &Cancel) -> Result<Members> {
    let mut headers = Scan {
        file,
        end,
        offset: 0,
        name,
    };
    let mut members = Members::default();
    // What PAX and GNU headers say of the member that follows.
    let mut next = Extended::default();
    for _ in 0..MAX_MEMBERS {
        cancel.check()?;
        let Some(header) = headers.header()? else {
            return Ok(members);
        };
        let size = match next.size {
            Some(size) if !is_extended(&header) => size,
            _ => header.entry_size().map_err(|_| headers.bad_header())?,
        };
        let span = headers.span(size)?;
        match header.entry_type() {
            EntryType::XHeader => next.pax(&headers.extended(span)?),
            EntryType::GNULongName => next.path = Some(c_string(headers.extended(span)?)),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            kind => {
                let path = next.path.take();
                next = Extended::default();
                let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
                if matches!(kind, EntryType::Regular | EntryType::Continuous) {
                    members.note(&path, span);
                }
            }
        }
    }
    Err(Error::usage(format!(
        "{name}: expected at most {MAX_MEMBERS} members in the tar file, found more"
    ))
    .hint("make an archive of the one image that is needed"))
}

impl Members {
    fn note(&mut self, path: &[u8], span: Span) {
        let Ok(path) = LayerPath::parse(path) else {
            return;
        };
        let Ok(path) = std::str::from_utf8(path.as_bytes()) else {
            return;
        };
        if path == super::MARKER {
            self.marker = Some(span);
        } else if let Some(hex) = path.strip_prefix("blobs/sha256/")
            && let Ok(digest) = format!("sha256:{hex}").parse()
        {
            self.blobs.insert(digest, span);
        }
    }
}

/// What extended headers said.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extended {
    /// Reads records of `LENGTH KEY=VALUE\n`; what is malformed is passed over.
    fn pax(&mut self, mut records: &[u8]) {
        while let Some(space) = records.iter().position(|&byte| byte == b' ') {
            let length = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|text| text.parse::<usize>().ok());
            let Some(record) = length.and_then(|length| records.get(space + 1..length)) else {
                return;
            };
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            if let Some(path) = record.strip_prefix(b"path=") {
                self.path = Some(path.to_vec());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.size = std::str::from_utf8(size).ok().and_then(|s| s.parse().ok());
            }
            records = &records[length.unwrap_or(records.len())..];
        }
    }
}

struct Scan<'a> {
    file: &'a File,
    end: u64,
    offset: u64,
    name: &'a str,
}

impl Scan<'_> {
    /// The next header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.offset >= self.end {
            return Ok(None);
        }
        if self.end - self.offset < BLOCK {
            return Err(self.truncated());
        }
        let mut header = Header::new_old();
        self.read(header.as_mut_bytes(), self.offset)?;
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, &byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    byte.into()
                }
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(self.bad_header());
        }
        self.offset += BLOCK;
        Ok(Some(header))
    }

    /// The content that begins here, which is passed over.
    fn span(&mut self, size: u64) -> Result<Span> {
        let offset = self.offset;
        if size > self.end - offset {
            return Err(self.truncated());
        }
        // Within the file, so that this cannot overflow but in its last block.
        self.offset = offset.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        Ok(Span { offset, size })
    }

    fn extended(&self, span: Span) -> Result<Vec<u8>> {
        if span.size > MAX_EXTENDED {
            return Err(Error::integrity(format!(
                "{}: expected an extended tar header of at most {MAX_EXTENDED} bytes, found {} at byte {}",
                self.name, span.size, span.offset
            )));
        }
        let mut bytes = vec![0; usize::try_from(span.size).unwrap_or(0)];
        self.read(&mut bytes, span.offset)?;
        Ok(bytes)
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(buf, offset)
            .map_err(|error| Error::io(format!("cannot read {}", self.name), error))
    }

    fn truncated(&self) -> Error {
        Error::integrity(format!(
            "{}: expected a whole tar file, found one that ends at byte {} in the middle of a member",
            self.name, self.end
        ))
        .hint("the file was cut off: copy it again")
    }

    fn bad_header(&self) -> Error {
        Error::integrity(format!(
            "{}: expected a tar header at byte {}, found something else",
            self.name, self.offset
        ))
        .hint("the file is damaged, or no tar file")
    }
}

fn is_extended(header: &Header) -> bool {
    matches!(
        header.entry_type(),
        EntryType::XHeader
            | EntryType::XGlobalHeader
            | EntryType::GNULongName
            | EntryType::GNULongLink
    )
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}
