//! Extracts layers onto the reference disk: each into a directory of its own, which is then laid over
//! what is below, as overlayfs does.
//! The tar crate splits the blocks; extension headers are taken apart here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use super::disk::{Disk, Errno, Meta, What};

type Result<T> = std::result::Result<T, Errno>;

/// One entry of a tar, extension headers applied.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// As it stands in the tar.
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) meta: Meta,
    pub(crate) data: Vec<u8>,
    device: (u32, u32),
}

/// The bytes of a layer's tar, however it is compressed.
pub(crate) fn decompress(blob: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    if blob.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(blob)
            .read_to_end(&mut tar)
            .expect("gzip");
    } else if blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        tar = zstd::decode_all(Cursor::new(blob)).expect("zstd");
    } else {
        tar.extend_from_slice(blob);
    }
    tar
}

/// The entries of a plain tar.
pub(crate) fn entries(tar: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(tar);
    let mut found = Vec::new();
    let mut long: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for raw in archive.entries().expect("a tar").raw(true) {
        let mut raw = raw.expect("an entry");
        let mut data = Vec::new();
        raw.read_to_end(&mut data).expect("data");
        let header = raw.header();
        match header.entry_type().as_byte() {
            b'L' => drop(long.insert(b"path".to_vec(), until_nul(data))),
            b'K' => drop(long.insert(b"linkpath".to_vec(), until_nul(data))),
            b'x' => long.extend(records(&data)),
            flag => {
                let said = std::mem::take(&mut long);
                found.push(entry(header, flag, &said, data));
            }
        }
    }
    found
}

fn until_nul(mut data: Vec<u8>) -> Vec<u8> {
    data.truncate(
        data.iter()
            .position(|&byte| byte == 0)
            .unwrap_or(data.len()),
    );
    data
}

fn records(mut data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let space = data
            .iter()
            .position(|&byte| byte == b' ')
            .expect("a length");
        let length: usize = std::str::from_utf8(&data[..space])
            .expect("digits")
            .parse()
            .expect("a length");
        let record = &data[space + 1..length - 1];
        let equals = record.iter().position(|&byte| byte == b'=').expect("a key");
        found.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        data = &data[length..];
    }
    found
}

fn entry(
    header: &tar::Header,
    flag: u8,
    said: &BTreeMap<Vec<u8>, Vec<u8>>,
    data: Vec<u8>,
) -> Entry {
    let number = |key: &str| {
        said.get(key.as_bytes()).map(|value| {
            let text = std::str::from_utf8(value).expect("a number");
            text.parse::<f64>().expect("a number").floor()
        })
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the generator writes numbers that fit"
    )]
    let id = |key: &str, plain: u64| number(key).map_or(plain as u32, |value| value as u32);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the generator writes numbers that fit"
    )]
    let mtime = number("mtime").map_or_else(
        || header.mtime().expect("a time").cast_signed(),
        |value| value as i64,
    );
    let xattrs = said.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(b"SCHILY.xattr.")?;
        Some((name.to_vec(), value.clone()))
    });
    let text = |key: &str, plain: Vec<u8>| said.get(key.as_bytes()).cloned().unwrap_or(plain);
    Entry {
        name: text("path", header.path_bytes().into_owned()),
        flag,
        link: text(
            "linkpath",
            header.link_name_bytes().unwrap_or_default().into_owned(),
        ),
        meta: Meta {
            mode: header.mode().expect("a mode") & 0o7777,
            uid: id("uid", header.uid().expect("a uid")),
            gid: id("gid", header.gid().expect("a gid")),
            mtime,
            xattrs: xattrs.collect(),
        },
        data,
        device: (
            header.device_major().ok().flatten().unwrap_or(0),
            header.device_minor().ok().flatten().unwrap_or(0),
        ),
    }
}

/// A name of a tar without slashes at its ends, doubled ones and dots.
fn clean(name: &[u8]) -> Result<Vec<u8>> {
    let parts: Vec<&[u8]> = name
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.iter().any(|part| *part == b".." || part.len() > 255) {
        return Err(Errno::Inval);
    }
    Ok(parts.join(&b'/'))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

impl Disk {
    /// Extracts one layer into a directory of its own and lays that over what is there, as
    /// overlayfs does.
    pub(crate) fn extract(&mut self, tar: &[u8]) -> Result<()> {
        let upper = Upper::unpack(tar, self)?;
        self.lay(&upper, (0, 0), &mut BTreeMap::new());
        Ok(())
    }

    /// Lays one directory of the upper over one of this disk, and all below.
    fn lay(&mut self, upper: &Upper, dirs: (usize, usize), taken: &mut BTreeMap<usize, usize>) {
        let (from, onto) = dirs;
        if upper.described.contains(&from) {
            *self.meta_mut(onto) = upper.disk.meta(from).clone();
        }
        if upper.opaque.contains(&from) {
            self.empty(onto);
        }
        for name in upper.hidden.get(&from).into_iter().flatten() {
            self.unlink(onto, name);
        }
        for (name, child) in upper.disk.names(from) {
            let there = self.walk_name(onto, &name);
            if *upper.disk.what(child) == What::Dir {
                let to = match there {
                    Some(there) if *self.what(there) == What::Dir => there,
                    None if !upper.needed(child) => continue,
                    _ => {
                        let plain = Meta::new(0o755, (0, 0), 0);
                        self.create(onto, &name, What::Dir, plain)
                    }
                };
                self.lay(upper, (child, to), taken);
                continue;
            }
            let known = upper.below.get(&child).or(taken.get(&child)).copied();
            let inode = known.unwrap_or_else(|| {
                let what = upper.disk.what(child).clone();
                self.create(onto, &name, what, upper.disk.meta(child).clone())
            });
            taken.insert(child, inode);
            self.link(onto, &name, inode);
        }
    }
}

/// A layer in a directory of its own.
struct Upper {
    disk: Disk,
    /// Directories with an entry that describes them.
    described: BTreeSet<usize>,
    opaque: BTreeSet<usize>,
    hidden: BTreeMap<usize, BTreeSet<Vec<u8>>>,
    /// Hard links to what the layers below have, by their inode here: the inode there.
    below: BTreeMap<usize, usize>,
}

impl Upper {
    fn unpack(tar: &[u8], below: &mut Disk) -> Result<Self> {
        let mut upper = Self {
            disk: Disk::new(),
            described: BTreeSet::new(),
            opaque: BTreeSet::new(),
            hidden: BTreeMap::new(),
            below: BTreeMap::new(),
        };
        for entry in entries(tar) {
            let path = clean(&entry.name)?;
            let (parent, name) = split(&path);
            match name.strip_prefix(b".wh.") {
                None => upper.entry(&path, entry, below)?,
                Some(b"" | b"." | b"..") => return Err(Errno::Inval),
                // runtimes hide nothing for it
                Some(b".wh..opq") if parent.is_empty() => return Err(Errno::Inval),
                Some(b".wh..opq") => {
                    let at = upper.make_parents(parent)?;
                    upper.opaque.insert(at);
                }
                Some(hidden) => {
                    let at = upper.make_parents(parent)?;
                    if !hidden.starts_with(b".wh.") {
                        upper.hidden.entry(at).or_default().insert(hidden.to_vec());
                    }
                }
            }
        }
        Ok(upper)
    }

    /// Whether there is more to a directory than whiteouts.
    fn needed(&self, at: usize) -> bool {
        let has = |child| *self.disk.what(child) != What::Dir || self.needed(child);
        self.described.contains(&at) || self.disk.names(at).values().any(|&child| has(child))
    }

    /// The directory `path`, made where it is missing.
    fn make_parents(&mut self, path: &[u8]) -> Result<usize> {
        let plain = Meta::new(0o755, (0, 0), 0);
        let place = self.disk.walk(path, true, Some(&plain))?;
        match (place.inode, place.name) {
            (Some(at), _) if *self.disk.what(at) == What::Dir => Ok(at),
            (None, Some(name)) => Ok(self.disk.create(place.directory, &name, What::Dir, plain)),
            _ => Err(Errno::NotDir),
        }
    }

    fn entry(&mut self, path: &[u8], entry: Entry, below: &mut Disk) -> Result<()> {
        if path.is_empty() {
            if entry.flag != b'5' {
                return Err(Errno::IsDir);
            }
            *self.disk.meta_mut(0) = entry.meta;
            self.described.insert(0);
            return Ok(());
        }
        let (parent, name) = split(path);
        let at = self.make_parents(parent)?;
        let there = self.disk.walk_name(at, name);
        if let (b'5', Some(inode)) = (entry.flag, there)
            && *self.disk.what(inode) == What::Dir
        {
            *self.disk.meta_mut(inode) = entry.meta;
            self.described.insert(inode);
            return Ok(());
        }
        self.disk.unlink(at, name);
        let what = match entry.flag {
            b'1' => {
                let target = clean(&entry.link)?;
                return self.hard_link((at, name), path, &target, below);
            }
            b'2' if entry.link.is_empty() => return Err(Errno::NoEnt),
            b'2' => What::Symlink(entry.link),
            b'3' => What::Char(entry.device.0, entry.device.1),
            b'4' => What::Block(entry.device.0, entry.device.1),
            b'5' => What::Dir,
            b'6' => What::Fifo,
            _ => What::File(entry.data),
        };
        let inode = self.disk.create(at, name, what, entry.meta);
        if entry.flag == b'5' {
            self.described.insert(inode);
        }
        Ok(())
    }

    fn hard_link(
        &mut self,
        (at, name): (usize, &[u8]),
        path: &[u8],
        target: &[u8],
        below: &mut Disk,
    ) -> Result<()> {
        if path == target {
            return Err(Errno::NoEnt);
        }
        let here = self.disk.walk(target, false, None).ok();
        if let Some(inode) = here.and_then(|place| place.inode) {
            if *self.disk.what(inode) == What::Dir {
                return Err(Errno::IsDir);
            }
            self.disk.link(at, name, inode);
            return Ok(());
        }
        let inode = below.walk(target, false, None)?.inode.ok_or(Errno::NoEnt)?;
        if *below.what(inode) == What::Dir {
            return Err(Errno::IsDir);
        }
        let plain = Meta::new(0, (0, 0), 0);
        let marker = self.disk.create(at, name, What::Fifo, plain);
        self.below.insert(marker, inode);
        Ok(())
    }
}
