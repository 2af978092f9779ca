//! Extracts layers onto the reference disk: whiteouts of a layer first, then its entries in order.
//! The tar crate splits the blocks; extension headers are taken apart here.

use std::collections::BTreeMap;
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
    /// Extracts one layer over what is there.
    pub(crate) fn extract(&mut self, tar: &[u8]) -> Result<()> {
        let mut rest = Vec::new();
        for entry in entries(tar) {
            let path = clean(&entry.name)?;
            let (parent, name) = split(&path);
            match name.strip_prefix(b".wh.") {
                None => rest.push((path, entry)),
                Some(b".wh..opq") => self.hide(parent, None),
                Some(b"" | b"." | b"..") => return Err(Errno::Inval),
                Some(hidden) if hidden.starts_with(b".wh.") => {}
                Some(hidden) => self.hide(parent, Some(hidden)),
            }
        }
        for (path, entry) in rest {
            self.extract_one(&path, entry)?;
        }
        Ok(())
    }

    /// Removes a name in a directory, or all in it. What is not there is hidden already.
    fn hide(&mut self, parent: &[u8], name: Option<&[u8]>) {
        let Ok(place) = self.walk(parent, true, None) else {
            return;
        };
        let Some(at) = place.inode.filter(|&at| *self.what(at) == What::Dir) else {
            return;
        };
        match name {
            Some(name) => self.unlink(at, name),
            None => self.empty(at),
        }
    }

    /// The directory `path`, made where it is missing.
    fn make_parents(&mut self, path: &[u8]) -> Result<usize> {
        let plain = Meta::new(0o755, (0, 0), 0);
        let place = self.walk(path, true, Some(&plain))?;
        match (place.inode, place.name) {
            (Some(at), _) if *self.what(at) == What::Dir => Ok(at),
            (None, Some(name)) => Ok(self.create(place.directory, &name, What::Dir, plain)),
            _ => Err(Errno::NotDir),
        }
    }

    fn extract_one(&mut self, path: &[u8], entry: Entry) -> Result<()> {
        if path.is_empty() {
            if entry.flag != b'5' {
                return Err(Errno::IsDir);
            }
            *self.meta_mut(0) = entry.meta;
            return Ok(());
        }
        let (parent, name) = split(path);
        let at = self.make_parents(parent)?;
        let there = self.walk_name(at, name);
        if let (b'5', Some(inode)) = (entry.flag, there)
            && *self.what(inode) == What::Dir
        {
            *self.meta_mut(inode) = entry.meta;
            return Ok(());
        }
        self.unlink(at, name);
        let what = match entry.flag {
            b'1' => return self.hard_link(at, name, &clean(&entry.link)?),
            b'2' if entry.link.is_empty() => return Err(Errno::NoEnt),
            b'2' => What::Symlink(entry.link),
            b'3' => What::Char(entry.device.0, entry.device.1),
            b'4' => What::Block(entry.device.0, entry.device.1),
            b'5' => What::Dir,
            b'6' => What::Fifo,
            _ => What::File(entry.data),
        };
        self.create(at, name, what, entry.meta);
        Ok(())
    }

    fn hard_link(&mut self, at: usize, name: &[u8], target: &[u8]) -> Result<()> {
        let place = self.walk(target, false, None)?;
        let inode = place.inode.ok_or(Errno::NoEnt)?;
        if *self.what(inode) == What::Dir {
            return Err(Errno::IsDir);
        }
        self.link(at, name, inode);
        Ok(())
    }
}
