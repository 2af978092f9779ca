//! Random specs with their build contexts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::layers::{directory_name, directory_path, file_path, join};

/// What is in the context: a tree of its own in each numbered directory, by relative path.
pub(crate) type Source = BTreeMap<String, SourceKind>;

/// One thing in a source directory.
#[derive(Debug, Clone)]
pub(crate) enum SourceKind {
    Dir,
    File(Vec<u8>, bool),
    Symlink(String),
}

/// One entry of `copy_files`.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) destination: String,
    pub(crate) what: CopyWhat,
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<Owner>,
}

/// Who owns what is added.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    Ids(u32, u32),
    Runtime,
}

/// What an entry of `copy_files` brings.
#[derive(Debug, Clone)]
pub(crate) enum CopyWhat {
    Content(String),
    /// The file `file` of the numbered directory.
    File(Vec<u8>, bool),
    Directory(Source),
    /// Everything in the directory, one by one.
    Glob(Source),
}

/// A spec.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) copies: Vec<Copy>,
    pub(crate) default_owner: (u32, u32),
    pub(crate) default_mode: Option<u32>,
    pub(crate) user: (u32, u32),
    pub(crate) workdir: Option<String>,
    pub(crate) account: bool,
    pub(crate) time: i64,
    pub(crate) compression: &'static str,
}

fn source() -> impl Strategy<Value = Source> {
    let file =
        || (vec(any::<u8>(), 0..30), any::<bool>()).prop_map(|(data, x)| SourceKind::File(data, x));
    let entry = prop_oneof![
        5 => (file_path(), file()),
        2 => (directory_path(), directory_name(), Just(SourceKind::Dir))
            .prop_map(|(parent, name, kind)| (join(&parent, &name), kind)),
        2 => (file_path(), select(vec!["f", "g", "./h", "a/f", "none"]))
            .prop_map(|(path, to)| (path, SourceKind::Symlink(to.to_owned()))),
        1 => (directory_name(), select(vec!["a", "b", "c"]))
            .prop_map(|(path, to)| (path, SourceKind::Symlink(to.to_owned()))),
    ];
    vec(entry, 0..5).prop_map(|entries| {
        let mut source = Source::new();
        for (path, kind) in entries {
            let parents: Vec<String> = path
                .match_indices('/')
                .map(|(at, _)| path[..at].to_owned())
                .collect();
            let blocked = parents
                .iter()
                .any(|parent| !matches!(source.get(parent), None | Some(SourceKind::Dir)));
            if blocked || source.contains_key(&path) {
                continue;
            }
            for parent in parents {
                source.insert(parent, SourceKind::Dir);
            }
            source.insert(path, kind);
        }
        without_loops(source)
    })
}

/// Without the links that lead to links, or to themselves: loops are refused where they are read.
fn without_loops(mut source: Source) -> Source {
    let all = source.clone();
    source.retain(|path, kind| {
        let SourceKind::Symlink(to) = kind else {
            return true;
        };
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let target = join(parent, to.trim_start_matches("./"));
        let prefixes = target.match_indices('/').map(|(at, _)| &target[..at]);
        prefixes
            .chain([target.as_str()])
            .all(|prefix| !matches!(all.get(prefix), Some(SourceKind::Symlink(_))))
    });
    source
}

fn copy() -> impl Strategy<Value = Copy> {
    let destination_file = prop_oneof![8 => file_path(), 1 => directory_path()];
    let slash = |path: String, slash: bool| {
        format!(
            "/{path}{}",
            if slash && !path.is_empty() { "/" } else { "" }
        )
    };
    let what = prop_oneof![
        4 => (destination_file, "[ -~]{0,20}").prop_map(|(to, text)| (
            if to.is_empty() { "/f".to_owned() } else { format!("/{to}") },
            CopyWhat::Content(text),
        )),
        3 => (file_path(), any::<bool>(), vec(any::<u8>(), 0..30), any::<bool>())
            .prop_map(move |(to, dir, data, x)| (slash(to, dir), CopyWhat::File(data, x))),
        4 => (directory_path(), any::<bool>(), source())
            .prop_map(move |(to, dir, source)| (slash(to, dir), CopyWhat::Directory(source))),
        2 => (directory_path(), source())
            .prop_map(move |(to, mut source)| {
                // a match that is a link is followed, which is not what is told here
                source.retain(|path, kind| path.contains('/') || !matches!(kind, SourceKind::Symlink(_)));
                (slash(to, true), CopyWhat::Glob(source))
            }),
    ];
    let owner = prop_oneof![
        (0..100_000_u32, 0..100_000_u32).prop_map(|(uid, gid)| Owner::Ids(uid, gid)),
        Just(Owner::Runtime),
    ];
    (
        what,
        weighted(0.4, select(vec![0o600, 0o755, 0o444, 0o640, 0o711])),
        weighted(0.4, owner),
    )
        .prop_map(|((destination, what), mode, owner)| Copy {
            destination,
            what,
            mode,
            owner,
        })
}

/// A random spec.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let ids = || (0..70_000_u32, 0..70_000_u32);
    (
        vec(copy(), 1..6),
        prop_oneof![Just((0, 0)), ids()],
        weighted(0.2, select(vec![0o640, 0o755])),
        ids(),
        weighted(0.3, directory_path()),
        proptest::bool::weighted(0.2),
        0..2_000_000_000_i64,
        select(vec!["gzip", "zstd", "none"]),
    )
        .prop_map(
            |(copies, default_owner, default_mode, user, workdir, account, time, compression)| {
                Spec {
                    copies,
                    default_owner,
                    default_mode,
                    user,
                    workdir: workdir
                        .filter(|path| !path.is_empty() && !path.contains('\n'))
                        .map(|path| format!("/{path}")),
                    account,
                    time,
                    compression,
                }
            },
        )
}

impl Spec {
    /// The spec's text, JSON being YAML, for a base of this digest in the layout `base`.
    pub(crate) fn text(&self, digest: &str) -> String {
        let copies: Vec<_> = self
            .copies
            .iter()
            .enumerate()
            .map(|(n, copy)| copy.json(n))
            .collect();
        let (uid, gid) = self.default_owner;
        let mut defaults = serde_json::json!({"owner": format!("{uid}:{gid}")});
        if let Some(mode) = self.default_mode {
            defaults["mode"] = format!("{mode:04o}").into();
        }
        let mut config = serde_json::json!({"user": format!("{}:{}", self.user.0, self.user.1)});
        if let Some(workdir) = &self.workdir {
            config["workdir"] = workdir.as_str().into();
        }
        let mut spec = serde_json::json!({
            "base_image": format!("registry.example.com/base@{digest}"),
            "copy_files": copies,
            "defaults": defaults,
            "config": config,
            "timestamp": self.time,
            "compression": self.compression,
        });
        if self.account {
            spec["accounts"] = serde_json::json!({"users": [{"name": "agent", "uid": 4242}]});
        }
        spec.to_string()
    }

    /// Makes the context: each entry's source in a directory of its number.
    pub(crate) fn write_context(&self, dir: &Path) {
        for (number, copy) in self.copies.iter().enumerate() {
            let dir = dir.join(number.to_string());
            fs::create_dir(&dir).expect("a directory");
            match &copy.what {
                CopyWhat::Content(_) => {}
                CopyWhat::File(data, executable) => write(&dir.join("f"), data, *executable),
                CopyWhat::Directory(source) | CopyWhat::Glob(source) => {
                    for (path, kind) in source {
                        let path = dir.join(path);
                        match kind {
                            SourceKind::Dir => fs::create_dir(path).expect("a directory"),
                            SourceKind::File(data, executable) => write(&path, data, *executable),
                            SourceKind::Symlink(to) => symlink(to, path).expect("a link"),
                        }
                    }
                }
            }
        }
    }
}

fn write(path: &Path, data: &[u8], executable: bool) {
    fs::write(path, data).expect("a file");
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

impl Copy {
    fn json(&self, number: usize) -> serde_json::Value {
        let mut entry = serde_json::json!({"destination": self.destination});
        match &self.what {
            CopyWhat::Content(text) => entry["content"] = text.as_str().into(),
            CopyWhat::File(..) => entry["source"] = format!("{number}/f").into(),
            CopyWhat::Directory(_) => entry["source"] = format!("{number}/").into(),
            CopyWhat::Glob(_) => entry["source"] = format!("{number}/*").into(),
        }
        if let Some(mode) = self.mode {
            entry["mode"] = format!("{mode:04o}").into();
        }
        match self.owner {
            None => {}
            Some(Owner::Ids(uid, gid)) => entry["owner"] = format!("{uid}:{gid}").into(),
            Some(Owner::Runtime) => entry["owner"] = "runtime".into(),
        }
        entry
    }
}
