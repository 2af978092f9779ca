//! The index of one layer: what its tar holds, without the content of most files. It is made in
//! one pass over the layer's bytes, which are checked on the way, and is small enough to cache.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::core::ahead::read_ahead;
use crate::core::decompress::{Decompressor, Limited};
use crate::core::digest::{Digest, Hashing};
use crate::core::entry::Metadata;
use crate::core::path::LayerPath;
use crate::core::tar_reader::{TarEntry, TarKind, TarReader};
use crate::error::{Error, Result};

/// Changes whenever the meaning or the encoding of a [`LayerIndex`] does: part of the cache's key.
pub const FORMAT_VERSION: u32 = 1;

/// The most entries that the layers of one image may have together.
pub const MAX_ENTRIES: usize = 1 << 20;

/// The most bytes that names, link targets, extended attributes and kept contents may take in all
/// layers of one image together.
pub const MAX_NAME_BYTES: usize = 256 << 20;

/// Files whose content is kept in the index, since nearly every build reads them.
const KEPT: [&[u8]; 4] = [
    b"etc/passwd",
    b"etc/group",
    b"etc/os-release",
    b"usr/lib/os-release",
];

/// The longest target of a symbolic link, in bytes: Linux's `PATH_MAX` less its final NUL.
const MAX_TARGET: usize = 4095;

/// The largest content that is kept, in bytes.
const MAX_KEPT: u64 = 1 << 20;

/// The most bytes that a layer of `compressed` bytes may unpack to. Real layers, padded disk images
/// among them, stay far below 500 to 1; small ones may be anything up to 1 GiB.
fn unpacked_limit(compressed: u64) -> u64 {
    compressed.saturating_mul(500).max(1 << 30)
}

/// What one layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerIndex {
    /// Size of the blob in bytes, as it was read.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub uncompressed_size: u64,
    /// The entries in the order of the tar.
    pub entries: Vec<IndexEntry>,
    /// Content of a few small files, by the position of their entry.
    contents: Vec<(usize, Vec<u8>)>,
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Where it goes; for a whiteout, what it hides.
    pub path: LayerPath,
    /// Mode, owner, time, extended attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: IndexKind,
}

/// What an [`IndexEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
        /// Digest of the content.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// As it stands in the link.
        target: Vec<u8>,
    },
    /// One more name for a file.
    HardLink {
        /// The other name.
        target: LayerPath,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// Hides `path` of the layers below.
    Whiteout,
    /// Hides all that the layers below have in the directory `path`.
    Opaque,
}

impl LayerIndex {
    /// Reads a whole layer of `compressed` bytes from `blob`, and indexes it. What is left of
    /// `blob` after the layer's last byte is read too, so that a reader that verifies sees its end.
    ///
    /// The layer is decompressed in a thread of its own.
    pub fn read(mut blob: impl Read + Send, compressed: u64) -> Result<Self> {
        let tar = Decompressor::new(&mut blob)?;
        let index = read_ahead(tar, |tar| {
            Self::of_tar(Limited::new(tar, unpacked_limit(compressed)), compressed)
        })??;
        io::copy(&mut blob, &mut io::sink())
            .map_err(|error| Error::io("after the end of the layer", error))?;
        Ok(index)
    }

    fn of_tar(tar: impl Read, size: u64) -> Result<Self> {
        let mut reader = TarReader::new(Hashing::new(tar));
        let mut index = Indexer::default();
        while let Some(entry) = reader.next_entry()? {
            index.add(entry, &mut reader)?;
        }
        let (diff_id, uncompressed_size, _) = reader.finish()?.finish();
        Ok(Self {
            size,
            diff_id,
            uncompressed_size,
            entries: index.entries,
            contents: index.contents,
        })
    }

    /// The content of the file at position `entry`, where the index keeps it.
    pub fn content(&self, entry: usize) -> Option<&[u8]> {
        self.contents
            .iter()
            .find(|(position, _)| *position == entry)
            .map(|(_, content)| content.as_slice())
    }

    /// The digest of the file at position `entry`; `None` where that is no file.
    pub fn file_digest(&self, entry: usize) -> Option<Digest> {
        match self.entries.get(entry)?.kind {
            IndexKind::File { digest, .. } => Some(digest),
            _ => None,
        }
    }

    /// The index of a blob that is one plain file and no tar, as the layers of artifacts are.
    pub fn of_file(path: LayerPath, digest: Digest, size: u64) -> Self {
        let metadata = Metadata {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        };
        Self {
            size,
            diff_id: digest,
            uncompressed_size: size,
            entries: vec![IndexEntry {
                path,
                metadata,
                kind: IndexKind::File { size, digest },
            }],
            contents: Vec::new(),
        }
    }

    /// The bytes that names, link targets, extended attributes and kept contents take.
    pub fn name_bytes(&self) -> usize {
        let names: usize = self.entries.iter().map(IndexEntry::name_bytes).sum();
        let contents = self.contents.iter().map(|(_, content)| content.len());
        names + contents.sum::<usize>()
    }

    /// The index as bytes for the cache.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // Room from the start: a vector that grows takes twice as much for a while.
        let room = self.name_bytes() + self.entries.len() * 64;
        postcard::to_extend(self, Vec::with_capacity(room))
            .map_err(|error| Error::internal("cannot encode the index of a layer").because(error))
    }

    /// The index out of the cache's bytes; `None` where they are not an index.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

impl IndexEntry {
    fn name_bytes(&self) -> usize {
        let target = match &self.kind {
            IndexKind::Symlink { target } => target.len(),
            IndexKind::HardLink { target } => target.as_bytes().len(),
            _ => 0,
        };
        let xattrs = self.metadata.xattrs.iter();
        // Each takes memory of its own, however short it is.
        let xattrs: usize = xattrs
            .map(|(name, value)| 96 + name.len() + value.len())
            .sum();
        self.path.as_bytes().len() + target + xattrs
    }
}

#[derive(Default)]
struct Indexer {
    entries: Vec<IndexEntry>,
    contents: Vec<(usize, Vec<u8>)>,
    name_bytes: usize,
}

impl Indexer {
    fn add<R: Read>(&mut self, entry: TarEntry, reader: &mut TarReader<R>) -> Result<()> {
        let position = self.entries.len();
        let path = LayerPath::parse(&entry.path)
            .map_err(|error| bad_entry(position, &entry.path).because(error))?;
        let kind = match entry.kind {
            TarKind::Directory => IndexKind::Directory,
            TarKind::File => self.file(position, &path, entry.size, reader)?,
            TarKind::Symlink { target } if target.is_empty() => {
                return Err(Error::integrity(format!(
                    "the symbolic link {path} has no target"
                )));
            }
            TarKind::Symlink { target } if target.len() > MAX_TARGET => {
                return Err(Error::integrity(format!(
                    "expected a symbolic link {path} to at most {MAX_TARGET} bytes, found {}",
                    target.len()
                )));
            }
            TarKind::Symlink { target } => IndexKind::Symlink { target },
            TarKind::HardLink { target } => IndexKind::HardLink {
                target: LayerPath::parse(&target)
                    .map_err(|error| bad_entry(position, &target).because(error))?,
            },
            TarKind::CharDevice { major, minor } => IndexKind::CharacterDevice { major, minor },
            TarKind::BlockDevice { major, minor } => IndexKind::BlockDevice { major, minor },
            TarKind::Fifo => IndexKind::Fifo,
        };
        let (path, kind) = as_whiteout(path, kind, position)?;
        let entry = IndexEntry {
            path,
            metadata: entry.metadata,
            kind,
        };
        self.name_bytes += entry.name_bytes();
        if position == MAX_ENTRIES || self.name_bytes > MAX_NAME_BYTES {
            return Err(Error::integrity(format!(
                "expected a layer of at most {MAX_ENTRIES} entries and {MAX_NAME_BYTES} bytes of names, found more"
            )));
        }
        self.entries.push(entry);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        position: usize,
        path: &LayerPath,
        size: u64,
        reader: &mut TarReader<R>,
    ) -> Result<IndexKind> {
        let mut data = Hashing::new(reader);
        let failed = |error| Error::io(path.to_string(), error);
        if KEPT.contains(&path.as_bytes()) && size <= MAX_KEPT {
            let mut content = Vec::new();
            data.read_to_end(&mut content).map_err(failed)?;
            // Of several entries for one path, the last is the file.
            let entries = &self.entries;
            self.contents
                .retain(|(other, _)| entries[*other].path != *path);
            self.contents.push((position, content));
        } else {
            io::copy(&mut data, &mut io::sink()).map_err(failed)?;
        }
        let (digest, size, _) = data.finish();
        Ok(IndexKind::File { size, digest })
    }
}

fn bad_entry(position: usize, name: &[u8]) -> Error {
    let shown = crate::core::path::escape(&name[..name.len().min(200)]);
    Error::integrity(format!(
        "entry {} has the unusable name `{shown}`",
        position + 1
    ))
}

/// Whiteouts are told by their names alone (OCI image spec, "Whiteouts"). Other names that begin
/// with `.wh..wh.` are what aufs kept for itself; runtimes skip them, so they hide a name that
/// cannot be: themselves.
fn as_whiteout(
    path: LayerPath,
    kind: IndexKind,
    position: usize,
) -> Result<(LayerPath, IndexKind)> {
    let Some((parent, name)) = path.split() else {
        return Ok((path, kind));
    };
    match name.strip_prefix(b".wh.") {
        None => Ok((path, kind)),
        Some(b".wh..opq") => Ok((parent, IndexKind::Opaque)),
        Some(hidden) if hidden.starts_with(b".wh.") => Ok((path, IndexKind::Whiteout)),
        Some(b"" | b"." | b"..") => Err(bad_entry(position, path.as_bytes())),
        Some(hidden) => {
            let hidden = parent
                .join(hidden)
                .map_err(|e| bad_entry(position, path.as_bytes()).because(e))?;
            Ok((hidden, IndexKind::Whiteout))
        }
    }
}
