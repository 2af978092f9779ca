//! Tar files of layouts that are cut off, compressed, ambiguous, or something else.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::layouts::fifo;
use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{base_layer, digest};
use crate::support::tar::{Entry, Tar, gzip, zstd};

/// A bench that builds on the archive `base.tar`.
fn bench() -> Bench {
    let bench = Bench::honest();
    let pinned = bench.pinned();
    bench.add_to(
        &format!("oci-archive:base.tar@{pinned}"),
        "copy_files:\n  - source: hello\n    destination: /opt/hello\n",
    );
    bench
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn archives_that_are_refused() {
    let mut said = Transcript::default();
    let bench = bench();
    let pinned = bench.pinned();
    let of_layer = digest(&base_layer().bytes);
    let tar = bench.base().tar();
    let whole = tar.end();
    let blob = |digest: &str| format!("blobs/sha256/{}", &digest[7..]);
    let with = |add: &dyn Fn(&mut Tar)| {
        let mut tar = tar.clone();
        add(&mut tar);
        tar.end()
    };
    let mut many = tar.clone();
    for _ in 0..100_000 {
        many.file(b"x", b"");
    }
    let mut flipped = whole.clone();
    flipped[600] ^= 1;
    for (title, code, bytes) in [
        ("empty", 2, Vec::new()),
        (
            "cut off in a member",
            4,
            tar.0[..tar.0.len() - 600].to_vec(),
        ),
        ("cut off in a header", 4, whole[..1300].to_vec()),
        ("compressed by gzip", 2, gzip(&whole)),
        ("compressed by zstd", 2, zstd(&whole)),
        ("no tar", 4, b"no tar at all ".repeat(100)),
        ("100,000 members too many", 2, many.end()),
        (
            "a member of 8 EiB",
            4,
            with(&|tar| {
                tar.entry(&Entry {
                    name: b"x",
                    size: i64::MAX as u64,
                    ..Entry::default()
                });
            }),
        ),
        (
            "a member whose PAX size is 2^64 - 1",
            4,
            with(&|tar| {
                tar.pax(&[("size", b"18446744073709551615")])
                    .file(b"x", b"");
            }),
        ),
        (
            "a PAX header of 1 GiB",
            4,
            with(&|tar| {
                tar.entry(&Entry {
                    name: b"x",
                    kind: b'x',
                    size: 1 << 30,
                    ..Entry::default()
                });
            }),
        ),
        (
            "a PAX header of 1 MiB",
            4,
            with(&|tar| {
                tar.pax(&[("path", &vec![b'a'; 1 << 20])]).file(b"x", b"");
            }),
        ),
        (
            "the manifest twice, the last one is wrong",
            4,
            with(&|tar| {
                tar.file(blob(&pinned).as_bytes(), b"wrong");
            }),
        ),
        (
            "the layer twice, the last one is empty",
            4,
            with(&|tar| {
                tar.file(blob(&of_layer).as_bytes(), b"");
            }),
        ),
        (
            "a marker of version 2 behind the right one",
            2,
            with(&|tar| {
                tar.file(b"oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#);
            }),
        ),
        (
            "a marker of 1 MiB",
            4,
            with(&|tar| {
                tar.file(b"oci-layout", &vec![b' '; 1 << 20]);
            }),
        ),
        ("the manifest as a link", 4, {
            let mut tar = Tar::new();
            tar.file(b"oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
                .symlink(blob(&pinned).as_bytes(), b"/etc/passwd");
            tar.end()
        }),
        ("names that leave the archive", 4, {
            let mut tar = Tar::new();
            tar.file(b"oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
                .file(format!("x/../{}", blob(&pinned)).as_bytes(), b"x");
            tar.end()
        }),
    ] {
        bench.write("base.tar", &bytes);
        let names = [(pinned.as_str(), "manifest"), (of_layer.as_str(), "layer")];
        said.note(title, &bench.refused(code), &names);
    }
    said.check("archives");
}

#[test]
fn archives_that_are_no_files() {
    let mut said = Transcript::default();
    let bench = bench();
    let names = [(bench.pinned(), "manifest")];
    let names = [(names[0].0.as_str(), names[0].1)];
    let path = bench.path("base.tar");
    said.note("missing", &bench.refused(2), &names);
    fs::create_dir(&path).expect("made");
    said.note("a directory", &bench.refused(2), &names);
    fs::remove_dir(&path).expect("removed");
    fifo(&path);
    said.note("a FIFO", &bench.refused(2), &names);
    fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("made");
    said.note("/dev/zero", &bench.refused(2), &names);
    fs::remove_file(&path).expect("removed");
    // A terabyte of zeros ends at once: the end marker is its first block.
    let file = fs::File::create(&path).expect("made");
    file.set_len(1 << 40).expect("a sparse file");
    let ran = bench.run(&["build", "--spec", "spec.yaml", "-o", "oci:out"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    said.note("a terabyte of zeros", &ran, &names);
    said.check("archive-files");
}

#[test]
fn archives_that_are_odd_and_right() {
    let bench = bench();
    let mut tar = Tar::new();
    tar.file(b"../oci-layout", b"x")
        .file(b"../../blobs/sha256/x", b"x")
        .file(b"not UTF-8 \xff", b"x")
        .dir(b"blobs/")
        .hard_link(b"blobs/sha256/y", b"/etc/passwd");
    for path in ["./oci-layout", "./index.json"] {
        tar.file(
            path.as_bytes(),
            &fs::read(bench.path("base").join(path)).expect("read"),
        );
    }
    for entry in fs::read_dir(bench.path("base/blobs/sha256")).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = format!(
            "./blobs/sha256/{}",
            path.file_name().expect("a name").display()
        );
        tar.pax(&[("path", name.as_bytes())])
            .file(b"short", &fs::read(&path).expect("read"));
    }
    bench.write("base.tar", tar.end());
    bench.build().succeeded();
    // What stands behind the end marker is not looked at.
    let mut file = OpenOptions::new()
        .append(true)
        .open(bench.path("base.tar"))
        .expect("opened");
    file.write_all(&[b'x'; 5000]).expect("written");
    bench.build().succeeded();
}
