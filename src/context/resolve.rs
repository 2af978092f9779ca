//! Follows a path inside the context, link by link, as the file system would, and says exactly
//! where it stops. Nothing is opened here; what is opened later is held to the context by cap-std.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;

use cap_std::fs::{FileType, Metadata};

use super::{Inner, errors, native};
use crate::core::path::{LayerPath, PathError, escape};
use crate::error::Result;

/// The most links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

/// Where a path leads: a path without links, and what is there, which is not a link.
pub(super) struct Resolved {
    pub(super) path: LayerPath,
    pub(super) metadata: Metadata,
}

/// A symbolic link: its place in the context and its target as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) path: LayerPath,
    pub(super) target: Vec<u8>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -> {}",
            errors::show_path(&self.path),
            escape(&self.target)
        )
    }
}

/// Why a path cannot be followed.
#[derive(Debug)]
pub(super) enum Stop {
    /// It leaves the context, by this link if by one.
    Leaves(Option<Link>),
    /// More than [`MAX_LINKS`] links.
    Loop,
    /// Nothing is at `path`, where `link` led if one was followed.
    Missing { path: LayerPath, link: Option<Link> },
    /// The path goes on below something that is no directory.
    NotDirectory { path: LayerPath, kind: FileType },
    /// The system refused to look at `path`.
    Unreadable { path: LayerPath, error: io::Error },
    /// A component cannot stand in a path.
    Path {
        parent: LayerPath,
        name: Vec<u8>,
        why: PathError,
    },
}

/// Follows `path`, which starts at the directory `start`, to something that exists. `source` is
/// what messages call it.
pub(super) fn source(
    inner: &Inner,
    source: &str,
    start: &LayerPath,
    path: &[u8],
) -> Result<Resolved> {
    let follow = || {
        let path = follow(inner, start, path, None, Ending::MustExist)?;
        match inner.metadata(&path) {
            Ok(metadata) => Ok(Resolved { path, metadata }),
            Err(error) => Err(Stop::Unreadable { path, error }),
        }
    };
    follow().map_err(|stop| errors::source(inner, source, stop))
}

/// Checks that `link`, which is kept as a link, stays in the context when it is followed. It may
/// lead to something that does not exist; then the rest of the path counts as directories.
pub(super) fn check_link(inner: &Inner, directory: &LayerPath, link: &Link) -> Result<()> {
    let checked = if link.target.starts_with(b"/") {
        Err(Stop::Leaves(Some(link.clone())))
    } else {
        let first = Some(link.clone());
        follow(inner, directory, &link.target, first, Ending::MayDangle)
    };
    match checked {
        Ok(_) => Ok(()),
        Err(stop) => Err(errors::link(inner, link, stop)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    MustExist,
    MayDangle,
}

/// Takes one component after the other off `path`, with the target of each link put in front of
/// what is left. `at` never holds a link, so that `..` is simply its parent.
fn follow(
    inner: &Inner,
    start: &LayerPath,
    path: &[u8],
    mut link: Option<Link>,
    ending: Ending,
) -> Result<LayerPath, Stop> {
    let mut links = usize::from(link.is_some());
    let mut at = start.clone();
    let mut not_directory = None;
    let mut left: Vec<Vec<u8>> = Vec::new();
    push_components(&mut left, path);
    while let Some(name) = left.pop() {
        if let (Some(kind), Ending::MustExist) = (not_directory, ending) {
            return Err(Stop::NotDirectory { path: at, kind });
        }
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().ok_or(Stop::Leaves(link.clone()))?;
                continue;
            }
            _ => {}
        }
        let next = match at.join(&name) {
            Ok(next) => next,
            Err(why) => {
                let parent = at;
                return Err(Stop::Path { parent, name, why });
            }
        };
        match look(inner, &next) {
            Ok(Found::Link(target)) => {
                links += 1;
                let absolute = target.starts_with(b"/");
                let found = Link { path: next, target };
                if absolute {
                    return Err(Stop::Leaves(Some(found)));
                }
                if links > MAX_LINKS {
                    return Err(Stop::Loop);
                }
                push_components(&mut left, &found.target);
                link = Some(found);
            }
            Ok(Found::Other(kind)) => {
                not_directory = (!kind.is_dir()).then_some(kind);
                at = next;
            }
            Ok(Found::Nothing) if ending == Ending::MayDangle => at = next,
            Ok(Found::Nothing) => return Err(Stop::Missing { path: next, link }),
            Err(error) => return Err(Stop::Unreadable { path: next, error }),
        }
    }
    Ok(at)
}

fn push_components(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    left.extend(path.rsplit(|&byte| byte == b'/').map(<[u8]>::to_vec));
}

enum Found {
    Nothing,
    Link(Vec<u8>),
    Other(FileType),
}

fn look(inner: &Inner, path: &LayerPath) -> io::Result<Found> {
    let found = inner.metadata(path).and_then(|metadata| {
        let kind = metadata.file_type();
        if !kind.is_symlink() {
            return Ok(Found::Other(kind));
        }
        let target = inner.root.read_link_contents(native(path))?;
        Ok(match target.into_os_string().into_vec() {
            // some systems can make an empty link; none can follow it
            target if target.is_empty() => Found::Nothing,
            target => Found::Link(target),
        })
    });
    match found {
        Err(error) if is_missing(&error) => Ok(Found::Nothing),
        other => other,
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
