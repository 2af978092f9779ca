//! Places that cannot be written to: what is there stays as it was, byte for byte.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::layouts::fifo;
use crate::support::bench::{Bench, Ran, Transcript};

fn write_to(bench: &Bench, code: i32, output: &str) -> Ran {
    let args = ["build", "--spec", "spec.yaml", "-o", output];
    bench.refused_with(code, &mut bench.bounded(), &args)
}

#[test]
fn places_that_are_refused() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    bench.write("file", b"");
    fs::create_dir_all(bench.path("full/blobs")).expect("made");
    bench.write("full/other", b"");
    symlink("nothing", bench.path("nowhere")).expect("made");
    symlink("loop", bench.path("loop")).expect("made");
    fifo(&bench.path("fifo"));
    for (output, code) in [
        ("oci:file", 2),
        ("oci:file/below", 2),
        ("oci:full", 2),
        ("oci:missing/below", 2),
        ("oci:nowhere", 2),
        ("oci:loop", 1),
        ("oci:fifo", 2),
        ("oci:/dev/null", 2),
        ("oci-archive:full", 2),
        ("oci-archive:missing/below", 2),
        ("oci-archive:fifo", 2),
        ("oci-archive:/dev/full", 2),
        ("docker-archive:full", 2),
        ("docker-archive:fifo", 2),
    ] {
        said.note(output, &write_to(&bench, code, output), &[]);
    }
    said.check("outputs");
}

#[test]
fn layouts_that_are_broken_stay_as_they_are() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    bench.build().succeeded();
    let path = bench.path("out/index.json");
    let honest = fs::read_to_string(&path).expect("an index");
    for (title, code, text) in [
        ("empty", 4, String::new()),
        ("no JSON", 4, "\x1b[2J".to_owned()),
        ("cut off", 4, honest[..honest.len() - 5].to_owned()),
        ("an array", 4, "[]".to_owned()),
        ("schema 1", 4, honest.replace("\"schemaVersion\":2", "\"schemaVersion\":1")),
        ("a number for the manifests", 4, r#"{"schemaVersion":2,"manifests":1}"#.to_owned()),
        ("numbers in the manifests", 4, r#"{"schemaVersion":2,"manifests":[1]}"#.to_owned()),
        ("text for annotations", 4, r#"{"schemaVersion":2,"manifests":[{"annotations":"x"}]}"#.to_owned()),
        ("a number for a tag", 4, r#"{"schemaVersion":2,"manifests":[{"annotations":{"org.opencontainers.image.ref.name":1}}]}"#.to_owned()),
        ("manifests twice", 4, honest.replacen('{', r#"{"Manifests":[],"#, 1)),
        ("a million brackets", 4, format!(r#"{{"schemaVersion":2,"x":{}"#, "[".repeat(1_000_000))),
        ("100 MiB", 4, " ".repeat(100 << 20)),
    ] {
        fs::write(&path, text).expect("written");
        let ran = write_to(&bench, code, "oci:out:tag");
        said.note(title, &ran, &[]);
    }
    fs::remove_file(&path).expect("removed");
    said.note("missing", &write_to(&bench, 4, "oci:out:tag"), &[]);
    fs::create_dir(&path).expect("made");
    said.note("a directory", &write_to(&bench, 2, "oci:out:tag"), &[]);
    fs::remove_dir(&path).expect("removed");
    fs::write(&path, &honest).expect("written");
    fs::write(
        bench.path("out/oci-layout"),
        br#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .expect("written");
    said.note(
        "a layout of version 2",
        &write_to(&bench, 2, "oci:out:tag"),
        &[],
    );
    said.check("broken-layouts");
}

#[test]
fn a_damaged_blob_in_the_output_is_replaced() {
    let bench = Bench::honest();
    let digest = bench.build().succeeded().digest();
    let path = bench.path("out/blobs/sha256").join(&digest[7..]);
    let honest = fs::read(&path).expect("a manifest");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, b"damaged").expect("written");
    bench.build().succeeded();
    assert_eq!(fs::read(&path).expect("a manifest"), honest);
}

#[test]
fn the_same_output_twice_is_one() {
    let bench = Bench::honest();
    let args = [
        "build",
        "--spec",
        "spec.yaml",
        "-o",
        "oci:out:a",
        "-o",
        "oci:out:a",
        "-o",
        "oci:out:b",
    ];
    let ran = bench.run(&args).succeeded();
    assert_eq!(ran.stdout.lines().count(), 3);
    let index = fs::read_to_string(bench.path("out/index.json")).expect("an index");
    assert_eq!(index.matches("\"digest\"").count(), 2, "{index}");
}

#[test]
fn a_directory_without_permission_is_an_error() {
    let bench = Bench::honest();
    fs::create_dir(bench.path("locked")).expect("made");
    fs::set_permissions(bench.path("locked"), fs::Permissions::from_mode(0o555)).expect("set");
    if fs::write(bench.path("locked/probe"), b"").is_ok() {
        return; // root writes everywhere
    }
    let mut said = Transcript::default();
    for output in ["oci:locked", "oci:locked/below", "oci-archive:locked/file"] {
        said.note(output, &write_to(&bench, 1, output), &[]);
    }
    said.check("permissions");
}

/// No more than 512 KiB may be written to one file.
#[test]
fn a_file_that_may_not_grow_is_a_clean_error() {
    let mut said = Transcript::default();
    let bench = Bench::honest();
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    bench.write("hello", noise);
    for output in ["oci:out", "oci-archive:out", "docker-archive:out"] {
        let args = ["build", "--spec", "spec.yaml", "-o", output];
        let ran = bench.refused_with(1, &mut bench.limited("-f 1000"), &args);
        said.note(output, &ran, &[]);
    }
    said.check("limits");
}

/// A disk of one MiB.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_a_clean_error() {
    use std::process::Command;
    let bench = Bench::honest();
    let disk = bench.path("disk");
    fs::create_dir(&disk).expect("made");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&disk)
        .output();
    if !mount.is_ok_and(|ran| ran.status.success()) {
        return; // only root may mount
    }
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    bench.write("hello", noise);
    let mut said = Transcript::default();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for output in [
            "oci:disk/out",
            "oci:disk",
            "oci-archive:disk/out",
            "docker-archive:disk/out",
        ] {
            said.note(output, &write_to(&bench, 1, output), &[]);
        }
        // The temporary files are on the full disk.
        let args = ["build", "--spec", "spec.yaml", "-o", "oci:out"];
        let ran = bench.refused_with(1, bench.bounded().env("TMPDIR", &disk), &args);
        said.note("TMPDIR", &ran, &[]);
    }));
    let unmounted = Command::new("umount").arg(&disk).status();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    assert!(unmounted.is_ok_and(|status| status.success()));
    said.check("disk");
}
