//! Layers that lie about what they are, that are cut off, and that never end.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{
    CONFIG, Layer, MANIFEST, TAR_GZIP, TAR_ZSTD, base_layer, base_tar, config, descriptor, digest,
    manifest, no_digest,
};
use crate::support::tar::{Entry, Tar, gzip, gzip_bomb, zstd, zstd_bomb};

const GIB: u64 = 1 << 30;

/// A bench whose manifest is what `lie` makes of an honest one.
fn with_manifest(lie: impl FnOnce(&mut Value)) -> Bench {
    let bench = Bench::new();
    let layers = [base_layer()];
    let base = bench.base();
    base.image(&layers);
    let mut manifest = manifest(config(&layers).to_string().as_bytes(), &layers);
    lie(&mut manifest);
    bench.spec_for(&base.put(manifest.to_string().as_bytes()));
    bench
}

type Damage = fn(Vec<u8>) -> Vec<u8>;

#[test]
fn layers_that_are_not_what_the_manifest_says() {
    let mut said = Transcript::default();
    let layer = base_layer();
    let size = layer.bytes.len();
    let of_layer = digest(&layer.bytes);
    let names = [
        (of_layer.as_str(), "layer"),
        (layer.diff_id.as_str(), "diff_id"),
    ];
    for (title, size) in [
        ("the size in the manifest is too small", size - 1),
        ("the size in the manifest is too large", size + 1),
        ("the size in the manifest is zero", 0),
    ] {
        let bench = with_manifest(|manifest| manifest["layers"][0]["size"] = size.into());
        said.note(title, &bench.refused(4), &names);
    }
    let damage: [(&str, Damage); 4] = [
        ("the blob is cut off", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        ("the blob is empty", |_| Vec::new()),
        ("the blob goes on", |mut bytes| {
            bytes.extend_from_slice(b"more");
            bytes
        }),
        ("the blob is another layer of the same size", |mut bytes| {
            // the time in gzip's header, which no reader looks at
            bytes[4] ^= 1;
            bytes
        }),
    ];
    for (title, damage) in damage {
        let bench = Bench::of(std::slice::from_ref(&layer));
        bench.base().put_as(&of_layer, &damage(layer.bytes.clone()));
        said.note(title, &bench.refused(4), &names);
    }
    let bench = Bench::of(std::slice::from_ref(&layer));
    fs::remove_file(bench.base().blob(&of_layer)).expect("removed");
    said.note("the blob is missing", &bench.refused(4), &names);
    let mut liar = layer.clone();
    liar.diff_id = no_digest();
    let bench = Bench::of(&[liar]);
    said.note(
        "the config lies about the diff_id",
        &bench.refused(4),
        &names,
    );
    said.check("layers");
}

#[test]
fn documents_that_are_not_what_their_digest_says() {
    let mut said = Transcript::default();
    let layers = [base_layer()];
    let config = config(&layers).to_string();
    let of_config = digest(config.as_bytes());
    for (title, text) in [
        (
            "the config is another one",
            Some(config.replace("amd64", "arm64")),
        ),
        ("the config is cut off", Some(config[..40].to_owned())),
        ("the config is missing", None),
    ] {
        let bench = Bench::of(&layers);
        match text {
            Some(text) => bench.base().put_as(&of_config, text.as_bytes()),
            None => fs::remove_file(bench.base().blob(&of_config)).expect("removed"),
        }
        said.note(title, &bench.refused(4), &[(&of_config, "config")]);
    }
    for (title, size) in [
        ("too small", 3),
        ("too large", 1_u64 << 40),
        ("2^63", 1 << 63),
    ] {
        let bench = with_manifest(|manifest| manifest["config"]["size"] = size.into());
        let title = format!("the config's size in the manifest is {title}");
        said.note(&title, &bench.refused(4), &[(&of_config, "config")]);
    }
    let bench = Bench::of(&layers);
    let pinned = bench.pinned();
    bench.base().put_as(&pinned, b"{}");
    said.note(
        "the manifest is another one",
        &bench.refused(4),
        &[(&pinned, "manifest")],
    );
    fs::remove_file(bench.base().blob(&pinned)).expect("removed");
    said.note(
        "the manifest is missing",
        &bench.refused(4),
        &[(&pinned, "manifest")],
    );
    said.check("digests");
}

#[test]
fn bombs() {
    let mut said = Transcript::default();
    let large = |size: u64| {
        Tar::new()
            .entry(&Entry {
                name: b"zeros",
                size,
                ..Entry::default()
            })
            .0
            .clone()
    };
    let end = base_tar().end();
    let mut window = vec![0x28, 0xb5, 0x2f, 0xfd, 0b0000_0000, 0xf8];
    window.extend_from_slice(&[1, 0, 0]);
    for (title, layer) in [
        (
            "gzip, zeros after the end marker",
            Layer::unread(TAR_GZIP, gzip_bomb(&end, 64 << 20)),
        ),
        (
            "zstd, one file of 20 GiB of zeros",
            Layer::unread(TAR_ZSTD, zstd_bomb(&large(20 * GIB), GIB + (1 << 20))),
        ),
        (
            "zstd, zeros after the end marker",
            Layer::unread(TAR_ZSTD, zstd_bomb(&end, 64 << 20)),
        ),
        ("zstd, a window of 2 TiB", Layer::unread(TAR_ZSTD, window)),
        (
            "plain, one file of 8 EiB",
            Layer::unread(TAR_GZIP, {
                let mut tar = Tar::new();
                tar.pax(&[("size", b"9223372036854775807")])
                    .file(b"file", b"");
                tar.end()
            }),
        ),
        ("gzip in gzip", Layer::unread(TAR_GZIP, gzip(&gzip(&end)))),
        (
            "gzip of nothing but empty members",
            Layer::unread(TAR_GZIP, gzip(b"").repeat(50_000)),
        ),
    ] {
        let of_layer = digest(&layer.bytes);
        let bench = Bench::of(&[layer]);
        said.note(title, &bench.refused(4), &[(&of_layer, "layer")]);
    }
    said.check("bombs");
}

#[test]
fn streams_that_end_too_early_or_too_late() {
    let mut said = Transcript::default();
    let tar = base_tar();
    let end = tar.end();
    let data: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut long = tar.clone();
    let long = long.file(b"data", &data).end();
    let half = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    let joined = |parts: &[&[u8]]| parts.concat();
    let flipped = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 0x55;
        bytes
    };
    let whole = gzip(&long);
    let middle = whole.len() / 2;
    let trailer = whole.len() - 6;
    for (title, bytes) in [
        ("tar cut off in a header", end[..700].to_vec()),
        ("tar cut off in data", long[..long.len() - 9000].to_vec()),
        ("gzip cut off", half(gzip(&long))),
        (
            "gzip without its trailer",
            whole[..whole.len() - 8].to_vec(),
        ),
        ("gzip damaged in the middle", flipped(whole.clone(), middle)),
        (
            "gzip with a wrong checksum",
            flipped(whole.clone(), trailer),
        ),
        (
            "gzip and garbage after it",
            joined(&[&gzip(&end), b"garbage after the end"]),
        ),
        ("gzip whose tar is cut off", gzip(&end[..700])),
        ("zstd cut off", half(zstd(&long))),
        ("zstd damaged", flipped(zstd(&long), 30)),
        (
            "zstd and garbage after it",
            joined(&[&zstd(&end), b"garbage after the end"]),
        ),
        ("zstd whose tar is cut off", zstd(&end[..700])),
        (
            "no tar at all",
            b"#!/bin/sh\necho this is no layer\n".repeat(100),
        ),
        ("only a gzip header", vec![0x1f, 0x8b, 8]),
        ("xz", joined(&[b"\xfd7zXZ\0", &end])),
        ("bzip2", joined(&[b"BZh91AY&SY", &end])),
        (
            "an extension header of 1 GiB",
            Tar::new()
                .entry(&Entry {
                    name: b"pax",
                    kind: b'x',
                    size: GIB,
                    ..Entry::default()
                })
                .0
                .clone(),
        ),
        ("extension headers without end", {
            let mut tar = Tar::new();
            for _ in 0..2000 {
                tar.gnu_name(b"a\0");
            }
            tar.0
        }),
        (
            "another file after the end marker, 20 MiB long",
            joined(&[&end, &Tar::new().file(b"hidden", &vec![1; 20 << 20]).end()]),
        ),
    ] {
        let of_layer = digest(&bytes);
        let bench = Bench::of(&[Layer::unread(TAR_GZIP, bytes)]);
        said.note(title, &bench.refused(4), &[(&of_layer, "layer")]);
    }
    said.check("streams");
}

#[test]
fn streams_that_are_odd_and_right() {
    let tar = base_tar();
    let end = tar.end();
    let (first, second) = end.split_at(777);
    for bytes in [
        end.clone(),
        // Without an end marker.
        tar.0.clone(),
        gzip(&tar.0),
        // Several members, one of them empty.
        [gzip(first), gzip(b""), gzip(second)].concat(),
        // Several frames, and a skippable one in front.
        [
            &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..],
            &zstd(first),
            &zstd(second),
        ]
        .concat(),
    ] {
        let plain = if bytes.len() % 512 == 0 && bytes.starts_with(&tar.0) {
            bytes.clone()
        } else {
            end.clone()
        };
        let plain = if bytes == gzip(&tar.0) {
            tar.0.clone()
        } else {
            plain
        };
        Bench::of(&[Layer::of(TAR_GZIP, bytes, &plain)])
            .build()
            .succeeded();
    }
}

/// A tar of so many empty files in a thousand directories.
fn many(count: u32) -> Tar {
    let mut tar = Tar::new();
    for number in 0..count {
        tar.file(format!("d{}/f{number}", number % 1000).as_bytes(), b"");
    }
    tar
}

#[test]
fn a_layer_of_many_entries() {
    Bench::of(&[Layer::gzip(&many(20_000).end())])
        .build()
        .succeeded();
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes a minute without optimization")]
fn a_million_entries_and_not_one_more() {
    let most = 1 << 20;
    let started = Instant::now();
    Bench::of(&[Layer::gzip(&many(most).end())])
        .build()
        .succeeded();
    assert!(started.elapsed() < Duration::from_secs(30));
    let layer = Layer::gzip(&many(most + 1).end());
    let of_layer = digest(&layer.bytes);
    let mut said = Transcript::default();
    let ran = Bench::of(&[layer]).refused(4);
    said.note("more than a million entries", &ran, &[(&of_layer, "layer")]);
    said.check("many");
}

/// A layer whose extended attributes take so many MiB.
fn attributes(seed: u8, mebibytes: usize) -> Layer {
    let mut tar = Tar::new();
    let value = vec![seed; (1 << 20) - 100];
    for number in 0..mebibytes {
        tar.pax(&[("SCHILY.xattr.user.x", &value)])
            .file(format!("f{number}").as_bytes(), b"");
    }
    let tar = tar.end();
    Layer::of(TAR_ZSTD, zstd(&tar), &tar)
}

#[test]
fn metadata_without_end() {
    let mut said = Transcript::default();
    let layer = attributes(1, 257);
    let of_layer = digest(&layer.bytes);
    let ran = Bench::of(&[layer]).refused(4);
    said.note("in one layer", &ran, &[(&of_layer, "layer")]);
    // Each of them is small enough, all of them are not.
    let layers: Vec<_> = (0..2).map(|seed| attributes(seed, 130)).collect();
    said.note(
        "in all layers together",
        &Bench::of(&layers).refused(4),
        &[],
    );
    said.check("metadata");
}

#[test]
fn many_layers() {
    let bench = Bench::new();
    let layers: Vec<_> = (0..150_u32)
        .map(|number| Layer::plain(Tar::new().file(format!("f{number}").as_bytes(), b"").end()))
        .collect();
    bench.spec_for(&bench.base().image(&layers));
    bench.build().succeeded();
    // The same layer as often as runtimes can bear it, and once more.
    let bench = Bench::new();
    let layers = vec![base_layer(); 500];
    bench.spec_for(&bench.base().image(&layers));
    bench.build().succeeded();
    let refused = Bench::of(&vec![base_layer(); 501]).refused(4);
    assert_eq!(
        refused.stderr,
        "error: oci:base: expected at most 500 layers, which is what runtimes can lay over each other, found 501\n"
    );
    // A manifest and a config that speak of each other's digests as their own layers.
    let base = bench.base();
    let config = base.put(b"{}");
    let text = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, b"{}"),
        "layers": [{"mediaType": TAR_GZIP, "digest": config, "size": 2}],
    });
    bench.spec_for(&base.put(text.to_string().as_bytes()));
    bench.refused(4);
}
