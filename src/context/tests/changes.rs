//! Files that change between being found and being read, and someone who tries to lead outside.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::*;

/// Longer than the step of the clock that file systems take their times from.
const TICK: Duration = Duration::from_millis(20);

fn touch(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(time))
        .expect("a time");
}

fn said(expected: &str, found: &str) -> String {
    format!(
        "Usage: layer: d/file in the context CTX changed while it was read: expected {expected}, \
         found {found}\nhint: let nothing write to the context while it is read, then build again"
    )
}

#[test]
fn a_file_that_changed_before_it_is_read() {
    type Change = fn(&Fixture, &Path);
    let cases: [(Change, &str, &str); 8] = [
        (
            |_, file| fs::write(file, "longer").expect("a file"),
            "5 bytes",
            "6 bytes",
        ),
        (
            |_, file| fs::write(file, "").expect("a file"),
            "5 bytes",
            "0 bytes",
        ),
        (
            |_, file| touch(file, 1_700_000_001),
            "a file last written at 2023-11-14T22:13:20Z",
            "one written at 2023-11-14T22:13:21Z",
        ),
        (
            |fixture, file| {
                fixture.file("d/new", "other");
                touch(&fixture.path("d/new"), 1_700_000_000);
                fs::rename(fixture.path("d/new"), file).expect("renamed");
            },
            "the file that was found first",
            "another one in its place",
        ),
        (
            |_, file| fs::remove_file(file).expect("removed"),
            "a file of 5 bytes",
            "nothing",
        ),
        (
            |fixture, file| {
                fs::remove_file(file).expect("removed");
                fixture.link("d/file", "../../outside/file");
            },
            "a file of 5 bytes",
            "a symbolic link",
        ),
        (
            |fixture, file| {
                fs::remove_file(file).expect("removed");
                fixture.fifo("d/file");
            },
            "a file of 5 bytes",
            "a FIFO",
        ),
        (
            |_, file| {
                fs::remove_file(file).expect("removed");
                fs::create_dir(file).expect("a directory");
            },
            "a file of 5 bytes",
            "a directory",
        ),
    ];
    for (change, expected, found) in cases {
        let fixture = Fixture::new();
        fixture.file("d/file", "first");
        let path = fixture.path("d/file");
        touch(&path, 1_700_000_000);
        let content = fixture.content("d/file");
        assert_eq!(read(&content).expect("unchanged"), b"first");
        change(&fixture, &path);
        assert_eq!(fixture.refusal(read(&content)), said(expected, found));
    }
}

#[test]
fn a_file_whose_time_was_set_back() {
    let fixture = Fixture::new();
    fixture.file("d/file", "first");
    let path = fixture.path("d/file");
    touch(&path, 1_700_000_000);
    let content = fixture.content("d/file");
    let changed = || {
        let metadata = path.metadata().expect("metadata");
        let nanoseconds = i32::try_from(metadata.ctime_nsec()).expect("below a second");
        jiff::Timestamp::new(metadata.ctime(), nanoseconds).expect("a time")
    };
    let before = changed();
    thread::sleep(TICK);
    fs::write(&path, "other").expect("a file");
    touch(&path, 1_700_000_000);
    assert_eq!(
        fixture.refusal(read(&content)),
        said(
            &format!("a file last changed at {before}"),
            &format!("one changed at {}", changed())
        )
    );
}

#[test]
fn a_file_that_changes_while_it_is_read() {
    type Change = fn(&Path);
    let cases: [(Change, &str, &str); 4] = [
        (
            |file| {
                let mut file = fs::File::options().append(true).open(file).expect("a file");
                file.write_all(b"more").expect("written");
            },
            "5 bytes",
            "more",
        ),
        (
            |file| fs::write(file, "fi").expect("a file"),
            "5 bytes",
            "2 bytes",
        ),
        (
            |file| fs::write(file, "").expect("a file"),
            "5 bytes",
            "2 bytes",
        ),
        (
            |file| {
                fs::write(file, "fiRST").expect("a file");
                touch(file, 1_700_000_001);
            },
            "a file last written at 2023-11-14T22:13:20Z",
            "one written at 2023-11-14T22:13:21Z",
        ),
    ];
    for (change, expected, found) in cases {
        let fixture = Fixture::new();
        fixture.file("d/file", "first");
        touch(&fixture.path("d/file"), 1_700_000_000);
        let content = fixture.content("d/file");
        let mut reader = content.open().expect("open");
        let mut start = [0; 2];
        reader.read_exact(&mut start).expect("the start");
        change(&fixture.path("d/file"));
        // nobody asks for more than the bytes that were promised
        let error = reader.read_exact(&mut [0; 3]).expect_err("an error");
        let error = Error::io("layer", error);
        assert_eq!(fixture.said(&error), said(expected, found));
        // and the error cannot be taken for the end
        assert!(reader.read(&mut [0; 3]).is_err());
    }
}

#[test]
fn an_empty_file() {
    let fixture = Fixture::new();
    fixture.file("d/file", "");
    let content = fixture.content("d/file");
    assert_eq!((content.size(), content.digest()), (0, None));
    assert_eq!(read(&content).expect("unchanged"), b"");
    fs::write(fixture.path("d/file"), "x").expect("a file");
    assert_eq!(fixture.refusal(read(&content)), said("0 bytes", "1 byte"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_hides_its_size() {
    let context = Context::open(Path::new("/proc/self"), Cancel::default()).expect("a context");
    let found = context
        .collect(&Pattern::Literal("status"), &|_| false)
        .expect("found");
    let SourceKind::File { content, .. } = &found[0].entries[0].kind else {
        panic!("expected a file, found {found:?}");
    };
    assert_eq!(
        read(content).expect_err("an error").to_string(),
        "layer: status in the context /proc/self changed while it was read: expected 0 bytes, \
         found more"
    );
}

#[test]
fn a_file_reached_by_another_way_is_refused() {
    let fixture = Fixture::new();
    fixture.file("d/file", "first").file("e/file", "other");
    let content = fixture.content("d/file");
    fs::rename(fixture.path("d"), fixture.path("was")).expect("renamed");
    fixture.link("d", "e");
    assert_eq!(
        fixture.refusal(read(&content)),
        said("the file that was found first", "another one in its place")
    );
    fs::remove_file(fixture.path("d")).expect("removed");
    fixture.link("d", "../outside");
    let error = read(&content).expect_err("an error");
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    // the very file by another way is what was found
    fs::remove_file(fixture.path("d")).expect("removed");
    fixture.link("d", "was");
    assert_eq!(read(&content).expect("the same file"), b"first");
}

#[test]
fn the_context_stays_the_directory_that_was_opened() {
    let fixture = Fixture::new();
    fixture.file("file", "mine");
    fs::rename(fixture.path(""), fixture.dir.path().join("moved")).expect("renamed");
    symlink("outside", fixture.dir.path().join("context")).expect("a link");
    assert_eq!(read(&fixture.content("file")).expect("the file"), b"mine");
}

/// Reads all that the context gives for one source, and says whether the secret was in it. That
/// the race makes most attempts fail is right.
fn reads_secret(found: Result<Vec<SourceMatch>>, successes: &mut u32) -> bool {
    let entries = found.into_iter().flatten().flat_map(|found| found.entries);
    let mut secret = false;
    for entry in entries {
        if let SourceKind::File { content, .. } = &entry.kind
            && let Ok(bytes) = read(content)
        {
            *successes += 1;
            secret |= bytes == b"secret";
        }
    }
    secret
}

#[test]
fn nobody_is_fast_enough_to_lead_outside() {
    let fixture = Fixture::new();
    fixture
        .file("d/swap/file", "public")
        .file("d/swap/sub/file", "public");
    fs::create_dir(fixture.dir.path().join("outside/sub")).expect("a directory");
    fs::write(fixture.dir.path().join("outside/sub/file"), "secret").expect("a file");
    let stop = AtomicBool::new(false);
    let (mut successes, mut naive, mut secret) = (0, 0, false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (swap, aside) = (fixture.path("d/swap"), fixture.path("aside"));
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&swap, &aside).expect("renamed");
                symlink("../../outside", &swap).expect("a link");
                thread::yield_now();
                fs::remove_file(&swap).expect("removed");
                fs::rename(&aside, &swap).expect("renamed");
                thread::yield_now();
            }
        });
        let start = Instant::now();
        // a slow machine gets the time to show that there is a race
        while start.elapsed() < Duration::from_millis(1500)
            || ((naive == 0 || successes == 0) && start.elapsed() < Duration::from_secs(30))
        {
            let none: &dyn Fn(&[u8]) -> bool = &|_| false;
            for source in ["d", "d/swap", "d/swap/file", "d/swap/sub"] {
                let found = fixture.context.collect(&Pattern::Literal(source), none);
                secret |= reads_secret(found, &mut successes);
            }
            for (prefix, glob) in [("d", "d/**/file"), ("d/swap", "d/swap/*")] {
                secret |= reads_secret(fixture.glob(prefix, glob, none), &mut successes);
            }
            // what a plain reader would have got
            let plain = fs::read(fixture.path("d/swap/file"));
            naive += u32::from(plain.is_ok_and(|bytes| bytes == b"secret"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!secret, "the secret was read");
    assert!(successes > 0, "nothing was read at all");
    assert!(naive > 0, "the race never happened");
}
