//! Sources that change while they are read, and links that are swapped under the build.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::bench::Bench;

/// Runs `work` while `disturb` is repeated on another thread.
fn while_disturbed(disturb: impl Fn(u64) + Sync, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                disturb(round);
                round += 1;
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

const CHANGED: &str = "changed while it was read";

fn changed_while_read(bench: &Bench, disturb: impl Fn(u64) + Sync) {
    while_disturbed(disturb, || {
        for _ in 0..3 {
            let ran = bench.build();
            assert_eq!(ran.code, Some(2), "{}", ran.stderr);
            assert_eq!(ran.stdout, "");
            assert!(ran.stderr.contains(CHANGED), "{}", ran.stderr);
            assert!(!bench.path("out").exists());
            assert_eq!(
                fs::read_dir(bench.path("tmp"))
                    .expect("a directory")
                    .count(),
                0
            );
        }
    });
}

#[test]
fn a_file_that_grows_is_refused() {
    let bench = Bench::honest();
    let path = bench.path("hello");
    File::create(&path)
        .and_then(|file| file.set_len(64 << 20))
        .expect("made");
    changed_while_read(&bench, |_| {
        let mut file = OpenOptions::new().append(true).open(&path).expect("opened");
        file.write_all(b"more").expect("written");
        thread::sleep(std::time::Duration::from_millis(1));
    });
}

#[test]
fn a_file_that_shrinks_is_refused() {
    let bench = Bench::honest();
    let path = bench.path("hello");
    let file = File::create(&path).expect("made");
    file.set_len(64 << 20).expect("a sparse file");
    changed_while_read(&bench, |round| {
        file.set_len((64 << 20) - (round % 2) * 4096).expect("set");
        thread::sleep(std::time::Duration::from_millis(1));
    });
}

#[test]
fn files_that_come_and_go_give_an_error_or_a_result() {
    let bench = Bench::honest();
    let dir = bench.path("files");
    fs::create_dir(&dir).expect("made");
    for number in 0..200 {
        fs::write(dir.join(format!("f{number}")), b"here").expect("written");
    }
    bench.spec(
        "base_image: scratch\narch: amd64\ncopy_files:\n  - source: files\n    destination: /x\n",
    );
    while_disturbed(
        |round| {
            let path = dir.join(format!("f{}", round * 7 % 200));
            let _ = fs::remove_file(&path);
            let _ = fs::write(&path, b"here");
        },
        || {
            for _ in 0..15 {
                let ran = bench.build();
                assert!(
                    matches!(ran.code, Some(0 | 2)),
                    "{:?}: {}",
                    ran.code,
                    ran.stderr
                );
                let _ = fs::remove_dir_all(bench.path("out"));
            }
        },
    );
}

/// What lies outside of the context is never in a result, whenever a link appears.
#[test]
fn a_link_that_is_swapped_in_leaks_nothing() {
    const SECRET: &[u8] = b"the secret that lies outside";
    let bench = Bench::honest();
    fs::create_dir_all(bench.path("outside/inner")).expect("made");
    fs::write(bench.path("outside/inner/file"), SECRET).expect("written");
    fs::write(bench.path("outside/file"), SECRET).expect("written");
    let context = bench.path("ctx");
    fs::create_dir_all(context.join("dir/inner")).expect("made");
    fs::write(context.join("dir/inner/file"), b"harmless").expect("written");
    fs::write(context.join("file"), b"harmless").expect("written");
    fs::write(context.join("file.kept"), b"harmless").expect("written");
    symlink("../outside", context.join("dir.link")).expect("made");
    symlink("../outside/file", context.join("file.link")).expect("made");
    let swap = |one: &str, other: &str| {
        let (one, other, aside) = (
            context.join(one),
            context.join(other),
            context.join("aside"),
        );
        let _ = fs::rename(&one, &aside);
        let _ = fs::rename(&other, &one);
        let _ = fs::rename(&aside, &other);
    };
    bench.spec(
        "base_image: scratch\narch: amd64\ncompression: none\ncopy_files:\n  - source: dir\n    destination: /a\n  - source: dir/inner/file\n    destination: /b\n  - source: file\n    destination: /c\n  - source: 'dir/*/file'\n    destination: /d/\n",
    );
    let args = [
        "build",
        "--spec",
        "spec.yaml",
        "--context",
        "ctx",
        "-o",
        "oci:out",
    ];
    bench.run(&args).succeeded();
    fs::remove_dir_all(bench.path("out")).expect("removed");
    while_disturbed(
        |_| {
            swap("dir", "dir.link");
            swap("file", "file.link");
        },
        || {
            for _ in 0..60 {
                let ran = bench.run(&args);
                assert!(
                    matches!(ran.code, Some(0 | 2)),
                    "{:?}: {}",
                    ran.code,
                    ran.stderr
                );
                for blob in fs::read_dir(bench.path("out/blobs/sha256"))
                    .into_iter()
                    .flatten()
                {
                    let bytes = fs::read(blob.expect("a blob").path()).expect("read");
                    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
                }
                let _ = fs::remove_dir_all(bench.path("out"));
            }
        },
    );
}
