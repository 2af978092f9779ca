//! The environment of the process: variables that are garbage, streams that are closed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;

use crate::support::bench::{Bench, Ran, Transcript};

const BUILD: [&str; 5] = ["build", "--spec", "spec.yaml", "-o", "oci:out"];

#[test]
fn source_date_epochs() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    for value in [
        &b""[..],
        b" ",
        b"now",
        b"-1",
        b"1.5",
        b"1e9",
        b"0x10",
        b"+1",
        b" 1",
        b"1\n",
        b"18446744073709551616",
        b"9223372036854775808",
        b"253402300800",
        b"\xff",
        b"\x1b[2J",
        "\u{663}".as_bytes(),
    ] {
        let mut command = bench.bounded();
        command.env("SOURCE_DATE_EPOCH", OsStr::from_bytes(value));
        let ran = bench.refused_with(2, &mut command, &BUILD);
        said.note(&value.escape_ascii().to_string(), &ran, &[]);
    }
    said.check("epochs");
    for value in ["0", "1", "0001", "4102444800"] {
        let mut command = bench.bounded();
        Ran::of(command.env("SOURCE_DATE_EPOCH", value).args(BUILD)).succeeded();
    }
}

#[test]
fn without_a_home_the_result_is_the_same() {
    let bench = Bench::honest();
    let digest = bench.build().succeeded().digest();
    for (name, value) in [
        ("HOME", None),
        ("HOME", Some("")),
        ("HOME", Some("relative")),
        ("HOME", Some("/missing/home")),
        ("HOME", Some("/dev/null")),
        ("XDG_CACHE_HOME", Some("relative")),
        ("XDG_CACHE_HOME", Some("")),
        ("XDG_CACHE_HOME", Some("/dev/null/cache")),
        ("TZ", Some("Nowhere/Nothing")),
        ("LC_ALL", Some("\u{1b}[2J")),
        ("RAYON_NUM_THREADS", Some("none")),
    ] {
        let mut command = bench.bounded();
        command.args(BUILD).env_remove("XDG_CACHE_HOME");
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        assert_eq!(
            Ran::of(&mut command).succeeded().digest(),
            digest,
            "{name}={value:?}"
        );
    }
    assert!(!bench.path("relative").exists());
}

#[test]
fn a_place_for_temporary_files_that_is_none() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    for value in ["missing", "hello"] {
        let mut command = bench.bounded();
        let ran = bench.refused_with(1, command.env("TMPDIR", bench.path(value)), &BUILD);
        said.note(value, &ran, &[]);
    }
    said.check("tmpdir");
}

#[test]
fn streams_that_cannot_be_written_to() {
    let bench = Bench::honest();
    let digest = bench.build().succeeded().digest();
    let close = |what: &str| {
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", &format!("exec \"$@\" {what}"), "sh"])
            .arg(env!("CARGO_BIN_EXE_customize"))
            .args(BUILD)
            .current_dir(bench.path(""))
            .env_clear()
            .env("HOME", bench.path("home"))
            .env("TMPDIR", bench.path("tmp"));
        Ran::of(&mut command)
    };
    // A closed standard output must not make a file of the result what is written to.
    for what in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        fs::remove_dir_all(bench.path("out")).expect("removed");
        let ran = close(what);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.stderr);
        let manifest =
            fs::read(bench.path("out/blobs/sha256").join(&digest[7..])).expect("a manifest");
        assert_eq!(crate::support::layout::digest(&manifest), digest);
    }
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let ran = Ran::of(bench.bounded().args(BUILD).stdout(full));
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.stderr
                .contains("error: cannot write to standard output: No space left"),
            "{}",
            ran.stderr
        );
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("opened");
        let ran = Ran::of(bench.bounded().args(BUILD).stderr(full));
        assert_eq!((ran.code, ran.digest()), (Some(0), digest));
    }
}
