//! Where blobs come from and where results go: OCI layouts, their archives, Docker's archives, and
//! the cache directory.
//!
//! Nothing that is read is trusted: every blob is checked against its digest and size. Nothing is
//! half written: results get their name last, after all of their bytes are on the disk. What is not
//! a plain file (a FIFO, a device) is refused before it is opened, so that nothing here blocks.

pub mod archive;
mod beside;
pub mod cache;
mod disk;
pub mod docker_archive;
pub mod layout;
pub mod metadata;
pub mod output;
mod tarball;
#[cfg(test)]
mod testing;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use crate::core::descriptor::Descriptor;
use crate::core::digest::{Digest, Verified};
use crate::core::platform::Platform;
use crate::error::{Error, Result};
use crate::temporary::Slice;

/// The bytes of a blob, as they come out of a store.
pub type Bytes<'a> = Box<dyn Read + Send + 'a>;

/// Something that holds blobs by digest.
pub trait Store: Send + Sync {
    /// What the store is called in messages, such as `oci:DIR`.
    fn name(&self) -> String;

    /// Opens a blob: its size, and its bytes, which are not verified yet. `None` where the store
    /// does not have it.
    fn open(&self, digest: &Digest) -> Result<Option<(u64, Bytes<'_>)>>;

    /// A plain file that holds just this blob, for hard links.
    fn file(&self, _digest: &Digest) -> Option<PathBuf> {
        None
    }
}

/// Reads a small blob whole, such as a manifest or a config: at most `limit` bytes, verified
/// against its digest, and its size where that is given.
pub fn read_blob(
    store: &dyn Store,
    digest: &Digest,
    size: Option<u64>,
    limit: u64,
) -> Result<Vec<u8>> {
    let (found, bytes) = store.open(digest)?.ok_or_else(|| missing(store, digest))?;
    if let Some(size) = size
        && size != found
    {
        return Err(wrong_size(store, digest, size, found));
    }
    if found > limit {
        return Err(Error::integrity(format!(
            "{}: blob {digest}: expected at most {limit} bytes, found {found}",
            store.name(),
        ))
        .hint(
            "no tool makes manifests or configs of such a size: the image is damaged or forged",
        ));
    }
    let mut whole = Vec::new();
    Verified::new(bytes, *digest, found)
        .read_to_end(&mut whole)
        .map_err(|error| Error::io(store.name(), error))?;
    Ok(whole)
}

/// Opens a large blob; the reader checks digest and size at its end, the size that the store knows
/// is checked at once.
pub fn open_blob<'a>(store: &'a dyn Store, descriptor: &Descriptor) -> Result<Verified<Bytes<'a>>> {
    let (found, bytes) = store
        .open(&descriptor.digest)?
        .ok_or_else(|| missing(store, &descriptor.digest))?;
    if found != descriptor.size {
        return Err(wrong_size(
            store,
            &descriptor.digest,
            descriptor.size,
            found,
        ));
    }
    Ok(Verified::new(bytes, descriptor.digest, descriptor.size))
}

fn wrong_size(store: &dyn Store, digest: &Digest, expected: u64, found: u64) -> Error {
    Error::integrity(format!(
        "{}: blob {digest}: expected {expected} bytes, found {found}",
        store.name()
    ))
    .hint("the blob is damaged or not whole: fetch the image again")
}

fn missing(store: &dyn Store, digest: &Digest) -> Error {
    Error::integrity(format!(
        "expected blob {digest} in {}, found no such blob",
        store.name()
    ))
    .hint("the image there is not whole, or it is another one: copy it again, with every platform (`skopeo copy --all`)")
}

/// A blob of a result and where its bytes are.
#[derive(Debug, Clone)]
pub struct Blob {
    /// What it is.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub source: BlobSource,
}

/// Where the bytes of a blob are.
#[derive(Clone)]
pub enum BlobSource {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a temporary file.
    Temporary(Slice),
    /// In the store of a base image.
    Store(Arc<dyn Store>),
}

impl fmt::Debug for BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Temporary(slice) => slice.fmt(f),
            Self::Store(store) => f.write_str(&store.name()),
        }
    }
}

impl Blob {
    /// A blob of `bytes` in memory.
    pub fn of(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            descriptor: Descriptor::of(media_type, &bytes),
            source: BlobSource::Bytes(bytes.into()),
        }
    }

    /// Opens the blob, to be verified while it is read.
    pub fn open(&self) -> Result<Verified<Bytes<'_>>> {
        let bytes: Bytes<'_> = match &self.source {
            BlobSource::Bytes(bytes) => Box::new(&bytes[..]),
            BlobSource::Temporary(slice) => Box::new(slice.reader()),
            BlobSource::Store(store) => return open_blob(store.as_ref(), &self.descriptor),
        };
        let Descriptor { digest, size, .. } = self.descriptor;
        Ok(Verified::new(bytes, digest, size))
    }

    /// Where the blob comes from, for messages that name its digest themselves.
    fn origin(&self) -> String {
        match &self.source {
            BlobSource::Bytes(_) | BlobSource::Temporary(_) => "the result".to_owned(),
            BlobSource::Store(store) => store.name(),
        }
    }
}

/// One platform's finished image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The platform it runs on.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Blob,
    /// Its config.
    pub config: Blob,
    /// Its layers, the base's first.
    pub layers: Vec<Blob>,
    /// The digests of the layers' plain tars, in the order of `layers`.
    pub diff_ids: Vec<Digest>,
}

/// What a build made.
#[derive(Debug, Clone)]
pub struct Built {
    /// The index, or the only image's manifest.
    pub root: Blob,
    /// The images, one a platform.
    pub images: Vec<Image>,
}

impl Built {
    /// Every blob once, the root first.
    fn blobs(&self) -> Vec<&Blob> {
        let mut seen = std::collections::HashSet::new();
        std::iter::once(&self.root)
            .chain(self.images.iter().flat_map(Image::blobs))
            .filter(|blob| seen.insert(blob.descriptor.digest))
            .collect()
    }

    /// The platform of the root where that is an image.
    fn root_platform(&self) -> Option<&Platform> {
        let root = &self.root.descriptor.digest;
        self.images
            .iter()
            .find(|image| image.manifest.descriptor.digest == *root)
            .map(|image| &image.platform)
    }
}

impl Image {
    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        [&self.manifest, &self.config]
            .into_iter()
            .chain(&self.layers)
    }
}

/// What writing a result did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Whether anything is other than before.
    pub changed: bool,
    /// The number of blobs whose bytes were written.
    pub written: usize,
    /// The number of blobs that are hard links to the base's files.
    pub linked: usize,
    /// The number of blobs that were there before, and whole.
    pub present: usize,
}
