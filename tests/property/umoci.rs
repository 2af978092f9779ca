//! The reference against a real unpacker: `umoci unpack` of random bases and of what is built on
//! them. Runs only where `CUSTOMIZE_UMOCI` is set, as root: umoci is not on every machine.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use customize::core::cancel::Cancel;
use customize::store::layout;
use proptest::prelude::*;

use super::build::{base, build, write_layout};
use super::disk::{Listing, What};
use super::layers::{Layer, Packing};
use super::merge::disk;
use super::spec::{Spec, spec};

/// What is compared of a path: type and content, mode, owner, time, first name of the inode.
type Seen = (What, u32, u32, u32, i64, Vec<u8>);

/// Without what needs a kernel with that device, file system or attribute, and without zstd, which
/// umoci does not read.
fn plain(mut layers: Vec<Layer>) -> Vec<Layer> {
    for layer in &mut layers {
        layer
            .entries
            .retain(|entry| !matches!(entry.flag, b'3' | b'4'));
        // a whiteout after an entry that it does not hide: umoci keeps some of what is below
        let is_whiteout = |name: &[u8]| name.windows(4).any(|part| part == b".wh.");
        layer.entries.sort_by_key(|entry| !is_whiteout(&entry.name));
        for entry in &mut layer.entries {
            entry.xattrs.clear();
            // what is made in such a directory inherits its group
            entry.mode &= !0o2000;
        }
        if matches!(layer.packing, Packing::Zstd) {
            layer.packing = Packing::Gzip;
        }
    }
    layers
}

/// The modes of links and the times of directories are the kernel's affair.
fn seen(what: What, mode: u32, (uid, gid): (u32, u32), mtime: i64, same_as: Vec<u8>) -> Seen {
    let mode = if matches!(what, What::Symlink(_)) {
        0
    } else {
        mode
    };
    let mtime = if what == What::Dir { 0 } else { mtime };
    (what, mode, uid, gid, mtime, same_as)
}

fn expected(listing: Listing) -> Vec<(Vec<u8>, Seen)> {
    let lines = listing.into_iter().filter(|(path, _)| !path.is_empty());
    lines
        .map(|(path, line)| {
            let meta = line.meta;
            let ids = (meta.uid, meta.gid);
            (
                path,
                seen(line.what, meta.mode, ids, meta.mtime, line.same_as),
            )
        })
        .collect()
}

/// Everything below `root`, sorted by path.
fn found(root: &Path) -> Vec<(Vec<u8>, Seen)> {
    let mut paths = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.symlink_metadata().expect("metadata").is_dir() {
                open.push(path.clone());
            }
            paths.push(path);
        }
    }
    let below = |path: &Path| {
        let below = path.strip_prefix(root).expect("below the root");
        below.as_os_str().as_bytes().to_vec()
    };
    paths.sort_by_key(|path| below(path));
    let mut first = std::collections::HashMap::new();
    paths
        .iter()
        .map(|path| {
            let metadata = path.symlink_metadata().expect("metadata");
            let kind = metadata.file_type();
            let what = if kind.is_dir() {
                What::Dir
            } else if kind.is_symlink() {
                let target = fs::read_link(path).expect("a link");
                What::Symlink(target.as_os_str().as_bytes().to_vec())
            } else if kind.is_fifo() {
                What::Fifo
            } else {
                What::File(fs::read(path).expect("a file"))
            };
            let name = below(path);
            let same_as = first.entry(metadata.ino()).or_insert_with(|| name.clone());
            let ids = (metadata.uid(), metadata.gid());
            let mode = metadata.mode() & 0o7777;
            (
                name,
                seen(what, mode, ids, metadata.mtime(), same_as.clone()),
            )
        })
        .collect()
}

/// What umoci makes of a layout, or what it says.
fn unpack(layout: &Path, bundle: &Path) -> Result<Vec<(Vec<u8>, Seen)>, String> {
    let image = format!("{}:test", layout.display());
    let mut umoci = Command::new("umoci");
    let output = umoci
        .args(["unpack", "--image", &image])
        .arg(bundle)
        .output();
    let output = output.expect("umoci starts");
    if output.status.success() {
        return Ok(found(&bundle.join("rootfs")));
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

proptest! {
    #![proptest_config(super::config(100, "tests/property/regressions/umoci.txt"))]

    #[test]
    fn umoci_unpacks_what_the_reference_has(layers in base(), mut spec in spec()) {
        if std::env::var_os("CUSTOMIZE_UMOCI").is_none() {
            return Ok(());
        }
        let layers = plain(layers);
        spec.compression = "gzip";
        check(&layers, &spec);
    }
}

fn repeats_a_path(layer: &Layer) -> bool {
    let mut seen = std::collections::HashSet::new();
    let clean = |path: &[u8]| {
        String::from_utf8_lossy(path)
            .trim_matches(['/', '.'])
            .to_owned()
    };
    let mut paths = layer.entries.iter().map(|entry| clean(&entry.name));
    !paths.all(|path| seen.insert(path))
}

fn check(layers: &[Layer], spec: &Spec) {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let Ok(base) = disk(layers) else {
        return;
    };
    // umoci unpacks all layers into one place, and so through links of lower layers
    let lower = layers.iter().rev().skip(1);
    if lower
        .flat_map(|layer| &layer.entries)
        .any(|entry| entry.flag == b'2')
    {
        return;
    }
    // nor does a directory hide what is below when the same layer first had something else there
    if layers.iter().skip(1).any(repeats_a_path) {
        return;
    }
    write_layout(&at("base"), layers);
    // umoci refuses more than a kernel does, such as whiteouts below links that lead in a circle
    let Ok(before) = unpack(&at("base"), &at("before")) else {
        return;
    };
    assert_eq!(before, expected(base.list()));
    if let Ok(outcome) = build(dir.path(), layers, spec, 1) {
        let result = spec.apply(&base).expect("it was built");
        layout::write(
            &at("result"),
            Some("test"),
            &outcome.built,
            &Cancel::default(),
        )
        .expect("a layout");
        let after = unpack(&at("result"), &at("after"));
        assert_eq!(after, Ok(expected(result.list())));
    }
}
