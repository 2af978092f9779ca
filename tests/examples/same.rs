//! The same inputs give the same bytes, whatever the machine around them is like.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;

use super::{Contents, build, contents, names, prepared, spec};
use crate::support::run::{BINARY, CopyStyle, Run, Sandbox, run};

/// What must not matter.
struct Surroundings {
    style: CopyStyle,
    umask: &'static str,
    environment: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
}

const SURROUNDINGS: [Surroundings; 4] = [
    Surroundings {
        style: CopyStyle {
            reverse: false,
            mode: 0o600,
            mtime: Some(0),
        },
        umask: "077",
        environment: &[
            ("TZ", "Asia/Kathmandu"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("LANG", "tr_TR.UTF-8"),
        ],
        args: &["--threads", "1"],
    },
    Surroundings {
        style: CopyStyle {
            reverse: true,
            mode: 0o666,
            mtime: Some(1_700_000_000),
        },
        umask: "000",
        environment: &[
            ("TZ", "America/St_Johns"),
            ("LC_ALL", "C"),
            ("USER", "someone"),
        ],
        args: &["--threads", "7"],
    },
    Surroundings {
        style: CopyStyle {
            reverse: true,
            mode: 0o644,
            mtime: Some(4_000_000_000),
        },
        umask: "022",
        environment: &[
            ("HOSTNAME", "elsewhere"),
            ("COLUMNS", "40"),
            ("NO_COLOR", "1"),
        ],
        args: &["--no-cache"],
    },
    Surroundings {
        style: CopyStyle {
            reverse: false,
            mode: 0o444,
            mtime: None,
        },
        umask: "027",
        environment: &[("HOME", "/nonexistent"), ("XDG_CACHE_HOME", "")],
        args: &["--threads", "3", "--quiet"],
    },
];

#[test]
fn surroundings_do_not_matter() {
    let plain = prepared(CopyStyle::default());
    let expected: Vec<_> = names()
        .into_iter()
        .map(|name| (contents(&build(&plain, &name, "out")), name))
        .collect();
    // They wait for the disk most of the time.
    thread::scope(|scope| {
        for surroundings in &SURROUNDINGS {
            scope.spawn(|| compare(surroundings, &expected));
        }
    });
}

fn compare(surroundings: &Surroundings, expected: &[(Contents, String)]) {
    let sandbox = prepared(surroundings.style);
    for (expected, name) in expected {
        let layout = format!("out-{name}");
        build_in(surroundings, &sandbox, name, &layout).success();
        let found = contents(&sandbox.work().join(layout));
        let paths = |files: &Contents| -> Vec<PathBuf> {
            files.iter().map(|(path, _)| path.clone()).collect()
        };
        assert_eq!(
            paths(&found),
            paths(expected),
            "{name}, umask {}",
            surroundings.umask
        );
        assert!(found == *expected, "{name}, umask {}", surroundings.umask);
    }
    assert_eq!(sandbox.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn the_cache_does_not_matter() {
    let sandbox = prepared(CopyStyle::default());
    let expected = contents(&build(&sandbox, "agent-from-image", "cold"));
    assert!(sandbox.cache().is_dir());
    assert!(contents(&build(&sandbox, "agent-from-image", "warm")) == expected);
}

fn build_in(surroundings: &Surroundings, sandbox: &Sandbox, name: &str, layout: &str) -> Run {
    let script = format!("umask {}; exec \"$0\" \"$@\"", surroundings.umask);
    let output = format!("oci:{layout}:example");
    run(sandbox
        .command("/bin/sh")
        .args(["-c", &script, BINARY, "build", "--spec", &spec(name)])
        .args(["--base-layout", "bases", "--output", &output])
        .args(surroundings.args)
        .envs(surroundings.environment.iter().copied()))
}

#[test]
fn where_files_are_does_not_matter() {
    let sandbox = prepared(CopyStyle::default());
    let expected = contents(&build(&sandbox, "nginx", "out"));
    let work = sandbox.work();
    symlink(work.join("examples/nginx"), work.join("link")).expect("a link");
    std::fs::copy(
        work.join("examples/nginx/spec.yaml"),
        work.join("copy.yaml"),
    )
    .expect("a copy");
    let absolute = work
        .join("examples/nginx/spec.yaml")
        .into_os_string()
        .into_string()
        .expect("text");
    for (name, args) in [
        ("by-link", vec!["--spec", "link/spec.yaml"]),
        ("absolute", vec!["--spec", &absolute]),
        (
            "by-context",
            vec!["--spec", "copy.yaml", "--context", "examples/nginx"],
        ),
    ] {
        let output = format!("oci:{name}:example");
        let fixed = ["build", "--base-layout", "bases", "--output", &output];
        sandbox.customize(fixed.into_iter().chain(args)).success();
        assert!(contents(&work.join(name)) == expected, "{name}");
    }
}

#[test]
fn a_rebuild_changes_nothing() {
    let sandbox = prepared(CopyStyle::default());
    let layout = build(&sandbox, "python", "out");
    let times = || -> Vec<_> {
        contents(&layout)
            .into_iter()
            .map(|(path, _)| {
                let metadata = std::fs::metadata(layout.join(&path)).expect("a file");
                (path, metadata.modified().expect("a time"))
            })
            .collect()
    };
    let before = times();
    build(&sandbox, "python", "out");
    assert_eq!(times(), before);
}

#[test]
fn the_time_is_the_environments_then_the_specs() {
    let sandbox = prepared(CopyStyle::default());
    let created = |epoch: Option<&str>, name: &str| {
        let mut command = sandbox.command(BINARY);
        command.args([
            "plan",
            "--json",
            "--spec",
            &spec(name),
            "--base-layout",
            "bases",
        ]);
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        let json: serde_json::Value =
            serde_json::from_str(&run(&mut command).success()).expect("JSON");
        json["created"].as_str().expect("a time").to_owned()
    };
    assert_eq!(created(None, "corporate-ca"), "1970-01-01T00:00:00Z");
    assert_eq!(created(None, "python"), "2026-01-31T12:00:00Z");
    assert_eq!(
        created(Some("1000000000"), "python"),
        "2001-09-09T01:46:40Z"
    );
}
