//! One header block of a tar: v7, POSIX ustar, GNU and star.
//!
//! Where the formats leave room, a field is read as Go's `archive/tar` reads it, since every
//! common runtime unpacks layers with it: the tree that we see must be the tree that runs.

use super::number;

/// The size of a block, of which a tar is a sequence.
pub(super) const BLOCK: usize = 512;

/// The fields of a header block, before extension headers change them.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) flag: u8,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: i64,
    pub(super) mtime: i64,
    pub(super) major: i64,
    pub(super) minor: i64,
}

/// What the magic of a block says of its last fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl Header {
    /// Reads a block; the error says which field is wrong and how.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, String> {
        check_sum(block)?;
        let raw = tar::Header::from_byte_slice(block);
        let old = raw.as_old();
        let format = format(block);
        let field = |name: &str, bytes: &[u8]| {
            number::field(bytes).map_err(|error| format!("the header's {name}: {error}"))
        };
        let device = |name: &str, bytes: &[u8]| match format {
            Format::V7 => Ok(0),
            _ => field(name, bytes),
        };
        Ok(Self {
            flag: old.linkflag[0],
            path: path(block, format),
            link: until_nul(&old.linkname).to_vec(),
            mode: field("mode", &old.mode)?,
            uid: field("uid", &old.uid)?,
            gid: field("gid", &old.gid)?,
            size: field("size", &old.size)?,
            mtime: field("mtime", &old.mtime)?,
            major: device("devmajor", &block[329..337])?,
            minor: device("devminor", &block[337..345])?,
        })
    }
}

/// Bytes up to the first NUL.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// The checksum is the sum of all bytes, its own field as spaces; some old writers added the
/// bytes as signed ones, which every reader takes too.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), String> {
    let bytes = || {
        block
            .iter()
            .enumerate()
            .map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte })
    };
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    let found = number::field(&block[148..156])
        .map_err(|error| format!("no tar header: its checksum: {error}"))?;
    if found == unsigned || found == signed {
        Ok(())
    } else {
        Err(format!(
            "no tar header: expected checksum {unsigned}, found {found}"
        ))
    }
}

fn format(block: &[u8; BLOCK]) -> Format {
    match (&block[257..263], &block[263..265], &block[508..512]) {
        (b"ustar\0", _, b"tar\0") => Format::Star,
        (b"ustar\0", ..) => Format::Ustar,
        (b"ustar ", b" \0", _) => Format::Gnu,
        _ => Format::V7,
    }
}

fn path(block: &[u8; BLOCK], format: Format) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = match format {
        Format::V7 => &[],
        Format::Ustar => until_nul(&block[345..500]),
        Format::Star => until_nul(&block[345..476]),
        Format::Gnu => gnu_prefix(block),
    };
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// The GNU format has times where ustar has the prefix. Go before 1.8 wrote a prefix there all the
/// same, and Go still reads it where the times are no numbers.
fn gnu_prefix(block: &[u8; BLOCK]) -> &[u8] {
    let times = [&block[345..357], &block[357..369]];
    let are_numbers = times
        .iter()
        .all(|time| time[0] == 0 || number::field(time).is_ok());
    let prefix = until_nul(&block[345..500]);
    if are_numbers || !prefix.is_ascii() {
        &[]
    } else {
        prefix
    }
}
