use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::core::decompress::Decompressor;
use crate::core::entry::{ContentSource, Metadata};
use crate::core::tar_reader::{TarKind, TarReader};
use crate::error::Kind;

/// The same bytes on every machine, which hardly compress.
fn random(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..size)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// Words in no order, which compress as text does.
fn text(size: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "layer ",
        "image ",
        "digest ",
        "the ",
        "of ",
        "overlay\n",
        "base ",
        "signed, ",
    ];
    let mut text: Vec<u8> = random(size / 2, 7)
        .iter()
        .flat_map(|&byte| {
            let tail = if byte < 20 { &b"0xa5 "[..] } else { b"" };
            [WORDS[usize::from(byte % 8)].as_bytes(), tail].concat()
        })
        .collect();
    text.truncate(size);
    text
}

fn metadata(mode: u32) -> Metadata {
    Metadata {
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
    }
}

fn entry(path: &[u8], mode: u32, kind: LayerEntryKind) -> LayerEntry {
    LayerEntry {
        path: LayerPath::parse(path).expect("a path"),
        metadata: metadata(mode),
        kind,
    }
}

fn directory(path: impl AsRef<[u8]>) -> LayerEntry {
    entry(path.as_ref(), 0o755, LayerEntryKind::Directory)
}

fn file(path: impl AsRef<[u8]>, bytes: impl Into<Vec<u8>>) -> LayerEntry {
    let content = Content::bytes(bytes);
    entry(path.as_ref(), 0o644, LayerEntryKind::File(content))
}

fn symlink(path: impl AsRef<[u8]>, target: impl Into<Vec<u8>>) -> LayerEntry {
    entry(path.as_ref(), 0o777, LayerEntryKind::Symlink(target.into()))
}

fn with(mut entry: LayerEntry, change: impl FnOnce(&mut Metadata)) -> LayerEntry {
    change(&mut entry.metadata);
    entry
}

/// Everything that a header can say, at its limits and beyond, and contents around the sizes of
/// the tar's blocks and of ours.
fn fixture() -> Vec<LayerEntry> {
    let long = |length: usize| "n".repeat(length);
    let deep = format!(
        "deep/{}",
        [long(60), long(60), long(60), long(60)].join("/")
    );
    let mut entries = vec![
        with(directory("tmp"), |metadata| metadata.mode = 0o1777),
        directory("files"),
        directory("deep"),
        directory("names"),
        symlink("bin", "usr/bin"),
        symlink("names/link-100", long(100)),
        symlink("names/link-101", long(101)),
        file("files/compiled", random(1_500_000, 1)),
        file("files/text", text(2_500_000)),
        file("files/zeros", vec![0; 1 << 20]),
        file(format!("names/{}", long(94)), "name of 100 bytes"),
        file(format!("names/{}", long(95)), "name of 101 bytes"),
        directory(format!("names/{}", long(93))),
        directory(format!("names/{}", "d".repeat(94))),
        file(format!("names/{}", "m".repeat(255)), "no prefix helps"),
        file("names/gr\u{fc}n", "UTF-8"),
        file(b"names/\xff\n\x01", "no UTF-8"),
        file(
            [b"names/\xff".repeat(40), vec![b'x'; 15]].concat(),
            "long and no UTF-8",
        ),
        with(file("files/ids", "max"), |metadata| {
            (metadata.uid, metadata.gid) = (0o777_7777, 0o1000_0000);
        }),
        with(file("files/times", "old"), |metadata| metadata.mtime = -1),
        with(file("files/times-max", "far"), |metadata| {
            metadata.mtime = 0o777_7777_7777;
        }),
        with(file("files/times-over", "farther"), |metadata| {
            metadata.mtime = 0o1_0000_0000_0000;
        }),
        with(file("files/xattrs", "two"), |metadata| {
            metadata.uid = 65532;
            metadata.mtime = 1_700_000_000;
            metadata.xattrs = vec![
                (
                    b"security.capability".to_vec(),
                    vec![1, 0, 0, 2, 0, 4, 0, 0],
                ),
                (b"user.note".to_vec(), b"a\nb".to_vec()),
            ];
        }),
    ];
    for size in [0, 1, 511, 512, 513] {
        entries.push(file(format!("files/{size}"), random(size, 2)));
    }
    for part in LayerPath::parse(&deep).expect("a path").ancestors().skip(1) {
        entries.push(directory(part.as_bytes()));
    }
    entries.push(file(&deep, "deep"));
    let odd = LayerPath::parse(b"names/\xff".repeat(40)).expect("a path");
    entries.extend(
        odd.ancestors()
            .skip(1)
            .map(|part| directory(part.as_bytes())),
    );
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn options(compression: Compression, level: Option<i32>, threads: usize) -> LayerOptions {
    LayerOptions {
        compression,
        level,
        threads: NonZeroUsize::new(threads).expect("not zero"),
    }
}

fn write(entries: &[LayerEntry], options: &LayerOptions) -> (LayerSummary, Vec<u8>) {
    let mut bytes = Vec::new();
    let summary = write_layer(entries, options, &mut bytes).expect("a sound layer");
    assert_eq!(summary.digest, Digest::of(&bytes));
    assert_eq!(summary.size, bytes.len() as u64);
    (summary, bytes)
}

/// A golden digest that moves means that every digest that users have recorded moves.
#[test]
fn golden_digests() {
    const DIFF_ID: &str = "sha256:48b7c4d97d0a4e560c611ff8dc5f2d21aa48f49025fb7d827de8070f966865c9";
    let found: Vec<_> = [
        (Compression::None, None),
        (Compression::Gzip, None),
        (Compression::Gzip, Some(1)),
        (Compression::Gzip, Some(9)),
        (Compression::Zstd, None),
        (Compression::Zstd, Some(1)),
        (Compression::Zstd, Some(7)),
        (Compression::Zstd, Some(19)),
    ]
    .into_iter()
    .map(|(compression, level)| {
        let (summary, _) = write(&fixture(), &options(compression, level, 2));
        assert_eq!(summary.diff_id.to_string(), DIFF_ID);
        format!(
            "{compression:?} {level:?} {} {}",
            summary.size, summary.digest
        )
    })
    .collect();
    let expected = [
        "None None 5107200 sha256:48b7c4d97d0a4e560c611ff8dc5f2d21aa48f49025fb7d827de8070f966865c9",
        "Gzip None 1810693 sha256:41190b1eb61332c4ac2cb7e2a4c2dbd4ef04d30a1e8f4a2cfb5cf05197926f89",
        "Gzip Some(1) 2312153 sha256:5304be9115c6267d9ac11dd1ea95beffc0fa195369830a84da34be26992a6cb3",
        "Gzip Some(9) 1784874 sha256:b2475add7b4bbbd7823a0d0827bbb7573877f92f45d584e0e713b82c9fd8d1f0",
        "Zstd None 1905992 sha256:dec63cff684f8f84a48f08cee68d19863ebf465644e10faea02af9c1513c18fe",
        "Zstd Some(1) 1926204 sha256:8bc5d35489bad0a2c1bb20fc6e798ce551e9b174e01313975b9bcff29c1beb84",
        "Zstd Some(7) 1849833 sha256:4a55f5d5f4a29939cb2dcfe99b63a164d850d67abe383dfdce8ddccaed33eab2",
        "Zstd Some(19) 1746722 sha256:21da848caef320ec18c3782a1ca899a7d537d65cab89e2bea21398e50462a618",
    ];
    assert_eq!(found, expected);
}

/// Gives its bytes in reads of one, two, three ... and so on, again and again from one.
struct Chunked {
    bytes: Vec<u8>,
    claims: u64,
    max: usize,
}

struct ChunkedReader<'a> {
    rest: &'a [u8],
    next: usize,
    max: usize,
}

impl ContentSource for Chunked {
    fn size(&self) -> u64 {
        self.claims
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(ChunkedReader {
            rest: &self.bytes,
            next: 0,
            max: self.max,
        }))
    }
}

impl Read for ChunkedReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.next = self.next % self.max + 1;
        let n = buf.len().min(self.next);
        self.rest.read(&mut buf[..n])
    }
}

fn chunked(bytes: Vec<u8>, max: usize) -> LayerEntryKind {
    let claims = bytes.len() as u64;
    LayerEntryKind::File(Content::new(Chunked { bytes, claims, max }))
}

#[test]
fn threads_and_chunks_do_not_change_the_bytes() {
    let bytes = [text(3 << 20), random(300_000, 3), text(2 << 20)].concat();
    let plain = [file("a", bytes.clone())];
    for (compression, level) in [
        (Compression::None, None),
        (Compression::Gzip, Some(1)),
        (Compression::Gzip, Some(6)),
        (Compression::Zstd, Some(3)),
        // levels with zstd's row match finder, whose salt depends on earlier input
        (Compression::Zstd, Some(5)),
        (Compression::Zstd, Some(8)),
    ] {
        let (expected, _) = write(&plain, &options(compression, level, 1));
        for (threads, max) in [(2, 509), (3, 4099), (8, 1_000_003)] {
            let entries = [entry(b"a", 0o644, chunked(bytes.clone(), max))];
            let (found, _) = write(&entries, &options(compression, level, threads));
            assert_eq!(found, expected, "{compression:?} {level:?} {threads} {max}");
        }
    }
}

#[test]
fn single_bytes_do_not_change_the_bytes() {
    let bytes = text(1_100_000);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let options = options(compression, None, 2);
        let (expected, _) = write(&[file("a", bytes.clone())], &options);
        let entries = [entry(b"a", 0o644, chunked(bytes.clone(), 1))];
        assert_eq!(write(&entries, &options).0, expected, "{compression:?}");
    }
}

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut decompressor = Decompressor::new(bytes).expect("a known format");
    decompressor.read_to_end(&mut tar).expect("well-formed");
    tar
}

#[test]
fn what_is_written_is_read_back() {
    let entries = fixture();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (summary, bytes) = write(&entries, &options(compression, None, 3));
        let tar = decompressed(&bytes);
        assert_eq!(summary.diff_id, Digest::of(&tar));
        assert_eq!(summary.uncompressed_size, tar.len() as u64);
        let mut reader = TarReader::new(tar.as_slice());
        for entry in &entries {
            let found = reader.next_entry().expect("well-formed").expect("one more");
            let mut data = Vec::new();
            reader.read_to_end(&mut data).expect("well-formed");
            assert_eq!(found.metadata, entry.metadata, "{}", entry.path);
            let (kind, content, tail) = match &entry.kind {
                LayerEntryKind::Directory => (TarKind::Directory, None, "/"),
                LayerEntryKind::File(content) => (TarKind::File, Some(content), ""),
                LayerEntryKind::Symlink(target) => {
                    let target = target.clone();
                    (TarKind::Symlink { target }, None, "")
                }
            };
            assert_eq!(
                found.path,
                [entry.path.as_bytes(), tail.as_bytes()].concat()
            );
            assert_eq!(found.kind, kind, "{}", entry.path);
            let expected = content.map_or_else(|| Some(Digest::of(b"")), Content::digest);
            assert_eq!(Some(Digest::of(&data)), expected, "{}", entry.path);
        }
        assert_eq!(reader.next_entry().expect("well-formed"), None);
    }
}

#[test]
fn the_tar_crate_reads_the_same() {
    let entries = fixture();
    let (_, bytes) = write(&entries, &options(Compression::None, None, 1));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut found = archive.entries().expect("a tar");
    for entry in &entries {
        let mut other = found.next().expect("one more").expect("well-formed");
        let path = other.path_bytes().into_owned();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        assert_eq!(path, entry.path.as_bytes());
        assert_eq!(other.header().mode().ok(), Some(entry.metadata.mode));
        if let LayerEntryKind::Symlink(target) = &entry.kind {
            assert_eq!(other.link_name_bytes().as_deref(), Some(target.as_slice()));
        }
        let mut data = Vec::new();
        other.read_to_end(&mut data).expect("well-formed");
        if let LayerEntryKind::File(content) = &entry.kind {
            assert_eq!(content.digest(), Some(Digest::of(&data)), "{}", entry.path);
        }
    }
    assert!(found.next().is_none());
}

#[test]
fn gzip_is_one_member_and_zstd_frames_have_size_and_checksum() {
    let entries = [file("a", text(3 << 20))];
    let (summary, bytes) = write(&entries, &options(Compression::Gzip, None, 2));
    assert_eq!(&bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let mut one = flate2::bufread::GzDecoder::new(bytes.as_slice());
    let read = io::copy(&mut one, &mut io::sink()).ok();
    assert_eq!(read, Some(summary.uncompressed_size));
    assert!(one.into_inner().is_empty());

    let (_, bytes) = write(&entries, &options(Compression::Zstd, None, 2));
    let mut rest = bytes.as_slice();
    let mut sizes = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[4] & 4, 4, "the checksum flag");
        let size = zstd::zstd_safe::get_frame_content_size(rest).expect("a frame");
        sizes.push(size.expect("the content size flag"));
        let frame = zstd::zstd_safe::find_frame_compressed_size(rest).expect("a frame");
        rest = &rest[frame..];
    }
    assert_eq!(sizes, [1 << 20, 1 << 20, 1 << 20, 3 * 512]);
}

#[test]
fn a_tar_that_ends_with_a_block_has_no_empty_one_after_it() {
    let mib = 1 << 20;
    for (size, frames) in [
        (mib - 3 * 512, 1),
        (mib - 3 * 512 + 1, 2),
        (2 * mib - 3 * 512, 2),
    ] {
        let entries = [file("a", vec![1; size])];
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (summary, bytes) = write(&entries, &options(compression, None, 2));
            assert_eq!(Digest::of(&decompressed(&bytes)), summary.diff_id);
            if compression == Compression::Zstd {
                let starts = bytes.windows(4).filter(|w| *w == [0x28, 0xb5, 0x2f, 0xfd]);
                assert_eq!(starts.count(), frames, "{size}");
            }
        }
    }
}

#[test]
fn an_empty_layer_is_the_end_marker() {
    let (summary, bytes) = write(&[], &options(Compression::None, None, 1));
    assert_eq!(bytes, [0; 1024]);
    let (gzip, bytes) = write(&[], &options(Compression::Gzip, None, 1));
    assert_eq!(gzip.diff_id, summary.diff_id);
    assert_eq!(decompressed(&bytes), [0; 1024]);
}

/// Name, linkname, magic to gname, prefix: what each block says in text.
fn shown(block: &[u8]) -> String {
    let until_nul = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0);
        bytes[..end.unwrap_or(bytes.len())]
            .escape_ascii()
            .to_string()
    };
    [
        &block[345..500],
        &block[..100],
        &block[100..108],
        &block[108..116],
        &block[124..136],
        &block[136..148],
        &block[156..157],
    ]
    .map(until_nul)
    .join("|")
}

#[test]
fn headers_are_ustar_where_it_can_and_pax_where_it_must() {
    let prefix = "p".repeat(100);
    let name = "n".repeat(100);
    let fits = header::encode(&file(format!("{prefix}/{name}"), "x")).expect("fine");
    assert_eq!(fits.len(), 512);
    assert_eq!(
        shown(&fits),
        format!("{prefix}|{name}|0000644|0000000|00000000001|00000000000|0")
    );
    let long = file(format!("{prefix}/{name}n"), "x");
    let over = header::encode(&with(long, |metadata| metadata.uid = 0o1000_0000)).expect("fine");
    let short = "n".repeat(80);
    assert_eq!(
        shown(&over),
        format!("|PaxHeaders/{short}|0000644|0000000|00000000343|00000000000|x")
    );
    let records = format!("212 path={prefix}/{name}n\n15 uid=2097152\n");
    assert_eq!(
        over[512..]
            .strip_prefix(records.as_bytes())
            .map(|rest| rest[0]),
        Some(0)
    );
    assert_eq!(
        shown(&over[1024..]),
        format!("|PaxPath/{short}|0000644|0000000|00000000001|00000000000|0")
    );
    let root = header::encode(&directory("")).expect("fine");
    assert_eq!(
        shown(&root),
        "|./|0000755|0000000|00000000000|00000000000|5"
    );
}

/// Kind and message of the error.
fn refused(entries: &[LayerEntry], options: &LayerOptions) -> (Kind, String) {
    let error = write_layer(entries, options, io::sink()).expect_err("not a sound layer");
    (error.kind(), error.to_string())
}

#[test]
fn what_breaks_the_rules_of_a_plan_is_an_internal_error() {
    let plain = options(Compression::None, None, 1);
    let xattr = |name: &[u8]| {
        with(file("a", ""), |metadata| {
            metadata.xattrs = vec![(name.to_vec(), vec![])];
        })
    };
    for (entries, expected) in [
        (
            vec![file("b", ""), file("a", "")],
            "expected the layer's entries sorted, found /a after /b",
        ),
        (
            vec![file("a", ""), file("a", "")],
            "expected the layer's entries sorted, found /a after /a",
        ),
        (
            vec![file("a/b", "")],
            "the parent directory of /a/b is not in the layer",
        ),
        (
            vec![file("a", ""), file("a/b", "")],
            "the parent directory of /a/b is not in the layer",
        ),
        (
            vec![xattr(b"user.a=b")],
            "/a: an extended attribute whose name has no PAX form",
        ),
        (
            vec![symlink("a", "")],
            "/a: a link target that is empty or holds a NUL",
        ),
        (
            vec![with(file("a", ""), |metadata| metadata.mode = 0o10644)],
            "/a: a mode beyond 07777",
        ),
        (vec![file("", "")], "/: the root is not a directory"),
    ] {
        let expected = (Kind::Internal, expected.to_owned());
        assert_eq!(refused(&entries, &plain), expected);
    }
}

#[test]
fn more_than_readers_take_is_refused() {
    let huge = with(file("a", ""), |metadata| {
        metadata.xattrs = vec![(b"user.big".to_vec(), vec![b'x'; 1 << 20])];
    });
    assert_eq!(
        refused(&[huge], &options(Compression::None, None, 1)),
        (
            Kind::Usage,
            "/a: path, link target and extended attributes have 1048607 bytes, which no runtime reads: at most 1048576 are taken".to_owned()
        )
    );
}

#[test]
fn levels_are_checked() {
    for (compression, level, expected) in [
        (
            Compression::Gzip,
            0,
            "expected a level of 1 to 9 for gzip, found 0",
        ),
        (
            Compression::Gzip,
            10,
            "expected a level of 1 to 9 for gzip, found 10",
        ),
        (
            Compression::Zstd,
            -1,
            "expected a level of 1 to 19 for zstd, found -1",
        ),
        (
            Compression::Zstd,
            20,
            "expected a level of 1 to 19 for zstd, found 20",
        ),
        (
            Compression::None,
            1,
            "`level` has no meaning with `compression: none`",
        ),
    ] {
        let found = refused(&[], &options(compression, Some(level), 1));
        assert_eq!(found, (Kind::Usage, expected.to_owned()));
    }
}

#[test]
fn content_of_another_size_is_an_error() {
    for (bytes, claims, found) in [
        (5_000_000, 5_000_001, "5000000"),
        (5_000_000, 4_999_999, "more"),
        (1, 0, "more"),
    ] {
        let content = Content::new(Chunked {
            bytes: random(bytes, 4),
            claims,
            max: 70_000,
        });
        let entries = [
            entry(b"etc", 0o755, LayerEntryKind::Directory),
            entry(b"etc/f", 0o644, LayerEntryKind::File(content)),
        ];
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(
                refused(&entries, &options(compression, None, 3)),
                (
                    Kind::Usage,
                    format!(
                        "the content of /etc/f changed while it was read: expected {claims} bytes, found {found}"
                    )
                )
            );
        }
    }
}

#[test]
fn a_content_that_fails_keeps_its_kind() {
    struct Failing;
    impl ContentSource for Failing {
        fn size(&self) -> u64 {
            10
        }
        fn digest(&self) -> Option<Digest> {
            None
        }
        fn open(&self) -> io::Result<Box<dyn Read + '_>> {
            Err(Error::usage("it is gone").into_io())
        }
    }
    let content = LayerEntryKind::File(Content::new(Failing));
    assert_eq!(
        refused(
            &[entry(b"a", 0o644, content)],
            &options(Compression::Gzip, None, 2)
        ),
        (
            Kind::Usage,
            "cannot read the content of /a: it is gone".to_owned()
        )
    );
}

#[test]
fn a_full_disk_ends_the_write() {
    struct Full<'a>(usize, &'a AtomicBool);
    impl Write for Full<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let n = self.0.min(buf.len());
            self.0 -= n;
            if n == 0 {
                assert!(
                    !self.1.swap(true, Ordering::Relaxed),
                    "written after the error"
                );
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let entries = [file("a", random(6 << 20, 5))];
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for room in [0, 5, 1 << 20, (5 << 20) + 7] {
            let failed = AtomicBool::new(false);
            let error = write_layer(
                &entries,
                &options(compression, None, 8),
                Full(room, &failed),
            )
            .expect_err("no room");
            assert_eq!(
                (error.kind(), error.to_string()),
                (
                    Kind::Internal,
                    "cannot write the layer: no storage space".to_owned()
                )
            );
        }
    }
}
