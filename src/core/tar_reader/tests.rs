use super::*;
use crate::error::Kind;

/// A header block of the given type, with mode 0644, zeros in its other numbers, and a checksum.
fn block(flag: u8, path: &str, size: u64, change: impl FnOnce(&mut [u8; BLOCK])) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..path.len()].copy_from_slice(path.as_bytes());
    bytes[156] = flag;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    change(header.as_mut_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Header and data, filled up to whole blocks.
fn entry(flag: u8, path: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = block(flag, path, data.len() as u64, |_| ());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn record(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let body = [b" ", key.as_bytes(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = body.len() + 1;
    while length != body.len() + length.to_string().len() {
        length += 1;
    }
    [length.to_string().as_bytes(), &body].concat()
}

const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

type Entries = Vec<(TarEntry, Vec<u8>)>;

/// All entries with their data, or kind and message.
fn read(bytes: impl Read) -> Result<Entries, (Kind, String)> {
    let shown = |error: Error| (error.kind(), error.to_string());
    let mut reader = TarReader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(shown)? {
        let mut data = Vec::new();
        reader
            .read_to_end(&mut data)
            .map_err(|error| shown(Error::io("data", error)))?;
        entries.push((entry, data));
    }
    reader.finish().map_err(shown)?;
    Ok(entries)
}

fn refused(bytes: &[u8], expected: &str) {
    let expected = Err((Kind::Integrity, expected.to_owned()));
    assert_eq!(read(bytes), expected);
}

fn plain(path: &[u8], kind: TarKind, size: u64) -> TarEntry {
    TarEntry {
        path: path.to_vec(),
        kind,
        metadata: Metadata {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        },
        size,
    }
}

#[test]
fn every_kind_is_read() {
    let target = |flag, path, target: &str| {
        block(flag, path, 77, |bytes| {
            bytes[157..157 + target.len()].copy_from_slice(target.as_bytes());
        })
    };
    let device = |flag, path| {
        block(flag, path, 0, |bytes| {
            bytes[329..345].copy_from_slice(b"0000010\x000000003\0");
        })
    };
    let tar = [
        block(b'5', "d/", 9, |_| ()),
        entry(0, "old/", b""),
        entry(b'0', "d/f", b"data"),
        entry(0, "d/v7", b""),
        entry(b'7', "d/contiguous", b"x"),
        target(b'2', "l", "../to"),
        target(b'1', "h", "d/f"),
        device(b'3', "c"),
        device(b'4', "b"),
        block(b'6', "p", 0, |_| ()),
        END.to_vec(),
    ]
    .concat();
    let (major, minor) = (8, 3);
    let expected = vec![
        (plain(b"d/", TarKind::Directory, 0), vec![]),
        (plain(b"old/", TarKind::Directory, 0), vec![]),
        (plain(b"d/f", TarKind::File, 4), b"data".to_vec()),
        (plain(b"d/v7", TarKind::File, 0), vec![]),
        (plain(b"d/contiguous", TarKind::File, 1), b"x".to_vec()),
        (
            plain(
                b"l",
                TarKind::Symlink {
                    target: b"../to".to_vec(),
                },
                0,
            ),
            vec![],
        ),
        (
            plain(
                b"h",
                TarKind::HardLink {
                    target: b"d/f".to_vec(),
                },
                0,
            ),
            vec![],
        ),
        (plain(b"c", TarKind::CharDevice { major, minor }, 0), vec![]),
        (
            plain(b"b", TarKind::BlockDevice { major, minor }, 0),
            vec![],
        ),
        (plain(b"p", TarKind::Fifo, 0), vec![]),
    ];
    assert_eq!(read(tar.as_slice()), Ok(expected));
}

#[test]
fn extension_headers_change_their_entry_alone() {
    let long = "d/".repeat(150) + "f";
    let mut records = record("path", &long);
    records.extend(record("uid", "3000000000"));
    records.extend(record("gid", "7"));
    records.extend(record("mtime", "-1.5"));
    records.extend(record("size", "5"));
    records.extend(record("atime", "1"));
    records.extend(record("SCHILY.xattr.user.b", "\n2"));
    records.extend(record("SCHILY.xattr.security.capability", [1, 0, 0, 2]));
    let link = "t/".repeat(100);
    let tar = [
        entry(b'g', "pax_global_header", &record("comment", "a commit")),
        entry(b'x', "PaxHeaders/f", &records),
        block(b'0', "short", 0, |_| ()),
        [&b"12345"[..], &[0; 507]].concat(),
        entry(b'K', "././@LongLink", &[link.as_bytes(), b"\0"].concat()),
        entry(b'L', "././@LongLink", &[long.as_bytes(), b"\0"].concat()),
        entry(b'2', "short", b""),
        entry(b'0', "plain", b""),
    ]
    .concat();
    let mut first = plain(long.as_bytes(), TarKind::File, 5);
    first.metadata.uid = 3_000_000_000;
    first.metadata.gid = 7;
    first.metadata.mtime = -2;
    first.metadata.xattrs = vec![
        (b"security.capability".to_vec(), vec![1, 0, 0, 2]),
        (b"user.b".to_vec(), b"\n2".to_vec()),
    ];
    let target = link.into_bytes();
    let expected = vec![
        (first, b"12345".to_vec()),
        (
            plain(long.as_bytes(), TarKind::Symlink { target }, 0),
            vec![],
        ),
        (plain(b"plain", TarKind::File, 0), vec![]),
    ];
    assert_eq!(read(tar.as_slice()), Ok(expected));
}

#[test]
fn prefixes_are_read_as_their_format_says() {
    fn prefixed(change: impl FnOnce(&mut [u8; BLOCK])) -> Vec<u8> {
        block(b'0', "f", 0, |bytes| {
            bytes[345..348].copy_from_slice(b"a/b");
            change(bytes);
        })
    }
    let gnu = |bytes: &mut [u8; BLOCK]| bytes[257..265].copy_from_slice(b"ustar  \0");
    let tar = [
        prefixed(|_| ()),
        prefixed(|bytes| bytes[508..].copy_from_slice(b"tar\0")),
        prefixed(gnu),
        prefixed(|bytes| {
            gnu(bytes);
            bytes[345..357].copy_from_slice(b"00000000017\0");
        }),
        prefixed(|bytes| bytes[257..265].fill(0)),
    ]
    .concat();
    let paths: Vec<_> = read(tar.as_slice())
        .expect("well-formed")
        .into_iter()
        .map(|(entry, _)| String::from_utf8(entry.path).expect("ASCII"))
        .collect();
    assert_eq!(paths, ["a/b/f", "a/b/f", "a/b/f", "f", "f"]);
}

#[test]
fn big_and_negative_numbers_and_type_bits_are_read() {
    let tar = block(b'5', "d", 0, |bytes| {
        bytes[100..108].copy_from_slice(b"0104755\0");
        bytes[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]);
        bytes[136..148].fill(0xff);
    });
    let entries = read(tar.as_slice()).expect("well-formed");
    let metadata = &entries[0].0.metadata;
    let found = (metadata.mode, metadata.uid, metadata.mtime);
    assert_eq!(found, (0o4755, u32::MAX - 1, -1));
}

#[test]
fn a_signed_checksum_is_taken() {
    let mut bytes = block(b'0', "\u{e9}", 0, |_| ());
    let sum: i64 = bytes
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                i64::from(byte.cast_signed())
            }
        })
        .sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(bytes.as_slice()).map(|entries| entries.len()), Ok(1));
}

#[test]
fn every_end_that_runtimes_take_is_taken() {
    let file = entry(b'0', "f", b"data");
    for end in [
        &b""[..],
        &END[..BLOCK],
        &END,
        &[0; 20 * BLOCK],
        &[&END[..], b"what follows the end marker"].concat(),
    ] {
        let tar = [&file[..], end].concat();
        assert_eq!(read(tar.as_slice()).map(|entries| entries.len()), Ok(1));
    }
    assert_eq!(read(&b""[..]), Ok(vec![]));
}

#[test]
fn finish_reads_to_the_end_from_anywhere() {
    let tar = [
        entry(b'0', "f", &[1; 2000]),
        entry(b'0', "g", b""),
        END.to_vec(),
        vec![7; 9],
    ]
    .concat();
    let digest = crate::core::digest::Digest::of(&tar);
    for entries in 0..4 {
        let hashing = crate::core::digest::Hashing::new(tar.as_slice());
        let mut reader = TarReader::new(hashing);
        for _ in 0..entries {
            reader.next_entry().expect("well-formed");
        }
        let (found, size, _) = reader.finish().expect("well-formed").finish();
        assert_eq!((found, size), (digest, tar.len() as u64), "{entries}");
    }
}

#[test]
fn unread_data_is_skipped() {
    let tar = [entry(b'0', "f", &[1; 2000]), entry(b'0', "g", b"")].concat();
    let mut reader = TarReader::new(tar.as_slice());
    reader.next_entry().expect("well-formed");
    let mut some = [0; 700];
    reader.read_exact(&mut some).expect("there is more");
    let next = reader
        .next_entry()
        .expect("well-formed")
        .expect("a second one");
    assert_eq!(next, plain(b"g", TarKind::File, 0));
}

#[test]
fn every_cut_is_an_error_or_a_shorter_tar() {
    let tar = [
        entry(b'x', "PaxHeaders/f", &record("uid", "1")),
        entry(b'0', "f", b"data"),
        END.to_vec(),
    ]
    .concat();
    for end in 0..tar.len() {
        let found = read(&tar[..end]);
        match end {
            0 => assert_eq!(found, Ok(vec![])),
            // after the entry, and after the first block of the end marker
            2048 | 2560 => assert_eq!(found.map(|entries| entries.len()), Ok(1), "{end}"),
            _ => assert_eq!(
                found.map_err(|error| error.0),
                Err(Kind::Integrity),
                "{end}"
            ),
        }
    }
    refused(
        &tar[..100],
        "tar entry 1: the tar ends in the middle of a header, after 100 of 512 bytes",
    );
    refused(
        &tar[..515],
        "tar entry 1: the tar ends where 5 more bytes of data were expected",
    );
    refused(
        &tar[..600],
        "tar entry 1: the tar ends in the middle of the entry's last block",
    );
    refused(
        &tar[..1024],
        "tar entry 1: the tar ends after an extension header, without its entry",
    );
    refused(
        &tar[..1538],
        "data: the tar ends where 2 more bytes of data were expected",
    );
    refused(
        &tar[..1700],
        "tar entry 1 (`f`): the tar ends in the middle of the entry's last block",
    );
}

#[test]
fn what_readers_understand_differently_is_refused() {
    let pax = |key, value: &str| entry(b'x', "PaxHeaders/f", &record(key, value));
    let file = || entry(b'0', "f", b"");
    let after = |extension: Vec<u8>| [extension, file()].concat();
    let mut damaged = file();
    damaged[0] ^= 1;
    for (tar, expected) in [
        (
            damaged,
            "tar entry 1: no tar header: expected checksum 3140, found 3139",
        ),
        (
            vec![b'x'; BLOCK],
            "tar entry 1: no tar header: its checksum: expected octal digits, found `xxxxxxxx`",
        ),
        (
            [vec![0; BLOCK], file()].concat(),
            "tar entry 1: a block of zeros with no second one: the end marker has two",
        ),
        (
            after(entry(b'0', "d/", b"")),
            "tar entry 1 (`d/`): a regular file whose name ends in a slash: some readers make it a directory",
        ),
        (
            after(entry(b'S', "s", b"")),
            "tar entry 1 (`s`): a sparse file (GNU type `S`)",
        ),
        (
            after(pax("GNU.sparse.major", "1")),
            "tar entry 1: a sparse file (PAX `GNU.sparse.major`)",
        ),
        (
            after(entry(b'M', "m", b"")),
            "tar entry 1 (`m`): the tar is a part of several (GNU type `M`)",
        ),
        (
            after(entry(b'V', "v", b"")),
            "tar entry 1 (`v`): an entry of the unknown type `V`",
        ),
        (
            after(entry(b'\n', "n\n", b"")),
            "tar entry 1 (`n\\n`): an entry of the unknown type `\\n`",
        ),
        (
            after(pax("uid", "4294967296")),
            "tar entry 1 (`f`): expected a uid of 0 to 4294967295, found 4294967296",
        ),
        (
            after(pax("gid", "-1")),
            "tar entry 1 (`f`): expected a gid of 0 to 4294967295, found -1",
        ),
        (
            after(pax("size", "-1")),
            "tar entry 1 (`f`): a size of -1 bytes",
        ),
        (
            after(pax("path", "a\0b")),
            "tar entry 1: the PAX record `path`: a NUL byte in a name",
        ),
        (
            after(entry(b'x', "p", b"nonsense")),
            "tar entry 1: expected a PAX record `LENGTH KEY=VALUE`, found `nonsense`",
        ),
        (
            after(entry(b'g', "g", &record("uid", "1"))),
            "tar entry 1: a global extended header sets `uid`, which some runtimes apply and others do not",
        ),
        (
            [
                pax("path", "q"),
                entry(b'g', "g", &record("comment", "c")),
                file(),
            ]
            .concat(),
            "tar entry 1 (`q`): a global extended header between an entry and its extension header",
        ),
        (
            [pax("uid", "1"), pax("uid", "2"), file()].concat(),
            "tar entry 1: two extension headers of type `x` for one entry",
        ),
    ] {
        refused(&tar, expected);
    }
}

#[test]
fn numbers_and_sizes_beyond_the_limits_are_refused() {
    for (tar, expected) in [
        (
            block(b'x', "p", MAX_EXTENSION + 1, |_| ()),
            "tar entry 1: an extension header of 1048577 bytes, at most 1048576 are taken",
        ),
        (
            block(b'L', "p", u64::MAX >> 1, |_| ()),
            "tar entry 1: an extension header of 9223372036854775807 bytes, at most 1048576 are taken",
        ),
        (
            block(b'0', "f", 0, |bytes| bytes[124..136].fill(0xff)),
            "tar entry 1 (`f`): a size of -1 bytes",
        ),
        (
            block(b'0', "f", 0, |bytes| {
                bytes[108..116].copy_from_slice(b"0000009\0");
            }),
            "tar entry 1: the header's uid: expected octal digits, found `0000009`",
        ),
        (
            block(b'3', "f", 0, |bytes| bytes[329..337].fill(0xff)),
            "tar entry 1 (`f`): expected a device number of 0 to 4294967295, found -1",
        ),
    ] {
        refused(&tar, expected);
    }
}

#[test]
fn the_largest_size_ends_in_an_error_and_not_in_a_panic() {
    let tar = block(b'0', "f", 0, |bytes| {
        bytes[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    });
    refused(
        &tar,
        "data: the tar ends where 9223372036854775807 more bytes of data were expected",
    );
}

#[test]
fn the_number_of_extended_attributes_is_limited() {
    let records = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|n| record(&format!("SCHILY.xattr.user.{n}"), ""))
            .collect()
    };
    let tar = [entry(b'x', "p", &records(1024)), entry(b'0', "f", b"")].concat();
    let entries = read(tar.as_slice()).expect("as many as are taken");
    assert_eq!(entries[0].0.metadata.xattrs.len(), 1024);
    let tar = [entry(b'x', "p", &records(1025)), entry(b'0', "f", b"")].concat();
    refused(&tar, "tar entry 1: more than 1024 extended attributes");
}

#[test]
fn a_failure_below_keeps_its_kind() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Error::new(Kind::Registry, "connection reset").into_io())
        }
    }
    let tar = entry(b'0', "f", b"data");
    let message = |place: &str| Err((Kind::Registry, format!("{place}: connection reset")));
    assert_eq!(read(Failing), message("tar entry 1"));
    assert_eq!(read(tar[..514].chain(Failing)), message("data"));
    assert_eq!(
        read(tar[..600].chain(Failing)),
        message("tar entry 1 (`f`)")
    );
    assert_eq!(read(tar.chain(Failing)), message("tar entry 2"));
}
