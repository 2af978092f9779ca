//! The bytes of files out of layers, between the reading of a base and the writing of a layer.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::core::digest::{Digest, Hashing};
use crate::core::entry::{Content, ContentSource};
use crate::error::{Error, Result};
use crate::temporary::{self, Slice};

/// The bytes of files out of layers, kept on disk until the new layer is written.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    end: Cell<u64>,
}

impl Spool {
    /// An empty spool.
    pub fn new() -> Result<Self> {
        Ok(Self {
            file: Arc::new(temporary::file()?),
            end: Cell::new(0),
        })
    }

    /// Takes a file in, whose digest must be as the index has it.
    pub(super) fn add(&self, data: &mut dyn Read, expected: Digest) -> io::Result<Content> {
        let start = self.end.get();
        let mut hashing = Hashing::new(data);
        (&*self.file).seek(SeekFrom::Start(start))?;
        io::copy(&mut hashing, &mut &*self.file)?;
        let (digest, size, _) = hashing.finish();
        if digest != expected {
            return Err(Error::integrity(format!(
                "expected a file with digest {expected}, found {digest}"
            ))
            .hint("the cached index of the layer is wrong: `customize cache prune`")
            .into_io());
        }
        self.end.set(start + size);
        Ok(Content::new(Spooled {
            slice: Slice::new(Arc::clone(&self.file), start, size),
            digest,
        }))
    }
}

struct Spooled {
    slice: Slice,
    digest: Digest,
}

impl ContentSource for Spooled {
    fn size(&self) -> u64 {
        self.slice.size()
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.slice.reader()))
    }
}
