//! Headers of the tar that we write: ustar (POSIX.1-1988) where it can say it, and a PAX extended
//! header (POSIX.1-2001) in front where it cannot. Nothing in them comes from the host.
//!
//! Names stand in the ustar fields as the bytes they are, ASCII or not. Every reader in use takes
//! them so, and a name that is no UTF-8 has no exact form in PAX, whose values should be UTF-8.
//! Only names too long for ustar go there, also as they are, which is how Go and GNU tar read them.

use std::collections::BTreeMap;

use tar::Header;

use crate::core::entry::{LayerEntry, LayerEntryKind};
use crate::core::tar_reader::MAX_EXTENSION;
use crate::error::{Error, Result};

/// The size of a block, of which a tar is a sequence.
pub(super) const BLOCK: usize = 512;

const MAX_NAME: usize = 100;
const MAX_PREFIX: usize = 155;
/// The largest numbers of 7 and of 11 octal digits.
const MAX_ID: u64 = 0o777_7777;
const MAX_SIZE: u64 = 0o777_7777_7777;

/// One header block. What does not fit is zero or a name of ours, and stands in the PAX header.
#[derive(Default)]
struct Block<'a> {
    flag: u8,
    prefix: &'a [u8],
    name: &'a [u8],
    link: &'a [u8],
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
}

/// The header block of `entry`, with the PAX header that it needs in front.
pub(super) fn encode(entry: &LayerEntry) -> Result<Vec<u8>> {
    check(entry).map_err(|what| Error::internal(format!("{}: {what}", entry.path)))?;
    let metadata = &entry.metadata;
    let (flag, link, size) = match &entry.kind {
        LayerEntryKind::Directory => (b'5', &[][..], 0),
        LayerEntryKind::File(content) => (b'0', &[][..], content.size()),
        LayerEntryKind::Symlink(target) => (b'2', target.as_slice(), 0),
    };
    let path = written_path(entry);
    let mut pax = Records::default();
    // for readers that do not know PAX: a name that is nobody else's
    let fallback = own_name("PaxPath/", &path);
    let (prefix, name) = split(&path).unwrap_or_else(|| {
        pax.add(b"path", &path);
        (&[], &fallback)
    });
    let mtime = u64::try_from(metadata.mtime).ok();
    if mtime.is_none_or(|mtime| mtime > MAX_SIZE) {
        pax.add(b"mtime", metadata.mtime.to_string().as_bytes());
    }
    if link.len() > MAX_NAME {
        pax.add(b"linkpath", link);
    }
    for (name, value) in &metadata.xattrs {
        pax.add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    let block = Block {
        flag,
        prefix,
        name,
        link: &link[..link.len().min(MAX_NAME)],
        mode: metadata.mode,
        uid: pax.number(b"uid", metadata.uid.into(), MAX_ID),
        gid: pax.number(b"gid", metadata.gid.into(), MAX_ID),
        size: pax.number(b"size", size, MAX_SIZE),
        mtime: mtime.filter(|&mtime| mtime <= MAX_SIZE).unwrap_or(0),
    };
    let mut bytes = pax.encode(&path, entry)?;
    bytes.extend_from_slice(&block.encode()?);
    Ok(bytes)
}

/// What no plan may hold, since no tar can say it.
fn check(entry: &LayerEntry) -> Result<(), &'static str> {
    let mut xattrs = entry.metadata.xattrs.iter().map(|(name, _)| name);
    if xattrs.any(|name| name.is_empty() || name.contains(&0) || name.contains(&b'=')) {
        return Err("an extended attribute whose name has no PAX form");
    }
    if !entry.metadata.xattrs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err("extended attributes that are not sorted");
    }
    if entry.metadata.mode > 0o7777 {
        return Err("a mode beyond 07777");
    }
    match &entry.kind {
        LayerEntryKind::Directory => Ok(()),
        _ if entry.path.is_root() => Err("the root is not a directory"),
        LayerEntryKind::Symlink(target) if target.is_empty() || target.contains(&0) => {
            Err("a link target that is empty or holds a NUL")
        }
        LayerEntryKind::File(_) | LayerEntryKind::Symlink(_) => Ok(()),
    }
}

fn too_big(entry: &LayerEntry, found: usize) -> Error {
    Error::usage(format!(
        "{}: path, link target and extended attributes have {found} bytes, which no runtime reads: at most {MAX_EXTENSION} are taken",
        entry.path
    ))
}

/// Relative, directories with a slash at the end. The root, which has no other name, is `./`.
fn written_path(entry: &LayerEntry) -> Vec<u8> {
    let mut path = entry.path.as_bytes().to_vec();
    if path.is_empty() {
        path.push(b'.');
    }
    if entry.kind == LayerEntryKind::Directory {
        path.push(b'/');
    }
    path
}

/// Prefix and name of ustar, split at the last slash where both fit.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= MAX_NAME {
        return Some((&[], path));
    }
    // the slash at the end of a directory is part of its name
    let inner = &path[..path.len() - 1];
    let slash = inner[..inner.len().min(MAX_PREFIX + 1)]
        .iter()
        .rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (name.len() <= MAX_NAME).then_some((prefix, name))
}

/// A name for a header that is not the entry's own: the same on every machine, and harmless where
/// a reader takes it for a file. It keeps the printable ASCII of the entry's last component.
fn own_name(directory: &str, path: &[u8]) -> Vec<u8> {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let last = trimmed.rsplit(|&byte| byte == b'/').next().unwrap_or(b"");
    let printable = last.iter().copied().filter(u8::is_ascii_graphic).take(80);
    directory.bytes().chain(printable).collect()
}

impl Block<'_> {
    fn encode(&self) -> Result<[u8; BLOCK]> {
        let mut header = Header::new_ustar();
        let fields = header
            .as_ustar_mut()
            .ok_or_else(|| Error::internal("expected a ustar header"))?;
        put(&mut fields.name, self.name);
        put(&mut fields.linkname, self.link);
        put(&mut fields.prefix, self.prefix);
        fields.typeflag = [self.flag];
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_size(self.size);
        header.set_mtime(self.mtime);
        // no user and group names; the device number of what is no device is zero
        header
            .set_device_major(0)
            .and_then(|()| header.set_device_minor(0))
            .map_err(|error| Error::io("cannot write a ustar header", error))?;
        header.set_cksum();
        let mut block = *header.as_bytes();
        // POSIX's own form of the checksum, six digits, NUL and space; the crate writes seven
        block.copy_within(149..155, 148);
        block[154..156].copy_from_slice(b"\0 ");
        Ok(block)
    }
}

fn put(field: &mut [u8], bytes: &[u8]) {
    field[..bytes.len()].copy_from_slice(bytes);
}

/// The records of a PAX header, sorted by key.
#[derive(Default)]
struct Records(BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    /// What the ustar field says of a number: zero when it is a record.
    fn number(&mut self, key: &[u8], number: u64, max: u64) -> u64 {
        if number <= max {
            return number;
        }
        self.add(key, number.to_string().as_bytes());
        0
    }

    /// The whole extended header with its data, nothing if there are no records.
    fn encode(&self, path: &[u8], entry: &LayerEntry) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        for (key, value) in &self.0 {
            let body = [b" ", key.as_slice(), b"=", value, b"\n"].concat();
            data.extend_from_slice(length_with_itself(body.len()).to_string().as_bytes());
            data.extend_from_slice(&body);
        }
        if data.is_empty() {
            return Ok(data);
        }
        let size = data.len() as u64;
        if size > MAX_EXTENSION {
            return Err(too_big(entry, data.len()));
        }
        let block = Block {
            flag: b'x',
            name: &own_name("PaxHeaders/", path),
            mode: 0o644,
            size,
            ..Block::default()
        };
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        Ok([&block.encode()?[..], &data].concat())
    }
}

/// The length of a record, which counts its own digits.
fn length_with_itself(rest: usize) -> usize {
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    length
}
