//! What a file system entry of an image is: its metadata, and for files of ours a handle to the
//! bytes, which are read when the layer is written.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::path::LayerPath;

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Everything about an entry but its name, kind and bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Modification time in whole seconds since the epoch.
    pub mtime: i64,
    /// Extended attributes in the order of their names.
    pub xattrs: Vec<Xattr>,
}

/// A handle to the bytes of a file that goes into the layer.
///
/// Two contents are equal when they are known to be the same bytes: by digest, or because one is
/// a clone of the other.
#[derive(Clone)]
pub struct Content(Arc<dyn ContentSource>);

/// Where the bytes of a [`Content`] come from.
pub trait ContentSource: Send + Sync {
    /// The exact number of bytes that [`ContentSource::open`] will give.
    fn size(&self) -> u64;

    /// The digest of the bytes, where it is known before they are read.
    fn digest(&self) -> Option<Digest>;

    /// Starts to read the bytes. A source whose bytes are not what they were when it was found
    /// fails, here or while it is read, with an [`crate::error::Error`] inside the I/O error.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl Content {
    /// A handle to the bytes of `source`.
    pub fn new(source: impl ContentSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(InMemory(bytes.into()))
    }

    /// The number of bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The digest, where it is known before the bytes are read.
    pub fn digest(&self) -> Option<Digest> {
        self.0.digest()
    }

    /// Starts to read the bytes.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        self.0.open()
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.size() == other.size()
                && self.digest().is_some()
                && self.digest() == other.digest())
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.size())
    }
}

struct InMemory(Vec<u8>);

impl ContentSource for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn digest(&self) -> Option<Digest> {
        Some(Digest::of(&self.0))
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}

/// One entry of the layer to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The full path; no component of its parent is a symbolic link.
    pub path: LayerPath,
    /// Mode, owner, time, extended attributes.
    pub metadata: Metadata,
    /// Directory, file or link.
    pub kind: LayerEntryKind,
}

/// What a [`LayerEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerEntryKind {
    /// A directory, new or one of the base whose metadata is repeated.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, as it stands in the link.
    Symlink(Vec<u8>),
}

/// One file or directory that a `source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMatch {
    /// The last component of its path, for destinations that are directories; empty for the root.
    /// A link that was followed gives its own name, not its target's.
    pub name: Vec<u8>,
    /// Its path as the user would say it, for people.
    pub shown: String,
    /// The file, or the directory and all below it, parents first.
    pub entries: Vec<SourceEntry>,
}

/// Something found where the user's files come from, below the path that `source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// Relative to what `source` names: the root when `source` is this very file or directory.
    pub path: LayerPath,
    /// Directory, file or link.
    pub kind: SourceKind,
}

/// What a [`SourceEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// The bytes.
        content: Content,
        /// Whether anyone may execute it where it comes from.
        executable: bool,
    },
    /// A symbolic link and its target, as it stands in the link.
    Symlink(Vec<u8>),
}
