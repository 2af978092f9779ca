//! The messages of the context: what was expected, what was found, and what to do.

use std::io;

use cap_std::fs::{FileType, FileTypeExt};
use rustix::io::Errno;

use super::Inner;
use super::resolve::{Link, Stop};
use crate::core::path::{LayerPath, PathError, escape};
use crate::error::Error;

/// How many names of a directory are looked at for the nearest one.
const NEAREST_AMONG: usize = 10_000;

/// A path from the context on, for people.
pub(super) fn show(path: &[u8]) -> String {
    if path.is_empty() {
        ".".to_owned()
    } else {
        escape(path)
    }
}

pub(super) fn show_path(path: &LayerPath) -> String {
    show(path.as_bytes())
}

/// What a file type is called in a message.
pub(super) fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a file"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        "something of an unknown type"
    }
}

/// The context itself cannot be opened.
pub(super) fn context(shown: &str, error: io::Error) -> Error {
    let hint = "`--context` takes the directory that holds the files of the spec";
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::usage(format!("the context {shown} does not exist")).hint(hint)
        }
        io::ErrorKind::NotADirectory => {
            Error::usage(format!("the context {shown} is not a directory")).hint(hint)
        }
        io::ErrorKind::PermissionDenied => Error::usage(format!("cannot read the context {shown}"))
            .because(error)
            .hint("make it readable for the user who builds"),
        _ => Error::io(format!("cannot open the context {shown}"), error),
    }
}

pub(super) fn absolute(inner: &Inner, source: &str) -> Error {
    Error::usage(format!(
        "expected a path relative to the context {}, found {}",
        inner.shown,
        escape(source.as_bytes())
    ))
    .hint("copy the file into the context, or name a directory above it with `--context`")
}

pub(super) fn no_match(inner: &Inner, glob: &str, excluded: usize) -> Error {
    let glob = escape(glob.as_bytes());
    let context = &inner.shown;
    if excluded > 0 {
        return Error::usage(format!(
            "all that {glob} matches in the context {context} is excluded"
        ))
        .hint("narrow `exclude`, or remove this source");
    }
    Error::usage(format!("{glob} matches nothing in the context {context}"))
        .hint("`*` does not match `/`; `**/` looks into all directories below")
}

pub(super) fn special(inner: &Inner, path: &LayerPath, kind: FileType) -> Error {
    Error::usage(format!(
        "expected a file, a directory or a symbolic link, found {} in the context {}, which is {}",
        show_path(path),
        inner.shown,
        describe(kind)
    ))
    .hint("remove it, or leave it out with `exclude`")
}

pub(super) fn too_many(inner: &Inner, source: &str, limit: &str) -> Error {
    Error::usage(format!(
        "{} in the context {} brings more than {limit}",
        show(source.as_bytes()),
        inner.shown
    ))
    .hint("name what is needed in `source`, or leave the rest out with `exclude`")
}

pub(super) fn bad_path(inner: &Inner, parent: &LayerPath, name: &[u8], why: PathError) -> Error {
    let path = [parent.as_bytes(), name].join(&b'/');
    let path = path.strip_prefix(b"/").unwrap_or(&path);
    Error::usage(format!(
        "cannot take {} of the context {}",
        show(path),
        inner.shown
    ))
    .because(why)
    .hint("rename it, or leave it out with `exclude`")
}

/// A link below a directory that is copied does not stay in the context, or cannot be followed.
pub(super) fn link(inner: &Inner, link: &Link, stop: Stop) -> Error {
    let context = &inner.shown;
    match stop {
        Stop::Leaves(at) => {
            let through = match at {
                Some(at) if at != *link => format!(", through {at}"),
                _ => String::new(),
            };
            Error::usage(format!(
                "the symbolic link {link} leaves the context {context}{through}"
            ))
            .hint(
                "put what it points to into the context and make the target relative, or leave \
                 the link out with `exclude`",
            )
        }
        Stop::Loop => Error::usage(format!(
            "the symbolic link {link} in the context {context} leads to itself"
        ))
        .hint("correct the link, or leave it out with `exclude`"),
        Stop::Unreadable { path, error } => unreadable(inner, &path, error),
        Stop::Path { parent, name, why } => bad_path(inner, &parent, &name, why),
        // not reached: these end where a link may dangle
        Stop::Missing { path, .. } | Stop::NotDirectory { path, .. } => Error::internal(format!(
            "the symbolic link {link} was followed to {}",
            show_path(&path)
        )),
    }
}

/// What a source names cannot be reached.
pub(super) fn source(inner: &Inner, source: &str, stop: Stop) -> Error {
    let context = &inner.shown;
    let source = show(source.as_bytes());
    match stop {
        Stop::Leaves(None) => Error::usage(format!("{source} leaves the context {context}"))
            .hint("copy the file into the context, or name a directory above it with `--context`"),
        Stop::Leaves(Some(link)) => Error::usage(format!(
            "{source} leaves the context {context} by the symbolic link {link}"
        ))
        .hint("copy what the link points to into the context, and name the copy"),
        Stop::Loop => Error::usage(format!(
            "{source} in the context {context} is a symbolic link that leads to itself"
        ))
        .hint("correct the link"),
        Stop::Missing { path, link } => missing(inner, &source, &path, link),
        Stop::NotDirectory { path, kind } => Error::usage(format!(
            "expected a directory at {} in the context {context} for {source}, found {}",
            show_path(&path),
            describe(kind)
        ))
        .hint("correct the path"),
        Stop::Unreadable { path, error } => unreadable(inner, &path, error),
        Stop::Path { parent, name, why } => bad_path(inner, &parent, &name, why),
    }
}

fn missing(inner: &Inner, source: &str, path: &LayerPath, link: Option<Link>) -> Error {
    let shown = show_path(path);
    let context = &inner.shown;
    let why = match &link {
        Some(link) => {
            format!(": the symbolic link {link} leads to {shown}, which is not there")
        }
        None if shown != source.trim_end_matches('/') => format!(": there is no {shown}"),
        None => String::new(),
    };
    let hint = match (nearest(inner, path), link) {
        (Some(near), None) => format!("did you mean {near}?"),
        (_, Some(_)) => "correct the link, or create what it points to".to_owned(),
        (None, None) => "paths start at the context: the spec's directory, unless `--context` \
                         names another"
            .to_owned(),
    };
    Error::usage(format!(
        "{source} does not exist in the context {context}{why}"
    ))
    .hint(hint)
}

/// Something that was found in the context cannot be read.
pub(super) fn unreadable(inner: &Inner, path: &LayerPath, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return changed(inner, path, "what was found first", "nothing");
    }
    // A link that is none any more, or something that is a link now: the types were looked at
    // before.
    let other = [Errno::INVAL, Errno::LOOP, Errno::NOTDIR, Errno::ISDIR];
    if Errno::from_io_error(&error).is_some_and(|errno| other.contains(&errno)) {
        return changed(inner, path, "what was found first", "something else").because(error);
    }
    let message = format!(
        "cannot read {} in the context {}",
        show_path(path),
        inner.shown
    );
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(message, error);
    }
    // a refusal that has no code of the system is cap-std's: a race led out of the context
    let hint = if error.raw_os_error().is_some() {
        "make it readable for the user who builds, or leave it out with `exclude`"
    } else {
        STILL
    };
    Error::usage(message).because(error).hint(hint)
}

const STILL: &str = "let nothing write to the context while it is read, then build again";

/// Something in the context is not what it was when it was found.
pub(super) fn changed(inner: &Inner, path: &LayerPath, expected: &str, found: &str) -> Error {
    Error::usage(format!(
        "{} in the context {} changed while it was read: expected {expected}, found {found}",
        show_path(path),
        inner.shown
    ))
    .hint(STILL)
}

/// The path beside `path` whose name is most like its name, if any is like it.
fn nearest(inner: &Inner, path: &LayerPath) -> Option<String> {
    let (parent, wanted) = path.split()?;
    let wanted = std::str::from_utf8(wanted).ok()?;
    let entries = inner.open_dir(&parent).ok()?.entries().ok()?;
    let best = entries
        .take(NEAREST_AMONG)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| (distance(wanted, &name), name))
        .min()?;
    let (distance, name) = best;
    if distance > wanted.chars().count().div_ceil(3) {
        return None;
    }
    let near = parent.join(name.as_bytes()).ok()?;
    Some(show_path(&near))
}

/// Edits between two names; a difference of case costs nothing.
fn distance(wanted: &str, name: &str) -> usize {
    strsim::osa_distance(&wanted.to_lowercase(), &name.to_lowercase())
}
