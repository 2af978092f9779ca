//! Writes tars that may lie: every field can be set, and nothing is checked.

use std::io::Write;

/// A tar being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// One entry: a plain header with the fields that matter here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) kind: u8,
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            kind: b'0',
            link: b"",
            mode: 0o644,
            size: 0,
        }
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header as it is, without data.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) -> &mut Self {
        let mut block = [0_u8; 512];
        // No more than the field takes; longer names go into `pax` or `gnu_name`.
        let name = &entry.name[..entry.name.len().min(100)];
        let link = &entry.link[..entry.link.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        block[157..157 + link.len()].copy_from_slice(link);
        let mut octal = |at: usize, width: usize, number: u64| {
            let digits = width - 1;
            if number < 1 << (3 * digits) {
                let text = format!("{number:0digits$o}");
                block[at..at + digits].copy_from_slice(text.as_bytes());
            } else {
                // Base 256, as GNU tar writes what octal digits cannot hold.
                block[at] = 0x80;
                block[at + width - 8..at + width].copy_from_slice(&number.to_be_bytes());
            }
        };
        octal(100, 8, entry.mode.into());
        octal(108, 8, 0);
        octal(116, 8, 0);
        octal(124, 12, entry.size);
        octal(136, 12, 0);
        block[156] = entry.kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    /// Data of the entry before, filled up to whole blocks.
    pub(crate) fn data(&mut self, data: &[u8]) -> &mut Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(&mut self, name: &[u8], data: &[u8]) -> &mut Self {
        self.entry(&Entry {
            name,
            size: data.len() as u64,
            ..Entry::default()
        })
        .data(data)
    }

    pub(crate) fn dir(&mut self, name: &[u8]) -> &mut Self {
        self.entry(&Entry {
            name,
            kind: b'5',
            mode: 0o755,
            ..Entry::default()
        })
    }

    pub(crate) fn symlink(&mut self, name: &[u8], link: &[u8]) -> &mut Self {
        self.entry(&Entry {
            name,
            kind: b'2',
            link,
            ..Entry::default()
        })
    }

    pub(crate) fn hard_link(&mut self, name: &[u8], link: &[u8]) -> &mut Self {
        self.entry(&Entry {
            name,
            kind: b'1',
            link,
            ..Entry::default()
        })
    }

    /// PAX records for the entry that follows.
    pub(crate) fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let mut data = Vec::new();
        for (key, value) in records {
            data.extend_from_slice(&pax_record(key, value));
        }
        self.entry(&Entry {
            name: b"pax",
            kind: b'x',
            size: data.len() as u64,
            ..Entry::default()
        })
        .data(&data)
    }

    /// GNU's long name for the entry that follows.
    pub(crate) fn gnu_name(&mut self, name: &[u8]) -> &mut Self {
        self.entry(&Entry {
            name: b"././@LongLink",
            kind: b'L',
            size: name.len() as u64,
            ..Entry::default()
        })
        .data(name)
    }

    /// The tar with its end marker.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    out.write_all(bytes).expect("compressed");
    out.finish().expect("compressed")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("compressed")
}

/// `head`, then `zeros` zeros, compressed without ever being held whole.
pub(crate) fn gzip_bomb(head: &[u8], zeros: u64) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    out.write_all(head).expect("compressed");
    std::io::copy(&mut zero_bytes(zeros), &mut out).expect("compressed");
    out.finish().expect("compressed")
}

pub(crate) fn zstd_bomb(head: &[u8], zeros: u64) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    out.write_all(head).expect("compressed");
    std::io::copy(&mut zero_bytes(zeros), &mut out).expect("compressed");
    out.finish().expect("compressed")
}

fn zero_bytes(count: u64) -> impl std::io::Read {
    std::io::Read::take(std::io::repeat(0), count)
}
