//! A model of what a spec does: the reference disk, written to entry by entry as a plain `cp` in a
//! chroot would.

use std::collections::BTreeSet;

use super::disk::{Disk, Errno, Meta, What};
use super::layers::join;
use super::spec::{Copy, CopyWhat, Owner, SourceKind, Spec};

type Result<T> = std::result::Result<T, Errno>;

/// The line that a spec with an account adds.
const ACCOUNT: &str = "agent:x:4242:4242::/nonexistent:/sbin/nologin\n";

impl Spec {
    /// What is on the disk when the spec has been carried out.
    pub(crate) fn apply(&self, disk: &Disk) -> Result<Disk> {
        let mut copier = Copier {
            disk: disk.clone(),
            written: BTreeSet::new(),
            first_new: disk.count(),
            asked_for: BTreeSet::new(),
            missing: Meta::new(0o755, self.default_owner, self.time),
        };
        copier.disk.followed.clear();
        if self.account {
            copier.account()?;
        }
        for copy in &self.copies {
            copier.copy(copy, self)?;
        }
        if let Some(workdir) = &self.workdir {
            let meta = copier.missing.clone();
            copier.directory(workdir.as_bytes(), meta)?;
        }
        Ok(copier.disk)
    }
}

struct Copier {
    disk: Disk,
    /// Directory and name of what was written.
    written: BTreeSet<(usize, Vec<u8>)>,
    /// The first inode that the base does not have.
    first_new: usize,
    /// New directories that are more than somebody's parent.
    asked_for: BTreeSet<usize>,
    /// What directories are like that are made on the way.
    missing: Meta,
}

impl Copier {
    fn copy(&mut self, copy: &Copy, spec: &Spec) -> Result<()> {
        let owner = match copy.owner {
            None => spec.default_owner,
            Some(Owner::Ids(uid, gid)) => (uid, gid),
            Some(Owner::Runtime) => spec.user,
        };
        let mode = copy.mode.or(spec.default_mode);
        let file_mode = |executable| mode.unwrap_or(if executable { 0o755 } else { 0o644 });
        // search permission goes with read permission
        let directory_mode = mode.map_or(0o755, |mode| mode | (mode & 0o444) >> 2);
        let meta = |mode| Meta::new(mode, owner, spec.time);
        let to = copy.destination.trim_matches('/');
        let into_directory = copy.destination.ends_with('/');
        match &copy.what {
            CopyWhat::Content(text) => {
                let what = What::File(text.clone().into_bytes());
                self.put(to.as_bytes(), what, meta(file_mode(false)))
            }
            CopyWhat::File(data, executable) => {
                let to = if into_directory {
                    join(to, "f")
                } else {
                    to.to_owned()
                };
                let what = What::File(data.clone());
                self.put(to.as_bytes(), what, meta(file_mode(*executable)))
            }
            CopyWhat::Directory(source) | CopyWhat::Glob(source) => {
                if matches!(copy.what, CopyWhat::Directory(_)) {
                    self.directory(to.as_bytes(), meta(directory_mode))?;
                } else if source.is_empty() {
                    return Err(Errno::NoEnt);
                }
                for (path, kind) in source {
                    let path = join(to, path).into_bytes();
                    match kind {
                        SourceKind::Dir => self.directory(&path, meta(directory_mode))?,
                        SourceKind::File(data, executable) => {
                            self.put(
                                &path,
                                What::File(data.clone()),
                                meta(file_mode(*executable)),
                            )?;
                        }
                        SourceKind::Symlink(to) => {
                            self.put(&path, What::Symlink(to.clone().into_bytes()), meta(0o777))?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn directory(&mut self, path: &[u8], meta: Meta) -> Result<()> {
        let place = self.disk.walk(path, true, Some(&self.missing))?;
        match (place.inode, place.name) {
            (Some(inode), _) if *self.disk.what(inode) == What::Dir => {
                if inode >= self.first_new && self.asked_for.insert(inode) {
                    *self.disk.meta_mut(inode) = meta;
                }
                Ok(())
            }
            (None, Some(name)) => {
                let inode = self.disk.create(place.directory, &name, What::Dir, meta);
                self.asked_for.insert(inode);
                Ok(())
            }
            _ => Err(Errno::NotDir),
        }
    }

    /// A file through a link at the end, or a link over whatever is no directory.
    fn put(&mut self, path: &[u8], what: What, meta: Meta) -> Result<()> {
        let follow = matches!(what, What::File(_));
        let place = self.disk.walk(path, follow, Some(&self.missing))?;
        let there = place.inode.map(|inode| self.disk.what(inode).clone());
        let Some(name) = place.name.filter(|_| !place.slashed) else {
            return Err(Errno::IsDir);
        };
        let key = (place.directory, name);
        if there == Some(What::Dir) {
            return Err(Errno::IsDir);
        }
        if self.written.contains(&key) {
            return Err(Errno::Exist);
        }
        // a link that was followed must not lead elsewhere afterwards
        let moved = matches!(there, Some(What::Symlink(_))) && there.as_ref() != Some(&what);
        if moved && self.disk.followed.contains(&key) {
            return Err(Errno::Exist);
        }
        // nor may all that is in a directory get out of reach
        let leads_to = self.disk.clone().walk(path, true, None).ok();
        let leads_to = leads_to.and_then(|place| place.inode);
        if moved && leads_to.is_some_and(|inode| *self.disk.what(inode) == What::Dir) {
            return Err(Errno::Exist);
        }
        self.disk.create(key.0, &key.1, what, meta);
        self.written.insert(key);
        Ok(())
    }

    fn account(&mut self) -> Result<()> {
        let place = self.disk.walk(b"etc/passwd", true, None);
        let there = place.ok().and_then(|place| place.inode);
        let (mut text, meta) = match there {
            None => (
                Vec::new(),
                Meta {
                    mode: 0o644,
                    ..self.missing.clone()
                },
            ),
            Some(inode) => match self.disk.what(inode) {
                What::File(text) => (
                    text.clone(),
                    Meta {
                        mtime: self.missing.mtime,
                        ..self.disk.meta(inode).clone()
                    },
                ),
                _ => return Err(Errno::IsDir),
            },
        };
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(ACCOUNT.as_bytes());
        self.put(b"etc/passwd", What::File(text), meta)
    }
}
