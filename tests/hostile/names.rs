//! Names and links in a base: what would leave the image is refused, what is only odd is kept and
//! shown without harm.

use serde_json::Value;

use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{Layer, base_tar, digest};
use crate::support::tar::{Entry, Tar};

fn refused(said: &mut Transcript, title: &str, code: i32, tar: &Tar) {
    let layer = Layer::gzip(&tar.end());
    let (of_layer, diff_id) = (digest(&layer.bytes), layer.diff_id.clone());
    let ran = Bench::of(&[layer]).refused(code);
    said.note(title, &ran, &[(&of_layer, "layer"), (&diff_id, "diff_id")]);
}

#[test]
fn names_that_are_refused() {
    let mut said = Transcript::default();
    let mut deep = b"d/".repeat(9_999);
    deep.push(b'f');
    let pax = |name: &[u8]| {
        let mut tar = base_tar();
        tar.pax(&[("path", name)]).file(b"x", b"data");
        tar
    };
    let gnu = |name: &[u8]| {
        let mut tar = base_tar();
        tar.gnu_name(name).file(b"x", b"data");
        tar
    };
    for (title, name) in [
        ("a parent", &b"../etc/passwd"[..]),
        ("a parent in the middle", b"etc/../../x"),
        ("a parent at the end", b"etc/.."),
        ("an absolute parent", b"/../x"),
        ("a NUL", b"etc/a\0b"),
        ("10,000 levels", &deep),
        ("a name of 256 bytes", &[b'a'; 256]),
        ("a path of 4,096 bytes", &b"aaaaaaa/".repeat(512)[..4095]),
        ("a whiteout of nothing", b"etc/.wh."),
        ("a whiteout of the parent", b"etc/.wh..."),
        ("escapes and a parent", b"\x1b[2J\n/../\xff/\x07"),
    ] {
        refused(&mut said, &format!("{title}, by PAX"), 4, &pax(name));
        if !name.contains(&0) {
            refused(&mut said, &format!("{title}, by GNU"), 4, &gnu(name));
        }
    }
    let mut root = base_tar();
    root.file(b"./", b"x");
    refused(&mut said, "a file for the root", 4, &root);
    let mut root = base_tar();
    root.symlink(b".", b"/etc");
    refused(&mut said, "a link for the root", 4, &root);
    let mut below = base_tar();
    below.file(b"usr/bin/app/below", b"x");
    refused(&mut said, "a file below a file", 4, &below);
    said.check("names");
}

#[test]
fn links_that_are_refused() {
    let mut said = Transcript::default();
    let with = |add: fn(&mut Tar)| {
        let mut tar = base_tar();
        add(&mut tar);
        tar
    };
    for (title, tar) in [
        (
            "a hard link to nothing",
            with(|tar| {
                tar.hard_link(b"a", b"nothing");
            }),
        ),
        (
            "a hard link to itself",
            with(|tar| {
                tar.hard_link(b"a", b"a");
            }),
        ),
        (
            "a hard link to what comes later",
            with(|tar| {
                tar.hard_link(b"a", b"b").file(b"b", b"");
            }),
        ),
        (
            "a hard link to a directory",
            with(|tar| {
                tar.hard_link(b"a", b"etc");
            }),
        ),
        (
            "a hard link out of the image",
            with(|tar| {
                tar.hard_link(b"a", b"../../etc/passwd");
            }),
        ),
        (
            "a hard link with escapes",
            with(|tar| {
                tar.hard_link(b"\x1b[2J", b"\x1b]0;x\x07\n");
            }),
        ),
        (
            "a hard link through a loop",
            with(|tar| {
                tar.symlink(b"l", b"l").hard_link(b"a", b"l/x");
            }),
        ),
        (
            "an entry through a loop",
            with(|tar| {
                tar.symlink(b"l1", b"l2")
                    .symlink(b"l2", b"l1")
                    .file(b"l1/x", b"");
            }),
        ),
        (
            "an entry through links that grow",
            with(|tar| {
                tar.symlink(b"l", b"l/l/l/l").file(b"l/x", b"");
            }),
        ),
        (
            "a sparse file",
            with(|tar| {
                tar.entry(&Entry {
                    name: b"s",
                    kind: b'S',
                    ..Entry::default()
                });
            }),
        ),
        (
            "an entry of an unknown type",
            with(|tar| {
                tar.entry(&Entry {
                    name: b"s",
                    kind: 0x1b,
                    ..Entry::default()
                });
            }),
        ),
    ] {
        refused(&mut said, title, 4, &tar);
    }
    // Where the spec leads into a loop, the base is as it should be: the spec is to be changed.
    let mut tar = base_tar();
    tar.symlink(b"opt", b"srv").symlink(b"srv", b"opt");
    refused(&mut said, "a destination through a loop", 2, &tar);
    said.check("links");
}

#[test]
fn names_that_are_odd_and_right() {
    let mut tar = base_tar();
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"\x1b[2J\x1b]0;title\x07",
        b"not UTF-8 \xff\xfe",
        b"  spaces  ",
        b"/absolute",
        b"./dotted//twice",
        b"\xe2\x80\xae right to left",
        b"-rf",
        b"back\\slash",
    ];
    for name in names {
        tar.pax(&[("path", name)]).file(b"x", b"data");
    }
    // A chain of hard links, each to the one before.
    tar.file(b"h0", b"data");
    for number in 1..2000 {
        let (name, link) = (format!("h{number}"), format!("h{}", number - 1));
        tar.hard_link(name.as_bytes(), link.as_bytes());
    }
    // Symbolic links lead anywhere; nothing follows them here.
    tar.symlink(b"out", b"../../../../etc/passwd")
        .symlink(b"loop", b"loop")
        .symlink(b"opt", b"\x1b[2J\n");
    let deep = b"d/".repeat(2000);
    tar.pax(&[("path", &deep)]).dir(b"x");
    let bench = Bench::of(&[Layer::gzip(&tar.end())]);
    let ran = bench
        .run(&["build", "--spec", "spec.yaml", "-o", "oci:out", "-v"])
        .succeeded();
    assert!(
        is_harmless(&ran.stdout) && is_harmless(&ran.stderr),
        "{ran:?}"
    );
    // Taken over by a glob, shown in text and in JSON.
    let source = format!("oci:base@{}", bench.pinned());
    bench.spec(format!(
        "base_image: scratch\narch: amd64\ncopy_files:\n  - from: {source}\n    source: '*'\n    exclude: [out, loop, opt, d]\n    destination: /all/\n"
    ));
    let plan = bench.run(&["plan", "--spec", "spec.yaml"]).succeeded();
    assert!(
        is_harmless(&plan.stdout) && is_harmless(&plan.stderr),
        "{plan:?}"
    );
    assert!(plan.stdout.contains(r"/all/new\nline"), "{}", plan.stdout);
    let plan = bench
        .run(&["plan", "--spec", "spec.yaml", "--json"])
        .succeeded();
    assert!(
        is_harmless(&plan.stdout) && is_harmless(&plan.stderr),
        "{plan:?}"
    );
    serde_json::from_str::<Value>(&plan.stdout).expect("JSON");
    // The longest paths there are, moved to an even longer one.
    bench.spec(format!(
        "base_image: scratch\narch: amd64\ncopy_files:\n  - from: {source}\n    source: d\n    destination: /{}\n",
        "e/".repeat(100)
    ));
    let mut said = Transcript::default();
    said.note(
        "a result with paths that are too long",
        &bench.refused(2),
        &[],
    );
    said.check("odd");
}

/// Whether a terminal shows it as it stands.
fn is_harmless(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() && c != '\n' || c == '\u{202e}')
}
