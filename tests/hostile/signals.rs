//! Signals in the middle of a build: SIGINT, SIGTERM and SIGHUP leave nothing behind, SIGKILL
//! nothing that the next run does not remove.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::bench::{Bench, Ran};

/// A bench whose build takes far longer than any test waits.
fn slow(gibibytes: u64, compression: &str) -> Bench {
    let bench = Bench::honest();
    let base = format!("oci:base@{}", bench.pinned());
    bench.add_to(
        &base,
        &format!("compression: {compression}\ncopy_files:\n  - source: hello\n    destination: /opt/hello\n"),
    );
    let file = File::create(bench.path("hello")).expect("made");
    file.set_len(gibibytes << 30).expect("a sparse file");
    bench
}

fn start(bench: &Bench) -> Child {
    bench
        .program()
        .args(["build", "--spec", "spec.yaml", "-o", "oci:out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs")
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("sent");
}

/// The names here, and what is in the directory for temporary files.
fn names(bench: &Bench) -> Vec<String> {
    let mut names = Vec::new();
    for dir in ["", "tmp"] {
        for entry in fs::read_dir(bench.path(dir)).expect("a directory") {
            names.push(entry.expect("an entry").path().display().to_string());
        }
    }
    names.sort_unstable();
    names
}

#[test]
fn signals_in_the_middle_leave_nothing() {
    for (signal, delay) in [
        (Signal::INT, 300),
        (Signal::TERM, 300),
        (Signal::INT, 20),
        (Signal::TERM, 900),
        (Signal::HUP, 100),
    ] {
        // A sparse file that no disk could hold: the build is never done.
        let bench = slow(16, "gzip");
        let before = names(&bench);
        let child = start(&bench);
        thread::sleep(Duration::from_millis(delay));
        send(&child, signal);
        let ran = Ran::from(child.wait_with_output().expect("output"));
        assert_eq!(names(&bench), before);
        if delay < 100 && ran.code.is_none() {
            continue; // so early that nobody was listening yet
        }
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(130), ""),
            "{}",
            ran.stderr
        );
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert!(last.ends_with("interrupted"), "{}", ran.stderr);
    }
}

#[test]
fn killed_builds_are_cleaned_up_by_the_next() {
    let bench = Bench::honest();
    let expected = bench.build().succeeded().digest();
    let whole = files(&bench);
    fs::remove_dir_all(bench.path("out")).expect("removed");
    for number in 0..10 {
        let mut child = start(&bench);
        thread::sleep(Duration::from_millis(number * 4));
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    assert_eq!(bench.build().succeeded().digest(), expected);
    assert_eq!(files(&bench), whole);
    assert_eq!(
        fs::read_dir(bench.path("tmp"))
            .expect("a directory")
            .count(),
        0
    );
}

/// The names in the output and of its blobs.
fn files(bench: &Bench) -> Vec<std::ffi::OsString> {
    let mut names = Vec::new();
    for dir in ["out", "out/blobs/sha256"] {
        for entry in fs::read_dir(bench.path(dir)).expect("a directory") {
            names.push(entry.expect("an entry").file_name());
        }
    }
    names.sort_unstable();
    names
}
