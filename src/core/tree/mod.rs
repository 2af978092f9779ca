//! The merged file system of an image: layer indexes in, one tree out, as the OCI image spec's
//! "Applying Changesets" says and as runtimes do it on disk.
//!
//! Paths are resolved as inside a chroot: absolute links start at the image's root and nothing
//! leaves it. Memory is bounded by [`MAX_ENTRIES`] and [`MAX_NAME_BYTES`].

mod index;
mod merge;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::digest::Digest;
use super::entry::Metadata;
use super::path::LayerPath;

pub use index::{FORMAT_VERSION, IndexEntry, IndexKind, LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES};
pub use resolve::{Link, Lookup, MAX_LINKS, ResolveError, Resolved, Seen, resolve};

/// The merged file system of an image.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A file system object; several names of one are hard links.
#[derive(Debug, Clone)]
pub struct Node {
    /// Mode, owner, time, extended attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A directory and its entries by name.
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
        /// Digest of the content.
        digest: Digest,
        /// Where the content is.
        origin: Origin,
    },
    /// A symbolic link and its target as it stands in the link.
    Symlink(Vec<u8>),
    /// A device, by its kind and number as the index holds them.
    Device(IndexKind),
    /// A named pipe.
    Fifo,
}

/// The place of a file's content: the layer's position in the image, and the entry's in the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Counted from the image's lowest layer, 0.
    pub layer: usize,
    /// Counted from the first entry of the layer's tar, 0.
    pub entry: usize,
}

/// A handle to a [`Node`] of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

const ROOT: NodeId = NodeId(0);

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::implicit_directory()],
        }
    }
}

impl Node {
    /// A directory that some entry needs and no entry describes: as runtimes create it.
    fn implicit_directory() -> Self {
        Self {
            metadata: Metadata {
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: 0,
                xattrs: Vec::new(),
            },
            kind: NodeKind::Directory(BTreeMap::new()),
        }
    }

    /// The entries, when this is a directory.
    pub fn children(&self) -> Option<&BTreeMap<Box<[u8]>, NodeId>> {
        match &self.kind {
            NodeKind::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.children().is_some()
    }
}

impl Tree {
    /// The object behind `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The object with exactly this name: no link on the way is followed, nor the last one.
    pub fn get(&self, path: &LayerPath) -> Option<&Node> {
        self.id(path).map(|id| self.node(id))
    }

    fn id(&self, path: &LayerPath) -> Option<NodeId> {
        path.components().try_fold(ROOT, |id, name| {
            self.node(id).children()?.get(name).copied()
        })
    }

    /// All names and their objects below `top`, which is left out, parents before children,
    /// sorted by name in each directory.
    pub fn walk(&self, top: &LayerPath) -> Vec<(LayerPath, &Node)> {
        let mut found = Vec::new();
        let Some(node) = self.get(top) else {
            return found;
        };
        let mut open = vec![(top.clone(), node)];
        while let Some((path, node)) = open.pop() {
            for (name, &id) in node.children().into_iter().flatten().rev() {
                // Names come from valid paths, and no path of the tree is too long: see `merge`.
                if let Ok(path) = path.join(name) {
                    open.push((path, self.node(id)));
                }
            }
            if path != *top {
                found.push((path, node));
            }
        }
        found
    }
}

impl Lookup for Tree {
    fn look(&self, path: &LayerPath) -> Option<Seen<'_>> {
        self.get(path).map(|node| match &node.kind {
            NodeKind::Directory(_) => Seen::Directory,
            NodeKind::Symlink(target) => Seen::Symlink(target),
            _ => Seen::Other,
        })
    }
}
