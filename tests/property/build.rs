//! What a build makes of random bases and specs: base and overlay, extracted, are what a plain copy
//! in a chroot would have made, and nothing outside of the plan changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;

use customize::base::Opener;
use customize::build::{self, Outcome, Request};
use customize::context::Context;
use customize::core::cancel::Cancel;
use customize::core::entry::LayerEntryKind;
use customize::core::overlay::{Action, Plan};
use customize::core::spec::{Spec as Parsed, Timestamp};
use customize::error::{Kind, Result};
use customize::store::cache::Cache;
use proptest::prelude::*;
use proptest::sample::select;

use super::disk::{Disk, Line, Listing, What};
use super::extract::{decompress, entries};
use super::layers::{Layer, Packing, TarEntry, layers};
use super::merge::{disk, meta, sha256};
use super::spec::{Spec, spec};

/// A base that can be extracted: what cannot is left out. It may have a passwd.
pub(crate) fn base() -> impl Strategy<Value = Vec<Layer>> {
    let passwd = select(vec!["", "etc/passwd", "etc/passwd\0../pw/real", "etc\0/pw"]);
    (passwd, layers()).prop_map(|(passwd, layers)| {
        let mut kept = Vec::new();
        if !passwd.is_empty() {
            kept.push(passwd_layer(passwd));
        }
        for layer in layers {
            kept.push(Layer {
                entries: Vec::new(),
                packing: layer.packing,
            });
            for entry in layer.entries {
                let last = kept.len() - 1;
                kept[last].entries.push(entry);
                if disk(&kept).is_err() {
                    kept[last].entries.pop();
                }
            }
        }
        kept
    })
}

/// A passwd, or a link to one: name and target.
fn passwd_layer(passwd: &str) -> Layer {
    let entry = |name: &str, flag, link: &str, data: &[u8]| TarEntry {
        name: name.as_bytes().to_vec(),
        flag,
        link: link.as_bytes().to_vec(),
        data: data.to_vec(),
        mode: 0o640,
        uid: 5,
        gid: 42,
        mtime: 77,
        xattrs: vec![(b"user.p".to_vec(), b"1".to_vec())],
        pax: true,
    };
    let (name, target) = passwd.split_once('\0').unwrap_or((passwd, ""));
    let text = b"root:x:0:0:root:/root:/sbin/nologin";
    let entries = match (name, target) {
        (name, "") => vec![entry(name, b'0', "", text)],
        ("etc", to) => vec![
            entry("etc", b'2', to, b""),
            entry("pw/passwd", b'0', "", text),
        ],
        (name, to) => vec![entry(name, b'2', to, b""), entry("pw/real", b'0', "", text)],
    };
    Layer {
        entries,
        packing: Packing::Gzip,
    }
}

/// Writes a layout of one image; gives the manifest's digest.
pub(crate) fn write_layout(dir: &Path, layers: &[Layer]) -> String {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let put = |bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(blobs.join(&digest[7..]), bytes).expect("a blob");
        digest
    };
    let descriptors: Vec<_> = layers
        .iter()
        .map(|layer| {
            let blob = layer.blob();
            serde_json::json!({
                "mediaType": layer.media_type(), "digest": put(&blob), "size": blob.len(),
            })
        })
        .collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| sha256(&layer.tar())).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": put(config.as_bytes()), "size": config.len(),
        },
        "layers": descriptors,
    })
    .to_string();
    let digest = put(manifest.as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest, "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "test"},
        }],
    });
    fs::write(dir.join("index.json"), index.to_string()).expect("an index");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    digest
}

/// Builds `spec` on `layers`, all in `dir`.
pub(crate) fn build(dir: &Path, layers: &[Layer], spec: &Spec, threads: usize) -> Result<Outcome> {
    let (base, context) = (dir.join("base"), dir.join("context"));
    let digest = write_layout(&base, layers);
    fs::create_dir_all(&context).expect("a directory");
    if fs::read_dir(&context)
        .expect("a directory")
        .next()
        .is_none()
    {
        spec.write_context(&context);
    }
    let parsed = Parsed::parse(&spec.text(&digest), "spec.yaml")?;
    build::build(&Request {
        time: parsed.timestamp.unwrap_or(Timestamp::EPOCH),
        spec: parsed,
        context: Context::open(&context, Cancel::default())?,
        opener: Opener {
            threads: NonZeroUsize::new(threads).expect("a number"),
            directory: dir.to_owned(),
            base_layouts: vec![base],
            cache: Cache::disabled(),
            cancel: Cancel::default(),
        },
    })
}

/// The plain tar of the new layer, empty where there is none.
fn overlay(outcome: &Outcome, base_layers: usize) -> Vec<u8> {
    let image = &outcome.built.images[0];
    let Some(blob) = image.layers.get(base_layers) else {
        assert!(outcome.platforms[0].plan.is_empty());
        return Vec::new();
    };
    let mut bytes = Vec::new();
    let mut reader = blob.open().expect("a blob");
    reader.read_to_end(&mut bytes).expect("a verified blob");
    decompress(&bytes)
}

/// Names are sorted, relative and clean, once each, and after their parents.
fn check_names(tar: &[u8]) {
    let names: Vec<Vec<u8>> = entries(tar)
        .into_iter()
        .map(|entry| {
            entry
                .name
                .strip_suffix(b"/")
                .unwrap_or(&entry.name)
                .to_vec()
        })
        .collect();
    assert!(names.is_sorted_by(|a, b| a < b), "not sorted, or twice");
    for name in &names {
        let parts: Vec<&[u8]> = name.split(|&byte| byte == b'/').collect();
        assert!(
            parts
                .iter()
                .all(|part| !matches!(*part, b"" | b"." | b"..")),
            "`{}` is not clean",
            name.escape_ascii()
        );
        let parent = parts[..parts.len() - 1].join(&b'/');
        assert!(
            parent.is_empty() || names.contains(&parent),
            "`{}` has no parent",
            name.escape_ascii()
        );
    }
}

/// Nothing but what the plan names differs between base and result, and that is as planned.
fn check_plan(plan: &Plan, before: &Listing, after: &Listing) {
    for (path, planned) in &plan.entries {
        let line = &after[path.as_bytes()];
        let what = match &planned.kind {
            LayerEntryKind::Directory => What::Dir,
            LayerEntryKind::Symlink(target) => What::Symlink(target.clone()),
            LayerEntryKind::File(content) => {
                let mut bytes = Vec::new();
                let mut reader = content.open().expect("content");
                reader.read_to_end(&mut bytes).expect("content");
                What::File(bytes)
            }
        };
        assert_eq!(
            (&line.what, &line.meta),
            (&what, &meta(&planned.metadata)),
            "{path}"
        );
        let old = before.get(path.as_bytes());
        match planned.action {
            Action::Add => assert_eq!(old, None, "{path}"),
            Action::Replace => assert!(old.is_some_and(|old| old.what != What::Dir), "{path}"),
            Action::Keep => assert_eq!(old, Some(line), "{path}"),
        }
    }
    let planned = |path: &[u8]| plan.entries.keys().any(|key| key.as_bytes() == path);
    let outside = |listing: &Listing| -> BTreeMap<Vec<u8>, Line> {
        let lines = listing.iter().filter(|(path, _)| !planned(path));
        lines
            .map(|(path, line)| (path.clone(), line.clone()))
            .collect()
    };
    // the group of a hard link is told by its names that stay
    assert_eq!(regrouped(outside(before)), regrouped(outside(after)));
}

fn regrouped(mut listing: Listing) -> Listing {
    let mut first: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (path, line) in &mut listing {
        let first = first.entry(line.same_as.clone());
        let first = first.or_insert_with(|| path.clone());
        line.same_as.clone_from(first);
    }
    listing
}

fn check(outcome: &Outcome, layers: &[Layer], base: &Disk, expected: &Disk) {
    let tar = overlay(outcome, layers.len());
    let mut result = base.clone();
    if !tar.is_empty() {
        check_names(&tar);
        result
            .extract(&tar)
            .expect("an overlay that can be extracted");
    }
    let (before, after) = (base.list(), result.list());
    check_plan(&outcome.platforms[0].plan, &before, &after);
    assert_eq!(after, expected.list());
}

proptest! {
    #![proptest_config(super::config(300, "tests/property/regressions/build.txt"))]

    #[test]
    fn a_build_does_what_a_copy_on_disk_would(layers in base(), spec in spec()) {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = disk(&layers).expect("a base that can be extracted");
        match (build(dir.path(), &layers, &spec, 2), spec.apply(&disk)) {
            (Ok(outcome), Ok(expected)) => check(&outcome, &layers, &disk, &expected),
            (Err(error), Err(_)) => {
                prop_assert_eq!(error.kind(), Kind::Usage, "{}", error);
                prop_assert!(!error.message().is_empty());
            }
            (Ok(_), Err(errno)) => prop_assert!(false, "built, but on disk: {:?}", errno),
            (Err(error), Ok(_)) => prop_assert!(false, "refused: {}", error),
        }
    }
}
