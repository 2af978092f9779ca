//! Lays layers over each other (OCI image spec, "Applying Changesets").
//!
//! Each layer is unpacked on its own ([`Upper`]), then laid over the tree so far: whiteouts hide
//! what lower layers have, whatever their order in the tar; directories join; everything else
//! takes the place of what is there.

use std::collections::{BTreeMap, HashMap};

use super::upper::{UPPER_ROOT, Upper, UpperDirectory, UpperId, UpperNode};
use super::{
    IndexKind, LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES, Node, NodeId, NodeKind, Origin, ROOT, Tree,
};
use crate::core::cancel::Cancel;
use crate::core::path::{LayerPath, escape};
use crate::error::{Error, Result};

/// The most layers that an image may have: what runtimes can lay over each other.
pub const MAX_LAYERS: usize = 500;

impl Tree {
    /// Merges the layers of an image, lowest first.
    pub fn merge<'a>(
        layers: impl IntoIterator<Item = &'a LayerIndex>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut tree = Self::default();
        let mut entries = 0;
        let mut name_bytes = 0;
        for (number, layer) in layers.into_iter().enumerate() {
            let place =
                |error: Error| error.at(format!("layer {} ({})", number + 1, layer.diff_id));
            entries += layer.entries.len();
            name_bytes += layer.name_bytes();
            check_size(entries, name_bytes).map_err(place)?;
            let upper = Upper::unpack(layer, number, &tree, cancel).map_err(place)?;
            let mut over = Over {
                tree: &mut tree,
                upper: &upper,
                layer: number,
                taken: HashMap::new(),
            };
            over.lay().map_err(place)?;
        }
        Ok(tree)
    }
}

/// Refuses images of more entries or longer names than [`MAX_ENTRIES`] and [`MAX_NAME_BYTES`].
fn check_size(entries: usize, name_bytes: usize) -> Result<()> {
    if entries > MAX_ENTRIES || name_bytes > MAX_NAME_BYTES {
        return Err(Error::integrity(format!(
            "expected at most {MAX_ENTRIES} entries and {MAX_NAME_BYTES} bytes of names in all layers together, found more"
        ))
        .hint("no runtime should be given such an image"));
    }
    Ok(())
}

/// The most objects that a layer or a tree may have with the directories that no entry describes.
const MAX_NODES: usize = MAX_ENTRIES + MAX_ENTRIES / 2;

/// Refuses layers and trees of more than [`MAX_NODES`] objects.
pub(super) fn check_nodes(count: usize) -> Result<()> {
    if count > MAX_NODES {
        return Err(Error::integrity(format!(
            "expected at most {MAX_NODES} files and directories, found more, with those that no entry describes"
        ))
        .hint("no runtime should be given such an image"));
    }
    Ok(())
}

struct Over<'a> {
    tree: &'a mut Tree,
    upper: &'a Upper,
    layer: usize,
    /// What became of the upper's leaves: hard links share it.
    taken: HashMap<UpperId, NodeId>,
}

impl Over<'_> {
    fn lay(&mut self) -> Result<()> {
        let mut open = vec![(UPPER_ROOT, ROOT, LayerPath::ROOT)];
        while let Some((from, onto, path)) = open.pop() {
            let Some(directory) = self.upper.directory(from) else {
                continue;
            };
            if let Some(metadata) = &directory.described {
                self.tree.node_mut(onto).metadata = metadata.clone();
            }
            self.note_hidden_and_there(directory, onto, &path);
            self.hide(directory, onto)?;
            for (name, &id) in &directory.children {
                let existing = self.children(onto)?.get(name).copied();
                check_nodes(self.tree.nodes.len())?;
                let Some(to) = self.child(id, existing) else {
                    continue;
                };
                if existing.is_some() && existing != Some(to) {
                    self.note_through_link(&path, name, id, existing);
                }
                if existing != Some(to) {
                    self.children(onto)?.insert(name.clone(), to);
                }
                if self.upper.directory(id).is_some() {
                    // A name that is too long makes a path that no destination can name.
                    let below = path.join(name).unwrap_or_else(|_| path.clone());
                    open.push((id, to, below));
                }
            }
        }
        Ok(())
    }

    /// Applies the whiteouts of one directory.
    fn hide(&mut self, directory: &UpperDirectory, onto: NodeId) -> Result<()> {
        let children = self.children(onto)?;
        if directory.opaque {
            children.clear();
        }
        for name in &directory.whiteouts {
            children.remove(name);
        }
        Ok(())
    }

    /// What is at a name after this layer: the upper's, or a lower directory that is joined.
    /// `None` where there are only whiteouts of nothing.
    fn child(&mut self, id: UpperId, existing: Option<NodeId>) -> Option<NodeId> {
        match self.upper.node(id) {
            UpperNode::Directory(directory) => match existing {
                Some(lower) if self.tree.node(lower).is_directory() => Some(lower),
                // What is no directory is in the way of the whiteouts: runtimes make one.
                None if !directory.needed => None,
                _ => Some(self.tree.push(Node::implicit_directory())),
            },
            UpperNode::Lower(lower) => Some(*lower),
            UpperNode::Leaf(node) => Some(if let Some(&taken) = self.taken.get(&id) {
                taken
            } else {
                let taken = self.tree.push(node.clone());
                self.taken.insert(id, taken);
                taken
            }),
        }
    }

    /// A layer that writes below a link of a lower layer, without a directory entry in its place:
    /// runtimes on overlayfs make a directory of it, tools that unpack into one place go through.
    fn note_through_link(
        &mut self,
        parent: &LayerPath,
        name: &[u8],
        id: UpperId,
        existing: Option<NodeId>,
    ) {
        let undescribed = self
            .upper
            .directory(id)
            .is_some_and(|directory| directory.described.is_none());
        let over_link =
            existing.is_some_and(|id| matches!(self.tree.node(id).kind, NodeKind::Symlink(_)));
        if undescribed && over_link {
            let path = shown(parent, name);
            self.note(&format!(
                "writes below {path}, a link of a lower layer: container runtimes make it a directory there, and what the link led to is out of reach"
            ));
        }
    }

    /// A layer that hides a directory and has it again: it is new, as the OCI image spec says, but
    /// some runtimes join it with the one that was to be hidden.
    fn note_hidden_and_there(
        &mut self,
        directory: &UpperDirectory,
        onto: NodeId,
        path: &LayerPath,
    ) {
        for name in &directory.whiteouts {
            let again = directory.children.get(name);
            let again = again.is_some_and(|&id| self.upper.directory(id).is_some());
            let lower = self
                .tree
                .node(onto)
                .children()
                .and_then(|names| names.get(name));
            if again && lower.is_some_and(|&id| self.tree.node(id).is_directory()) {
                let path = shown(path, name);
                self.note(&format!(
                    "hides the directory {path} and has it again: runtimes disagree on whether what lower layers have in it is there"
                ));
            }
        }
    }

    fn note(&mut self, what: &str) {
        let layer = self.layer + 1;
        match self.tree.notes.len() {
            0..MAX_NOTES => self
                .tree
                .notes
                .push(format!("layer {layer} of the image {what}")),
            MAX_NOTES => self
                .tree
                .notes
                .push("more of the like is not told".to_owned()),
            _ => {}
        }
    }

    fn children(&mut self, id: NodeId) -> Result<&mut BTreeMap<Box<[u8]>, NodeId>> {
        match &mut self.tree.node_mut(id).kind {
            NodeKind::Directory(children) => Ok(children),
            _ => Err(Error::internal(
                "expected a directory while layers are merged",
            )),
        }
    }
}

/// The most notes on one image.
const MAX_NOTES: usize = 20;

fn shown(parent: &LayerPath, name: &[u8]) -> String {
    let slash = if parent.is_root() { "" } else { "/" };
    format!("{parent}{slash}{}", escape(name))
}

/// What an entry of a layer is in the tree.
pub(super) fn node_kind(kind: &IndexKind, origin: Origin) -> NodeKind {
    match kind {
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
