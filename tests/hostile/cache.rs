//! A cache that is damaged, forged or no directory never changes a result, and is never a reason
//! to fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::bench::{Bench, Ran};
use crate::support::layout::{Layer, base_layer, base_tar};

/// The files in a directory and below, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

/// A bench of two layers whose indexes are in the cache: their files, and the digest.
fn cached() -> (Bench, Vec<PathBuf>, String) {
    let second = Layer::gzip(&base_tar().file(b"etc/second", b"second").end());
    let bench = Bench::of(&[base_layer(), second]);
    let digest = bench.build().succeeded().digest();
    let entries: Vec<_> = files(&bench.path("cache"))
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|found| found.len() > 100))
        .collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    (bench, entries, digest)
}

#[test]
fn damaged_entries_are_made_again() {
    let (bench, entries, digest) = cached();
    let honest: Vec<_> = entries
        .iter()
        .map(|path| fs::read(path).expect("read"))
        .collect();
    let mut step = 0_usize;
    for (path, bytes) in entries.iter().zip(&honest) {
        for at in (0..bytes.len()).step_by(bytes.len() / 12) {
            step += 1;
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (step % 8);
            fs::write(path, bytes).expect("written");
            assert_eq!(bench.build().succeeded().digest(), digest, "byte {at}");
        }
        for bytes in [
            Vec::new(),
            bytes[..bytes.len() / 2].to_vec(),
            [&bytes[..], b"more"].concat(),
            vec![0xff; bytes.len()],
            // A length of nearly 2^64 where there is one.
            [&bytes[..40], &[0xff; 200]].concat(),
        ] {
            fs::write(path, bytes).expect("written");
            assert_eq!(bench.build().succeeded().digest(), digest);
        }
        assert_eq!(
            &fs::read(path).expect("read"),
            bytes,
            "the entry is whole again"
        );
    }
}

#[test]
fn the_entry_of_another_layer_is_not_taken() {
    let (bench, entries, digest) = cached();
    let honest = fs::read(&entries[0]).expect("read");
    fs::copy(&entries[1], &entries[0]).expect("copied");
    assert_eq!(bench.build().succeeded().digest(), digest);
    assert_eq!(fs::read(&entries[0]).expect("read"), honest);
}

#[test]
fn entries_that_are_no_files() {
    let (bench, entries, digest) = cached();
    fs::remove_file(&entries[0]).expect("removed");
    fs::create_dir(&entries[0]).expect("made");
    fs::remove_file(&entries[1]).expect("removed");
    super::layouts::fifo(&entries[1]);
    assert_eq!(bench.build().succeeded().digest(), digest);
    fs::remove_file(&entries[1]).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &entries[1]).expect("made");
    assert_eq!(bench.build().succeeded().digest(), digest);
    assert_eq!(bench.run(&["cache", "info"]).code, Some(0));
    assert_eq!(bench.run(&["cache", "prune"]).code, Some(0));
    assert_eq!(bench.build().succeeded().digest(), digest);
}

#[test]
fn a_cache_that_is_no_directory() {
    let bench = Bench::honest();
    let digest = bench.build().succeeded().digest();
    let cache = bench.path("cache");
    fs::remove_dir_all(&cache).expect("removed");
    fs::write(&cache, b"a file").expect("written");
    assert_eq!(bench.build().succeeded().digest(), digest);
    assert_eq!(fs::read(&cache).expect("read"), b"a file");
    fs::remove_file(&cache).expect("removed");
    fs::create_dir(&cache).expect("made");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o555)).expect("set");
    assert_eq!(bench.build().succeeded().digest(), digest);
    // Others could put anything into such a directory.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("set");
    assert_eq!(bench.build().succeeded().digest(), digest);
}

#[test]
fn builds_at_the_same_time_share_cache_and_output() {
    let bench = Bench::honest();
    let runs: Vec<_> = (0..8)
        .map(|number| {
            bench
                .program()
                .args([
                    "build",
                    "--spec",
                    "spec.yaml",
                    "-o",
                    &format!("oci:out:t{number}"),
                ])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("the program runs")
        })
        .collect();
    let mut digests: Vec<_> = runs
        .into_iter()
        .map(|run| {
            Ran::from(run.wait_with_output().expect("output"))
                .succeeded()
                .digest()
        })
        .collect();
    digests.dedup();
    assert_eq!(digests.len(), 1);
    let index = fs::read_to_string(bench.path("out/index.json")).expect("an index");
    for number in 0..8 {
        assert!(index.contains(&format!("\"t{number}\"")), "{index}");
    }
    let mut names: Vec<_> = fs::read_dir(bench.path("out"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}
