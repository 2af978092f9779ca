//! Specs that are no files, too large, or grow without end. What else a spec may say wrong is in
//! `tests/golden/spec-errors.txt`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use crate::support::bench::{Bench, Ran, Transcript};

#[test]
fn specs_that_cannot_be_read() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    let path = bench.path("spec.yaml");
    let honest = fs::read(&path).expect("a spec");
    let bomb = {
        let mut text =
            "base_image: scratch\narch: amd64\na: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (this, last) in ('b'..='z').zip('a'..='y') {
            let _ = writeln!(
                text,
                "{this}: &{this} [{}*{last}]",
                format!("*{last}, ").repeat(8)
            );
        }
        text
    };
    let mut many_keys = String::new();
    for number in 0..60_000 {
        let _ = writeln!(many_keys, "k{number}: 1");
    }
    for (title, text) in [
        ("empty", Vec::new()),
        ("no text", b"\xff\xfe\0b".to_vec()),
        (
            "text that ends in no text",
            [&honest[..], b"# \xff"].concat(),
        ),
        ("a NUL", b"base_image: \"a\0b\"".to_vec()),
        ("terminal escapes", b"\x1b[2J\x1b]0;x\x07: x".to_vec()),
        ("terminal escapes in a key", b"\"\\e[2J\\n\": x".to_vec()),
        (
            "1 MiB and one byte",
            [&honest[..], &vec![b'#'; (1 << 20) + 1 - honest.len()]].concat(),
        ),
        ("100 MiB", vec![b' '; 100 << 20]),
        ("aliases that multiply", bomb.into_bytes()),
        ("half a million brackets", vec![b'['; 500_000]),
        ("a quarter of a million levels", b"- ".repeat(250_000)),
        ("a hundred thousand documents", b"---\n".repeat(100_000)),
        ("a hundred thousand unknown keys", many_keys.into_bytes()),
    ] {
        bench.spec(text);
        said.note(title, &bench.refused(2), &[]);
    }
    fs::remove_file(&path).expect("removed");
    said.note("missing", &bench.refused(2), &[]);
    fs::create_dir(&path).expect("made");
    said.note("a directory", &bench.refused(2), &[]);
    fs::remove_dir(&path).expect("removed");
    symlink("/dev/zero", &path).expect("made");
    said.note("/dev/zero", &bench.refused(2), &[]);
    fs::remove_file(&path).expect("removed");
    symlink("spec.yaml", &path).expect("made");
    said.note("a link to itself", &bench.refused(2), &[]);
    fs::remove_file(&path).expect("removed");
    said.check("specs");
}

#[test]
fn a_spec_through_a_pipe_is_as_good_as_a_file() {
    let bench = Bench::honest();
    let spec = fs::read(bench.path("spec.yaml")).expect("a spec");
    super::layouts::fifo(&bench.path("pipe"));
    let path = bench.path("pipe");
    let writer = std::thread::spawn(move || fs::write(path, spec));
    bench
        .run(&["build", "--spec", "pipe", "-o", "oci:out"])
        .succeeded();
    writer.join().expect("a writer").expect("written");
}

#[test]
fn arguments_that_are_not_right() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    fs::write(bench.path("file"), b"").expect("written");
    let mut refused = |title: &str, args: &[&str]| {
        let ran = bench.refused_with(2, &mut bench.bounded(), args);
        said.note(title, &first_line(ran), &[]);
    };
    let build = ["build", "--spec", "spec.yaml", "-o", "oci:out"];
    refused(
        "a context that is missing",
        &[&build[..], &["--context", "no\x1b[2J"]].concat(),
    );
    refused(
        "a context that is a file",
        &[&build[..], &["--context", "file"]].concat(),
    );
    refused("no threads", &[&build[..], &["--threads", "0"]].concat());
    refused(
        "threads below zero",
        &[&build[..], &["--threads=-1"]].concat(),
    );
    refused(
        "threads without end",
        &[&build[..], &["--threads", "99999999999999999999"]].concat(),
    );
    refused(
        "an output with escapes",
        &["build", "--spec", "spec.yaml", "-o", "\x1b[2J"],
    );
    refused("no output", &["build", "--spec", "spec.yaml"]);
    refused("no spec", &["build", "-o", "oci:out"]);
    refused("an unknown command", &["explode"]);
    said.check("arguments");
    // Far more threads than work.
    bench
        .run(&[&build[..], &["--threads", "1000000"]].concat())
        .succeeded();
}

/// clap's help below the first line is its own.
fn first_line(mut ran: Ran) -> Ran {
    let end = ran.stderr.find("\n\n").unwrap_or(ran.stderr.len());
    ran.stderr.truncate(end);
    ran
}
