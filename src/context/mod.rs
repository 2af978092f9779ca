//! The build context: the one directory from which the user's files are read.
//!
//! Owns finding what a `source` names and reading it. Every access goes through one handle of the
//! directory ([`cap_std::fs::Dir`]), so nothing outside of it is read: not by `..`, not by a
//! symbolic link, not by a race with someone who swaps one for the other meanwhile.
//!
//! Refuses links that leave the context, devices, sockets and FIFOs, and files that change between
//! the moment they are found and the moment their last byte is read.

mod errors;
mod file;
mod resolve;
mod walk;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};

use crate::core::cancel::Cancel;
use crate::core::entry::{SourceEntry, SourceKind, SourceMatch};
use crate::core::path::{LayerPath, escape};
use crate::error::Result;

use resolve::Resolved;
use walk::{Budget, Tree};

/// The most entries that one `source` may bring.
pub const MAX_ENTRIES: usize = 1_000_000;

/// The most bytes of paths and link targets that one `source` may bring.
pub const MAX_PATH_BYTES: usize = 256 << 20;

/// An open build context. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

/// What a `source` asks for. Paths start at the context and are separated by `/`.
#[derive(Clone, Copy)]
pub enum Pattern<'a> {
    /// One file or directory. `..` is taken as the file system takes it, within the context.
    Literal(&'a str),
    /// Every path that matches.
    Glob {
        /// The glob as the user wrote it, for messages.
        text: &'a str,
        /// The directory before the first component that holds a special character; may be empty.
        prefix: &'a str,
        /// Whether a path matches. It is given with `prefix` in front, without `.` components.
        matches: &'a dyn Fn(&[u8]) -> bool,
    },
}

/// The handle that all access goes through.
struct Inner {
    root: Dir,
    shown: String,
    limits: Limits,
    cancel: Cancel,
}

#[derive(Clone, Copy)]
struct Limits {
    entries: usize,
    path_bytes: usize,
}

impl Context {
    /// Opens the directory `dir`. It is looked up once, here: later it may be renamed.
    /// Looking for files stops when `cancel` is raised.
    pub fn open(dir: &Path, cancel: Cancel) -> Result<Self> {
        let shown = escape(dir.as_os_str().as_bytes());
        let root = Dir::open_ambient_dir(dir, cap_std::ambient_authority())
            .map_err(|error| errors::context(&shown, error))?;
        let limits = Limits {
            entries: MAX_ENTRIES,
            path_bytes: MAX_PATH_BYTES,
        };
        Ok(Self(Arc::new(Inner {
            root,
            shown,
            limits,
            cancel,
        })))
    }

    /// Finds everything that `source` names.
    ///
    /// A literal source, and each path that a glob matches, is followed when it is a symbolic
    /// link. Below a directory links are kept as links; one that leaves the context when followed
    /// (its target is absolute, or has more `..` than there are directories) is an error, and so
    /// is a loop. A link to something that does not exist is kept.
    ///
    /// A glob is looked for below its prefix, without going through links. A name that begins with
    /// `.` is matched like any other, as in a Dockerfile's `COPY`. A directory that matches brings
    /// all below it, and nothing below it is matched again.
    ///
    /// `exclude` is asked with paths relative to the directory that a literal source names, or to
    /// the prefix of a glob. What it answers with `true` is left out with all below it, and is not
    /// even opened. It is not asked about the literal source itself.
    ///
    /// Errors are of kind usage where the user can mend them: nothing there, nothing matched, not
    /// readable, refused by the rules above, or larger than [`MAX_ENTRIES`] and
    /// [`MAX_PATH_BYTES`].
    pub fn collect(
        &self,
        source: &Pattern<'_>,
        exclude: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<SourceMatch>> {
        let mut budget = Budget::new(self.0.limits);
        let matches = match *source {
            Pattern::Literal(text) => vec![self.literal(text, exclude, &mut budget)?],
            Pattern::Glob {
                text,
                prefix,
                matches,
            } => self.glob(text, prefix, matches, exclude, &mut budget)?,
        };
        Ok(matches)
    }

    fn literal(
        &self,
        text: &str,
        exclude: &dyn Fn(&[u8]) -> bool,
        budget: &mut Budget,
    ) -> Result<SourceMatch> {
        self.0.refuse_absolute(text)?;
        let resolved = resolve::source(&self.0, text, &LayerPath::ROOT, text.as_bytes())?;
        let written: Vec<&[u8]> = components(text.as_bytes()).collect();
        let name = match written.last() {
            Some(&b"..") => resolved.path.name().unwrap_or_default().to_vec(),
            last => last.copied().unwrap_or_default().to_vec(),
        };
        let shown = errors::show(&written.join(&b'/'));
        let entries = self.entries(resolved, &LayerPath::ROOT, text, exclude, budget)?;
        Ok(SourceMatch {
            name,
            shown,
            entries,
        })
    }

    fn glob(
        &self,
        text: &str,
        prefix: &str,
        matches: &dyn Fn(&[u8]) -> bool,
        exclude: &dyn Fn(&[u8]) -> bool,
        budget: &mut Budget,
    ) -> Result<Vec<SourceMatch>> {
        self.0.refuse_absolute(text)?;
        // the slash makes anything but a directory an error
        let start = resolve::source(
            &self.0,
            text,
            &LayerPath::ROOT,
            format!("{prefix}/").as_bytes(),
        )?;
        let written = components(prefix.as_bytes())
            .collect::<Vec<_>>()
            .join(&b'/');
        let found = walk::find(&self.0, text, start, &written, matches, exclude, budget)?;
        if found.matches.is_empty() {
            return Err(errors::no_match(&self.0, text, found.excluded));
        }
        let mut result = Vec::with_capacity(found.matches.len());
        for found in found.matches {
            let shown = errors::show(&found.path);
            let resolved = resolve::source(&self.0, &shown, &found.directory, &found.name)?;
            let entries = self.entries(resolved, &found.below_prefix, text, exclude, budget)?;
            result.push(SourceMatch {
                name: found.name,
                shown,
                entries,
            });
        }
        Ok(result)
    }

    /// The entries of one file or directory; `base` is its path as `exclude` sees it.
    fn entries(
        &self,
        resolved: Resolved,
        base: &LayerPath,
        source: &str,
        exclude: &dyn Fn(&[u8]) -> bool,
        budget: &mut Budget,
    ) -> Result<Vec<SourceEntry>> {
        if resolved.metadata.is_dir() {
            let tree = Tree {
                inner: &self.0,
                source,
                base,
                exclude,
            };
            return tree.collect(resolved, budget);
        }
        let kind = file::found(&self.0, &self.0.root, resolved.path.as_bytes(), &resolved)?;
        Ok(vec![SourceEntry {
            path: LayerPath::ROOT,
            kind,
        }])
    }
}

impl Inner {
    /// The metadata of what is at `path` itself; a link is not followed.
    fn metadata(&self, path: &LayerPath) -> io::Result<Metadata> {
        if path.is_root() {
            self.root.dir_metadata()
        } else {
            self.root.symlink_metadata(native(path))
        }
    }

    /// Opens a directory whose path holds no link.
    fn open_dir(&self, path: &LayerPath) -> io::Result<Dir> {
        use cap_fs_ext::DirExt;
        if path.is_root() {
            self.root.try_clone()
        } else {
            self.root.open_dir_nofollow(native(path))
        }
    }

    fn refuse_absolute(&self, source: &str) -> Result<()> {
        if source.starts_with('/') {
            return Err(errors::absolute(self, source));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.0.shown)
    }
}

/// The path as the system takes it.
fn native(path: &LayerPath) -> &Path {
    native_name(path.as_bytes())
}

fn native_name(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// The components of a path as written, without the empty ones and `.`.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

/// The entry of a directory.
fn directory_entry(path: LayerPath) -> SourceEntry {
    SourceEntry {
        path,
        kind: SourceKind::Directory,
    }
}

#[cfg(test)]
mod tests;
