//! The compressors: a block of the tar in, its compressed form out, the same bytes on every
//! machine.
//!
//! What could make the bytes differ, and why it does not:
//! - A compressor that was used before. Which thread takes which block is chance, and zstd's row
//!   match finder (levels 5 to 12) salts its hashes with what it compressed earlier
//!   (`ZSTD_advanceHashSalt`). No difference has been seen, since the salt is added by XOR to the hash
//!   and so only moves its rows, but nobody promises that. Every block gets a fresh compressor,
//!   which costs no measurable time.
//! - The CPU. zlib-rs 0.6.8 has one hash function (`hash_calc.rs`); what it picks by CPU
//!   (`compare256`, `slide_hash`, CRC-32) has one right result. In zstd 1.5.7 the row match finder
//!   is chosen by strategy and window alone (`ZSTD_resolveRowMatchFinderMode`), with or without
//!   SIMD, and BMI2 picks other code for the same entropy coding.
//! - Threads inside the compressor: there are none.
//! - Parameters that follow the size of the input: a block's size is fixed, and the last one's
//!   follows from the tar.

use flate2::{Compress, FlushCompress, Status};
use zstd::zstd_safe::CParameter;

use crate::core::media::Compression;
use crate::error::{Error, Result};

/// The size of a block of tar. Bigger blocks would make zstd's result smaller, but the memory of
/// its higher levels grows with them.
pub(super) const BLOCK: usize = 1 << 20;

/// How far back deflate's matches reach.
pub(super) const HISTORY: usize = 32 << 10;

/// A compressed format with its level.
#[derive(Debug, Clone, Copy)]
pub(super) enum Codec {
    /// One gzip member (RFC 1952). Each block is deflated on its own, with the end of the block
    /// before it as dictionary, and ends at a byte boundary by a sync flush.
    Gzip(u32),
    /// One zstd frame (RFC 8878) a block, with content size and checksum.
    Zstd(i32),
}

impl Codec {
    /// The codec of a level, or of the format's default level; `None` for plain tar.
    pub(super) fn new(compression: Compression, level: Option<i32>) -> Result<Option<Self>> {
        let (name, default, max) = match compression {
            Compression::None if level.is_none() => return Ok(None),
            Compression::None => {
                return Err(
                    Error::usage("`level` has no meaning with `compression: none`")
                        .hint("leave `level` out, or choose gzip or zstd"),
                );
            }
            Compression::Gzip => ("gzip", 6, 9),
            Compression::Zstd => ("zstd", 3, 19),
        };
        let level = level.unwrap_or(default);
        if !(1..=max).contains(&level) {
            return Err(Error::usage(format!(
                "expected a level of 1 to {max} for {name}, found {level}"
            )));
        }
        Ok(Some(match compression {
            Compression::Zstd => Self::Zstd(level),
            _ => Self::Gzip(level.unsigned_abs()),
        }))
    }

    /// How many compressors fit into the memory that we allow ourselves: some 50 MiB at worst,
    /// with contents that do not compress.
    pub(super) fn max_threads(self) -> usize {
        match self {
            Self::Zstd(13..) => 2,
            Self::Zstd(5..) => 3,
            Self::Gzip(_) => 6,
            Self::Zstd(_) => 8,
        }
    }

    /// What the stream begins with.
    pub(super) fn start(self) -> &'static [u8] {
        match self {
            // deflate, no flags, no time, no extra flags, system unknown
            Self::Gzip(_) => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
            Self::Zstd(_) => &[],
        }
    }

    /// What the stream ends with; `size` is that of the whole tar.
    pub(super) fn end(self, crc: crc32fast::Hasher, size: u64) -> Vec<u8> {
        match self {
            Self::Gzip(_) => {
                let [a, b, c, d, ..] = size.to_le_bytes();
                [crc.finalize().to_le_bytes(), [a, b, c, d]].concat()
            }
            Self::Zstd(_) => Vec::new(),
        }
    }

    /// Compresses `data`, before which `history` stood in the tar, into `out`, whose old content
    /// goes. The result is the CRC-32 of the data where the format wants it in its end.
    pub(super) fn compress(
        self,
        history: &[u8],
        data: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<crc32fast::Hasher> {
        let mut crc = crc32fast::Hasher::new();
        out.clear();
        match self {
            Self::Gzip(level) => {
                crc.update(data);
                deflate(level, history, data, last, out)?;
            }
            Self::Zstd(level) => zstd_frame(level, data, out)?,
        }
        Ok(crc)
    }
}

fn deflate(level: u32, history: &[u8], data: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
    let failed = |error| Error::internal("cannot deflate").because(error);
    let mut compressor = Compress::new(flate2::Compression::new(level), false);
    if !history.is_empty() {
        compressor.set_dictionary(history).map_err(failed)?;
    }
    // level 1 may make nine bits of a byte; with room to spare one call does it all
    out.reserve_exact(data.len() + data.len() / 4 + 1024);
    let flush = if last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    let status = compressor.compress_vec(data, out, flush).map_err(failed)?;
    let expected = if last { Status::StreamEnd } else { Status::Ok };
    let done = compressor.total_in() == data.len() as u64 && out.len() < out.capacity();
    if status != expected || !done {
        return Err(Error::internal("deflate did not take the whole block"));
    }
    Ok(())
}

fn zstd_frame(level: i32, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let failed = |error| Error::io("cannot compress with zstd", error);
    let mut compressor = zstd::bulk::Compressor::new(level).map_err(failed)?;
    for parameter in [
        CParameter::ChecksumFlag(true),
        CParameter::ContentSizeFlag(true),
    ] {
        compressor.set_parameter(parameter).map_err(failed)?;
    }
    out.reserve_exact(zstd::zstd_safe::compress_bound(data.len()));
    compressor
        .compress_to_buffer(data, out)
        .map_err(failed)
        .map(drop)
}
