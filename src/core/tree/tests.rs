//! Merging, told by small tars and the listing of what comes out.

use super::*;
use crate::error::{Kind, Result};

enum What {
    Dir(u32),
    File(&'static [u8]),
    Link(&'static str),
    Hard(&'static str),
    Fifo,
}
use What::{Dir, Fifo, File, Hard, Link};

fn tar(entries: &[(&str, What)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, what) in entries {
        let mut header = tar::Header::new_gnu();
        let (kind, mode, data, link) = match what {
            Dir(mode) => (tar::EntryType::Directory, *mode, &b""[..], None),
            File(data) => (tar::EntryType::Regular, 0o644, *data, None),
            Link(target) => (tar::EntryType::Symlink, 0o777, &b""[..], Some(*target)),
            Hard(target) => (tar::EntryType::Link, 0o644, &b""[..], Some(*target)),
            Fifo => (tar::EntryType::Fifo, 0o600, &b""[..], None),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.as_gnu_mut().expect("gnu").name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(link) = link {
            header.set_link_name_literal(link).expect("short");
        }
        header.set_cksum();
        tar.append(&header, data).expect("in memory");
    }
    tar.into_inner().expect("in memory")
}

fn tree(layers: &[&[(&str, What)]]) -> Result<Tree> {
    let indexes = layers
        .iter()
        .map(|entries| {
            let tar = tar(entries);
            LayerIndex::read(tar.as_slice(), tar.len() as u64)
        })
        .collect::<Result<Vec<_>>>()?;
    Tree::merge(&indexes, &crate::core::cancel::Cancel::default())
}

fn merged(layers: &[&[(&str, What)]]) -> Result<Vec<String>> {
    let tree = tree(layers)?;
    let shown = |(path, node): (LayerPath, &Node)| match &node.kind {
        NodeKind::Directory(_) => format!("{path}/ {:o}", node.metadata.mode),
        NodeKind::File { size, origin, .. } => {
            format!("{path} {size} from {}.{}", origin.layer, origin.entry)
        }
        NodeKind::Symlink(target) => format!("{path} -> {}", String::from_utf8_lossy(target)),
        NodeKind::Device(_) => format!("{path} device"),
        NodeKind::Fifo => format!("{path} fifo"),
    };
    Ok(tree.walk(ROOT).map(shown).collect())
}

fn listing(layers: &[&[(&str, What)]]) -> Vec<String> {
    merged(layers).expect("a good image")
}

#[test]
fn later_entries_and_layers_win() {
    let lower: &[(&str, What)] = &[
        ("./", Dir(0o755)),
        ("etc/", Dir(0o700)),
        ("etc/a", File(b"1")),
        ("etc/a", File(b"22")),
        ("etc/b", File(b"3")),
    ];
    let upper: &[(&str, What)] = &[("/etc", Dir(0o755)), ("./etc/b", File(b"4444"))];
    assert_eq!(
        listing(&[lower, upper]),
        ["/etc/ 755", "/etc/a 2 from 0.3", "/etc/b 4 from 1.1"]
    );
}

#[test]
fn whiteouts_hide_the_layers_below_only() {
    let lower: &[(&str, What)] = &[
        ("a/x", File(b"")),
        ("a/y", File(b"")),
        ("b/x", File(b"")),
        ("c", File(b"")),
    ];
    let upper: &[(&str, What)] = &[
        ("a/new", File(b"n")),
        ("a/.wh..wh..opq", File(b"")),
        ("b/x", File(b"kept")),
        ("b/.wh.x", File(b"")),
        (".wh.c", File(b"")),
        (".wh.nothing", File(b"")),
        (".wh..wh.plnk", Dir(0o700)),
    ];
    assert_eq!(
        listing(&[lower, upper]),
        ["/a/ 755", "/a/new 1 from 1.0", "/b/ 755", "/b/x 4 from 1.2"]
    );
}

#[test]
fn types_replace_each_other() {
    let lower: &[(&str, What)] = &[
        ("dir/in/side", File(b"")),
        ("file", File(b"1")),
        ("link", Link("dir")),
    ];
    let upper: &[(&str, What)] = &[
        ("dir", File(b"now a file")),
        ("file", Dir(0o750)),
        ("file/child", Fifo),
        ("link", Dir(0o755)),
        ("link/own", File(b"")),
    ];
    assert_eq!(
        listing(&[lower, upper]),
        [
            "/dir 10 from 1.0",
            "/file/ 750",
            "/file/child fifo",
            "/link/ 755",
            "/link/own 0 from 1.4",
        ]
    );
}

#[test]
fn a_layer_sees_its_own_links_and_not_those_below() {
    let lower: &[(&str, What)] = &[
        ("usr/bin/old", File(b"")),
        ("bin", Link("usr/bin")),
        ("var/run", Link("/run")),
        ("run/kept", File(b"")),
    ];
    let upper: &[(&str, What)] = &[
        ("bin/tool", File(b"")),
        ("opt/bin", Link("../usr/bin")),
        ("opt/bin/new", File(b"")),
        ("var/run/", Dir(0o755)),
        ("var/run/.wh..wh..opq", File(b"")),
        ("var/run/new", File(b"")),
        ("usr/none/.wh.nothing", File(b"")),
    ];
    assert_eq!(
        listing(&[lower, upper]),
        [
            "/bin/ 755",
            "/bin/tool 0 from 1.0",
            "/opt/ 755",
            "/opt/bin -> ../usr/bin",
            "/run/ 755",
            "/run/kept 0 from 0.3",
            "/usr/ 755",
            "/usr/bin/ 755",
            "/usr/bin/new 0 from 1.2",
            "/usr/bin/old 0 from 0.0",
            "/var/ 755",
            "/var/run/ 755",
            "/var/run/new 0 from 1.5",
        ]
    );
    assert_eq!(
        tree(&[lower, upper]).expect("a good image").notes(),
        [
            "layer 2 of the image writes below /bin, a link of a lower layer: container runtimes make it a directory there, and what the link led to is out of reach"
        ]
    );
}

#[test]
fn a_directory_that_was_known_is_looked_up_again_when_a_link_takes_its_place() {
    let layer: &[(&str, What)] = &[
        ("a/one", File(b"")),
        ("b/", Dir(0o755)),
        ("a", Link("b")),
        ("a/two", File(b"")),
    ];
    assert_eq!(
        listing(&[layer]),
        ["/a -> b", "/b/ 755", "/b/two 0 from 0.3"]
    );
}

#[test]
fn whiteouts_below_a_link_make_a_directory_as_runtimes_do() {
    let lower: &[(&str, What)] = &[("usr/bin/old", File(b"")), ("bin", Link("usr/bin"))];
    let upper: &[(&str, What)] = &[
        ("bin/.wh.gone", File(b"")),
        (".wh.usr", File(b"")),
        ("usr/", Dir(0o755)),
    ];
    assert_eq!(listing(&[lower, upper]), ["/bin/ 755", "/usr/ 755"]);
    let notes = tree(&[lower, upper]).expect("a good image").notes().len();
    assert_eq!(notes, 2);
}

#[test]
fn hard_links_share_what_they_link() {
    let lower: &[(&str, What)] = &[("a", File(b"123")), ("b", Hard("./a")), ("s", Link("a"))];
    let upper: &[(&str, What)] = &[("c", Hard("/b")), ("a", File(b"")), ("t", Hard("s"))];
    assert_eq!(
        listing(&[lower, upper]),
        [
            "/a 0 from 1.1",
            "/b 3 from 0.0",
            "/c 3 from 0.0",
            "/s -> a",
            "/t -> a"
        ]
    );
}

#[test]
fn what_no_runtime_could_unpack_is_refused() {
    let cases: [(&[(&str, What)], &str); 12] = [
        (
            &[(".wh..wh..opq", File(b""))],
            "expected no opaque whiteout of the image's root, found one: runtimes do not hide the lower layers for it, though the OCI image spec says so",
        ),
        (
            &[("a", Hard("missing"))],
            "the hard link /a leads to /missing: expected a file there, in this layer before the link or in a lower layer, found nothing",
        ),
        (
            &[("d/", Dir(0o755)), ("a", Hard("d"))],
            "the hard link /a leads to /d: expected a file there, in this layer before the link or in a lower layer, found a directory",
        ),
        (
            &[("d/f", File(b"")), ("d", Hard("d/f"))],
            "the hard link /d leads to /d/f: expected a file there, in this layer before the link or in a lower layer, found nothing",
        ),
        (
            &[("d/f", File(b"")), ("l", Link("d")), ("d/f", Hard("l/f"))],
            "the hard link /d/f leads to /l/f: expected a file there, in this layer before the link or in a lower layer, found nothing",
        ),
        (
            &[("a", File(b"")), ("a", Hard("a"))],
            "the hard link /a leads to /a: expected a file there, in this layer before the link or in a lower layer, found the link itself",
        ),
        (
            &[("l", Link("missing/../d")), ("l/x", File(b""))],
            "expected a directory at /l: the symbolic link /l leads through /missing, which does not exist",
        ),
        (&[("l", Link(""))], "the symbolic link /l has no target"),
        (
            &[("f", File(b"")), ("f/x", File(b""))],
            "expected a directory at /f: /f is not a directory",
        ),
        (
            &[("l", Link("l")), ("l/x", File(b""))],
            "expected a directory at /l: the symbolic link /l leads in a circle",
        ),
        (
            &[("a/../b", File(b""))],
            "entry 1 has the unusable name `a/../b`: `..` is not accepted in a path",
        ),
        (
            &[(".", File(b""))],
            "expected a directory as the image's root `/`, found an entry of another type",
        ),
    ];
    for (layer, expected) in cases {
        let error = merged(&[layer]).expect_err(expected);
        assert_eq!(error.kind(), Kind::Integrity);
        let message = error.to_string();
        let message = message
            .split_once("): ")
            .map_or(message.as_str(), |(_, rest)| rest);
        assert_eq!(message, expected);
    }
}

#[test]
fn an_index_survives_its_encoding_and_keeps_small_files() {
    let tar = tar(&[
        ("etc/passwd", File(b"root:x:0:0::/:\n")),
        ("etc/other", File(b"x")),
    ]);
    let index = LayerIndex::read(tar.as_slice(), tar.len() as u64).expect("a layer");
    assert_eq!(index.content(0), Some(&b"root:x:0:0::/:\n"[..]));
    assert_eq!(index.content(1), None);
    assert_eq!(index.diff_id, Digest::of(&tar));
    let bytes = index.to_bytes().expect("encodes");
    assert_eq!(LayerIndex::from_bytes(&bytes), Some(index));
    assert_eq!(LayerIndex::from_bytes(&bytes[..bytes.len() / 2]), None);
}
