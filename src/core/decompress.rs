//! Decompresses layers as a stream: gzip of any number of members (RFC 1952), zstd of any number
//! of frames (RFC 8878), or plain bytes; and a limit on how much may come out.
//!
//! What the bytes are is told by their first ones and not by the media type: containerd and podman
//! do so, and images whose media type is wrong run. bzip2 and xz are refused. Memory is bounded:
//! 32 KiB of history for gzip, [`MAX_WINDOW_LOG`] for zstd.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::media::Compression;
use crate::error::{Error, Result};

/// The binary logarithm of the largest zstd window that is taken: 128 MiB, which is what the zstd
/// tool takes unless told otherwise. Every level up to `--ultra -22` stays within it, `--long=28`
/// and above do not.
pub const MAX_WINDOW_LOG: u32 = 27;

const BUFFER: usize = 64 << 10;

/// As many first bytes as it takes to tell the formats apart.
const SNIFFED: u64 = 8;

/// Gives the decompressed bytes of the stream inside, which is read to its end.
pub struct Decompressor<R: Read> {
    found: Compression,
    decoder: Decoder<R>,
}

enum Decoder<R: Read> {
    None(BufReader<Source<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Source<R>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Source<R>>>),
}

/// The compressed stream with the bytes that were read to see what it is, and whether its last
/// read failed: so that its failures are not taken for damaged data.
struct Source<R> {
    reader: io::Chain<Cursor<Vec<u8>>, R>,
    failed: bool,
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes of `inner` to see how it is compressed.
    pub fn new(mut inner: R) -> Result<Self> {
        let mut head = Vec::new();
        inner
            .by_ref()
            .take(SNIFFED)
            .read_to_end(&mut head)
            .map_err(|error| Error::io("cannot read the layer", error))?;
        let found = sniff(&head)?;
        let source = Source {
            reader: Cursor::new(head).chain(inner),
            failed: false,
        };
        let source = BufReader::with_capacity(BUFFER, source);
        let decoder = match found {
            Compression::None => Decoder::None(source),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => Decoder::Zstd(zstd_decoder(source)?),
        };
        Ok(Self { found, decoder })
    }

    /// How the stream is compressed, whatever its media type says.
    pub fn found(&self) -> Compression {
        self.found
    }
}

fn zstd_decoder<B: io::BufRead>(source: B) -> Result<zstd::Decoder<'static, B>> {
    let error = |error| Error::io("cannot start the zstd decoder", error);
    let mut decoder = zstd::Decoder::with_buffer(source).map_err(error)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(error)?;
    Ok(decoder)
}

fn sniff(head: &[u8]) -> Result<Compression> {
    let refused = match head {
        [0x1f, 0x8b, 8, ..] => return Ok(Compression::Gzip),
        // a frame, or a skippable one, as some writers put in front
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            return Ok(Compression::Zstd);
        }
        [b'B', b'Z', b'h', _, 0x31, 0x41, 0x59, 0x26, ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        _ => return Ok(Compression::None),
    };
    Err(Error::integrity(format!(
        "expected a layer of tar, gzip or zstd, found {refused}"
    ))
    .hint("convert the image: `skopeo copy --dest-compress-format gzip`"))
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (result, failed, format) = match &mut self.decoder {
            Decoder::None(reader) => return reader.read(buf),
            Decoder::Gzip(reader) => (reader.read(buf), reader.get_ref().get_ref().failed, "gzip"),
            Decoder::Zstd(reader) => (reader.read(buf), reader.get_ref().get_ref().failed, "zstd"),
        };
        result.map_err(|error| {
            if failed {
                error
            } else {
                damaged(format, error)
            }
        })
    }
}

fn damaged(format: &str, error: io::Error) -> io::Error {
    let what = if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("the {format} stream ends too early")
    } else {
        format!("not a whole {format} stream")
    };
    Error::integrity(what)
        .because(error)
        .hint("the layer is damaged: make or fetch it again")
        .into_io()
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buf);
        self.failed = result.is_err();
        result
    }
}

/// Fails when more than a number of bytes come out of the stream inside: a guard against
/// decompression bombs.
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Limited<R> {
    /// Lets at most `limit` bytes of `inner` through.
    pub fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }

    /// The stream inside.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // one byte more than is left shows that there is more
        let wanted = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let wanted = wanted.min(buf.len());
        let n = self.inner.read(&mut buf[..wanted])?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(Error::integrity(format!(
                    "expected a stream that unpacks to at most {} bytes, found more",
                    self.limit
                ))
                .hint("this is a decompression bomb, or a layer that no runtime should be given")
                .into_io());
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
