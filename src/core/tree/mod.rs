//! The merged file system of an image: layer indexes in, one tree out, as the OCI image spec's
//! "Applying Changesets" says and as runtimes do it with overlayfs: a layer sees its own links, and
//! not those of the layers below. Where runtimes disagree, the tree has a note.
//!
//! Paths are resolved as inside a chroot: absolute links start at the image's root and nothing
//! leaves it. Memory is bounded by [`MAX_ENTRIES`] and [`MAX_NAME_BYTES`].

mod index;
mod merge;
mod resolve;
#[cfg(test)]
mod tests;
mod upper;

use std::collections::BTreeMap;

use super::digest::Digest;
use super::entry::Metadata;
use super::path::LayerPath;

pub use index::{FORMAT_VERSION, IndexEntry, IndexKind, LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES};
pub use merge::MAX_LAYERS;
pub use resolve::{Link, Lookup, MAX_LINKS, MAX_WALK, ResolveError, Resolved, Seen, resolve};

/// The merged file system of an image.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
    notes: Vec<String>,
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
pub struct NodeId(usize);

const ROOT: NodeId = NodeId(0);

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::implicit_directory()],
            notes: Vec::new(),
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

impl Node {
    /// What a look-up sees of it.
    pub fn seen(&self) -> Seen<'_> {
        match &self.kind {
            NodeKind::Directory(_) => Seen::Directory,
            NodeKind::Symlink(target) => Seen::Symlink(target),
            _ => Seen::Other,
        }
    }
}

impl Tree {
    /// The object behind `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The number of objects that there are or were: what the tree takes.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// What is odd about the layers, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The object with exactly this name: no link on the way is followed, nor the last one.
    pub fn get(&self, path: &LayerPath) -> Option<&Node> {
        let id = path.components().try_fold(ROOT, |id, name| {
            self.node(id).children()?.get(name).copied()
        });
        id.map(|id| self.node(id))
    }

    /// All that is below `top`, by its path from `top` on: parents before children, sorted by name
    /// in each directory.
    pub fn walk(&self, top: NodeId) -> impl Iterator<Item = (LayerPath, &Node)> {
        let children = |id| self.node(id).children().into_iter().flatten();
        let mut open = vec![(LayerPath::ROOT, children(top))];
        std::iter::from_fn(move || {
            loop {
                let (parent, entries) = open.last_mut()?;
                let Some((name, &id)) = entries.next() else {
                    open.pop();
                    continue;
                };
                // Longer than any path: nothing can be placed or copied there.
                let Ok(path) = parent.join(name) else {
                    continue;
                };
                open.push((path.clone(), children(id)));
                return Some((path, self.node(id)));
            }
        })
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }
}

impl Lookup for Tree {
    type At = NodeId;

    fn root(&self) -> NodeId {
        ROOT
    }

    fn child(&self, at: &NodeId, name: &[u8]) -> Option<(NodeId, Seen<'_>)> {
        let id = *self.node(*at).children()?.get(name)?;
        Some((id, self.node(id).seen()))
    }
}
