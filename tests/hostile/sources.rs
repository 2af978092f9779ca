//! Sources that are no files, that lie outside of the context, and names that are odd.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::layouts::fifo;
use crate::support::bench::{Bench, Transcript};

/// A spec without a base that copies `source` to `/x`.
fn copy(bench: &Bench, source: &str, destination: &str) {
    bench.add_to(
        "scratch",
        &format!(
            "arch: amd64\ncopy_files:\n  - source: {}\n    destination: {destination}\n",
            // a JSON string is one of YAML too
            serde_json::Value::from(source)
        ),
    );
}

#[test]
fn sources_that_are_refused() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    fs::create_dir(bench.path("ctx")).expect("made");
    fs::write(bench.path("secret"), b"secret").expect("written");
    let inside = bench.path("ctx");
    for name in ["fifo", "dir/fifo"] {
        fs::create_dir_all(inside.join("dir")).expect("made");
        fifo(&inside.join(name));
    }
    let socket = tempfile::tempdir().expect("a directory");
    UnixListener::bind(socket.path().join("s")).expect("bound");
    fs::create_dir(inside.join("sockets")).expect("made");
    fs::rename(socket.path().join("s"), inside.join("sockets/s")).expect("moved");
    for (name, target) in [
        ("up", "../secret"),
        ("updir", ".."),
        ("absolute", "/etc/passwd"),
        ("null", "/dev/null"),
        ("self", "self"),
        ("nothing", "nothing-there"),
        ("esc\x1b[2J\n", "self"),
    ] {
        symlink(target, inside.join(name)).expect("made");
    }
    fs::create_dir(inside.join("links")).expect("made");
    symlink("../../secret", inside.join("links/up")).expect("made");
    for source in [
        "fifo",
        "dir",
        "sockets",
        "sockets/s",
        "up",
        "updir",
        "updir/secret",
        "absolute",
        "null",
        "self",
        "nothing",
        "missing",
        "links",
        "../secret",
        "/etc/passwd",
        "hello/x",
        "*",
        "",
        ".",
        "esc\x1b[2J\n",
        "esc*",
        "no match\x1b[2J*",
        "[",
        "**/**/**/**/**/**/x",
    ] {
        copy(&bench, source, "/x/");
        let args = [
            "build",
            "--spec",
            "spec.yaml",
            "--context",
            "ctx",
            "-o",
            "oci:out",
        ];
        let ran = bench.refused_with(2, &mut bench.bounded(), &args);
        said.note(&source.escape_debug().to_string(), &ran, &[]);
    }
    said.check("sources");
}

#[test]
#[cfg(target_os = "linux")]
fn files_of_the_kernel_are_taken_for_what_they_are() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    for (source, code) in [("version", 2), ("sys/kernel/ostype", 2)] {
        copy(&bench, source, "/x");
        let args = [
            "build",
            "--spec",
            "spec.yaml",
            "--context",
            "/proc",
            "-o",
            "oci:out",
        ];
        let ran = bench.refused_with(code, &mut bench.bounded(), &args);
        said.note(source, &ran, &[]);
    }
    said.check("kernel-files");
}

#[test]
fn names_that_are_odd_and_right() {
    let bench = Bench::honest();
    let odd: [&[u8]; 6] = [
        b"new\nline",
        b"\x1b[2J\x07",
        b"back\\slash",
        b"*",
        b"-rf",
        b" ",
    ];
    let dir = bench.path("odd");
    fs::create_dir(&dir).expect("made");
    for name in odd {
        fs::write(dir.join(OsStr::from_bytes(name)), b"x").expect("written");
    }
    // Not every file system takes names that are no text.
    let _ = fs::write(dir.join(OsStr::from_bytes(b"\xff")), b"x");
    copy(&bench, "odd", "/x");
    let ran = bench.run(&["plan", "--spec", "spec.yaml"]).succeeded();
    assert!(ran.stdout.contains(r"/x/new\nline"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
    bench.build().succeeded();
}

#[test]
fn a_name_that_a_layer_may_not_have_is_refused() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    fs::create_dir_all(bench.path("odd/sub")).expect("made");
    fs::write(bench.path("odd/sub/.wh.passwd"), b"").expect("written");
    copy(&bench, "odd", "/x");
    said.note("a whiteout", &bench.refused(2), &[]);
    said.check("whiteouts");
}
