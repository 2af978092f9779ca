//! The merged tree of random layers is what the reference has on disk, or both refuse.

use std::collections::{BTreeMap, HashMap};

use customize::core::cancel::Cancel;
use customize::core::path::LayerPath;
use customize::core::tree::{IndexKind, LayerIndex, Lookup, Node, NodeKind, Tree};
use customize::error::{Kind, Result};
use proptest::prelude::*;

use super::disk::{Disk, Line, Listing, Meta, What};
use super::layers::{Layer, layers};

/// What the crate makes of the layers.
pub(crate) fn tree(layers: &[Layer]) -> Result<Tree> {
    let indexes = layers
        .iter()
        .map(|layer| {
            let blob = layer.blob();
            LayerIndex::read(blob.as_slice(), blob.len() as u64)
        })
        .collect::<Result<Vec<_>>>()?;
    Tree::merge(&indexes, &Cancel::default())
}

/// The tree as a listing. Contents come from the layers by the digest that the tree knows.
pub(crate) fn list(tree: &Tree, layers: &[Layer]) -> Listing {
    let files = layers.iter().flat_map(|layer| &layer.entries);
    let contents: HashMap<String, &[u8]> = files
        .map(|entry| (sha256(&entry.data), entry.data.as_slice()))
        .collect();
    let root = tree.get(&LayerPath::ROOT).expect("a root");
    let mut first: HashMap<*const Node, Vec<u8>> = HashMap::new();
    let mut nodes: BTreeMap<Vec<u8>, &Node> = tree
        .walk(tree.root())
        .map(|(path, node)| (path.as_bytes().to_vec(), node))
        .collect();
    nodes.insert(Vec::new(), root);
    nodes
        .into_iter()
        .map(|(path, node)| {
            let same_as = first
                .entry(std::ptr::from_ref(node))
                .or_insert_with(|| path.clone())
                .clone();
            let line = Line {
                what: what(node, &contents),
                meta: meta(&node.metadata),
                same_as,
            };
            (path, line)
        })
        .collect()
}

fn what(node: &Node, contents: &HashMap<String, &[u8]>) -> What {
    match &node.kind {
        NodeKind::Directory(_) => What::Dir,
        NodeKind::File { size, digest, .. } => {
            let content = contents[&digest.to_string()];
            assert_eq!(*size, content.len() as u64);
            What::File(content.to_vec())
        }
        NodeKind::Symlink(target) => What::Symlink(target.clone()),
        NodeKind::Device(IndexKind::CharacterDevice { major, minor }) => What::Char(*major, *minor),
        NodeKind::Device(IndexKind::BlockDevice { major, minor }) => What::Block(*major, *minor),
        NodeKind::Device(other) => panic!("{other:?} is no device"),
        NodeKind::Fifo => What::Fifo,
    }
}

pub(crate) fn meta(metadata: &customize::core::entry::Metadata) -> Meta {
    Meta {
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: metadata.mtime,
        xattrs: metadata.xattrs.iter().cloned().collect(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    let hex = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex = hex.filter_map(|digit| char::from_digit(digit.into(), 16));
    format!("sha256:{}", hex.collect::<String>())
}

/// What the reference has on disk.
pub(crate) fn disk(layers: &[Layer]) -> std::result::Result<Disk, super::disk::Errno> {
    let mut disk = Disk::new();
    for layer in layers {
        disk.extract(&layer.tar())?;
    }
    Ok(disk)
}

proptest! {
    #![proptest_config(super::config(1500, "tests/property/regressions/merge.txt"))]

    #[test]
    fn a_merged_tree_is_what_a_runtime_has_on_disk(layers in layers()) {
        match (tree(&layers), disk(&layers)) {
            (Ok(tree), Ok(disk)) => prop_assert_eq!(list(&tree, &layers), disk.list()),
            (Err(error), Err(_)) => {
                prop_assert_eq!(error.kind(), Kind::Integrity);
                prop_assert!(!error.message().is_empty());
            }
            (Ok(_), Err(errno)) => prop_assert!(false, "accepted, but on disk: {:?}", errno),
            (Err(error), Ok(_)) => prop_assert!(false, "refused: {}", error),
        }
    }
}
