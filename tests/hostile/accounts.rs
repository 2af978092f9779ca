//! A base whose passwd and group are hostile.

use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{Layer, base_tar};

const ADD: &str = "accounts:\n  users:\n    - {name: app, uid: 1000, gid: 1000}\n";

/// A bench whose base has this passwd, and whose spec is `rest`.
fn passwd(text: &[u8], rest: &str) -> Bench {
    let bench = Bench::new();
    let tar = base_tar().file(b"etc/passwd", text).end();
    let digest = bench.base().image(&[Layer::gzip(&tar)]);
    bench.add_to(&format!("oci:base@{digest}"), rest);
    bench
}

#[test]
fn accounts_that_are_refused() {
    let mut said = Transcript::default();
    let owner = |name: &str| {
        format!(
            "copy_files:\n  - source: hello\n    destination: /x\n    owner: {}\n",
            serde_json::Value::from(name)
        )
    };
    let root = b"root:x:0:0:root:/root:/sbin/nologin\n";
    let large = b"a:x:1:1:::\n".repeat(100 << 20 >> 3);
    for (title, code, text, rest) in [
        ("100 MiB", 2, &large[..], ADD.to_owned()),
        (
            "the name is there with another id",
            2,
            b"app:x:7:7:::\n",
            ADD.to_owned(),
        ),
        (
            "the id is there with another name",
            2,
            b"other:x:1000:7:::\n",
            ADD.to_owned(),
        ),
        ("an unknown owner", 2, root, owner("nobody")),
        ("an owner with escapes", 2, root, owner("\u{1b}[2J")),
        ("an owner with a newline", 2, root, owner("root\nx")),
        ("an owner that is a path", 2, root, owner("../root")),
        (
            "an owner whose id is too large",
            2,
            b"app:x:4294967296:1:::\n",
            owner("app"),
        ),
        (
            "an owner whose id is below zero",
            2,
            b"app:x:-1:1:::\n",
            owner("app"),
        ),
        (
            "an owner whose id is text",
            2,
            b"app:x:\x1b[2J:1:::\n",
            owner("app"),
        ),
        ("an owner without fields", 2, b"app\n", owner("app")),
        (
            "an owner with too few fields",
            2,
            b"app:x:1\n",
            owner("app"),
        ),
        (
            "an owner behind a NUL",
            2,
            b"a\0\napp\0:x:1:1:::\n",
            owner("app"),
        ),
        ("an owner by NIS", 2, b"+app:x:1:1:::\n", owner("app")),
        ("no text", 2, b"\xff\xfe", owner("app")),
    ] {
        said.note(title, &passwd(text, &rest).refused(code), &[]);
    }
    let link = base_tar().symlink(b"etc/passwd", b"passwd").end();
    let bench = Bench::of(&[Layer::gzip(&link)]);
    bench.add_to(&format!("oci:base@{}", bench.pinned()), ADD);
    said.note("passwd is a link to itself", &bench.refused(2), &[]);
    let link = base_tar()
        .symlink(b"etc/passwd", b"../../../../../etc/shadow")
        .end();
    let bench = Bench::of(&[Layer::gzip(&link)]);
    bench.add_to(&format!("oci:base@{}", bench.pinned()), &owner("root"));
    said.note("passwd is a link out of the image", &bench.refused(2), &[]);
    said.check("accounts");
}

#[test]
fn lines_that_are_odd_are_kept_byte_for_byte() {
    for text in [
        &b"root:x:0:0:root:/root:/sbin/nologin"[..],
        b"root:x:0:0:root:/root:/sbin/nologin\r\n",
        b"\n\n:::\n::::::::::\nx\n\xff\xfe\0:x:1:1\n",
        b"huge:x:99999999999999999999:1:::\n",
        b"+::::::\n-x\n# comment\n",
    ] {
        let bench = passwd(text, &format!("compression: none\n{ADD}"));
        bench.build().succeeded();
        let mut expected = text.to_vec();
        if !text.ends_with(b"\n") {
            expected.push(b'\n');
        }
        expected.extend_from_slice(b"app:x:1000:1000:");
        let found = std::fs::read_dir(bench.path("out/blobs/sha256"))
            .expect("a directory")
            .map(|entry| std::fs::read(entry.expect("a blob").path()).expect("read"))
            .any(|blob| {
                blob.windows(expected.len())
                    .any(|window| window == expected)
            });
        assert!(found, "{}", text.escape_ascii());
    }
}
