//! Single blobs of a layout that is written: checked where they are, linked or copied.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::disk::{self, Stop};
use super::super::{Blob, BlobSource};
use super::blob_path;
use crate::core::digest::Verified;
use crate::error::{Error, Result};

/// Whether the file holds the blob, and all of it. Anything else is to be replaced.
pub(super) fn is_whole(path: &Path, blob: &Blob, stop: &Stop<'_>) -> Result<bool> {
    match disk::open_plain(path) {
        Ok(Some((file, size))) if size == blob.descriptor.size => {
            match verify(file, blob, stop, path) {
                Ok(()) => Ok(true),
                Err(_) => stop.check().map(|()| false),
            }
        }
        _ => Ok(false),
    }
}

/// Reads all of `file`, which must be the blob.
fn verify(file: File, blob: &Blob, stop: &Stop<'_>, path: &Path) -> Result<()> {
    let mut reader = Verified::new(file, blob.descriptor.digest, blob.descriptor.size);
    disk::copy(&mut reader, &mut io::sink(), stop, &blob.origin(), path).map(drop)
}

pub(super) fn has_size(dir: &Path, blob: &Blob) -> bool {
    fs::metadata(blob_path(dir, &blob.descriptor.digest))
        .is_ok_and(|found| found.is_file() && found.len() == blob.descriptor.size)
}

/// Links the base's file to `path` and verifies it there. False where that is not possible: there
/// is no such file, it is on another file system, or other users could not read it as they can read
/// what we write.
pub(super) fn link(blob: &Blob, path: &Path, stop: &Stop<'_>) -> Result<bool> {
    let BlobSource::Store(store) = &blob.source else {
        return Ok(false);
    };
    let Some(file) = store.file(&blob.descriptor.digest) else {
        return Ok(false);
    };
    let fresh = File::create_new(path)
        .and_then(|file| file.metadata())
        .map_err(|error| disk::cannot_write(path, error))?
        .permissions()
        .mode();
    fs::remove_file(path).map_err(|error| disk::cannot_write(path, error))?;
    let readable =
        |found: fs::Metadata| found.permissions().mode() & 0o444 & fresh == 0o444 & fresh;
    if !fs::metadata(&file).is_ok_and(readable) || fs::hard_link(&file, path).is_err() {
        return Ok(false);
    }
    match disk::open_plain(path)? {
        Some((file, _)) => verify(file, blob, stop, path).map(|()| true),
        None => Err(Error::internal(format!(
            "expected the file {}, found none",
            path.display()
        ))),
    }
}

/// Copies the blob to `path`, verified, and puts it on the disk.
pub(super) fn copy(blob: &Blob, path: &Path, stop: &Stop<'_>) -> Result<()> {
    let mut reader = blob.open()?;
    let mut file = File::create_new(path).map_err(|error| disk::cannot_write(path, error))?;
    disk::copy(&mut reader, &mut file, stop, &blob.origin(), path)?;
    file.sync_all()
        .map_err(|error| disk::cannot_write(path, error))
}
