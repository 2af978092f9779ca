//! Walks directories of the context: all below one that is copied, or what a glob matches.
//!
//! One directory is open at a time, whatever the depth. Each is compared with what its parent
//! showed, so that one that is swapped meanwhile is refused and not read.

use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};

use super::resolve::{self, Link, Resolved};
use super::{Inner, Limits, directory_entry, errors, file, native_name};
use crate::core::entry::{SourceEntry, SourceKind};
use crate::core::path::LayerPath;
use crate::error::Result;

/// What one source may still bring.
pub(super) struct Budget {
    limits: Limits,
    entries: usize,
    path_bytes: usize,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: limits.entries,
            path_bytes: limits.path_bytes,
        }
    }

    /// Takes one entry and `bytes` of names; the error says which limit was met.
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.entries = self
            .entries
            .checked_sub(1)
            .ok_or_else(|| format!("{} entries", self.limits.entries))?;
        self.take_bytes(bytes)
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.path_bytes = self
            .path_bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("{} bytes of paths", self.limits.path_bytes))?;
        Ok(())
    }
}

/// A directory that is copied with all below it.
pub(super) struct Tree<'a> {
    pub(super) inner: &'a Arc<Inner>,
    /// The source as written, for messages.
    pub(super) source: &'a str,
    /// The path of the directory as `exclude` sees it.
    pub(super) base: &'a LayerPath,
    pub(super) exclude: &'a dyn Fn(&[u8]) -> bool,
}

/// A directory still to be read.
struct Pending {
    seen: Resolved,
    /// Its path below the directory that the walk started from.
    below: LayerPath,
}

/// A directory that was read: its handle, and its names in the order of their bytes.
struct Listing {
    handle: Dir,
    names: Vec<Vec<u8>>,
}

impl Tree<'_> {
    /// Everything in the directory `start`, itself first, in the order of the paths' bytes.
    pub(super) fn collect(&self, start: Resolved, budget: &mut Budget) -> Result<Vec<SourceEntry>> {
        let mut entries = vec![directory_entry(LayerPath::ROOT)];
        let mut pending = vec![Pending {
            seen: start,
            below: LayerPath::ROOT,
        }];
        while let Some(directory) = pending.pop() {
            let excluded = |name: &[u8]| {
                let below = slashed(&[self.base, &directory.below], name);
                (self.exclude)(&below)
            };
            let listing = list(self.inner, &directory.seen, self.source, &excluded, budget)?;
            for name in &listing.names {
                let below = join(self.inner, &directory.below, name)?;
                let seen = look(self.inner, &listing.handle, &directory.seen.path, name)?;
                if seen.metadata.is_dir() {
                    entries.push(directory_entry(below.clone()));
                    pending.push(Pending { seen, below });
                    continue;
                }
                let kind = if seen.metadata.is_symlink() {
                    self.link(
                        &listing.handle,
                        name,
                        &directory.seen.path,
                        seen.path,
                        budget,
                    )?
                } else {
                    file::found(self.inner, &listing.handle, name, &seen)?
                };
                entries.push(SourceEntry { path: below, kind });
            }
        }
        entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    fn link(
        &self,
        handle: &Dir,
        name: &[u8],
        parent: &LayerPath,
        path: LayerPath,
        budget: &mut Budget,
    ) -> Result<SourceKind> {
        let target = handle
            .read_link_contents(native_name(name))
            .map_err(|error| errors::unreadable(self.inner, &path, error))?
            .into_os_string()
            .into_vec();
        budget
            .take_bytes(target.len())
            .map_err(|limit| errors::too_many(self.inner, self.source, &limit))?;
        let link = Link { path, target };
        resolve::check_link(self.inner, parent, &link)?;
        Ok(SourceKind::Symlink(link.target))
    }
}

/// What a glob matched.
pub(super) struct Matched {
    /// From the context on, with the prefix as written.
    pub(super) path: Vec<u8>,
    /// Its path below the prefix.
    pub(super) below_prefix: LayerPath,
    /// The directory it lies in, without links.
    pub(super) directory: LayerPath,
    /// Its name in that directory.
    pub(super) name: Vec<u8>,
}

/// What [`find`] found.
pub(super) struct Matches {
    /// In the order of the paths' bytes.
    pub(super) matches: Vec<Matched>,
    /// How many paths match but are excluded.
    pub(super) excluded: usize,
}

/// Looks for what `matches` below the directory `start`, which was written as `prefix`.
pub(super) fn find(
    inner: &Arc<Inner>,
    source: &str,
    start: Resolved,
    prefix: &[u8],
    matches: &dyn Fn(&[u8]) -> bool,
    exclude: &dyn Fn(&[u8]) -> bool,
    budget: &mut Budget,
) -> Result<Matches> {
    let mut found = Vec::new();
    let excluded_matches = std::cell::Cell::new(0);
    let with_prefix = |below: &[u8]| {
        let mut path = prefix.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(below);
        path
    };
    let mut pending = vec![Pending {
        seen: start,
        below: LayerPath::ROOT,
    }];
    while let Some(directory) = pending.pop() {
        let excluded = |name: &[u8]| {
            let below = slashed(&[&directory.below], name);
            let excluded = exclude(&below);
            if excluded && matches(&with_prefix(&below)) {
                excluded_matches.set(excluded_matches.get() + 1);
            }
            excluded
        };
        let listing = list(inner, &directory.seen, source, &excluded, budget)?;
        for name in listing.names {
            let below = join(inner, &directory.below, &name)?;
            let path = with_prefix(below.as_bytes());
            if matches(&path) {
                found.push(Matched {
                    path,
                    below_prefix: below,
                    directory: directory.seen.path.clone(),
                    name,
                });
                continue;
            }
            let seen = look(inner, &listing.handle, &directory.seen.path, &name)?;
            if seen.metadata.is_dir() {
                pending.push(Pending { seen, below });
            }
        }
    }
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(Matches {
        matches: found,
        excluded: excluded_matches.get(),
    })
}

/// Reads the names in a directory, without those that are excluded.
fn list(
    inner: &Inner,
    seen: &Resolved,
    source: &str,
    excluded: &dyn Fn(&[u8]) -> bool,
    budget: &mut Budget,
) -> Result<Listing> {
    let path = &seen.path;
    let handle = open(inner, seen)?;
    let unreadable = |error| errors::unreadable(inner, path, error);
    let mut names = Vec::new();
    for entry in handle.entries().map_err(unreadable)? {
        inner.cancel.check()?;
        let name = entry.map_err(unreadable)?.file_name().into_vec();
        if excluded(&name) {
            continue;
        }
        budget
            .take(path.as_bytes().len() + 1 + name.len())
            .map_err(|limit| errors::too_many(inner, source, &limit))?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(Listing { handle, names })
}

/// Opens the directory that was seen, and no other that took its place.
fn open(inner: &Inner, seen: &Resolved) -> Result<Dir> {
    let changed = |now: Option<&Metadata>| {
        let found = match now {
            None => "nothing",
            Some(now) if now.is_dir() => "another one in its place",
            Some(now) => errors::describe(now.file_type()),
        };
        errors::changed(
            inner,
            &seen.path,
            "the directory that was found first",
            found,
        )
    };
    let opened = inner
        .open_dir(&seen.path)
        .and_then(|handle| Ok((handle.dir_metadata()?, handle)));
    match opened {
        Ok((now, handle)) if file::same_inode(&now, &seen.metadata) => Ok(handle),
        Ok((now, _)) => Err(changed(Some(&now))),
        Err(error) => Err(match inner.metadata(&seen.path) {
            Ok(now) if file::same_inode(&now, &seen.metadata) => {
                errors::unreadable(inner, &seen.path, error)
            }
            now => changed(now.ok().as_ref()),
        }),
    }
}

/// What is at `name` in the open directory `parent`.
fn look(inner: &Inner, handle: &Dir, parent: &LayerPath, name: &[u8]) -> Result<Resolved> {
    let path = join(inner, parent, name)?;
    match handle.symlink_metadata(native_name(name)) {
        Ok(metadata) => Ok(Resolved { path, metadata }),
        Err(error) => Err(errors::unreadable(inner, &path, error)),
    }
}

fn join(inner: &Inner, parent: &LayerPath, name: &[u8]) -> Result<LayerPath> {
    parent
        .join(name)
        .map_err(|why| errors::bad_path(inner, parent, name, why))
}

/// The parts and the name with slashes between them.
fn slashed(parts: &[&LayerPath], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    for part in parts.iter().filter(|part| !part.is_root()) {
        path.extend_from_slice(part.as_bytes());
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
