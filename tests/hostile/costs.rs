//! Small input that would cost much: it is refused before it does.

use crate::support::bench::Bench;
use crate::support::layout::{Layer, base_layer};
use crate::support::tar::Tar;

/// The first line of the refusal of a base of one layer.
fn refusal(tar: &mut Tar, code: i32) -> String {
    let bench = Bench::of(&[base_layer(), Layer::gzip(&tar.end())]);
    let ran = bench.refused(code);
    let line = ran.stderr.lines().next().unwrap_or_default().to_owned();
    let (_, said) = line.rsplit_once("): ").unwrap_or(("", &line));
    said.rsplit_once(": ")
        .map_or(said, |(_, said)| said)
        .to_owned()
}

#[test]
fn many_attributes_of_no_length() {
    let names: Vec<String> = (0..1000).map(|n| format!("SCHILY.xattr.u{n}")).collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut tar = Tar::new();
    for number in 0..3000 {
        tar.pax(&records);
        tar.file(format!("f{number}").as_bytes(), b"");
    }
    assert_eq!(
        refusal(&mut tar, 4),
        "expected a layer of at most 1048576 entries and 268435456 bytes of names, found more"
    );
}

#[test]
fn a_link_with_a_long_target() {
    let mut tar = Tar::new();
    tar.pax(&[("linkpath", &b"./".repeat(2048))]);
    tar.symlink(b"l", b"short");
    assert_eq!(
        refusal(&mut tar, 4),
        "expected a symbolic link /l to at most 4095 bytes, found 4096"
    );
}

#[test]
fn many_links_to_one_large_directory() {
    let bench = Bench::new();
    let mut tar = Tar::new();
    for number in 0..1100 {
        tar.file(format!("big/f{number}").as_bytes(), b"");
        tar.symlink(format!("x/l{number}").as_bytes(), b"/big");
    }
    let digest = bench.base().image(&[Layer::gzip(&tar.end())]);
    bench.add_to(
        &format!("oci:base@{digest}"),
        &format!(
            "copy_files:\n  - {{from: \"oci:base@{digest}\", source: \"x/*\", destination: /y/}}\n"
        ),
    );
    let ran = bench.refused(2);
    let first = ran.stderr.lines().next().unwrap_or_default();
    assert!(
        first.ends_with(
            "expected a source of at most 1048576 entries and 268435456 bytes of paths in the image, found more"
        ),
        "{first}"
    );
}
