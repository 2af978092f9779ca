//! Writes a result into a layout, new or existing.
//!
//! Blobs are made and verified in a staging directory, synced, then moved; `index.json` is edited
//! and replaced last, under a lock of the directory. A new layout gets its `oci-layout` after that:
//! until then it is no layout, and its staging directory marks it as ours. A failure leaves nothing
//! behind, a kill only what the next run removes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::super::disk::{self, Locked};
use super::super::{Blob, Built, Outcome, output};
use super::blobs::{copy, has_size, is_whole, link};
use super::staging::{self, Staging};
use super::{
    Entry, INDEX, MARKER, MARKER_BYTES, MAX_MARKER, blob_path, check_marker, edit_index, name_of,
};
use crate::core::cancel::Cancel;
use crate::core::digest::Digest;
use crate::core::json::MAX_MANIFEST;
use crate::error::{Error, Result};

/// Writes `built` into the layout in `dir`, under `tag` where one is given. `dir` is created where
/// it is missing; its parent is not.
///
/// Errors are of kind usage where `dir` is neither a layout nor empty, and of kind integrity where
/// a blob of the base is damaged.
pub fn write(dir: &Path, tag: Option<&str>, built: &Built, cancel: &Cancel) -> Result<Outcome> {
    if let Some(tag) = tag {
        output::check_tag(tag)?;
    }
    let blobs = built.blobs();
    let entry = Entry {
        descriptor: &built.root.descriptor,
        platform: built.root_platform(),
        tag,
    };
    let mut target = Target::open(dir, cancel)?;
    let result = target.fill(&blobs, &entry);
    target.close(result.is_ok());
    result
}

/// Whether a result could be written to `dir`, as far as a look tells. Nothing is changed.
pub fn check(dir: &Path) -> Result<()> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => match disk::read_small(&dir.join(MARKER), MAX_MARKER)? {
            Some(marker) => check_marker(&marker, &name_of(dir)),
            None => check_unfinished(dir),
        },
        Ok(_) => Err(Error::usage(format!(
            "expected a directory or nothing, found a file: {}",
            dir.display()
        ))),
        Err(_) if disk::parent_of(dir).is_dir() => Ok(()),
        Err(_) => Err(disk::no_parent(dir)),
    }
}

/// The directory that is written to.
struct Target<'a> {
    dir: &'a Path,
    handle: File,
    /// Whether this run made the directory.
    created: bool,
    staging: Option<Staging>,
    cancel: &'a Cancel,
}

/// How a blob came to be where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Missing,
    Present,
    Written,
    Linked,
}

impl<'a> Target<'a> {
    /// Opens `dir`, or makes it, and makes sure that it is ours to write to.
    fn open(dir: &'a Path, cancel: &'a Cancel) -> Result<Self> {
        // Another run that fails may remove the directory that it made while we wait for its lock.
        for _ in 0..100 {
            cancel.check()?;
            let created = create_dir(dir)?;
            let handle = match disk::open_dir(dir, true) {
                Ok(handle) => handle,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    return Err(Error::usage(format!(
                        "expected a directory or nothing, found a file: {}",
                        dir.display()
                    )));
                }
                Err(error) => return Err(Error::file("open", dir, error)),
            };
            let mut target = Self {
                dir,
                handle,
                created,
                staging: None,
                cancel,
            };
            match target.prepare() {
                Ok(true) => return Ok(target),
                Ok(false) => {}
                Err(error) => {
                    if created {
                        let _ = fs::remove_dir(dir);
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::usage(format!(
            "expected a directory that stays, found one that comes and goes or a link to nothing: {}",
            dir.display()
        )))
    }

    /// Looks at the directory under its lock; false where it is not there any more.
    fn prepare(&mut self) -> Result<bool> {
        let _lock = Locked::new(&self.handle, self.dir, self.cancel)?;
        if !disk::is_same(self.dir, &self.handle) {
            return Ok(false);
        }
        if self.has_marker()? {
            staging::sweep(self.dir);
        } else {
            check_unfinished(self.dir)?;
            // From here on it is marked as ours, and only then may leftovers go.
            self.staging = Some(Staging::create(self.dir, self.cancel)?);
            staging::sweep(self.dir);
        }
        Ok(true)
    }

    /// Whether the directory is a layout; an error where it is one that we cannot write.
    fn has_marker(&self) -> Result<bool> {
        match disk::read_small(&self.dir.join(MARKER), MAX_MARKER)? {
            Some(marker) => check_marker(&marker, &name_of(self.dir)).map(|()| true),
            None => Ok(false),
        }
    }

    fn fill(&mut self, blobs: &[&Blob], entry: &Entry<'_>) -> Result<Outcome> {
        let mut how = disk::each(blobs.len(), self.cancel, |number, stop| {
            let blob = blobs[number];
            let whole = is_whole(&blob_path(self.dir, &blob.descriptor.digest), blob, stop)?;
            Ok(if whole { How::Present } else { How::Missing })
        })?;
        loop {
            self.stage(blobs, &mut how)?;
            if let Some(changed) = self.commit(blobs, &mut how, entry)? {
                let count = |kind| how.iter().filter(|&&how| how == kind).count();
                return Ok(Outcome {
                    changed,
                    written: count(How::Written),
                    linked: count(How::Linked),
                    present: count(How::Present),
                });
            }
        }
    }

    /// Makes every missing blob in the staging directory.
    fn stage(&mut self, blobs: &[&Blob], how: &mut [How]) -> Result<()> {
        let missing: Vec<usize> = (0..blobs.len())
            .filter(|&number| how[number] == How::Missing)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if self.staging.is_none() {
            let _lock = Locked::new(&self.handle, self.dir, self.cancel)?;
            self.staging = Some(Staging::create(self.dir, self.cancel)?);
        }
        let staging = self.staging.as_ref().ok_or_else(no_staging)?;
        let made = disk::each(missing.len(), self.cancel, |number, stop| {
            let blob = blobs[missing[number]];
            let path = staging.path(&blob.descriptor.digest.hex());
            if link(blob, &path, stop)? {
                Ok(How::Linked)
            } else {
                copy(blob, &path, stop).map(|()| How::Written)
            }
        })?;
        for (number, made) in missing.into_iter().zip(made) {
            how[number] = made;
        }
        Ok(())
    }

    /// Moves the blobs and replaces the index, under the lock: whether anything changed. `None`
    /// where a blob that was there has vanished in the meantime and must be made first.
    fn commit(
        &mut self,
        blobs: &[&Blob],
        how: &mut [How],
        entry: &Entry<'_>,
    ) -> Result<Option<bool>> {
        let _lock = Locked::new(&self.handle, self.dir, self.cancel)?;
        self.cancel.check()?;
        if !disk::is_same(self.dir, &self.handle) {
            return Err(Error::internal(format!(
                "expected the directory {} to stay, found that it was removed or replaced",
                self.dir.display()
            )));
        }
        let mut vanished = false;
        for (blob, how) in blobs.iter().zip(how.iter_mut()) {
            if *how == How::Present && !has_size(self.dir, blob) {
                *how = How::Missing;
                vanished = true;
            }
        }
        if vanished {
            return Ok(None);
        }
        let layout = self.has_marker()?;
        let index = disk::read_small(&self.dir.join(INDEX), MAX_MANIFEST)?;
        if layout && index.is_none() {
            return Err(Error::integrity(format!(
                "expected `{INDEX}` in the layout {}, found none",
                self.dir.display()
            ))
            .hint("the layout is damaged: write to another directory"));
        }
        let edited = edit_index(index.as_deref(), entry, &name_of(self.dir))?;
        let moved = how.iter().any(|how| *how != How::Present);
        if moved || edited.is_some() || !layout {
            if self.staging.is_none() {
                self.staging = Some(Staging::create(self.dir, self.cancel)?);
            }
            self.publish(blobs, how, edited.as_deref(), !layout)?;
            return Ok(Some(true));
        }
        Ok(Some(false))
    }

    /// Gives everything its name: blobs, index, and the marker of a new layout.
    fn publish(&self, blobs: &[&Blob], how: &[How], index: Option<&[u8]>, new: bool) -> Result<()> {
        let staging = self.staging.as_ref().ok_or_else(no_staging)?;
        let mut added = Vec::new();
        let result = move_blobs(self.dir, staging, blobs, how, &mut added)
            .and_then(|()| index.map_or(Ok(()), |bytes| replace(self.dir, staging, INDEX, bytes)));
        if result.is_err() {
            for path in added {
                let _ = fs::remove_file(path);
            }
            return result;
        }
        if new {
            replace(self.dir, staging, MARKER, MARKER_BYTES)?;
        }
        disk::sync_dir(self.dir)?;
        if self.created {
            disk::sync_dir(disk::parent_of(self.dir))?;
        }
        Ok(())
    }

    /// Removes the staging directory, and all of an unfinished layout that nobody else is writing.
    fn close(mut self, done: bool) {
        // The flag may be raised, which is why we are here: wait for the lock all the same.
        let Ok(_lock) = Locked::new(&self.handle, self.dir, &Cancel::default()) else {
            return;
        };
        self.staging = None;
        let gone = !disk::is_same(self.dir, &self.handle);
        if done || gone || self.dir.join(MARKER).exists() || staging::sweep(self.dir) {
            return;
        }
        let _ = fs::remove_file(self.dir.join(INDEX));
        remove_blobs(self.dir);
        if self.created {
            let _ = fs::remove_dir(self.dir);
        }
    }
}

/// Makes `dir`; false where something is there.
fn create_dir(dir: &Path) -> Result<bool> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) if dir.is_dir() => Ok(false),
        Err(error) if disk::is_missing(&error) => Err(disk::no_parent(dir)),
        Err(error) => Err(disk::cannot_write(dir, error)),
    }
}

/// Checks that a directory without `oci-layout` is empty, or what a run of ours left or is writing.
fn check_unfinished(dir: &Path) -> Result<()> {
    let mut marked = false;
    let mut known = 0_usize;
    let mut unknown = None;
    for entry in fs::read_dir(dir).map_err(|error| Error::file("read", dir, error))? {
        let name = entry
            .map_err(|error| Error::file("read", dir, error))?
            .file_name();
        if staging::is_name(&name) {
            marked = true;
        } else if name == "blobs" || name == INDEX {
            known += 1;
        } else {
            unknown = Some(name);
        }
    }
    if unknown.is_none() && (marked || known == 0) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected an OCI image layout or an empty directory, found a directory with other files: {}",
        dir.display()
    ))
    .hint("name a directory that does not exist yet"))
}

/// Moves staged blobs to their names. What was not there before goes to `added`.
fn move_blobs(
    dir: &Path,
    staging: &Staging,
    blobs: &[&Blob],
    how: &[How],
    added: &mut Vec<PathBuf>,
) -> Result<()> {
    let parent = dir.join("blobs/sha256");
    fs::create_dir_all(&parent).map_err(|error| disk::cannot_write(&parent, error))?;
    for (blob, _) in blobs
        .iter()
        .zip(how)
        .filter(|(_, how)| **how != How::Present)
    {
        let digest = &blob.descriptor.digest;
        let path = blob_path(dir, digest);
        let new = fs::symlink_metadata(&path).is_err();
        fs::rename(staging.path(&digest.hex()), &path)
            .map_err(|error| disk::cannot_write(&path, error))?;
        if new {
            added.push(path);
        }
    }
    disk::sync_dir(&parent)?;
    disk::sync_dir(&dir.join("blobs"))
}

/// Replaces a small file of the layout.
fn replace(dir: &Path, staging: &Staging, name: &str, bytes: &[u8]) -> Result<()> {
    let (temp, path) = (staging.path(name), dir.join(name));
    disk::write_new(&temp, bytes)?;
    fs::rename(temp, &path).map_err(|error| disk::cannot_write(&path, error))
}

/// Removes the blobs of a layout that never was one.
fn remove_blobs(dir: &Path) {
    let parent = dir.join("blobs/sha256");
    for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if format!("sha256:{}", name.display())
            .parse::<Digest>()
            .is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(&parent);
    let _ = fs::remove_dir(dir.join("blobs"));
}

fn no_staging() -> Error {
    Error::internal("expected a staging directory, found none")
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
