//! The cache directory: what can be computed again, kept by kind and key.
//!
//! Nothing in it is trusted to be whole: each entry is bound to its kind, key and format version by
//! a checksum, and counts as missing when that does not match. Entries are written to a temporary
//! file and renamed, so that builds may share the directory and be killed. A directory that another
//! user owns or may write to is not used at all.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::beside::Beside;
use super::disk;
use crate::core::digest::{Digest, Hashing};
use crate::error::{Error, Result};

/// The version of the format, and of everything that is kept: a directory each.
const VERSION: u32 = 1;
/// The first bytes of every entry.
const MAGIC: &[u8; 8] = b"cstmzcch";
/// Magic, version, length and checksum.
const HEADER: usize = 8 + 4 + 8 + 32;
/// The largest entry that is kept, in bytes.
const MAX_ENTRY: u64 = 512 << 20;
/// An entry that is used gets a new time, but not more often than this.
const TOUCH: Duration = Duration::from_hours(24);

/// The cache directory, or none.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: Option<PathBuf>,
    /// Why it is not used, or what went wrong first.
    trouble: Arc<OnceLock<String>>,
}

/// What is in the cache, or what was removed from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// The directory; none where the cache is not used.
    pub dir: Option<PathBuf>,
    /// The number of whole entries.
    pub entries: u64,
    /// The size of all files that are counted here, in bytes.
    pub bytes: u64,
    /// The number of damaged entries.
    pub damaged: u64,
    /// The number of temporary files that killed runs left behind.
    pub leftovers: u64,
    /// The number of files of older versions of the format.
    pub outdated: u64,
}

/// The directory of the cache by the XDG base directory specification: `customize` below
/// `XDG_CACHE_HOME`, else below `.cache` in `HOME`. Relative and empty values count as not set.
pub fn default_dir(xdg_cache_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let absolute = |value: Option<&OsStr>| value.map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(xdg_cache_home)
        .or_else(|| absolute(home).map(|home| home.join(".cache")))
        .map(|cache| cache.join("customize"))
}

impl Cache {
    /// The cache in `dir`, which is created when something is stored. Not used, with a
    /// [`Cache::trouble`], where another user owns `dir` or may write to it.
    pub fn at(dir: PathBuf) -> Self {
        match unsafe_to_use(&dir) {
            None => Self {
                dir: Some(dir),
                trouble: Arc::default(),
            },
            Some(reason) => Self {
                dir: None,
                trouble: Arc::new(reason.into()),
            },
        }
    }

    /// No cache: nothing is found, nothing is stored.
    pub fn disabled() -> Self {
        Self {
            dir: None,
            trouble: Arc::default(),
        }
    }

    /// Why the directory is not used although one was given, or why an entry could not be stored:
    /// no reason to fail, but one to tell the user.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// The payload that was stored under `kind` and `key`; `None` where it is missing, damaged or
    /// not readable.
    pub fn load(&self, kind: &str, key: &Digest) -> Option<Vec<u8>> {
        let path = self.path(kind, key)?;
        let (file, size) = disk::open_plain(&path).ok()??;
        let payload = read_entry(&file, size, kind, key)?;
        let now = SystemTime::now();
        let old = file
            .metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > TOUCH));
        if old {
            let _ = file.set_modified(now);
        }
        Some(payload)
    }

    /// Stores `payload` under `kind` and `key`, in place of what was there. Where that fails,
    /// [`Cache::trouble`] says why.
    pub fn store(&self, kind: &str, key: &Digest, payload: &[u8]) {
        if let Err(error) = self.try_store(kind, key, payload) {
            // The first failure is told; later ones are likely the same.
            let _ = self.trouble.set(error.to_string());
        }
    }

    fn try_store(&self, kind: &str, key: &Digest, payload: &[u8]) -> Result<()> {
        let Some((dir, path)) = self.dir.as_deref().zip(self.path(kind, key)) else {
            return Ok(());
        };
        if payload.len() as u64 > MAX_ENTRY {
            return Ok(());
        }
        let parent = disk::parent_of(&path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| Error::file("create", parent, error))?;
        if let Some(reason) = unsafe_to_use(dir) {
            return Err(Error::internal(reason));
        }
        let mut beside = Beside::create(&path, 0o600)?;
        let target = beside.target().to_owned();
        let file = beside.file();
        file.write_all(&header(kind, key, payload))
            .and_then(|()| file.write_all(payload))
            .map_err(|error| disk::cannot_write(&target, error))?;
        // Not synced: what a crash of the machine tears is found by the checksum.
        beside.publish(false).map(drop)
    }

    /// Counts what is in the cache. Reads all of it.
    pub fn info(&self) -> Result<CacheInfo> {
        self.walk(|_, _| false).map(|(found, _)| found)
    }

    /// Removes whole entries that were last used before `before`, or all of them; and always what
    /// is damaged, outdated or left behind by killed runs. What was removed.
    pub fn prune(&self, before: Option<SystemTime>) -> Result<CacheInfo> {
        let removed = self.walk(|path, state| match state {
            State::Whole => {
                let modified = fs::metadata(path).and_then(|found| found.modified());
                before.is_none_or(|before| modified.is_ok_and(|time| time < before))
            }
            State::Damaged | State::Leftover | State::Outdated => true,
        });
        removed.map(|(_, removed)| removed)
    }

    fn path(&self, kind: &str, key: &Digest) -> Option<PathBuf> {
        debug_assert!(
            is_kind(kind),
            "a kind is lower-case letters, digits and `-`"
        );
        let dir = self.dir.as_ref().filter(|_| is_kind(kind))?;
        Some(dir.join(format!("v{VERSION}")).join(kind).join(key.hex()))
    }

    /// Looks at every file that is ours and removes those that `remove` chooses: what was found,
    /// and what was removed.
    fn walk(&self, remove: impl Fn(&Path, State) -> bool) -> Result<(CacheInfo, CacheInfo)> {
        let mut found = CacheInfo {
            dir: self.dir.clone(),
            ..CacheInfo::default()
        };
        let mut removed = found.clone();
        let Some(dir) = &self.dir else {
            return Ok((found, removed));
        };
        for version in list(dir)? {
            let Some(number) = version_of(&version).filter(|&number| number <= VERSION) else {
                continue;
            };
            for kind in list(&version)? {
                for path in list(&kind)? {
                    let Some(state) = state(&path, &kind, number) else {
                        continue;
                    };
                    let size = fs::symlink_metadata(&path).map_or(0, |found| found.len());
                    found.count(state, size);
                    if remove(&path, state) && fs::remove_file(&path).is_ok() {
                        removed.count(state, size);
                    }
                }
                if number < VERSION {
                    let _ = fs::remove_dir(&kind);
                }
            }
            if number < VERSION {
                let _ = fs::remove_dir(&version);
            }
        }
        Ok((found, removed))
    }
}

impl CacheInfo {
    fn count(&mut self, state: State, size: u64) {
        self.bytes += size;
        match state {
            State::Whole => self.entries += 1,
            State::Damaged => self.damaged += 1,
            State::Leftover => self.leftovers += 1,
            State::Outdated => self.outdated += 1,
        }
    }
}

/// What a file in the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Damaged,
    Leftover,
    Outdated,
}

/// What `path`, in the directory of its kind, is; `None` where it is not ours, or in use.
fn state(path: &Path, kind: &Path, version: u32) -> Option<State> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let file = || disk::open_plain(path).ok().flatten();
    if name.starts_with(disk::PREFIX) {
        return file()
            .is_some_and(|(file, _)| file.try_lock().is_ok())
            .then_some(State::Leftover);
    }
    let key: Digest = format!("sha256:{name}").parse().ok()?;
    if version < VERSION {
        return Some(State::Outdated);
    }
    let kind = kind.file_name()?.to_str()?;
    let whole = file().is_some_and(|(file, size)| read_entry(&file, size, kind, &key).is_some());
    Some(if whole { State::Whole } else { State::Damaged })
}

/// The files and directories in `dir`, sorted; nothing where there is no such directory.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    if !fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir()) {
        return Ok(Vec::new());
    }
    let mut paths = fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| Error::file("read", dir, error))?;
    paths.sort_unstable();
    Ok(paths)
}

fn version_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix('v')?.parse().ok()
}

fn is_kind(kind: &str) -> bool {
    !kind.is_empty()
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Why the directory must not be used; `None` where it may, or is not there yet.
fn unsafe_to_use(dir: &Path) -> Option<String> {
    let found = match fs::metadata(dir) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("cannot use the cache {}: {error}", dir.display())),
    };
    let user = rustix::process::geteuid().as_raw();
    let what = if !found.is_dir() {
        "expected a directory, found a file".to_owned()
    } else if found.uid() != user {
        format!("expected user {user} to own it, found user {}", found.uid())
    } else if found.permissions().mode() & 0o022 != 0 {
        format!(
            "expected that no one else may write to it, found mode {:04o}",
            found.permissions().mode() & 0o7777
        )
    } else {
        return None;
    };
    Some(format!("cannot use the cache {}: {what}", dir.display()))
}

fn header(kind: &str, key: &Digest, payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[20..].copy_from_slice(checksum(kind, key, payload).bytes());
    header
}

/// SHA-256 over kind, key and payload: an entry is not taken for another one.
fn checksum(kind: &str, key: &Digest, payload: &[u8]) -> Digest {
    let mut hash = Hashing::new(std::io::sink());
    for part in [kind.as_bytes(), b"\0", key.bytes(), payload] {
        // A sink takes everything.
        let _ = hash.write_all(part);
    }
    hash.finish().0
}

/// The payload of an entry; `None` where it is damaged.
fn read_entry(file: &File, size: u64, kind: &str, key: &Digest) -> Option<Vec<u8>> {
    let length = size
        .checked_sub(HEADER as u64)
        .filter(|&n| n <= MAX_ENTRY)?;
    let mut found = [0; HEADER];
    let mut reader = file;
    reader.read_exact(&mut found).ok()?;
    if found[..8] != *MAGIC
        || found[8..12] != VERSION.to_le_bytes()
        || found[12..20] != length.to_le_bytes()
    {
        return None;
    }
    let mut payload = Vec::with_capacity(usize::try_from(length).ok()?);
    reader.take(length).read_to_end(&mut payload).ok()?;
    (found == header(kind, key, &payload)).then_some(payload)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
