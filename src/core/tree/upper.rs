//! One layer, unpacked on its own, as Docker, podman and containerd do into a directory that
//! overlayfs lays over the layers below. Links are followed where this layer itself has them;
//! those of lower layers are not seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::merge::{check_nodes, node_kind};
use super::{
    IndexEntry, IndexKind, LayerIndex, Lookup, MAX_WALK, Node, NodeId, Origin, ResolveError, Seen,
    Tree, resolve,
};
use crate::core::cancel::Cancel;
use crate::core::entry::Metadata;
use crate::core::path::LayerPath;
use crate::error::{Error, Result};

/// How many entries are taken between two looks at whether to stop.
const STRIDE: usize = 1 << 8;

/// The most names that may be looked up to unpack one layer: links can make few entries cost much.
const MAX_STEPS: usize = 100_000_000;

/// A layer as a tree of its own.
pub(super) struct Upper {
    nodes: Vec<UpperNode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UpperId(usize);

pub(super) const UPPER_ROOT: UpperId = UpperId(0);

pub(super) enum UpperNode {
    Directory(UpperDirectory),
    /// A file, link, device or pipe of this layer; several names of one are hard links.
    Leaf(Node),
    /// A hard link to what a lower layer has.
    Lower(NodeId),
}

#[derive(Default)]
pub(super) struct UpperDirectory {
    /// What an entry says of it; `None` where entries only go below it.
    pub(super) described: Option<Metadata>,
    /// Whether there is more to it than whiteouts.
    pub(super) needed: bool,
    /// Whether it hides all that lower layers have in it.
    pub(super) opaque: bool,
    /// The names of lower layers that it hides.
    pub(super) whiteouts: BTreeSet<Box<[u8]>>,
    pub(super) children: BTreeMap<Box<[u8]>, UpperId>,
}

impl Upper {
    /// Unpacks the layer at position `layer` of the image, over what is `below`.
    pub(super) fn unpack(
        index: &LayerIndex,
        layer: usize,
        below: &Tree,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut unpacker = Unpacker {
            upper: Self {
                nodes: vec![UpperNode::Directory(UpperDirectory::default())],
            },
            below,
            known: HashMap::new(),
            steps: 0,
        };
        for (number, entry) in index.entries.iter().enumerate() {
            if number % STRIDE == 0 {
                cancel.check()?;
            }
            let origin = Origin {
                layer,
                entry: number,
            };
            unpacker.add(entry, origin)?;
        }
        Ok(unpacker.upper)
    }

    pub(super) fn node(&self, id: UpperId) -> &UpperNode {
        &self.nodes[id.0]
    }

    /// The directory `id`; `None` where it is something else.
    pub(super) fn directory(&self, id: UpperId) -> Option<&UpperDirectory> {
        match self.node(id) {
            UpperNode::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

impl Lookup for Upper {
    type At = UpperId;

    fn root(&self) -> UpperId {
        UPPER_ROOT
    }

    fn child(&self, at: &UpperId, name: &[u8]) -> Option<(UpperId, Seen<'_>)> {
        let id = *self.directory(*at)?.children.get(name)?;
        let seen = match self.node(id) {
            UpperNode::Directory(_) => Seen::Directory,
            UpperNode::Leaf(node) => node.seen(),
            UpperNode::Lower(_) => Seen::Other,
        };
        Some((id, seen))
    }
}

struct Unpacker<'a> {
    upper: Upper,
    below: &'a Tree,
    /// Directories by the path under which entries named them. Emptied when a link or directory
    /// goes away, since the path may then lead elsewhere.
    known: HashMap<LayerPath, UpperId>,
    /// The names that were looked up so far.
    steps: usize,
}

impl Unpacker<'_> {
    /// Counts what a resolution cost.
    fn walked(&mut self, steps: usize) -> Result<()> {
        self.steps += steps;
        if self.steps > MAX_STEPS {
            return Err(Error::integrity(format!(
                "expected links that lead to {MAX_STEPS} names at most all together, found more"
            ))
            .hint("no runtime should be given such an image"));
        }
        Ok(())
    }

    fn add(&mut self, entry: &IndexEntry, origin: Origin) -> Result<()> {
        let Some((parent, name)) = entry.path.split() else {
            return self.describe_root(entry);
        };
        match &entry.kind {
            IndexKind::Whiteout => {
                let parent = self.directory(&parent, false)?;
                self.edit(parent)?.whiteouts.insert(name.into());
            }
            IndexKind::Opaque => {
                let directory = self.directory(&entry.path, false)?;
                self.edit(directory)?.opaque = true;
            }
            IndexKind::Directory => {
                let parent = self.directory(&parent, true)?;
                self.describe(parent, name, &entry.metadata)?;
            }
            IndexKind::HardLink { target } => {
                let parent = self.directory(&parent, true)?;
                // As on disk, the old name goes first: the link cannot lead to or through it.
                self.remove(parent, name)?;
                let id = self.link_target(&entry.path, target)?;
                self.put(parent, name, id)?;
            }
            kind => {
                let parent = self.directory(&parent, true)?;
                let id = self.push(UpperNode::Leaf(Node {
                    metadata: entry.metadata.clone(),
                    kind: node_kind(kind, origin),
                }))?;
                self.put(parent, name, id)?;
            }
        }
        Ok(())
    }

    fn describe_root(&mut self, entry: &IndexEntry) -> Result<()> {
        let root = self.edit(UPPER_ROOT)?;
        match entry.kind {
            IndexKind::Directory => root.described = Some(entry.metadata.clone()),
            IndexKind::Opaque => {
                return Err(Error::integrity(
                    "expected no opaque whiteout of the image's root, found one: runtimes do not hide the lower layers for it, though the OCI image spec says so",
                )
                .hint("have the base squashed into one layer"));
            }
            _ => {
                return Err(Error::integrity(
                    "expected a directory as the image's root `/`, found an entry of another type",
                ));
            }
        }
        Ok(())
    }

    /// A directory entry: it describes the directory that is there, or takes the place of what is.
    fn describe(&mut self, parent: UpperId, name: &[u8], metadata: &Metadata) -> Result<()> {
        let existing = self.edit(parent)?.children.get(name).copied();
        let id = match existing {
            Some(id) if self.upper.directory(id).is_some() => id,
            _ => {
                let id = self.push(UpperNode::Directory(UpperDirectory::default()))?;
                self.put(parent, name, id)?;
                id
            }
        };
        let directory = self.edit(id)?;
        directory.described = Some(metadata.clone());
        directory.needed = true;
        Ok(())
    }

    fn link_target(&mut self, link: &LayerPath, target: &LayerPath) -> Result<UpperId> {
        let bad = |found: &str| {
            Error::integrity(format!(
                "the hard link {link} leads to {target}: expected a file there, in this layer before the link or in a lower layer, found {found}"
            ))
        };
        if link == target {
            return Err(bad("the link itself"));
        }
        let here = resolve(&self.upper, target, false).ok();
        self.walked(here.as_ref().map_or(MAX_WALK, |here| here.steps))?;
        if let Some(id) = here.and_then(|here| here.at) {
            return match self.upper.node(id) {
                UpperNode::Directory(_) => Err(bad("a directory")),
                _ => Ok(id),
            };
        }
        let below = resolve(self.below, target, false).map_err(|e| bad("no way").because(e))?;
        self.walked(below.steps)?;
        match below.at {
            None => Err(bad("nothing")),
            Some(id) if self.below.node(id).is_directory() => Err(bad("a directory")),
            Some(id) => self.push(UpperNode::Lower(id)),
        }
    }

    /// The directory that `path` leads to; made where it is missing.
    fn directory(&mut self, path: &LayerPath, needed: bool) -> Result<UpperId> {
        let known = self.known.get(path).copied();
        if let Some(id) = known
            && (!needed || self.edit(id)?.needed)
        {
            return Ok(id);
        }
        let not_there =
            |error| Error::integrity(format!("expected a directory at {path}")).because(error);
        let resolved = resolve(&self.upper, path, true).map_err(not_there)?;
        self.walked(resolved.steps)?;
        let mut at = UPPER_ROOT;
        for name in resolved.path.components() {
            let existing = self.edit(at)?.children.get(name).copied();
            at = if let Some(id) = existing {
                id
            } else {
                let id = self.push(UpperNode::Directory(UpperDirectory::default()))?;
                self.edit(at)?.children.insert(name.into(), id);
                id
            };
            match &mut self.upper.nodes[at.0] {
                UpperNode::Directory(directory) => directory.needed |= needed,
                _ => return Err(not_there(ResolveError::NotADirectory(path.clone()))),
            }
        }
        self.known.insert(path.clone(), at);
        Ok(at)
    }

    /// Puts `id` at `name`, in place of what is there.
    fn put(&mut self, parent: UpperId, name: &[u8], id: UpperId) -> Result<()> {
        self.remove(parent, name)?;
        self.edit(parent)?.children.insert(name.into(), id);
        Ok(())
    }

    fn remove(&mut self, parent: UpperId, name: &[u8]) -> Result<()> {
        let gone = self.edit(parent)?.children.remove(name);
        let leads_on = |id| match self.upper.node(id) {
            UpperNode::Directory(_) => true,
            UpperNode::Leaf(node) => matches!(node.seen(), Seen::Symlink(_)),
            UpperNode::Lower(_) => false,
        };
        if gone.is_some_and(leads_on) {
            self.known.clear();
        }
        Ok(())
    }

    /// Directories that no entry describes count as well.
    fn push(&mut self, node: UpperNode) -> Result<UpperId> {
        check_nodes(self.upper.nodes.len())?;
        self.upper.nodes.push(node);
        Ok(UpperId(self.upper.nodes.len() - 1))
    }

    fn edit(&mut self, id: UpperId) -> Result<&mut UpperDirectory> {
        match &mut self.upper.nodes[id.0] {
            UpperNode::Directory(directory) => Ok(directory),
            _ => Err(Error::internal(
                "expected a directory while layers are merged",
            )),
        }
    }
}
