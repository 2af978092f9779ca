//! What a source names, and what it may not name.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::super::Limits;
use super::*;

#[test]
fn a_file_and_whether_it_is_executable() {
    let fixture = Fixture::new();
    fixture.file("conf/app.conf", "a").file("run", "b");
    for (mode, shown) in [(0o755, ". = b"), (0o641, ". = b"), (0o644, ". = b")] {
        fixture.mode("run", mode);
        let shown = if mode == 0o644 {
            shown.to_owned()
        } else {
            shown.replace(". =", ".* =")
        };
        assert_eq!(listing(&fixture.literal("run").expect("found")), [shown]);
    }
    let found = fixture.literal("./conf//app.conf").expect("found");
    assert_eq!(found.name, b"app.conf");
    assert_eq!(found.shown, "conf/app.conf");
    assert_eq!(listing(&found), [". = a"]);
}

#[test]
fn a_directory_in_the_order_of_bytes() {
    let fixture = Fixture::new();
    fixture
        .file("d/a/x", "1")
        .file("d/a-b", "2")
        .file("d/a.b", "3")
        .file("d/.hidden", "4")
        .file("d/B", "5")
        .file("d/empty/gone", "");
    fs::remove_file(fixture.path("d/empty/gone")).expect("removed");
    let found = fixture.literal("d/").expect("found");
    let expected = [
        "./",
        ".hidden = 4",
        "B = 5",
        "a/",
        "a-b = 2",
        "a.b = 3",
        "a/x = 1",
        "empty/",
    ];
    assert_eq!(listing(&found), expected);
    assert_eq!(found.name, b"d");
}

#[test]
fn the_context_itself() {
    let fixture = Fixture::new();
    fixture.file("a/b", "1");
    for source in ["", ".", "./", "a/.."] {
        let found = fixture.literal(source).expect("found");
        assert_eq!(listing(&found), ["./", "a/", "a/b = 1"], "{source}");
        assert_eq!(found.name, b"", "{source}");
    }
    assert_eq!(fixture.literal(".").expect("found").shown, ".");
}

#[test]
fn what_is_excluded_is_not_even_opened() {
    let fixture = Fixture::new();
    fixture
        .file("d/keep", "1")
        .fifo("d/cache/pipe")
        .file("d/sub/keep", "2")
        .link("d/sub/away", "/etc/passwd");
    let exclude = |path: &[u8]| path == b"cache" || path == b"sub/away";
    let found = fixture.literal_without("d", &exclude).expect("found");
    assert_eq!(listing(&found), ["./", "keep = 1", "sub/", "sub/keep = 2"]);
    let asked = std::cell::RefCell::new(Vec::new());
    let exclude = |path: &[u8]| {
        asked.borrow_mut().push(escape(path));
        path == b"cache" || path == b"sub"
    };
    let found = fixture.literal_without("d", &exclude).expect("found");
    assert_eq!(listing(&found), ["./", "keep = 1"]);
    let mut asked = asked.into_inner();
    asked.sort();
    assert_eq!(asked, ["cache", "keep", "sub"]);
    // a directory of which nothing is left is still a directory
    let found = fixture.literal_without("d", &|_| true).expect("found");
    assert_eq!(listing(&found), ["./"]);
}

#[test]
fn what_is_not_there() {
    let fixture = Fixture::new();
    fixture.file("conf/app.conf", "").file("conf/zebra", "");
    let place = "hint: paths start at the context: the spec's directory, unless `--context` names \
                 another";
    let cases = [
        (
            "conf/ap.conf",
            "conf/ap.conf does not exist in the context CTX\nhint: did you mean conf/app.conf?",
        ),
        (
            "config/app.conf",
            "config/app.conf does not exist in the context CTX: there is no config\n\
             hint: did you mean conf?",
        ),
        (
            "Conf/app.conf",
            "Conf/app.conf does not exist in the context CTX: there is no Conf\n\
             hint: did you mean conf?",
        ),
        (
            "nothing",
            &format!("nothing does not exist in the context CTX\n{place}"),
        ),
        (
            "conf/app.conf/x",
            "expected a directory at conf/app.conf in the context CTX for conf/app.conf/x, found a \
             file\nhint: correct the path",
        ),
        (
            "conf/app.conf/",
            "expected a directory at conf/app.conf in the context CTX for conf/app.conf/, found a \
             file\nhint: correct the path",
        ),
        (
            "conf/\n\x1b[2J",
            &format!("conf/\\n\\u{{1b}}[2J does not exist in the context CTX\n{place}"),
        ),
        (
            "a\0b",
            "cannot take a\\u{0}b of the context CTX: a NUL byte is not accepted in a path\n\
             hint: rename it, or leave it out with `exclude`",
        ),
        (
            "/etc/passwd",
            "expected a path relative to the context CTX, found /etc/passwd\n\
             hint: copy the file into the context, or name a directory above it with `--context`",
        ),
        (
            "conf/../../outside/file",
            "conf/../../outside/file leaves the context CTX\n\
             hint: copy the file into the context, or name a directory above it with `--context`",
        ),
    ];
    for (source, expected) in cases {
        // not where the file system takes both for one name
        if source.starts_with("Conf") && fixture.path("Conf").exists() {
            continue;
        }
        let expected = format!("Usage: {expected}");
        assert_eq!(fixture.refusal(fixture.literal(source)), expected);
    }
}

#[test]
fn a_context_that_cannot_be_opened() {
    let fixture = Fixture::new();
    fixture.file("file", "");
    let hint = "hint: `--context` takes the directory that holds the files of the spec";
    assert_eq!(
        fixture.refusal(Context::open(&fixture.path("none"), Cancel::default())),
        format!("Usage: the context CTX/none does not exist\n{hint}")
    );
    assert_eq!(
        fixture.refusal(Context::open(&fixture.path("file"), Cancel::default())),
        format!("Usage: the context CTX/file is not a directory\n{hint}")
    );
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let fixture = Fixture::new();
    fixture.fifo("d/pipe").link("d/to-pipe", "pipe");
    fs::create_dir(fixture.path("s")).expect("a directory");
    let _socket = UnixListener::bind(fixture.path("s/sock")).expect("a socket");
    let said = |path: &str, kind: &str| {
        format!(
            "Usage: expected a file, a directory or a symbolic link, found {path} in the context \
             CTX, which is {kind}\nhint: remove it, or leave it out with `exclude`"
        )
    };
    let refusal = |source| fixture.refusal(fixture.literal(source));
    assert_eq!(refusal("d/pipe"), said("d/pipe", "a FIFO"));
    assert_eq!(refusal("d/to-pipe"), said("d/pipe", "a FIFO"));
    assert_eq!(refusal("d"), said("d/pipe", "a FIFO"));
    assert_eq!(refusal("s/sock"), said("s/sock", "a socket"));
    assert_eq!(refusal("s"), said("s/sock", "a socket"));
    let glob = fixture.glob("s", "s/*", &|_| false);
    assert_eq!(fixture.refusal(glob), said("s/sock", "a socket"));

    let devices = Context::open(Path::new("/dev"), Cancel::default()).expect("a context");
    let error = devices
        .collect(&Pattern::Literal("null"), &|_| false)
        .expect_err("an error");
    assert_eq!(
        error.to_string(),
        "expected a file, a directory or a symbolic link, found null in the context /dev, which \
         is a character device"
    );
}

#[test]
fn what_cannot_be_read_is_the_users_to_mend() {
    let fixture = Fixture::new();
    fixture.file("d/key", "1").mode("d/key", 0);
    // root may read everything
    if fs::File::open(fixture.path("d/key")).is_err() {
        let expected = "Usage: cannot read d/key in the context CTX: Permission denied (os error \
                        13)\nhint: make it readable for the user who builds, or leave it out with \
                        `exclude`";
        assert_eq!(fixture.refusal(fixture.literal("d")), expected);
        fixture.mode("d", 0);
        let expected = expected.replace("d/key", "d");
        assert_eq!(fixture.refusal(fixture.literal("d")), expected);
        fixture.mode("d", 0o755);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    let name = Path::new(std::ffi::OsStr::from_bytes(b"d/\xff\nx"));
    fixture.file(name, "1");
    let found = fixture.literal("d").expect("found");
    assert_eq!(listing(&found), ["./", "\\xff\\nx = 1"]);
    let found = fixture.glob("d", "d/*", &|_| false).expect("found");
    assert_eq!(found[0].name, b"\xff\nx");
    assert_eq!(found[0].shown, "d/\\xff\\nx");
}

#[test]
fn a_path_that_is_too_long_is_named() {
    let fixture = Fixture::new();
    let name = "n".repeat(250);
    // made step by step, as no call takes the whole
    let mut dir =
        cap_std::fs::Dir::open_ambient_dir(fixture.path(""), cap_std::ambient_authority())
            .expect("a directory");
    for _ in 0..17 {
        dir.create_dir(&name).expect("a directory");
        dir = dir.open_dir(&name).expect("a directory");
    }
    assert_eq!(
        fixture.refusal(fixture.literal(".")),
        format!(
            "Usage: cannot take {} of the context CTX: the path is longer than 4094 bytes\n\
             hint: rename it, or leave it out with `exclude`",
            [name.as_str(); 17].join("/")
        )
    );
}

#[test]
fn there_are_limits() {
    let limited = |entries, path_bytes| {
        let mut fixture = Fixture::new();
        fixture.file("d/a", "").file("d/b", "").link("d/c", "a");
        let inner = std::sync::Arc::get_mut(&mut fixture.context.0).expect("alone");
        inner.limits = Limits {
            entries,
            path_bytes,
        };
        fixture
    };
    let hint = "hint: name what is needed in `source`, or leave the rest out with `exclude`";
    let fixture = limited(2, 1000);
    assert_eq!(
        fixture.refusal(fixture.literal("d")),
        format!("Usage: d in the context CTX brings more than 2 entries\n{hint}")
    );
    assert_eq!(
        fixture.refusal(fixture.glob("", "**/x", &|_| false)),
        format!("Usage: **/x in the context CTX brings more than 2 entries\n{hint}")
    );
    // what is excluded does not count
    let found = fixture.literal_without("d", &|path| path == b"c");
    assert_eq!(listing(&found.expect("found")), ["./", "a = ", "b = "]);
    assert!(limited(3, 10).literal("d").is_ok());
    let fixture = limited(3, 9);
    assert_eq!(
        fixture.refusal(fixture.literal("d")),
        format!("Usage: d in the context CTX brings more than 9 bytes of paths\n{hint}")
    );
}

#[test]
fn ten_thousand_files_are_no_matter() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("d")).expect("a directory");
    for number in 0..10_000 {
        fs::write(fixture.path(format!("d/{number:05}")), "x").expect("a file");
    }
    let start = Instant::now();
    let found = fixture.literal("d").expect("found");
    let took = start.elapsed();
    assert_eq!(found.entries.len(), 10_001);
    assert_eq!(found.entries[10_000].path.as_bytes(), b"09999");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn looking_stops_when_cancelled() {
    let fixture = Fixture::new();
    fixture.file("a", "");
    let cancel = Cancel::default();
    let context = Context::open(&fixture.path(""), cancel.clone()).expect("a context");
    cancel.cancel();
    let error = context
        .collect(&Pattern::Literal("."), &|_| false)
        .expect_err("cancelled");
    assert_eq!(error.kind(), crate::error::Kind::Interrupted);
}
