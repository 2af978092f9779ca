//! Layouts that are broken, and whose files are something else than files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{Layout, base_layer, digest};

/// Makes a FIFO.
pub(super) fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

type Make = fn(&Path);

#[test]
fn markers_that_are_none() {
    let mut said = Transcript::default();
    for (title, code, marker) in [
        ("missing", 2, None),
        (
            "version 2",
            2,
            Some(br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec()),
        ),
        (
            "a version with escapes",
            2,
            Some(b"{\"imageLayoutVersion\":\"\\u001b[2J\"}".to_vec()),
        ),
        (
            "a number for the version",
            4,
            Some(br#"{"imageLayoutVersion":1}"#.to_vec()),
        ),
        ("no version", 4, Some(b"{}".to_vec())),
        ("no JSON", 4, Some(b"x".to_vec())),
        (
            "not UTF-8",
            4,
            Some(b"{\"imageLayoutVersion\":\"\xff\"}".to_vec()),
        ),
        ("empty", 4, Some(Vec::new())),
        ("100 MiB", 4, Some(vec![b' '; 100 << 20])),
    ] {
        let bench = Bench::honest();
        let path = bench.path("base/oci-layout");
        match marker {
            Some(marker) => fs::write(path, marker).expect("written"),
            None => fs::remove_file(path).expect("removed"),
        }
        said.note(title, &bench.refused(code), &[]);
    }
    said.check("markers");
}

#[test]
fn blobs_that_are_no_files() {
    let mut said = Transcript::default();
    let layer = base_layer();
    let of_layer = digest(&layer.bytes);
    let make: [(&str, i32, Make); 6] = [
        ("a directory", 2, |path| fs::create_dir(path).expect("made")),
        ("a FIFO", 2, fifo),
        ("a socket", 2, |path| {
            // A socket's path may be short only: it is made elsewhere and moved.
            let dir = tempfile::tempdir().expect("a directory");
            UnixListener::bind(dir.path().join("s")).expect("bound");
            fs::rename(dir.path().join("s"), path).expect("moved");
        }),
        ("/dev/zero", 2, |path| {
            symlink("/dev/zero", path).expect("made");
        }),
        ("a link to nothing", 4, |path| {
            symlink("nothing", path).expect("made");
        }),
        ("a link to itself", 1, |path| {
            symlink(path, path).expect("made");
        }),
    ];
    for (title, code, make) in make {
        for (what, name) in [("layer", of_layer.clone()), ("manifest", String::new())] {
            let bench = Bench::of(std::slice::from_ref(&layer));
            let name = if name.is_empty() {
                bench.pinned()
            } else {
                name
            };
            let path = bench.base().blob(&name);
            fs::remove_file(&path).expect("removed");
            make(&path);
            let title = format!("{title} for the {what}");
            let mut ran = bench.refused(code);
            // The path of a link to itself is not the same on each run.
            ran.stderr = ran.stderr.replace(&name[7..], "HEX");
            said.note(&title, &ran, &[(&name, what)]);
        }
    }
    // A link to a file is as good as the file.
    let bench = Bench::of(&[layer]);
    let path = bench.base().blob(&of_layer);
    fs::rename(&path, bench.path("elsewhere")).expect("moved");
    symlink(bench.path("elsewhere"), &path).expect("made");
    bench.build().succeeded();
    assert!(
        fs::symlink_metadata(bench.path("out/blobs/sha256").join(&of_layer[7..]))
            .is_ok_and(|found| found.is_file())
    );
    said.check("blobs");
}

#[test]
fn directories_that_are_none() {
    let mut said = Transcript::default();
    let honest = Bench::honest();
    let pinned = honest.pinned();
    for (title, code, make) in [
        ("missing", 2, (|_| ()) as fn(&Path)),
        ("a file", 2, |path| fs::write(path, b"").expect("written")),
        ("a FIFO", 2, fifo),
        ("/dev/zero", 2, |path| {
            symlink("/dev/zero", path).expect("made");
        }),
        ("a link to itself", 2, |path| {
            symlink(path, path).expect("made");
        }),
        ("an empty directory", 2, |path| {
            fs::create_dir(path).expect("made");
        }),
        ("a layout without blobs", 4, |path| {
            Layout::new(path);
            fs::remove_dir_all(path.join("blobs")).expect("removed");
        }),
        ("a layout whose blobs are a file", 4, |path| {
            Layout::new(path);
            fs::remove_dir_all(path.join("blobs")).expect("removed");
            fs::write(path.join("blobs"), b"").expect("written");
        }),
    ] {
        let bench = Bench::new();
        fs::remove_dir_all(bench.path("base")).expect("removed");
        make(&bench.path("base"));
        bench.spec_for(&pinned);
        said.note(title, &bench.refused(code), &[(&pinned, "manifest")]);
        // As a layout that supplies a named image.
        bench.add_to(&format!("nginx@{pinned}"), "");
        let args = [
            "build",
            "--spec",
            "spec.yaml",
            "--base-layout",
            "base",
            "-o",
            "oci:out",
        ];
        let code = if code == 4 { 2 } else { code };
        let ran = bench.refused_with(code, &mut bench.bounded(), &args);
        said.note(
            &format!("{title}, by --base-layout"),
            &ran,
            &[(&pinned, "manifest")],
        );
    }
    said.check("directories");
}

#[test]
fn a_base_that_may_not_be_read_is_an_error() {
    let bench = Bench::honest();
    let path = bench.base().blob(&bench.pinned());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set");
    if fs::read(&path).is_ok() {
        return; // root reads everything
    }
    let mut said = Transcript::default();
    said.note("no permission", &bench.refused(1), &[]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    assert!(said_permission(&said));
}

fn said_permission(said: &Transcript) -> bool {
    format!("{said:?}").contains("ermission denied")
}
