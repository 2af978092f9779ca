//! Applies layer indexes one over the other (OCI image spec, "Applying Changesets").
//!
//! Of each layer the whiteouts come first, whatever the order in the tar: they speak of the layers
//! below only. Then the entries, in their order. Parents are resolved through links, as runtimes
//! do on disk; missing ones are made.

use std::collections::{BTreeMap, HashMap};

use super::{
    IndexEntry, IndexKind, LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES, Node, NodeId, NodeKind, Origin,
    ROOT, Tree, resolve,
};
use crate::core::path::LayerPath;
use crate::error::{Error, Result};

impl Tree {
    /// Merges the layers of an image, lowest first.
    pub fn merge<'a>(layers: impl IntoIterator<Item = &'a LayerIndex>) -> Result<Self> {
        let mut merger = Merger::default();
        for (number, layer) in layers.into_iter().enumerate() {
            merger
                .apply(number, layer)
                .map_err(|error| error.at(format!("layer {} ({})", number + 1, layer.diff_id)))?;
        }
        Ok(merger.tree)
    }
}

#[derive(Default)]
struct Merger {
    tree: Tree,
    /// Directories by the path under which entries named them. Emptied when a link or directory
    /// goes away, since the path may then lead elsewhere.
    known: HashMap<LayerPath, NodeId>,
    entries: usize,
    name_bytes: usize,
}

impl Merger {
    fn apply(&mut self, layer: usize, index: &LayerIndex) -> Result<()> {
        self.entries += index.entries.len();
        self.name_bytes += index.name_bytes();
        if self.entries > MAX_ENTRIES || self.name_bytes > MAX_NAME_BYTES {
            return Err(Error::integrity(format!(
                "expected at most {MAX_ENTRIES} entries and {MAX_NAME_BYTES} bytes of names in all layers, found {} and {}",
                self.entries, self.name_bytes
            )));
        }
        for entry in &index.entries {
            match entry.kind {
                IndexKind::Whiteout => self.white_out(&entry.path),
                IndexKind::Opaque => self.white_out_children(&entry.path),
                _ => {}
            }
        }
        for (number, entry) in index.entries.iter().enumerate() {
            if !matches!(entry.kind, IndexKind::Whiteout | IndexKind::Opaque) {
                let origin = Origin {
                    layer,
                    entry: number,
                };
                self.add(entry, origin)?;
            }
        }
        Ok(())
    }

    /// Removes what lower layers have at `path`. Nothing there is nothing to do.
    fn white_out(&mut self, path: &LayerPath) {
        let Some((parent, name)) = path.split() else {
            return;
        };
        if let Some(directory) = self.existing_directory(&parent) {
            self.unlink(directory, name);
        }
    }

    fn unlink(&mut self, directory: NodeId, name: &[u8]) {
        let Some(id) = self.children(directory).remove(name) else {
            return;
        };
        if matches!(
            self.tree.node(id).kind,
            NodeKind::Directory(_) | NodeKind::Symlink(_)
        ) {
            self.known.clear();
        }
    }

    /// Removes what lower layers have inside the directory `path`.
    fn white_out_children(&mut self, path: &LayerPath) {
        if let Some(directory) = self.existing_directory(path) {
            self.children(directory).clear();
            self.known.clear();
        }
    }

    fn existing_directory(&self, path: &LayerPath) -> Option<NodeId> {
        let path = resolve(&self.tree, path, true).ok()?.path;
        let id = self.tree.id(&path)?;
        self.tree.node(id).is_directory().then_some(id)
    }

    fn add(&mut self, entry: &IndexEntry, origin: Origin) -> Result<()> {
        let Some((parent, name)) = entry.path.split() else {
            return self.describe_root(entry);
        };
        let parent = self.directory(&parent)?;
        let existing = self.children(parent).get(name).copied();
        if let (Some(id), IndexKind::Directory) = (existing, &entry.kind)
            && self.tree.node(id).is_directory()
        {
            self.node_mut(id).metadata = entry.metadata.clone();
            return Ok(());
        }
        // As on disk, the old name goes first: a hard link cannot lead to or through it.
        self.unlink(parent, name);
        let id = match &entry.kind {
            IndexKind::HardLink { target } => self.link_target(&entry.path, target)?,
            kind => self.push(Node {
                metadata: entry.metadata.clone(),
                kind: node_kind(kind, origin),
            })?,
        };
        self.children(parent).insert(name.into(), id);
        Ok(())
    }

    fn describe_root(&mut self, entry: &IndexEntry) -> Result<()> {
        if !matches!(entry.kind, IndexKind::Directory) {
            return Err(Error::integrity(
                "expected a directory as the image's root `/`, found an entry of another type",
            ));
        }
        self.node_mut(ROOT).metadata = entry.metadata.clone();
        Ok(())
    }

    fn link_target(&self, link: &LayerPath, target: &LayerPath) -> Result<NodeId> {
        let missing = || {
            Error::integrity(format!(
                "the hard link {link} leads to {target}: expected a file there, in this layer before the link or in a lower layer"
            ))
        };
        let resolved = resolve(&self.tree, target, false).map_err(|e| missing().because(e))?;
        let id = self.tree.id(&resolved.path).ok_or_else(missing)?;
        if self.tree.node(id).is_directory() {
            return Err(missing());
        }
        Ok(id)
    }

    /// The directory that `path` leads to; made where it is missing.
    fn directory(&mut self, path: &LayerPath) -> Result<NodeId> {
        if let Some(&id) = self.known.get(path) {
            return Ok(id);
        }
        let not_there = || Error::integrity(format!("expected a directory at {path}"));
        let resolved =
            resolve(&self.tree, path, true).map_err(|error| not_there().because(error))?;
        let mut at = ROOT;
        for name in resolved.path.components() {
            at = if let Some(&id) = self.children(at).get(name) {
                id
            } else {
                let id = self.push(Node::implicit_directory())?;
                self.children(at).insert(name.into(), id);
                id
            };
            if !self.tree.node(at).is_directory() {
                return Err(not_there().because(super::ResolveError::NotADirectory(path.clone())));
            }
        }
        self.known.insert(path.clone(), at);
        Ok(at)
    }

    fn push(&mut self, node: Node) -> Result<NodeId> {
        let id = u32::try_from(self.tree.nodes.len())
            .map_err(|_| Error::internal("the image has more than 4 billion entries"))?;
        self.tree.nodes.push(node);
        Ok(NodeId(id))
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.tree.nodes[id.0 as usize]
    }

    /// The entries of the directory `id`; every caller has seen that it is one.
    fn children(&mut self, id: NodeId) -> &mut BTreeMap<Box<[u8]>, NodeId> {
        match &mut self.node_mut(id).kind {
            NodeKind::Directory(children) => children,
            kind => unreachable!("{kind:?} is not a directory"),
        }
    }
}

fn node_kind(kind: &IndexKind, origin: Origin) -> NodeKind {
    match kind {
        IndexKind::Directory => NodeKind::Directory(BTreeMap::new()),
        IndexKind::File { size, digest } => NodeKind::File {
            size: *size,
            digest: *digest,
            origin,
        },
        IndexKind::Symlink { target } => NodeKind::Symlink(target.clone()),
        IndexKind::Fifo => NodeKind::Fifo,
        device => NodeKind::Device(device.clone()),
    }
}
