//! Content digests (OCI image spec, "Descriptors"): SHA-256 only, and readers and writers that
//! hash what passes through them.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest's 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut hex, b| {
            let _ = write!(hex, "{b:02x}");
            hex
        })
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a digest that we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestError(String);

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a digest `sha256:` and 64 lower-case hexadecimal digits, found `{}`",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for DigestError {}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError(text.chars().take(100).collect());
        let hex = text.strip_prefix("sha256:").ok_or_else(error)?.as_bytes();
        if hex.len() != 64 {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = nibble(pair[0]).zip(nibble(pair[1])).ok_or_else(error)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// Hashes and counts what is read from, or written to, the stream inside.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hash: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    /// Starts with the hash of nothing.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            count: 0,
        }
    }

    /// The number of bytes so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The stream inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The digest and number of all bytes that passed, and the stream inside.
    pub fn finish(self) -> (Digest, u64, T) {
        (Digest(self.hash.finalize().into()), self.count, self.inner)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.note(&buf[..n]);
        Ok(n)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.note(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a blob and checks it, at its end, against the digest and size that its descriptor
/// promises. More bytes than promised are an error as soon as they appear.
#[derive(Debug)]
pub struct Verified<R> {
    inner: Hashing<R>,
    expected: Digest,
    size: u64,
    done: bool,
}

impl<R: Read> Verified<R> {
    /// Reads `inner`, which should be the blob `expected` of `size` bytes.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        Self {
            inner: Hashing::new(inner),
            expected,
            size,
            done: false,
        }
    }

    /// Reads what is left and checks it: for a reader above that stopped early.
    pub fn finish(mut self) -> Result<()> {
        let place = format!("blob {}", self.expected);
        io::copy(&mut self, &mut io::sink())
            .map(drop)
            .map_err(|error| Error::io(place, error))
    }

    fn check_end(&mut self) -> Result<()> {
        if self.inner.count != self.size {
            return Err(self.wrong_size("the blob ended there"));
        }
        let found = Digest(self.inner.hash.clone().finalize().into());
        if found != self.expected {
            return Err(Error::integrity(format!(
                "expected digest {}, found {found}",
                self.expected
            ))
            .hint(
                "the bytes were changed or damaged after they were published: fetch them again",
            ));
        }
        self.done = true;
        Ok(())
    }

    fn wrong_size(&self, what: &str) -> Error {
        Error::integrity(format!(
            "blob {}: expected {} bytes, found {}: {what}",
            self.expected, self.size, self.inner.count
        ))
        .hint("the bytes were changed or damaged after they were published: fetch them again")
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.done || buf.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        if n == 0 {
            self.check_end().map_err(Error::into_io)?;
        } else if self.inner.count > self.size {
            return Err(self.wrong_size("the blob goes on").into_io());
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_form_round_trips() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>(), Ok(Digest::of(b"")));
    }

    #[test]
    fn other_algorithms_and_upper_case_are_refused() {
        for text in [
            "sha512:abc".to_owned(),
            EMPTY.to_uppercase(),
            EMPTY.replace('c', "C"),
            EMPTY[..70].to_owned(),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    fn read(bytes: &[u8], digest: Digest, size: u64) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        Verified::new(bytes, digest, size)
            .read_to_end(&mut out)
            .map(|_| out)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn verified_reading_accepts_only_the_promised_bytes() {
        let digest = Digest::of(b"abc");
        assert_eq!(read(b"abc", digest, 3), Ok(b"abc".to_vec()));
        assert_eq!(
            read(b"abd", digest, 3),
            Err(format!(
                "expected digest {digest}, found {}",
                Digest::of(b"abd")
            ))
        );
        assert_eq!(
            read(b"ab", digest, 3),
            Err(format!(
                "blob {digest}: expected 3 bytes, found 2: the blob ended there"
            ))
        );
        assert_eq!(
            read(b"abcd", digest, 3),
            Err(format!(
                "blob {digest}: expected 3 bytes, found 4: the blob goes on"
            ))
        );
    }
}
