//! Placing what the spec asks for: the steps by which a [`Planner`] grows its plan.

use super::{
    Action, Cause, DIRECTORY_MODE, Edit, Ids, Place, Planned, Planner, describe, file_metadata,
    repeated,
};
use crate::core::entry::{LayerEntryKind, Metadata, SourceEntry, SourceKind};
use crate::core::path::{LayerPath, escape};
use crate::core::spec::{Destination, Mode};
use crate::core::tree::{Link, MAX_LINKS, Node, ResolveError, Resolved, Seen, resolve};
use crate::error::{Error, Result};

/// One source to be placed.
#[derive(Debug)]
pub struct Placement<'a> {
    /// Where to.
    pub destination: &'a Destination,
    /// The name of what the source is, for a destination that is a directory.
    pub name: &'a [u8],
    /// Whether `name` is used for a directory as well: so for what a glob matched.
    pub by_name: bool,
    /// What the source holds; the first entry is the file or directory itself.
    pub entries: &'a [SourceEntry],
    /// The owner of all that is new.
    pub owner: Ids,
    /// The mode of files; directories get search permission where it gives read.
    pub mode: Option<Mode>,
    /// Whether the entry of the spec itself asks for owner or mode: then a directory that does not
    /// get them is told of.
    pub explicit: bool,
    /// Which part of the spec asks for it, such as `copy_files[2]`.
    pub key: &'a str,
    /// The source as the user would say it; `None` where the spec itself holds the bytes.
    pub shown: Option<&'a str>,
}

impl Placement<'_> {
    fn cause(&self, entry: &SourceEntry) -> Cause {
        Cause {
            key: self.key.to_owned(),
            source: self.shown.map(|shown| {
                if entry.path.is_root() {
                    shown.to_owned()
                } else {
                    format!("{}{}", shown.trim_end_matches('/'), entry.path)
                }
            }),
        }
    }
}

impl Planner<'_> {
    /// Plans all entries of one source.
    pub fn place(&mut self, placement: &Placement<'_>) -> Result<()> {
        let top = top(placement).map_err(|error| error.at(placement.key))?;
        for entry in placement.entries {
            self.place_entry(placement, &top, entry)
                .map_err(|error| error.at(placement.key))?;
        }
        Ok(())
    }

    /// Plans a directory with default mode and owner, where the base has none.
    pub fn make_directory(&mut self, path: &LayerPath, key: &str) -> Result<()> {
        let metadata = self.metadata(DIRECTORY_MODE, self.defaults.owner);
        self.directory(path, metadata, Cause::key(key), false)
            .map_err(|error| error.at(key))
    }

    /// Plans a changed file of the base, which keeps its mode, owner and extended attributes; or a
    /// new one, 0644, of the default owner.
    pub fn edit(&mut self, edit: Edit<'_>) -> Result<()> {
        let new = self.metadata(0o644, self.defaults.owner);
        let place = |error: Error| error.at(edit.key);
        let resolved = self.locate(edit.path, true).map_err(place)?;
        let metadata = file_metadata(self.base, &resolved.path).map_or(new, |metadata| Metadata {
            mtime: self.defaults.mtime,
            ..metadata
        });
        self.put(
            resolved,
            metadata,
            LayerEntryKind::File(edit.content),
            Cause::key(edit.key),
        )
        .map_err(place)
    }

    fn place_entry(
        &mut self,
        placement: &Placement<'_>,
        top: &LayerPath,
        entry: &SourceEntry,
    ) -> Result<()> {
        let path = top.join_all(&entry.path).map_err(|error| {
            Error::usage(format!("{} cannot go below {top}", entry.path)).because(error)
        })?;
        check_names(&path)?;
        match &entry.kind {
            SourceKind::Directory => {
                let mode = placement.mode.map_or(DIRECTORY_MODE, Mode::for_directories);
                let metadata = self.metadata(mode, placement.owner);
                let explicit = placement.explicit;
                self.directory(&path, metadata, placement.cause(entry), explicit)
            }
            SourceKind::File {
                content,
                executable,
            } => {
                let default = if *executable { 0o755 } else { 0o644 };
                let mode = placement.mode.map_or(default, Mode::for_files);
                let metadata = self.metadata(mode, placement.owner);
                let resolved = self.locate(&path, true)?;
                self.put(
                    resolved,
                    metadata,
                    LayerEntryKind::File(content.clone()),
                    placement.cause(entry),
                )
            }
            SourceKind::Symlink(target) => {
                let metadata = self.metadata(0o777, placement.owner);
                let resolved = self.locate(&path, false)?;
                self.put(
                    resolved,
                    metadata,
                    LayerEntryKind::Symlink(target.clone()),
                    placement.cause(entry),
                )
            }
        }
    }

    /// Plans a directory. One of the base stays as it is, and so does one that another entry asked
    /// for; one that was planned only as a parent is taken over.
    fn directory(
        &mut self,
        path: &LayerPath,
        metadata: Metadata,
        cause: Cause,
        explicit: bool,
    ) -> Result<()> {
        let Resolved { path, links, .. } = self.locate(path, true)?;
        match self.look(&path) {
            Some(Seen::Directory) => {
                self.join(&path, metadata, cause, explicit);
                Ok(())
            }
            Some(seen) => Err(collision(&path, "a directory", seen)),
            None => {
                check_names(&path)?;
                self.parents(&path)?;
                self.insert(
                    path,
                    Action::Add,
                    metadata,
                    LayerEntryKind::Directory,
                    links,
                    Some(cause),
                );
                Ok(())
            }
        }
    }

    /// A directory that is asked for and is there already.
    fn join(&mut self, path: &LayerPath, metadata: Metadata, cause: Cause, explicit: bool) {
        if let Some(planned) = self.planned.get_mut(path)
            && planned.action == Action::Add
            && planned.cause.is_none()
        {
            planned.metadata = metadata;
            planned.cause = Some(cause);
            return;
        }
        let base = self.base.get(path).map(|node| &node.metadata);
        let kept = self.planned.get(path).map(|planned| &planned.metadata);
        let Some(kept) = kept.or(base).filter(|_| explicit) else {
            return;
        };
        if (kept.mode, kept.uid, kept.gid) != (metadata.mode, metadata.uid, metadata.gid) {
            self.notes.push(format!(
                "{}: the directory {path} is there already and keeps mode {:04o} and owner {}:{}",
                cause.key, kept.mode, kept.uid, kept.gid
            ));
        }
    }

    /// Plans a file or link at a path that is resolved already.
    fn put(
        &mut self,
        at: Resolved<Place>,
        metadata: Metadata,
        kind: LayerEntryKind,
        cause: Cause,
    ) -> Result<()> {
        if at.directory && self.look(&at.path).is_none() {
            return Err(asks_for_directory(&at));
        }
        let Resolved { path, links, .. } = at;
        let what = match kind {
            LayerEntryKind::Symlink(_) => LINK,
            _ => "a file",
        };
        if let Some(planned) = self.planned.get(&path) {
            return Err(match &planned.cause {
                Some(other) if planned.kind != LayerEntryKind::Directory => Error::usage(format!(
                    "expected one entry for {path}, found {}{} there already",
                    other.key,
                    leading_here(&planned.links)
                ))
                .hint("remove one of the two, or give it another destination"),
                _ => collision(&path, what, Seen::Directory),
            });
        }
        let action = match self.base.get(&path).map(Node::seen) {
            Some(Seen::Directory) => return Err(collision(&path, what, Seen::Directory)),
            Some(Seen::Symlink(target)) => {
                if kind != LayerEntryKind::Symlink(target.to_vec()) {
                    self.refuse_other_link(&path)?;
                }
                Action::Replace
            }
            Some(_) => Action::Replace,
            None => Action::Add,
        };
        check_names(&path)?;
        self.parents(&path)?;
        self.insert(path, action, metadata, kind, links, Some(cause));
        Ok(())
    }

    /// A link of the base may not be given another target when something was placed through it, or
    /// when it leads to a directory, all of which would be out of reach at this path.
    fn refuse_other_link(&self, path: &LayerPath) -> Result<()> {
        if self.followed.contains(path) {
            return Err(followed(path));
        }
        let leads_to = resolve(self, path, true).ok().map(|resolved| resolved.path);
        match leads_to {
            Some(to) if self.look(&to) == Some(Seen::Directory) => Err(Error::usage(format!(
                "expected to write a symbolic link at {path}, found a link to the directory {to} there, whose content would be out of reach"
            ))
            .hint("leave the link out with `exclude`")),
            _ => Ok(()),
        }
    }

    /// Plans every directory above `path`, which is physical.
    fn parents(&mut self, path: &LayerPath) -> Result<()> {
        let ancestors: Vec<_> = path.ancestors().collect();
        for parent in ancestors {
            if let Some(planned) = self.planned.get(&parent) {
                debug_assert_eq!(
                    planned.kind,
                    LayerEntryKind::Directory,
                    "resolved paths have directories above"
                );
                continue;
            }
            let (action, metadata) = match self.base.get(&parent) {
                Some(node) if node.is_directory() => (Action::Keep, repeated(node)),
                Some(_) => return Err(collision(&parent, "a directory", Seen::Other)),
                None => (
                    Action::Add,
                    self.metadata(DIRECTORY_MODE, self.defaults.owner),
                ),
            };
            self.insert(
                parent,
                action,
                metadata,
                LayerEntryKind::Directory,
                Vec::new(),
                None,
            );
        }
        Ok(())
    }

    fn insert(
        &mut self,
        path: LayerPath,
        action: Action,
        metadata: Metadata,
        kind: LayerEntryKind,
        links: Vec<Link>,
        cause: Option<Cause>,
    ) {
        let planned = Planned {
            action,
            metadata,
            kind,
            links,
            cause,
        };
        self.planned.insert(path, planned);
    }

    /// What the result has at `path`, which is physical.
    fn look(&self, path: &LayerPath) -> Option<Seen<'_>> {
        let planned = self.planned.get(path).map(Planned::seen);
        planned.or_else(|| self.base.get(path).map(Node::seen))
    }

    /// Resolves `path` through the base and the plan.
    fn locate(&mut self, path: &LayerPath, follow_last: bool) -> Result<Resolved<Place>> {
        let impossible = |error| Error::usage(format!("{path} cannot be written")).because(error);
        let Some((parent, name)) = path.split() else {
            return Ok(Resolved {
                path: LayerPath::ROOT,
                at: None,
                links: Vec::new(),
                directory: false,
                steps: 0,
            });
        };
        if !self.directories.contains_key(&parent) {
            let resolved = resolve(&*self, &parent, true).map_err(impossible)?;
            if let Some(seen @ Seen::Other) = self.look(&resolved.path) {
                return Err(collision(&resolved.path, "a directory", seen));
            }
            self.follow(&resolved.links);
            self.directories
                .insert(parent.clone(), (resolved.path, resolved.links));
        }
        let (physical, links) = &self.directories[&parent];
        let at = physical
            .join(name)
            .map_err(|error| Error::usage(format!("{path} cannot be written")).because(error))?;
        let mut links = links.clone();
        if !follow_last || !matches!(self.look(&at), Some(Seen::Symlink(_))) {
            return Ok(Resolved {
                path: at,
                at: None,
                links,
                directory: false,
                steps: 0,
            });
        }
        let last = resolve(&*self, &at, true).map_err(impossible)?;
        self.follow(&last.links);
        links.extend(last.links);
        if links.len() > MAX_LINKS {
            return Err(impossible(ResolveError::Loop(links.swap_remove(0).path)));
        }
        Ok(Resolved { links, ..last })
    }

    fn follow(&mut self, links: &[Link]) {
        self.followed
            .extend(links.iter().map(|link| link.path.clone()));
    }
}

/// The path that the first entry of the source gets.
fn top(placement: &Placement<'_>) -> Result<LayerPath> {
    let destination = placement.destination;
    let is_directory = matches!(
        placement.entries.first(),
        Some(SourceEntry {
            kind: SourceKind::Directory,
            ..
        })
    );
    if placement.by_name || (destination.directory && !is_directory) {
        return destination.path.join(placement.name).map_err(|error| {
            Error::usage(format!(
                "{} cannot go into {}",
                escape(placement.name),
                destination.path
            ))
            .because(error)
        });
    }
    if destination.path.is_root() && !is_directory {
        return Err(Error::usage(
            "expected the path of a file, found the image's root `/`",
        ));
    }
    Ok(destination.path.clone())
}

/// What a symbolic link is called in a message.
const LINK: &str = "a symbolic link";

/// Names that layers give another meaning to cannot be written.
fn check_names(path: &LayerPath) -> Result<()> {
    if path.components().any(|name| name.starts_with(b".wh.")) {
        return Err(Error::usage(format!(
            "{path} cannot be written: in a layer, a name that begins with `.wh.` deletes a file"
        )));
    }
    Ok(())
}

fn collision(path: &LayerPath, wanted: &str, found: Seen<'_>) -> Error {
    let error = Error::usage(format!(
        "expected to write {wanted} at {path}, found {} there",
        describe(found)
    ));
    match found {
        Seen::Directory if wanted == LINK => error.hint("leave the link out with `exclude`"),
        Seen::Directory if path.is_root() => error.hint("choose a path below the root"),
        Seen::Directory => error.hint(format!(
            "to put the file into the directory, end the destination with a slash: `{path}/`"
        )),
        _ => error.hint("choose a destination where no file is in the way"),
    }
}

/// A link of the base whose target ends in a slash, and nothing or a file of the plan there.
fn asks_for_directory(at: &Resolved<Place>) -> Error {
    let target = at.links.last().map(|link| escape(&link.target));
    Error::usage(format!(
        "expected to write a file at {}, found that the link{} asks for a directory there: its target is `{}`",
        at.path,
        leading(&at.links),
        target.unwrap_or_default()
    ))
    .hint("choose the path that the link leads to")
}

/// A link that is replaced would lead elsewhere than it led before.
fn followed(path: &LayerPath) -> Error {
    Error::usage(format!(
        "expected the link {path} to stay, since other entries are placed through it, found another link for it"
    ))
    .hint("name the directory that the link leads to in the destinations of those entries")
}

fn leading(links: &[Link]) -> String {
    links
        .last()
        .map_or_else(String::new, |link| format!(" {}", link.path))
}

fn leading_here(links: &[Link]) -> String {
    match links.last() {
        Some(link) => format!(" (through the link {})", link.path),
        None => String::new(),
    }
}
