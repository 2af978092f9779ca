//! The overlay plan: what goes where on top of the base's tree, decided before a byte is written.
//!
//! Every destination is resolved through the base as a chroot would, and through what is planned
//! so far. Parents that the base has are repeated with its exact metadata; new ones are made.
//! Refused: a file over a directory and the reverse, two entries for one path, another target for a
//! link that something was placed through, names that a layer reads as whiteouts, paths that lead
//! in a circle or are too long.

mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::entry::{Content, LayerEntry, LayerEntryKind, Metadata};
use super::path::LayerPath;
use super::tree::{Link, Lookup, Node, NodeId, NodeKind, Seen, Tree};

pub use place::Placement;

/// Mode of directories that nothing else describes.
pub const DIRECTORY_MODE: u32 = 0o755;

/// A numeric owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What a planned entry does to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The base has nothing at this path.
    Add,
    /// The base has something else at this path, which is hidden by this.
    Replace,
    /// A directory of the base, repeated with its metadata since something goes below it.
    Keep,
}

/// One entry of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it does to the base.
    pub action: Action,
    /// Mode, owner, time, extended attributes.
    pub metadata: Metadata,
    /// Directory, file or link.
    pub kind: LayerEntryKind,
    /// The links of the base that led here.
    pub links: Vec<Link>,
    /// What asked for it; `None` for parents.
    pub cause: Option<Cause>,
}

/// What asked for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The part of the spec, such as `copy_files[2]`.
    pub key: String,
    /// Where its bytes come from: a path in the context or in another image; `None` where the
    /// spec itself holds them.
    pub source: Option<String>,
}

impl Cause {
    /// A part of the spec that brings its own bytes.
    pub fn key(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            source: None,
        }
    }
}

/// The finished plan: entries by path, parents before children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is planned, by path.
    pub entries: BTreeMap<LayerPath, Planned>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether the layer would hold nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the layer would be the same, byte for byte, as that of `other`.
    pub fn has_layer_of(&self, other: &Self) -> bool {
        let mut pairs = self.entries.iter().zip(&other.entries);
        self.entries.len() == other.entries.len()
            && pairs.all(|((path, one), (other_path, other))| {
                path == other_path && one.metadata == other.metadata && one.kind == other.kind
            })
    }

    /// The entries as the layer writer takes them.
    pub fn layer_entries(&self) -> Vec<LayerEntry> {
        let entry = |(path, planned): (&LayerPath, &Planned)| LayerEntry {
            path: path.clone(),
            metadata: planned.metadata.clone(),
            kind: planned.kind.clone(),
        };
        self.entries.iter().map(entry).collect()
    }
}

/// Makes a [`Plan`] over a base.
#[derive(Debug)]
pub struct Planner<'a> {
    base: &'a Tree,
    planned: BTreeMap<LayerPath, Planned>,
    defaults: Defaults,
    /// Where directories led that were asked for before; nothing planned later changes it, since
    /// no directory and no link that was followed is ever replaced.
    directories: HashMap<LayerPath, (LayerPath, Vec<Link>)>,
    /// Links that something was placed through: they must lead there in the result too.
    followed: HashSet<LayerPath>,
    notes: Vec<String>,
}

/// What new entries get where nothing else is said.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The owner of new parents.
    pub owner: Ids,
    /// The modification time of all that is new, in seconds since the epoch.
    pub mtime: i64,
}

impl<'a> Planner<'a> {
    /// Starts an empty plan over `base`.
    pub fn new(base: &'a Tree, defaults: Defaults) -> Self {
        Self {
            base,
            planned: BTreeMap::new(),
            defaults,
            directories: HashMap::new(),
            followed: HashSet::new(),
            notes: Vec::new(),
        }
    }

    /// The plan as it stands.
    pub fn finish(self) -> Plan {
        Plan {
            entries: self.planned,
            notes: self.notes,
        }
    }

    fn metadata(&self, mode: u32, owner: Ids) -> Metadata {
        Metadata {
            mode,
            uid: owner.uid,
            gid: owner.gid,
            mtime: self.defaults.mtime,
            xattrs: Vec::new(),
        }
    }
}

/// A place in the base with the plan on top of it.
#[derive(Debug, Clone)]
pub struct Place {
    path: LayerPath,
    /// What the base has there.
    base: Option<NodeId>,
}

impl Lookup for Planner<'_> {
    type At = Place;

    fn root(&self) -> Place {
        Place {
            path: LayerPath::ROOT,
            base: Some(self.base.root()),
        }
    }

    fn child(&self, at: &Place, name: &[u8]) -> Option<(Place, Seen<'_>)> {
        let path = at.path.join(name).ok()?;
        let below = at.base.and_then(|id| self.base.child(&id, name));
        let seen = match (self.planned.get(&path), below) {
            (Some(planned), _) => planned.seen(),
            (None, below) => below?.1,
        };
        let base = below.map(|(id, _)| id);
        Some((Place { path, base }, seen))
    }
}

impl Planned {
    fn seen(&self) -> Seen<'_> {
        match &self.kind {
            LayerEntryKind::Directory => Seen::Directory,
            LayerEntryKind::Symlink(target) => Seen::Symlink(target),
            LayerEntryKind::File(_) => Seen::Other,
        }
    }
}

/// The text that `edit` makes of a file of the base takes the file's place and metadata.
#[derive(Debug)]
pub struct Edit<'a> {
    /// The file, which may be a link.
    pub path: &'a LayerPath,
    /// Its new content.
    pub content: Content,
    /// Which part of the spec asked for it.
    pub key: &'a str,
}

/// The kind of a thing in a message.
fn describe(seen: Seen<'_>) -> &'static str {
    match seen {
        Seen::Directory => "a directory",
        Seen::Symlink(_) => "a symbolic link",
        Seen::Other => "a file",
    }
}

/// The metadata of a file of the base, for an edited copy of it.
fn file_metadata(base: &Tree, path: &LayerPath) -> Option<Metadata> {
    let node = base.get(path)?;
    matches!(node.kind, NodeKind::File { .. }).then(|| repeated(node))
}

/// The metadata of an object of the base, to be repeated in the layer. What overlayfs keeps in
/// extended attributes for itself is no part of an image: repeated, it could hide files.
fn repeated(node: &Node) -> Metadata {
    let mut metadata = node.metadata.clone();
    metadata.xattrs.retain(|(name, _)| {
        !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
    });
    metadata
}
