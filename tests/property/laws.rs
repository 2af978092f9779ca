//! Laws of paths, of resolution and of the layer writer.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use customize::core::digest::Digest;
use customize::core::entry::{Content, LayerEntry, LayerEntryKind, Metadata};
use customize::core::layer::{LayerOptions, LayerSummary, write_layer};
use customize::core::media::Compression;
use customize::core::path::LayerPath;
use customize::core::tar_reader::{TarKind, TarReader};
use customize::core::tree::{Lookup, Seen, resolve};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::extract::decompress;
use super::layers::{directory_name, directory_path, file_path, target};

/// Names with everything in them that a path may hold.
fn raw_path() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => directory_name().prop_map(String::into_bytes),
        2 => select(vec!["", ".", "..", "...", ".wh.a", "\0"]).prop_map(|part| part.as_bytes().to_vec()),
        2 => vec(any::<u8>(), 0..6),
        1 => (250..260_usize).prop_map(|length| vec![b'n'; length]),
    ];
    vec(part, 0..6).prop_map(|parts| parts.join(&b'/'))
}

/// A file system of directories, files and links by path.
#[derive(Debug)]
struct FileSystem(BTreeMap<LayerPath, Thing>);

#[derive(Debug, Clone)]
enum Thing {
    Directory,
    File,
    Link(String),
}

impl Lookup for FileSystem {
    type At = LayerPath;

    fn root(&self) -> LayerPath {
        LayerPath::ROOT
    }

    fn child(&self, at: &LayerPath, name: &[u8]) -> Option<(LayerPath, Seen<'_>)> {
        let path = at.join(name).ok()?;
        let seen = match self.0.get(&path)? {
            Thing::Directory => Seen::Directory,
            Thing::File => Seen::Other,
            Thing::Link(target) => Seen::Symlink(target.as_bytes()),
        };
        Some((path, seen))
    }
}

fn file_system() -> impl Strategy<Value = FileSystem> {
    let thing = prop_oneof![
        3 => Just(Thing::Directory),
        1 => Just(Thing::File),
        3 => target().prop_map(Thing::Link),
    ];
    btree_map(directory_path(), thing, 0..12).prop_map(|things| {
        let mut all = BTreeMap::new();
        for (path, thing) in things {
            let path = LayerPath::parse(path).expect("a path");
            if path.is_root() {
                continue;
            }
            for parent in path.ancestors() {
                all.insert(parent, Thing::Directory);
            }
            all.entry(path).or_insert(thing);
        }
        FileSystem(all)
    })
}

fn entries() -> impl Strategy<Value = Vec<LayerEntry>> {
    let kind = prop_oneof![
        3 => vec(any::<u8>(), 0..2000).prop_map(|data| LayerEntryKind::File(Content::bytes(data))),
        1 => (0..300_000_usize, any::<u8>())
            .prop_map(|(size, byte)| LayerEntryKind::File(Content::bytes(vec![byte; size]))),
        1 => target().prop_map(|to| LayerEntryKind::Symlink(to.into_bytes())),
        1 => "[a-z/]{101,300}".prop_map(|to| LayerEntryKind::Symlink(to.into_bytes())),
        1 => Just(LayerEntryKind::Directory),
    ];
    let xattrs = btree_map("[a-z]{1,5}\\.[a-z.]{1,9}", vec(any::<u8>(), 0..20), 0..3);
    let number = || prop_oneof![0..5_u32, any::<u32>()];
    let mtime = prop_oneof![0..2_000_000_000_i64, -100..0_i64, Just(1_i64 << 40)];
    let metadata = (0..0o10000_u32, number(), number(), mtime, xattrs).prop_map(
        |(mode, uid, gid, mtime, xattrs)| Metadata {
            mode,
            uid,
            gid,
            mtime,
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| (name.into_bytes(), value))
                .collect(),
        },
    );
    let path = prop_oneof![4 => file_path(), 1 => "[a-z]{90,110}/[a-z]{90,160}/[a-z]{1,110}"];
    btree_map(path, (kind, metadata), 0..10).prop_map(with_parents)
}

fn with_parents(wanted: BTreeMap<String, (LayerEntryKind, Metadata)>) -> Vec<LayerEntry> {
    let mut entries: BTreeMap<LayerPath, (LayerEntryKind, Metadata)> = BTreeMap::new();
    for (path, entry) in wanted {
        let path = LayerPath::parse(path).expect("a path");
        for parent in path.ancestors() {
            let of_child = entry.1.clone();
            let parent = entries
                .entry(parent)
                .or_insert((LayerEntryKind::Directory, of_child));
            parent.0 = LayerEntryKind::Directory;
        }
        entries.entry(path).or_insert(entry);
    }
    entries
        .into_iter()
        .map(|(path, (kind, metadata))| LayerEntry {
            path,
            metadata,
            kind,
        })
        .collect()
}

fn write(
    entries: &[LayerEntry],
    compression: Compression,
    threads: usize,
) -> (Vec<u8>, LayerSummary) {
    let options = LayerOptions {
        compression,
        level: None,
        threads: NonZeroUsize::new(threads).expect("a number"),
    };
    let mut bytes = Vec::new();
    let summary = write_layer(entries, &options, &mut bytes).expect("a layer");
    (bytes, summary)
}

/// What the reader makes of a plain tar, contents in memory.
fn read(tar: &[u8]) -> Vec<LayerEntry> {
    let mut reader = TarReader::new(tar);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("an entry") {
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut data).expect("data");
        let kind = match entry.kind {
            TarKind::Directory => LayerEntryKind::Directory,
            TarKind::Symlink { target } => LayerEntryKind::Symlink(target),
            TarKind::File => LayerEntryKind::File(Content::bytes(data)),
            other => panic!("{other:?} was not written"),
        };
        found.push(LayerEntry {
            path: LayerPath::parse(&entry.path).expect("a path"),
            metadata: entry.metadata,
            kind,
        });
    }
    assert!(reader.finish().expect("an end").is_empty());
    found
}

proptest! {
    #![proptest_config(super::config(2000, "tests/property/regressions/laws.txt"))]

    #[test]
    fn parsing_a_path_is_idempotent_and_never_leaves_the_root(raw in raw_path()) {
        if let Ok(path) = LayerPath::parse(&raw) {
            prop_assert_eq!(LayerPath::parse(path.as_bytes()), Ok(path.clone()));
            for name in path.components() {
                prop_assert!(!matches!(name, b"" | b"." | b".."));
                prop_assert!(!name.contains(&b'/') && !name.contains(&0) && name.len() <= 255);
            }
            let joined: Vec<&[u8]> = path.components().collect();
            prop_assert_eq!(joined.join(&b'/'), path.as_bytes());
        } else {
            let bad = |part: &[u8]| part == b".." || part.contains(&0) || part.len() > 255;
            prop_assert!(raw.split(|&byte| byte == b'/').any(bad));
        }
    }

    #[test]
    fn resolving_ends_at_a_path_without_links(
        fs in file_system(),
        path in file_path(),
        follow in any::<bool>(),
    ) {
        let path = LayerPath::parse(path).expect("a path");
        if let Ok(resolved) = resolve(&fs, &path, follow) {
            prop_assert!(resolved.path.components().all(|name| name != b".."));
            let again = resolve(&fs, &resolved.path, follow).expect("resolves");
            prop_assert_eq!(&again.path, &resolved.path);
            prop_assert_eq!(again.links, Vec::new());
            for parent in resolved.path.ancestors() {
                prop_assert!(matches!(fs.0.get(&parent), None | Some(Thing::Directory)));
            }
            if follow {
                prop_assert!(!matches!(fs.0.get(&resolved.path), Some(Thing::Link(_))));
            }
        }
    }
}

proptest! {
    #![proptest_config(super::config(150, "tests/property/regressions/writer.txt"))]

    #[test]
    fn what_is_written_is_read_back(
        entries in entries(),
        compression in select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
        threads in 1..9_usize,
    ) {
        let (bytes, summary) = write(&entries, compression, threads);
        let tar = decompress(&bytes);
        prop_assert_eq!(summary, LayerSummary {
            diff_id: Digest::of(&tar),
            uncompressed_size: tar.len() as u64,
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
        });
        prop_assert_eq!(read(&tar), entries.clone());
        prop_assert!(write(&entries, compression, 1).0 == bytes, "other bytes by {} threads", threads);
    }
}
