//! Bytes that wait on disk until they have their place, in temporary files without a name: however
//! the process ends, nothing of them is left.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A part of a temporary file. Clones share the file; readers do not disturb each other.
#[derive(Debug, Clone)]
pub struct Slice {
    file: Arc<File>,
    start: u64,
    size: u64,
}

/// An empty temporary file without a name, in the system's directory for such files.
pub fn file() -> Result<File> {
    tempfile::tempfile().map_err(|error| {
        Error::io("cannot make a temporary file", error)
            .hint("set TMPDIR to a directory with space that can be written to")
    })
}

/// Adds to the error of a full disk where the space is missing.
pub fn when_full(error: Error) -> Error {
    let cause =
        std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::StorageFull) {
        return error.hint(
            "the new layer waits in the directory for temporary files: set TMPDIR to one with more space",
        );
    }
    error
}

impl Slice {
    /// The `size` bytes of `file` from `start` on.
    pub fn new(file: Arc<File>, start: u64, size: u64) -> Self {
        Self { file, start, size }
    }

    /// The number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the first byte on.
    pub fn reader(&self) -> impl Read + Send + 'static {
        SliceReader {
            slice: self.clone(),
            read: 0,
        }
    }
}

struct SliceReader {
    slice: Slice,
    read: u64,
}

impl Read for SliceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Slice { file, start, size } = &self.slice;
        let left = usize::try_from(size - self.read).unwrap_or(usize::MAX);
        let wanted = left.min(buf.len());
        let n = file.read_at(&mut buf[..wanted], start + self.read)?;
        self.read += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn readers_see_their_part_and_nothing_else() {
        let mut file = file().expect("a temporary file");
        file.write_all(b"0123456789").expect("space");
        let slice = Slice::new(Arc::new(file), 3, 4);
        for _ in 0..2 {
            let mut text = String::new();
            slice.reader().read_to_string(&mut text).expect("reads");
            assert_eq!(text, "3456");
        }
    }
}
