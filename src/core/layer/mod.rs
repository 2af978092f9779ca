//! Writes the overlay layer: tar, compression and digests in one pass, in bounded memory.
//!
//! The bytes depend on the entries, the compression and its level, and on nothing else: not on the
//! number of threads, on how the contents are read, or on the CPU. Whatever changes them, a newer
//! compressor too, moves every digest that users have recorded; the golden tests guard that.
//!
//! It refuses entries that are not sorted, lack their parents, or cannot be said in a tar, and
//! contents that are not as long as they claim.

mod blocks;
mod codec;
mod header;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use super::digest::{Digest, Hashing};
use super::entry::{Content, LayerEntry, LayerEntryKind};
use super::media::Compression;
use super::path::LayerPath;
use crate::error::{Error, Result};
use codec::Codec;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerOptions {
    /// The format.
    pub compression: Compression,
    /// 1 to 9 for gzip, 1 to 19 for zstd, none for plain tar. Without one: 6 for gzip, 3 for zstd.
    pub level: Option<i32>,
    /// Compression threads beside the calling one. Fewer run where more would take too much
    /// memory: at most 6 for gzip, and 8 to 2 for zstd, by level. Plain tar needs none.
    pub threads: NonZeroUsize,
}

/// What is known of a layer when it has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSummary {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The size of the uncompressed tar in bytes.
    pub uncompressed_size: u64,
    /// The digest of the blob that was written.
    pub digest: Digest,
    /// The size of the blob that was written in bytes.
    pub size: u64,
}

/// Writes the layer of `entries` to `out` and flushes it.
///
/// The entries must be sorted by the bytes of their paths, each once, and every parent but the
/// root must be among them. At most some 50 MiB are held in memory, however big the contents are.
pub fn write_layer(
    entries: &[LayerEntry],
    options: &LayerOptions,
    out: impl Write,
) -> Result<LayerSummary> {
    check_order(entries)?;
    let Some(codec) = Codec::new(options.compression, options.level)? else {
        let mut tar = Hashing::new(out);
        write_tar(entries, &mut tar)?;
        let (digest, size, mut out) = tar.finish();
        out.flush().map_err(cannot_write)?;
        return Ok(LayerSummary {
            diff_id: digest,
            uncompressed_size: size,
            digest,
            size,
        });
    };
    let mut out = Hashing::new(out);
    let (diff_id, uncompressed_size) =
        blocks::compress(codec, options.threads, &mut out, |blocks| {
            let mut tar = Hashing::new(blocks);
            write_tar(entries, &mut tar)?;
            let (diff_id, size, _) = tar.finish();
            Ok((diff_id, size))
        })?;
    out.flush().map_err(cannot_write)?;
    let (digest, size, _) = out.finish();
    Ok(LayerSummary {
        diff_id,
        uncompressed_size,
        digest,
        size,
    })
}

/// Every path comes once, after its parent, which is a directory.
fn check_order(entries: &[LayerEntry]) -> Result<()> {
    for pair in entries.windows(2) {
        if pair[0].path >= pair[1].path {
            return Err(Error::internal(format!(
                "expected the layer's entries sorted, found {} after {}",
                pair[1].path, pair[0].path
            )));
        }
    }
    for entry in entries {
        let path = entry.path.as_bytes();
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            continue;
        };
        let found = entries.binary_search_by(|other| other.path.as_bytes().cmp(&path[..slash]));
        if !found.is_ok_and(|at| entries[at].kind == LayerEntryKind::Directory) {
            return Err(Error::internal(format!(
                "the parent directory of {} is not in the layer",
                entry.path
            )));
        }
    }
    Ok(())
}

/// Writes headers, contents, and the end marker of two blocks of zeros, without further padding.
fn write_tar(entries: &[LayerEntry], tar: &mut impl Write) -> Result<()> {
    for entry in entries {
        let header = header::encode(entry)?;
        tar.write_all(&header).map_err(cannot_write)?;
        if let LayerEntryKind::File(content) = &entry.kind {
            copy_content(content, &entry.path, tar)?;
        }
    }
    let end_marker = [0; 2 * header::BLOCK];
    tar.write_all(&end_marker).map_err(cannot_write)
}

/// Copies exactly as many bytes as the content claims to have, and fills up the last block.
fn copy_content(content: &Content, path: &LayerPath, tar: &mut impl Write) -> Result<()> {
    let failed = |error| Error::io(format!("cannot read the content of {path}"), error);
    let mut reader = content.open().map_err(failed)?;
    let mut buf = vec![0; usize::try_from(content.size()).map_or(COPY, |size| COPY.min(size + 1))];
    let mut count = 0;
    loop {
        let n = match reader.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        count += n as u64;
        if count > content.size() {
            return Err(changed(path, content.size(), "more"));
        }
        tar.write_all(&buf[..n]).map_err(cannot_write)?;
    }
    if count < content.size() {
        return Err(changed(path, content.size(), &count.to_string()));
    }
    let padding = count.next_multiple_of(header::BLOCK as u64) - count;
    let mut zeros = io::repeat(0).take(padding);
    io::copy(&mut zeros, tar).map_err(cannot_write)?;
    Ok(())
}

/// The size of the buffer that contents are read through.
const COPY: usize = 128 << 10;

fn changed(path: &LayerPath, expected: u64, found: &str) -> Error {
    Error::usage(format!(
        "the content of {path} changed while it was read: expected {expected} bytes, found {found}"
    ))
    .hint("run it again when nothing writes to the file")
}

/// An error of our own, from a thread or from `out`, says all there is to say.
fn cannot_write(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::io("cannot write the layer", error),
    }
}
