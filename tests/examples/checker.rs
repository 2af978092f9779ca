//! The checker of layouts sees damage: otherwise its silence would prove nothing.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{build, prepared};
use crate::support::check;
use crate::support::run::CopyStyle;

/// Puts other bytes in place of the document `old`, and makes the layout's `index.json` point to
/// them rightly: only what the document says is wrong then.
fn replace(layout: &Path, old: &str, new: &Value) {
    let bytes = serde_json::to_vec(new).expect("JSON");
    let digest = check::sha256(&bytes);
    let blob = |digest: &str| layout.join("blobs/sha256").join(&digest["sha256:".len()..]);
    fs::remove_file(blob(old)).expect("remove");
    fs::write(blob(&digest), &bytes).expect("write");
    let index = layout.join("index.json");
    let mut root: Value = serde_json::from_slice(&fs::read(&index).expect("read")).expect("JSON");
    root["manifests"][0]["digest"] = digest.into();
    root["manifests"][0]["size"] = bytes.len().into();
    fs::write(index, serde_json::to_vec(&root).expect("JSON")).expect("write");
}

#[test]
fn damage_is_seen() {
    type Damage = fn(&Path, &check::Named);
    let damages: [(&str, Damage); 6] = [
        ("has the digest", |layout, named| {
            let digest = &named.images[0].layers[0].digest["sha256:".len()..];
            let path = layout.join("blobs/sha256").join(digest);
            let mut bytes = fs::read(&path).expect("read");
            bytes[20] ^= 1;
            fs::remove_file(&path).expect("remove"); // it may be a link of the base's
            fs::write(path, bytes).expect("write");
        }),
        ("No such file", |layout, named| {
            let digest = &named.images[0].layers[1].digest["sha256:".len()..];
            fs::remove_file(layout.join("blobs/sha256").join(digest)).expect("remove");
        }),
        ("nothing points to", |layout, _| {
            fs::write(layout.join("blobs/sha256/stray"), "x").expect("write");
        }),
        ("size of", |layout, named| {
            let mut manifest = named.images[0].manifest.clone();
            manifest["layers"][0]["size"] = 1.into();
            replace(layout, &named.digest, &manifest);
        }),
        ("1 layers, 2 diff_ids", |layout, named| {
            let mut manifest = named.images[0].manifest.clone();
            manifest["layers"].as_array_mut().expect("layers").pop();
            replace(layout, &named.digest, &manifest);
        }),
        ("mediaType of the config", |layout, named| {
            let mut manifest = named.images[0].manifest.clone();
            manifest["config"]["mediaType"] = "application/json".into();
            replace(layout, &named.digest, &manifest);
        }),
    ];
    let sandbox = prepared(CopyStyle::default());
    for (number, (expected, damage)) in damages.into_iter().enumerate() {
        // One platform: the name is that of a manifest.
        let layout = build(&sandbox, "postgres", &format!("damage-{number}"));
        let named = check::tagged(&layout, "example");
        damage(&layout, &named);
        let found = check::layout(&layout).expect_err(expected);
        assert!(
            found.contains(expected),
            "expected {expected:?}, found {found:?}"
        );
    }
}
