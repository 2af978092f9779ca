use std::io::Write;

use super::*;
use crate::error::Kind;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("a level");
    encoder.include_checksum(true).expect("a flag");
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// What comes out, or kind and message.
fn decompress(bytes: impl Read) -> Result<(Compression, Vec<u8>), (Kind, String)> {
    let shown = |error: Error| (error.kind(), error.message().to_owned());
    let mut decompressor = Decompressor::new(bytes).map_err(shown)?;
    let mut out = Vec::new();
    decompressor
        .read_to_end(&mut out)
        .map_err(|error| shown(Error::io("layer", error)))?;
    Ok((decompressor.found(), out))
}

fn integrity<T>(message: &str) -> Result<T, (Kind, String)> {
    Err((Kind::Integrity, message.to_owned()))
}

/// Gives one byte a read.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read(&mut buf[..n])
    }
}

#[test]
fn several_members_and_frames_are_one_stream() {
    for (compression, bytes) in [
        (Compression::None, b"onetwo".to_vec()),
        (
            Compression::Gzip,
            [gzip(b"one"), gzip(b""), gzip(b"two")].concat(),
        ),
        (
            Compression::Zstd,
            [zstd(b"one"), zstd(b""), zstd(b"two")].concat(),
        ),
        (
            Compression::Zstd,
            [b"\x5a\x2a\x4d\x18\x02\0\0\0hi", &zstd(b"onetwo")[..]].concat(),
        ),
    ] {
        let expected = Ok((compression, b"onetwo".to_vec()));
        assert_eq!(decompress(bytes.as_slice()), expected);
        assert_eq!(decompress(Slow(&bytes)), expected);
    }
    assert_eq!(decompress(&b""[..]), Ok((Compression::None, Vec::new())));
}

#[test]
fn every_cut_is_an_error() {
    for (name, whole) in [("gzip", gzip(b"some bytes")), ("zstd", zstd(b"some bytes"))] {
        // shorter ones are not known to be compressed
        for end in 4..whole.len() {
            let expected = integrity(&format!("layer: the {name} stream ends too early"));
            assert_eq!(decompress(&whole[..end]), expected, "{name} {end}");
        }
    }
}

#[test]
fn damage_and_garbage_are_errors() {
    for (name, whole) in [("gzip", gzip(b"some bytes")), ("zstd", zstd(b"some bytes"))] {
        let expected = integrity(&format!("layer: not a whole {name} stream"));
        let mut changed = whole.clone();
        let checksum = if name == "gzip" { 8 } else { 4 };
        let at = whole.len() - checksum;
        changed[at] ^= 1;
        assert_eq!(decompress(changed.as_slice()), expected, "{name}");
        let garbage = [&whole[..], b"garbage that is long enough"].concat();
        assert_eq!(decompress(garbage.as_slice()), expected, "{name}");
        let zeros = [&whole[..], &[0; 512]].concat();
        assert_eq!(decompress(zeros.as_slice()), expected, "{name}");
    }
}

#[test]
fn other_formats_are_refused_by_name() {
    for (head, name) in [(&b"BZh91AY&SY"[..], "bzip2"), (b"\xfd7zXZ\0\0\0", "xz")] {
        let expected = integrity(&format!(
            "expected a layer of tar, gzip or zstd, found {name}"
        ));
        assert_eq!(decompress(head), expected);
    }
    let name = b"BZhang/notes.txt";
    assert_eq!(
        decompress(&name[..]),
        Ok((Compression::None, name.to_vec()))
    );
}

#[test]
fn a_window_beyond_the_limit_is_refused() {
    // magic, descriptor: no single segment, no checksum; window byte: exponent 18 of 2^10, 256 MiB
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0];
    assert_eq!(
        decompress(&frame[..]),
        integrity("layer: not a whole zstd stream")
    );
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    assert_eq!(decompress(&frame[..]), Ok((Compression::Zstd, Vec::new())));
}

#[test]
fn a_failure_of_the_source_stays_what_it_is() {
    struct Failing(Option<Error>);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(match self.0.take() {
                Some(error) => error.into_io(),
                None => io::ErrorKind::UnexpectedEof.into(),
            })
        }
    }
    for whole in [gzip(b"some bytes"), zstd(b"some bytes")] {
        let registry = Error::new(Kind::Registry, "connection reset");
        assert_eq!(
            decompress(whole[..8].chain(Failing(Some(registry)))),
            Err((Kind::Registry, "layer: connection reset".to_owned()))
        );
        assert_eq!(
            decompress(whole[..8].chain(Failing(None))),
            Err((Kind::Internal, "layer".to_owned()))
        );
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 1 << 20];
    for bomb in [gzip(&zeros), zstd(&zeros)] {
        let endless = io::repeat(0).take(0).chain(bomb.as_slice());
        let decompressor = Decompressor::new(endless).expect("a known format");
        let mut limited = Limited::new(decompressor, 100_000);
        let mut out = Vec::new();
        let error = limited.read_to_end(&mut out).expect_err("a bomb");
        let error = Error::io("layer", error);
        assert_eq!(error.kind(), Kind::Integrity);
        assert_eq!(
            error.to_string(),
            "layer: expected a stream that unpacks to at most 100000 bytes, found more"
        );
        assert!(out.len() <= 100_000, "{}", out.len());
    }
}

#[test]
fn a_limit_that_is_just_met_is_no_error() {
    for limit in [3, 4, u64::MAX] {
        let mut out = Vec::new();
        let read = Limited::new(&b"abc"[..], limit).read_to_end(&mut out);
        assert_eq!(read.ok(), Some(3), "{limit}");
    }
    assert!(
        Limited::new(&b"abc"[..], 2)
            .read_to_end(&mut Vec::new())
            .is_err()
    );
}
