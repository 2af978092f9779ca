//! Plans over a small base, told by their whole listings, and what is refused by its whole message.

use std::fmt::Write as _;

use super::*;
use crate::core::entry::{SourceEntry, SourceKind};
use crate::core::spec::{Destination, Mode};
use crate::core::tree::LayerIndex;
use crate::error::{Kind, Result};

/// The base: name, type flag of tar, mode, link target.
const BASE: [(&str, u8, u32, &str); 27] = [
    ("bin", b'2', 0o777, "usr/bin"),
    ("c1", b'2', 0o777, "c2"),
    ("c2", b'2', 0o777, "./c1"),
    ("dangling", b'2', 0o777, "made/later/file"),
    ("escape", b'2', 0o777, "../../../usr/lib/x"),
    ("etc/", b'5', 0o755, ""),
    ("etc/alternatives/", b'5', 0o700, ""),
    ("etc/alternatives/tool", b'2', 0o777, "/usr/bin/tool-1"),
    ("etc/app.conf", b'0', 0o640, ""),
    ("etc/hidden", b'2', 0o777, ".wh.x"),
    ("etc/into-dir", b'2', 0o777, "newdir/"),
    ("etc/passwd", b'2', 0o777, "../var/passwd"),
    ("etc/root", b'2', 0o777, "/"),
    ("etc/through", b'2', 0o777, "missing/../file"),
    ("etc/tofile", b'2', 0o777, "app.conf"),
    ("run/", b'5', 0o755, ""),
    ("tmp/", b'5', 0o1777, ""),
    ("usr/", b'5', 0o755, ""),
    ("usr/bin/", b'5', 0o555, ""),
    ("usr/bin/same", b'1', 0o755, "usr/bin/tool-1"),
    ("usr/bin/tool", b'2', 0o777, "../../etc/alternatives/tool"),
    ("usr/bin/tool-1", b'0', 0o4755, ""),
    ("usr/fifo", b'6', 0o600, ""),
    ("var/passwd", b'0', 0o600, ""),
    ("var/run", b'2', 0o777, "/run"),
    ("var/www/", b'5', 0o2750, ""),
    ("var/www/index.html", b'0', 0o644, ""),
];

fn base() -> Tree {
    let mut tar = tar::Builder::new(Vec::new());
    // hard links come after what they link
    let (links, rest): (Vec<_>, Vec<_>) = BASE.iter().partition(|entry| entry.1 == b'1');
    for &&(path, flag, mode, target) in rest.iter().chain(&links) {
        if mode == 0o2750 || path == "var/passwd" {
            let xattrs = [("SCHILY.xattr.user.keep", &b"1"[..])];
            tar.append_pax_extensions(xattrs).expect("in memory");
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(flag));
        header.set_mode(mode);
        header.set_uid(10);
        header.set_gid(20);
        header.set_mtime(1000);
        header.set_size(0);
        header.set_path(path).expect("short");
        if !target.is_empty() {
            header.set_link_name_literal(target).expect("short");
        }
        header.set_cksum();
        tar.append(&header, &b""[..]).expect("in memory");
    }
    let tar = tar.into_inner().expect("in memory");
    let index = LayerIndex::read(tar.as_slice(), tar.len() as u64).expect("a layer");
    Tree::merge([&index], &crate::core::cancel::Cancel::default()).expect("a tree")
}

/// One step: a destination and what goes there.
#[derive(Clone, Copy)]
enum Step {
    /// A file named `f`, as a `source`.
    File(&'static str),
    /// The same, executable.
    Program(&'static str),
    /// A file with this mode.
    Mode(&'static str, &'static str),
    /// A directory named `d`: entries that end in `/` are directories, `a>b` is a link to `b`.
    Dir(&'static str, &'static [&'static str]),
    /// The same with this mode.
    ModeDir(&'static str, &'static str, &'static [&'static str]),
    /// The same, as a match of a glob.
    GlobDir(&'static str, &'static [&'static str]),
    Edit(&'static str),
    Workdir(&'static str),
}
use Step::{Dir, Edit, File, GlobDir, Mode as FileMode, ModeDir, Program, Workdir};

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text).expect("a path")
}

fn source(names: &[&str]) -> Vec<SourceEntry> {
    let mut entries = vec![SourceEntry {
        path: LayerPath::ROOT,
        kind: SourceKind::Directory,
    }];
    entries.extend(names.iter().map(|name| {
        if let Some((name, target)) = name.split_once('>') {
            return SourceEntry {
                path: path(name),
                kind: SourceKind::Symlink(target.into()),
            };
        }
        SourceEntry {
            path: path(name),
            kind: if name.ends_with('/') {
                SourceKind::Directory
            } else {
                file(false).kind
            },
        }
    }));
    entries
}

fn file(executable: bool) -> SourceEntry {
    SourceEntry {
        path: LayerPath::ROOT,
        kind: SourceKind::File {
            content: Content::bytes("text"),
            executable,
        },
    }
}

fn step(planner: &mut Planner<'_>, step: Step, key: &str) -> Result<()> {
    let (destination, name, entries, mode, by_name) = match step {
        File(to) => (to, "f", vec![file(false)], None, false),
        Program(to) => (to, "f", vec![file(true)], None, false),
        FileMode(to, mode) => (to, "f", vec![file(false)], Some(mode), false),
        Dir(to, names) => (to, "d", source(names), None, false),
        ModeDir(to, mode, names) => (to, "d", source(names), Some(mode), false),
        GlobDir(to, names) => (to, "d", source(names), None, true),
        Edit(at) => {
            return planner.edit(super::Edit {
                path: &path(at),
                content: Content::bytes("edited"),
                key,
            });
        }
        Workdir(at) => return planner.make_directory(&path(at), key),
    };
    planner.place(&Placement {
        explicit: false,
        destination: &destination.parse::<Destination>()?,
        name: name.as_bytes(),
        by_name,
        entries: &entries,
        owner: Ids { uid: 1, gid: 2 },
        mode: mode.map(|mode| mode.parse::<Mode>().expect("a mode")),
        key,
        shown: Some(name),
    })
}

fn planned(steps: &[Step]) -> Result<Plan> {
    let tree = base();
    let owner = Ids { uid: 3, gid: 4 };
    let mut planner = Planner::new(&tree, Defaults { owner, mtime: 99 });
    for (number, &what) in steps.iter().enumerate() {
        step(&mut planner, what, &format!("[{number}]"))?;
    }
    Ok(planner.finish())
}

fn line((path, planned): (&LayerPath, &Planned)) -> String {
    let sign = match planned.action {
        Action::Add => '+',
        Action::Replace => '~',
        Action::Keep => '=',
    };
    let Metadata {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    } = &planned.metadata;
    let mut line = format!("{sign} {mode:04o} {uid}:{gid} @{mtime} {path}");
    match &planned.kind {
        LayerEntryKind::Directory => line.push('/'),
        LayerEntryKind::File(content) => drop(write!(line, " {}", content.size())),
        LayerEntryKind::Symlink(to) => drop(write!(line, " -> {}", to.escape_ascii())),
    }
    for (name, value) in xattrs {
        let _ = write!(line, " {}={}", name.escape_ascii(), value.escape_ascii());
    }
    if let Some(cause) = &planned.cause {
        let _ = write!(line, " by {}", cause.key);
        if let Some(source) = &cause.source {
            let _ = write!(line, " {source}");
        }
    }
    for link in &planned.links {
        let _ = write!(line, " via {}", link.path);
    }
    line
}

fn listing(steps: &[Step]) -> String {
    let plan = planned(steps).expect("a plan");
    plan.entries
        .iter()
        .map(|entry| line(entry) + "\n")
        .collect()
}

#[test]
fn plans() {
    let mut actual = String::new();
    for (name, steps) in CASES {
        let _ = writeln!(actual, "# {name}");
        actual.push_str(&listing(steps));
    }
    assert_eq!(actual, EXPECTED, "\n{actual}");
}

const CASES: &[(&str, &[Step])] = &[
    ("nothing", &[]),
    ("a file, its parents kept", &[File("/usr/bin/new")]),
    (
        "a directory with other bits is kept",
        &[File("/tmp/a"), File("/var/www/a")],
    ),
    ("new parents", &[Program("/opt/a/b")]),
    ("a trailing slash", &[File("/opt/")]),
    (
        "a trailing slash on a directory that is there",
        &[File("/etc/")],
    ),
    (
        "a trailing slash on a link to a directory",
        &[File("/bin/")],
    ),
    ("a file is replaced", &[FileMode("/etc/app.conf", "0600")]),
    ("one name of two is replaced", &[File("/usr/bin/same")]),
    ("a pipe is replaced", &[File("/usr/fifo")]),
    ("through three links", &[File("/bin/tool")]),
    ("through a dangling link", &[File("/dangling")]),
    ("a link out of the root stays in it", &[File("/escape")]),
    ("a link to the root", &[File("/etc/root/f")]),
    (
        "a directory into one that is there",
        &[Dir("/var/www", &["index.html", "sub/", "sub/x", "l>x"])],
    ),
    (
        "a directory into a new one",
        &[ModeDir("/srv/www", "0640", &["x", "sub/"])],
    ),
    (
        "a directory through links",
        &[Dir("/var/run/", &["app/", "app/pid"])],
    ),
    (
        "a directory through a link that asks for one",
        &[Dir("/etc/into-dir", &["x"])],
    ),
    (
        "a directory into the root",
        &[Dir("/", &["etc/", "etc/app.conf", "new/"])],
    ),
    (
        "a match of a glob goes by its name",
        &[GlobDir("/srv/", &["x"])],
    ),
    ("an empty directory that is there", &[Dir("/tmp", &[])]),
    (
        "a link over a file, and over a link",
        &[Dir("/etc", &["app.conf>other", "tofile>other"])],
    ),
    (
        "a file through a planned link",
        &[Dir("/srv", &["data/", "now>data"]), File("/srv/now/x")],
    ),
    (
        "a link that was followed, with the same target",
        &[File("/bin/x"), Dir("/", &["bin>usr/bin"])],
    ),
    (
        "a link that is replaced, then followed",
        &[Dir("/", &["dangling>run"]), File("/dangling/x")],
    ),
    ("an edit through a link", &[Edit("/etc/passwd")]),
    ("an edit of what is not there", &[Edit("/etc/group")]),
    (
        "a working directory",
        &[Workdir("/srv/app"), Workdir("/var/run")],
    ),
    (
        "a parent becomes an entry of its own",
        &[File("/srv/a/f"), Dir("/srv/a", &[])],
    ),
];

const EXPECTED: &str = include_str!("plans.txt");

#[test]
fn refusals() {
    let mut actual = String::new();
    for steps in REFUSALS {
        let error = planned(steps).expect_err("a refusal");
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        let _ = writeln!(actual, "{error}");
        let _ = writeln!(actual, "  {}", error.advice().unwrap_or("-"));
    }
    assert_eq!(actual, REFUSED, "\n{actual}");
}

/// A message, and its hint in the line after it.
const REFUSED: &str = include_str!("refusals.txt");

const REFUSALS: &[&[Step]] = &[
    &[File("/tmp")],
    &[File("/bin")],
    &[File("/etc/root")],
    &[Dir("/etc/app.conf", &[])],
    &[Dir("/etc", &["app.conf/", "app.conf/x"])],
    &[Dir("/", &["bin/", "tmp>x"])],
    &[File("/etc/app.conf/x")],
    &[File("/etc/tofile/x")],
    &[File("/etc/app.conf/")],
    &[File("/c1")],
    &[File("/c2/x")],
    &[File("/etc/through")],
    &[File("/etc/into-dir")],
    &[File("/srv/f"), File("/srv/")],
    &[File("/bin/tool"), File("/usr/bin/tool-1")],
    &[File("/usr/bin/tool-1"), File("/bin/tool")],
    &[File("/srv/x"), File("/srv")],
    &[File("/srv"), File("/srv/x")],
    &[File("/srv"), Dir("/srv", &[])],
    &[Dir("/srv", &["l>x"]), Dir("/srv", &["l>x"])],
    &[Edit("/etc/passwd"), File("/var/passwd")],
    &[Edit("/tmp")],
    &[Dir("/srv", &["ok", ".wh.x"])],
    &[Dir("/srv", &[".wh..wh..opq/"])],
    &[File("/etc/hidden")],
    &[Dir("/etc/hidden", &[])],
    &[Workdir("/srv/.wh.app")],
    &[Workdir("/etc/app.conf")],
    &[File("/bin/x"), Dir("/", &["bin>run"])],
    &[Dir("/", &["bin>run"])],
];

#[test]
fn a_path_that_is_too_long_is_refused() {
    let long = "d/".repeat(2041);
    let tree = base();
    let owner = Ids { uid: 0, gid: 0 };
    let mut planner = Planner::new(&tree, Defaults { owner, mtime: 0 });
    let entries = source(&["one/", "one/more/", "one/more/name"]);
    let error = planner
        .place(&Placement {
            explicit: false,
            destination: &format!("/{long}").parse().expect("a destination"),
            name: b"d",
            by_name: false,
            entries: &entries,
            owner,
            mode: None,
            key: "copy_files[0]",
            shown: Some("d"),
        })
        .expect_err("too long");
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(
        error.to_string(),
        format!(
            "copy_files[0]: /one/more/name cannot go below /{}: the path is longer than 4094 bytes",
            long.trim_end_matches('/')
        )
    );
}

#[test]
fn metadata_of_the_base_is_kept_whole() {
    let plan = planned(&[File("/var/www/x"), Edit("/etc/passwd")]).expect("a plan");
    let xattrs = vec![(b"user.keep".to_vec(), b"1".to_vec())];
    assert_eq!(
        plan.entries[&path("var/www")].metadata,
        Metadata {
            mode: 0o2750,
            uid: 10,
            gid: 20,
            mtime: 1000,
            xattrs: xattrs.clone(),
        }
    );
    assert_eq!(
        plan.entries[&path("var/passwd")].metadata,
        Metadata {
            mode: 0o600,
            uid: 10,
            gid: 20,
            mtime: 99,
            xattrs,
        }
    );
}
