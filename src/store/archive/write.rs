//! Writes a result as a tar file of an OCI image layout. Same result, same bytes.

use std::path::Path;

use super::super::beside::Beside;
use super::super::disk::Stop;
use super::super::layout::{Entry, INDEX, MARKER, MARKER_BYTES, edit_index};
use super::super::tarball::Tarball;
use super::super::{Built, Outcome, output};
use super::name_of;
use crate::core::cancel::Cancel;
use crate::error::{Error, Result};

/// Writes `built` to the tar file `path`, under `tag` where one is given. A file that is there is
/// replaced as a whole, and left alone where it holds the same bytes.
///
/// Order of the members: `oci-layout`, `index.json`, the directories, the blobs by digest.
pub fn write(path: &Path, tag: Option<&str>, built: &Built, cancel: &Cancel) -> Result<Outcome> {
    if let Some(tag) = tag {
        output::check_tag(tag)?;
    }
    cancel.check()?;
    let entry = Entry {
        descriptor: &built.root.descriptor,
        platform: built.root_platform(),
        tag,
    };
    let index = edit_index(None, &entry, &name_of(path))?
        .ok_or_else(|| Error::internal("expected a new index, found none"))?;
    let mut blobs = built.blobs();
    blobs.sort_unstable_by_key(|blob| blob.descriptor.digest);
    let mut beside = Beside::create(path, 0o666)?;
    let target = beside.target().to_owned();
    let stop = Stop::new(cancel);
    let mut tar = Tarball::new(beside.file(), &target, &stop);
    tar.bytes(MARKER, MARKER_BYTES)?;
    tar.bytes(INDEX, &index)?;
    tar.dir("blobs/")?;
    tar.dir("blobs/sha256/")?;
    for blob in &blobs {
        let name = format!("blobs/sha256/{}", blob.descriptor.digest.hex());
        tar.stream(&name, &mut blob.open()?, &blob.origin())?;
    }
    tar.finish()?;
    let changed = beside.publish(true)?;
    let (written, present) = if changed {
        (blobs.len(), 0)
    } else {
        (0, blobs.len())
    };
    Ok(Outcome {
        changed,
        written,
        linked: 0,
        present,
    })
}
