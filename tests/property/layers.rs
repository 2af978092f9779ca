//! Random layers. Names come from a small alphabet, so that entries meet: links through links,
//! whiteouts of what is there, repeated entries, hard links to files of this and of lower layers.

use std::fmt;
use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// How the blob of a layer is compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    /// Two members.
    GzipTwice,
    Zstd,
}

/// One layer: its entries, and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) entries: Vec<TarEntry>,
    pub(crate) packing: Packing,
}

/// One entry of a tar that is to be written.
#[derive(Clone)]
pub(crate) struct TarEntry {
    /// As it is to stand in the tar.
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Long names as PAX records instead of GNU's.
    pub(crate) pax: bool,
}

impl fmt::Debug for TarEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} `{}` -> `{}` {:o} {}:{} {}",
            char::from(self.flag),
            self.name.escape_ascii(),
            self.link.escape_ascii(),
            self.mode,
            self.uid,
            self.gid,
            self.mtime
        )
    }
}

/// Names of directories and of links to them; a few that are hard to write.
pub(crate) fn directory_name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => select(vec!["a", "b", "c"]).prop_map(str::to_owned),
        1 => select(vec!["é", "sp ace", "new\nline", "f", "-", "a."]).prop_map(str::to_owned),
        1 => Just("long".repeat(30)),
    ]
}

/// Names of files; rarely one that is a directory elsewhere.
pub(crate) fn file_name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => select(vec!["f", "g", "h", "k"]).prop_map(str::to_owned),
        2 => select(vec!["a", "b", "文", "o dd", "tab\t", "\"q\""]).prop_map(str::to_owned),
        1 => Just("name".repeat(30)),
    ]
}

/// A path of some directories, with `/` at neither end.
pub(crate) fn directory_path() -> impl Strategy<Value = String> {
    vec(directory_name(), 0..3).prop_map(|names| names.join("/"))
}

pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

pub(crate) fn file_path() -> impl Strategy<Value = String> {
    (directory_path(), file_name()).prop_map(|(parent, name)| join(&parent, &name))
}

/// The target of a symbolic link.
pub(crate) fn target() -> impl Strategy<Value = String> {
    let start = select(vec!["", "/", "../", "./", "../../", "/../"]);
    let end = select(vec!["", "", "", "", "/", "/."]);
    let path = prop_oneof![6 => directory_path(), 2 => file_path()];
    (start, path, end).prop_map(|(start, path, end)| {
        let text = format!("{start}{path}{end}");
        if text.is_empty() {
            ".".to_owned()
        } else {
            text
        }
    })
}

/// What an entry is, before it is known what was there before.
#[derive(Debug, Clone)]
enum Shape {
    Directory(String),
    File(String, Vec<u8>),
    Symlink(String, String),
    /// To a file of an earlier entry or layer, or to any path.
    Hard(String, Index, Option<String>),
    Other(String, u8),
    Whiteout(String, String),
    Opaque(String),
}

fn shape() -> impl Strategy<Value = Shape> {
    let content = vec(any::<u8>(), 0..40);
    let full_directory =
        || (directory_path(), directory_name()).prop_map(|(parent, name)| join(&parent, &name));
    let hidden = prop_oneof![directory_name(), file_name()];
    prop_oneof![
        10 => full_directory().prop_map(Shape::Directory),
        1 => Just(Shape::Directory(String::new())),
        12 => (file_path(), content).prop_map(|(path, data)| Shape::File(path, data)),
        5 => (full_directory(), target()).prop_map(|(path, to)| Shape::Symlink(path, to)),
        2 => (file_path(), target()).prop_map(|(path, to)| Shape::Symlink(path, to)),
        4 => (file_path(), any::<Index>(), proptest::option::weighted(0.05, file_path()))
            .prop_map(|(path, index, any)| Shape::Hard(path, index, any)),
        1 => (file_path(), select(vec![b'3', b'4', b'6']))
            .prop_map(|(path, flag)| Shape::Other(path, flag)),
        3 => (directory_path(), hidden).prop_map(|(at, name)| Shape::Whiteout(at, name)),
        1 => directory_path().prop_map(Shape::Opaque),
    ]
}

#[derive(Debug, Clone)]
struct Dress {
    prefix: &'static str,
    mode: u32,
    ids: (u32, u32),
    mtime: i64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pax: bool,
}

fn dress() -> impl Strategy<Value = Dress> {
    let id = || prop_oneof![Just(0), Just(65_532), 0..3_000_000_u32, Just(u32::MAX - 1)];
    let mtime = prop_oneof![
        4 => 0..2_000_000_000_i64,
        1 => -5_000_i64..0,
        1 => Just(9_000_000_000),
    ];
    let xattr = (
        select(vec!["user.a", "user.b", "security.capability"]),
        vec(any::<u8>(), 0..12),
    )
        .prop_map(|(name, value)| (name.as_bytes().to_vec(), value));
    (
        select(vec!["", "", "./", "/"]),
        select(vec![0o644, 0o755, 0o700, 0o1777, 0o4755, 0o2750, 0]),
        (id(), id()),
        mtime,
        prop_oneof![3 => Just(Vec::new()), 1 => vec(xattr, 1..3)],
        any::<bool>(),
    )
        .prop_map(|(prefix, mode, ids, mtime, xattrs, pax)| Dress {
            prefix,
            mode,
            ids,
            mtime,
            xattrs,
            pax,
        })
}

/// The layers of an image, lowest first.
pub(crate) fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let packing = select(vec![
        Packing::Plain,
        Packing::Gzip,
        Packing::GzipTwice,
        Packing::Zstd,
    ]);
    vec((vec((shape(), dress()), 0..14), packing), 1..4).prop_map(|layers| {
        let mut files = Vec::new();
        layers
            .into_iter()
            .map(|(shapes, packing)| Layer {
                entries: shapes
                    .into_iter()
                    .map(|(shape, dress)| entry(shape, dress, &mut files))
                    .collect(),
                packing,
            })
            .collect()
    })
}

fn entry(shape: Shape, dress: Dress, files: &mut Vec<String>) -> TarEntry {
    let mut link = String::new();
    let mut data = Vec::new();
    let (path, flag) = match shape {
        Shape::Directory(path) => (format!("{path}/"), b'5'),
        Shape::File(path, content) => {
            files.push(path.clone());
            data = content;
            (path, b'0')
        }
        Shape::Symlink(path, to) => {
            link = to;
            (path, b'2')
        }
        Shape::Hard(path, index, any) => {
            link = match any {
                None if !files.is_empty() => index.get(files).clone(),
                other => other.unwrap_or_else(|| "f".to_owned()),
            };
            files.push(path.clone());
            (path, b'1')
        }
        Shape::Other(path, flag) => (path, flag),
        Shape::Whiteout(at, name) => (join(&at, &format!(".wh.{name}")), b'0'),
        Shape::Opaque(at) => (join(&at, ".wh..wh..opq"), b'0'),
    };
    TarEntry {
        // the root has no other name
        name: if path == "/" {
            "./".to_owned()
        } else {
            format!("{}{path}", dress.prefix)
        }
        .into_bytes(),
        flag,
        link: link.into_bytes(),
        data,
        mode: dress.mode,
        uid: dress.ids.0,
        gid: dress.ids.1,
        mtime: dress.mtime,
        xattrs: dress.xattrs,
        pax: dress.pax,
    }
}

impl Layer {
    /// The plain tar.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        for entry in &self.entries {
            entry.write(&mut tar);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    /// The blob.
    pub(crate) fn blob(&self) -> Vec<u8> {
        let tar = self.tar();
        let gzip = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).expect("gzip");
            out.finish().expect("gzip")
        };
        match self.packing {
            Packing::Plain => tar,
            Packing::Gzip => gzip(&tar),
            Packing::GzipTwice => [gzip(&tar[..700]), gzip(&tar[700..])].concat(),
            Packing::Zstd => zstd::encode_all(&tar[..], 1).expect("zstd"),
        }
    }

    /// The media type that says how the blob is compressed.
    pub(crate) fn media_type(&self) -> String {
        let suffix = match self.packing {
            Packing::Plain => "",
            Packing::Gzip | Packing::GzipTwice => "+gzip",
            Packing::Zstd => "+zstd",
        };
        format!("application/vnd.oci.image.layer.v1.tar{suffix}")
    }
}

impl TarEntry {
    fn write(&self, tar: &mut Vec<u8>) {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in [(&b"path"[..], &self.name), (b"linkpath", &self.link)] {
            if value.len() > 100 && self.pax {
                records.push((key.to_vec(), value.clone()));
            } else if value.len() > 100 {
                let flag = if key == b"path" { b'L' } else { b'K' };
                extension(tar, flag, &[value.as_slice(), b"\0"].concat());
            }
        }
        if self.mtime < 0 {
            // a fraction is rounded down
            let text = format!("{}.75", self.mtime + 1);
            let text = if self.mtime == -1 {
                "-0.25".to_owned()
            } else {
                text
            };
            records.push((b"mtime".to_vec(), text.into_bytes()));
        }
        for (name, value) in &self.xattrs {
            records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
        }
        if !records.is_empty() {
            let records: Vec<u8> = records.iter().flat_map(|(k, v)| record(k, v)).collect();
            extension(tar, b'x', &records);
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(self.flag));
        let short = |text: &[u8]| text[..text.len().min(100)].to_vec();
        let gnu = header.as_gnu_mut().expect("gnu");
        gnu.name[..short(&self.name).len()].copy_from_slice(&short(&self.name));
        gnu.linkname[..short(&self.link).len()].copy_from_slice(&short(&self.link));
        header.set_mode(self.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_mtime(u64::try_from(self.mtime).unwrap_or(0));
        header.set_size(self.data.len() as u64);
        if matches!(self.flag, b'3' | b'4') {
            header.set_device_major(7).expect("gnu");
            header.set_device_minor(300).expect("gnu");
        }
        append(tar, header, &self.data);
    }
}

fn extension(tar: &mut Vec<u8>, flag: u8, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(flag));
    header.as_gnu_mut().expect("gnu").name[..9].copy_from_slice(b"extension");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    append(tar, header, data);
}

fn append(tar: &mut Vec<u8>, mut header: tar::Header, data: &[u8]) {
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [b" ", key, b"=", value, b"\n"].concat();
    let mut length = body.len();
    while length != body.len() + length.to_string().len() {
        length = body.len() + length.to_string().len();
    }
    [length.to_string().into_bytes(), body].concat()
}
