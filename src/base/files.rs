//! The files of an opened image: finding them by path or glob, and getting their bytes out of the
//! layers, each layer read once as a stream and verified to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use super::exclusion::{Excluded, Exclusion};
use super::spool::Spool;
use crate::core::cancel::Cancel;
use crate::core::decompress::{Decompressor, Limited};
use crate::core::descriptor::Descriptor;
use crate::core::digest::Digest;
use crate::core::entry::{Content, SourceEntry, SourceKind, SourceMatch};
use crate::core::image::{LayerDescriptor, Manifest};
use crate::core::path::{LayerPath, escape};
use crate::core::spec::SourcePattern;
use crate::core::tar_reader::TarReader;
use crate::core::tree::{
    LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES, Node, NodeId, NodeKind, Origin, Tree, resolve,
};
use crate::error::{Error, Result};
use crate::store::{Store, open_blob};

/// The merged file system of an image or artifact, and where its bytes are.
pub struct Files {
    /// The merged file system.
    pub tree: Tree,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// Where the layers are.
    pub store: Arc<dyn Store>,
}

/// A layer of [`Files`].
#[derive(Debug, Clone)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// What it holds.
    pub index: Arc<LayerIndex>,
    /// Whether the blob is no tar but the one file that the index names, as in artifacts.
    pub is_file: bool,
}

impl Files {
    /// Merges the layers of an image.
    pub(super) fn of_image(
        store: &Arc<dyn Store>,
        manifest: &Manifest,
        indexes: Vec<Arc<LayerIndex>>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let tree = Tree::merge(indexes.iter().map(AsRef::as_ref), cancel)?;
        let layer = |(layer, index): (&LayerDescriptor, _)| Layer {
            descriptor: layer.descriptor.clone(),
            index,
            is_file: false,
        };
        Ok(Self {
            tree,
            layers: manifest.layers.iter().zip(indexes).map(layer).collect(),
            store: Arc::clone(store),
        })
    }

    /// The content of the file that `path` leads to, links followed; `None` where there is none.
    /// More than `limit` bytes are an error.
    pub fn read(&self, path: &LayerPath, limit: u64) -> Result<Option<Vec<u8>>> {
        let resolved = resolve(&self.tree, path, true)
            .map_err(|error| Error::usage(format!("{path} cannot be read")).because(error))?;
        let Some(NodeKind::File { size, origin, .. }) =
            resolved.at.map(|id| &self.tree.node(id).kind)
        else {
            return Ok(None);
        };
        if *size > limit {
            return Err(Error::usage(format!(
                "expected {path} of at most {limit} bytes in the base, found {size}"
            )));
        }
        if let Some(content) = self.layers[origin.layer].index.content(origin.entry) {
            return Ok(Some(content.to_vec()));
        }
        let mut content = Vec::new();
        self.extract(&[*origin].into(), |_, data| {
            data.read_to_end(&mut content).map(drop)
        })?;
        Ok(Some(content))
    }

    /// What `pattern` names in this file system, without what `exclude` matches, and what of it is
    /// not copied; the bytes of all files are put into `spool`.
    pub fn collect(
        &self,
        pattern: &SourcePattern,
        exclude: &Exclusion<'_>,
        spool: &Spool,
    ) -> Result<(Vec<SourceMatch>, Vec<String>)> {
        let mut notes = Vec::new();
        let mut found = Vec::new();
        let mut budget = Budget::default();
        for named in self.named(pattern, exclude)? {
            let entries = self.below(&named, exclude, &mut budget)?;
            note_dropped(&named.said, &entries, &mut notes);
            found.push((named.said, entries));
        }
        let wanted = found.iter().flat_map(|(_, nodes)| nodes);
        let contents = self.spool(wanted.map(|(_, node)| *node), spool)?;
        let entry = |(path, node): (LayerPath, &Node)| {
            Ok(SourceEntry {
                kind: source_kind(&path, node, &contents)?,
                path,
            })
        };
        let matches = found
            .into_iter()
            .map(|(shown, nodes)| {
                Ok(SourceMatch {
                    name: shown.name().unwrap_or_default().to_vec(),
                    shown: shown.to_string(),
                    entries: nodes
                        .into_iter()
                        .map(entry)
                        .collect::<Result<_>>()
                        .map_err(|error| error.at(shown.to_string()))?,
                })
            })
            .collect::<Result<_>>()?;
        Ok((matches, notes))
    }

    /// What is named, in the order of the tree.
    fn named(&self, pattern: &SourcePattern, exclude: &Exclusion<'_>) -> Result<Vec<Named>> {
        let nothing = || {
            Error::usage(format!(
                "expected `{}` in the image, found nothing there",
                pattern.as_str().escape_debug()
            ))
        };
        let prefix = pattern.literal_prefix();
        let resolved =
            resolve(&self.tree, prefix, true).map_err(|error| nothing().because(error))?;
        let top = resolved.at.ok_or_else(nothing)?;
        if pattern.glob().is_none() {
            return Ok(vec![Named {
                said: prefix.clone(),
                below_prefix: LayerPath::ROOT,
                at: top,
            }]);
        }
        let mut named: Vec<(LayerPath, LayerPath)> = Vec::new();
        let mut excluded = Excluded::new(exclude);
        for (below, _) in self.tree.walk(top) {
            let excluded = excluded.covers(&below);
            // As the user says it: below the prefix, however that is linked.
            let said = prefix.join_all(&below);
            let said = said.map_err(|error| nothing().because(error))?;
            let covered = named
                .last()
                .is_some_and(|(_, above)| below.starts_with(above));
            if !covered && !excluded && pattern.matches(&said) {
                named.push((said, below));
            }
        }
        if named.is_empty() {
            return Err(nothing());
        }
        named
            .into_iter()
            .map(|(said, below_prefix)| {
                let followed = resolve(&self.tree, &said, true).ok();
                let at = followed.and_then(|followed| followed.at).ok_or_else(|| {
                    Error::usage(format!("{said} of the image is a link that leads nowhere"))
                        .hint("leave it out with `exclude`")
                })?;
                Ok(Named {
                    said,
                    below_prefix,
                    at,
                })
            })
            .collect()
    }

    /// What is named and all below it, by path relative to it.
    fn below(
        &self,
        named: &Named,
        exclude: &Exclusion<'_>,
        budget: &mut Budget,
    ) -> Result<Vec<(LayerPath, &Node)>> {
        let mut excluded = Excluded::new(exclude);
        let mut entries = vec![(LayerPath::ROOT, self.tree.node(named.at))];
        for (path, node) in self.tree.walk(named.at) {
            let below = named.below_prefix.join_all(&path);
            if below.is_ok_and(|below| excluded.covers(&below)) {
                continue;
            }
            budget.take(&path)?;
            entries.push((path, node));
        }
        Ok(entries)
    }

    /// Puts the bytes of all files among `nodes` into `spool`, each once.
    fn spool<'n>(
        &self,
        nodes: impl Iterator<Item = &'n Node>,
        spool: &Spool,
    ) -> Result<HashMap<Digest, Content>> {
        let mut wanted: BTreeMap<Digest, Origin> = BTreeMap::new();
        for node in nodes {
            if let NodeKind::File { digest, origin, .. } = node.kind {
                wanted.entry(digest).or_insert(origin);
            }
        }
        let origins: BTreeSet<_> = wanted.into_values().collect();
        let mut contents = HashMap::new();
        self.extract(&origins, |expected, data| {
            contents.insert(expected, spool.add(data, expected)?);
            Ok(())
        })?;
        Ok(contents)
    }

    /// Gives the bytes of each origin, with their digest as the index has it, to `take`.
    fn extract(
        &self,
        origins: &BTreeSet<Origin>,
        mut take: impl FnMut(Digest, &mut dyn Read) -> io::Result<()>,
    ) -> Result<()> {
        for (number, layer) in self.layers.iter().enumerate() {
            let positions: BTreeSet<_> = origins
                .iter()
                .filter(|origin| origin.layer == number)
                .map(|origin| origin.entry)
                .collect();
            if !positions.is_empty() {
                self.extract_layer(layer, &positions, &mut take)
                    .map_err(|error| error.at(format!("layer {}", layer.descriptor.digest)))?;
            }
        }
        Ok(())
    }

    fn extract_layer(
        &self,
        layer: &Layer,
        positions: &BTreeSet<usize>,
        take: &mut impl FnMut(Digest, &mut dyn Read) -> io::Result<()>,
    ) -> Result<()> {
        let mut blob = open_blob(self.store.as_ref(), &layer.descriptor)?;
        let failed = |error| Error::io("cannot take files out of the layer", error);
        if layer.is_file {
            return take(layer.descriptor.digest, &mut blob).map_err(failed);
        }
        let tar = Limited::new(Decompressor::new(&mut blob)?, layer.index.uncompressed_size);
        let mut reader = TarReader::new(tar);
        let mut position = 0;
        while reader.next_entry()?.is_some() {
            if positions.contains(&position)
                && let Some(digest) = layer.index.file_digest(position)
            {
                take(digest, &mut reader).map_err(failed)?;
            }
            position += 1;
        }
        reader.finish()?;
        blob.finish()
    }
}

/// What the matches of one source may hold together: links may lead many of them to one place.
#[derive(Default)]
struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    fn take(&mut self, path: &LayerPath) -> Result<()> {
        self.entries += 1;
        self.bytes += path.as_bytes().len();
        if self.entries > MAX_ENTRIES || self.bytes > MAX_NAME_BYTES {
            return Err(Error::usage(format!(
                "expected a source of at most {MAX_ENTRIES} entries and {MAX_NAME_BYTES} bytes of paths in the image, found more"
            ))
            .hint("name less of the image in `source`, or leave more out with `exclude`"));
        }
        Ok(())
    }
}

/// Owner and mode are the spec's, so special bits and extended attributes stay behind: a program
/// may need them.
fn note_dropped(said: &LayerPath, entries: &[(LayerPath, &Node)], notes: &mut Vec<String>) {
    for (path, node) in entries {
        if !matches!(node.kind, NodeKind::File { .. }) {
            continue;
        }
        let special = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")];
        let bits = special
            .iter()
            .filter(|(bit, _)| node.metadata.mode & bit != 0);
        let mut dropped: Vec<String> = bits.map(|(_, name)| (*name).to_owned()).collect();
        dropped.extend(node.metadata.xattrs.iter().map(|(name, _)| escape(name)));
        if !dropped.is_empty() {
            let path = said.join_all(path).unwrap_or_else(|_| said.clone());
            notes.push(format!(
                "{path} loses what makes it more than a file: {}",
                dropped.join(", ")
            ));
        }
    }
}

/// A file or directory that a source names.
struct Named {
    /// Its path as the user would say it.
    said: LayerPath,
    /// Its path below a glob's prefix, from which `exclude` counts; the root for a literal source.
    below_prefix: LayerPath,
    /// What it is, links followed.
    at: NodeId,
}

fn source_kind(
    path: &LayerPath,
    node: &Node,
    contents: &HashMap<Digest, Content>,
) -> Result<SourceKind> {
    Ok(match &node.kind {
        NodeKind::Directory(_) => SourceKind::Directory,
        NodeKind::Symlink(target) => SourceKind::Symlink(target.clone()),
        NodeKind::File { digest, .. } => SourceKind::File {
            content: contents
                .get(digest)
                .cloned()
                .ok_or_else(|| Error::internal(format!("{path} was not found in its layer")))?,
            executable: node.metadata.mode & 0o111 != 0,
        },
        NodeKind::Device(_) | NodeKind::Fifo => {
            return Err(Error::usage(format!(
                "expected files, directories and links in the image's source, found a device or pipe at {path}"
            ))
            .hint("leave it out with `exclude`"));
        }
    })
}
