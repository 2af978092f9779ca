//! The reference: a file system in memory that does what a kernel and a plain `tar -x` would do in
//! a chroot. It is slow and simple on purpose, and shares no code with the crate under test.

use std::collections::{BTreeMap, BTreeSet};

/// Why an operation fails, by the name of the errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    /// Too many links.
    Loop,
    /// A component that must be a directory is none.
    NotDir,
    /// A file over a directory.
    IsDir,
    /// Something is missing.
    NoEnt,
    /// Two entries for one name.
    Exist,
    /// Not a name that can be.
    Inval,
}

type Result<T> = std::result::Result<T, Errno>;

/// Everything about an inode but what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    pub(crate) fn new(mode: u32, (uid, gid): (u32, u32), mtime: i64) -> Self {
        Self {
            mode,
            uid,
            gid,
            mtime,
            xattrs: BTreeMap::new(),
        }
    }
}

/// What an inode is, but for a directory's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Dir,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Char(u32, u32),
    Block(u32, u32),
}

#[derive(Debug, Clone)]
struct Inode {
    what: What,
    meta: Meta,
    names: BTreeMap<Vec<u8>, usize>,
}

/// One line of a listing: what is at a path. Files of one inode name the first of their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) what: What,
    pub(crate) meta: Meta,
    pub(crate) same_as: Vec<u8>,
}

/// All that is on the disk by path; the root is the empty path.
pub(crate) type Listing = BTreeMap<Vec<u8>, Line>;

/// The disk. Inode 0 is the root.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    /// Symbolic links that were followed: directory and name.
    pub(crate) followed: BTreeSet<(usize, Vec<u8>)>,
}

/// Where a path leads: the directory that it ends in, and the name there. Without a name it is
/// that directory itself.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) directory: usize,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) inode: Option<usize>,
    /// A slash or dot of a link says that this is a directory.
    pub(crate) slashed: bool,
}

const MAX_LINKS: usize = 40;

fn directory(meta: Meta) -> Inode {
    Inode {
        what: What::Dir,
        meta,
        names: BTreeMap::new(),
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            inodes: vec![directory(Meta::new(0o755, (0, 0), 0))],
            followed: BTreeSet::new(),
        }
    }

    fn is_dir(&self, inode: usize) -> bool {
        self.inodes[inode].what == What::Dir
    }

    pub(crate) fn what(&self, inode: usize) -> &What {
        &self.inodes[inode].what
    }

    pub(crate) fn meta(&self, inode: usize) -> &Meta {
        &self.inodes[inode].meta
    }

    pub(crate) fn meta_mut(&mut self, inode: usize) -> &mut Meta {
        &mut self.inodes[inode].meta
    }

    /// Where `path` leads, walked as by a kernel, inode by inode. Directories that are missing on
    /// the way are made like `missing`, where that is given.
    pub(crate) fn walk(
        &mut self,
        path: &[u8],
        follow_last: bool,
        missing: Option<&Meta>,
    ) -> Result<Place> {
        let mut stack = vec![0];
        let mut to_make: Vec<Vec<u8>> = Vec::new();
        let mut left: Vec<Vec<u8>> = parts(path);
        left.reverse();
        let mut links = 0;
        let mut slashed = false;
        let mut end: Option<(Vec<u8>, Option<usize>)> = None;
        while let Some(part) = left.pop() {
            if part.is_empty() || part == b"." {
                slashed = true;
                continue;
            }
            slashed = false;
            // what was thought to be the end is a directory on the way
            match end.take() {
                Some((_, Some(inode))) if self.is_dir(inode) => stack.push(inode),
                Some((_, Some(_))) => return Err(Errno::NotDir),
                Some((name, None)) => to_make.push(name),
                None => {}
            }
            if part == b".." {
                if !to_make.is_empty() {
                    return Err(Errno::NoEnt);
                }
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            if part.len() > 255 {
                return Err(Errno::Inval);
            }
            let at = *stack.last().expect("the root stays");
            let found = if to_make.is_empty() {
                self.inodes[at].names.get(&part).copied()
            } else {
                None
            };
            if let Some(What::Symlink(target)) = found.map(|inode| self.what(inode).clone())
                && (follow_last || !left.is_empty())
            {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::Loop);
                }
                self.followed.insert((at, part));
                if target.first() == Some(&b'/') {
                    stack.truncate(1);
                }
                left.extend(parts_of_link(&target).into_iter().rev());
                continue;
            }
            end = Some((part, found));
        }
        if slashed
            && let Some((_, Some(inode))) = &end
            && !self.is_dir(*inode)
        {
            return Err(Errno::NotDir);
        }
        let mut at = *stack.last().expect("the root stays");
        if !to_make.is_empty() {
            let meta = missing.ok_or(Errno::NoEnt)?;
            for name in to_make {
                at = self.create(at, &name, What::Dir, meta.clone());
            }
        }
        Ok(match end {
            None => Place {
                directory: at,
                name: None,
                inode: Some(at),
                slashed,
            },
            Some((name, inode)) => Place {
                directory: at,
                name: Some(name),
                inode,
                slashed,
            },
        })
    }

    /// What is under a name of a directory.
    pub(crate) fn walk_name(&self, at: usize, name: &[u8]) -> Option<usize> {
        self.inodes[at].names.get(name).copied()
    }

    /// The number of inodes there are and were.
    pub(crate) fn count(&self) -> usize {
        self.inodes.len()
    }

    /// The names in a directory.
    pub(crate) fn names(&self, at: usize) -> BTreeMap<Vec<u8>, usize> {
        self.inodes[at].names.clone()
    }

    /// A new inode under a name, whatever was there.
    pub(crate) fn create(&mut self, at: usize, name: &[u8], what: What, meta: Meta) -> usize {
        let inode = self.inodes.len();
        self.inodes.push(Inode {
            what,
            meta,
            names: BTreeMap::new(),
        });
        self.link(at, name, inode);
        inode
    }

    pub(crate) fn link(&mut self, at: usize, name: &[u8], inode: usize) {
        self.inodes[at].names.insert(name.to_vec(), inode);
    }

    pub(crate) fn unlink(&mut self, at: usize, name: &[u8]) {
        self.inodes[at].names.remove(name);
    }

    pub(crate) fn empty(&mut self, at: usize) {
        self.inodes[at].names.clear();
    }

    /// Everything, by path.
    pub(crate) fn list(&self) -> Listing {
        let mut paths = BTreeMap::new();
        self.paths_below(0, &[], &mut paths);
        let mut first: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        paths
            .into_iter()
            .map(|(path, inode)| {
                let line = Line {
                    what: self.inodes[inode].what.clone(),
                    meta: self.inodes[inode].meta.clone(),
                    same_as: first.entry(inode).or_insert_with(|| path.clone()).clone(),
                };
                (path, line)
            })
            .collect()
    }

    fn paths_below(&self, inode: usize, path: &[u8], paths: &mut BTreeMap<Vec<u8>, usize>) {
        paths.insert(path.to_vec(), inode);
        for (name, &child) in &self.inodes[inode].names {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.paths_below(child, &[path, slash, name].concat(), paths);
        }
    }
}

/// The components of a path that is clean already.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The components of a link's target, where a slash at the end means something.
fn parts_of_link(target: &[u8]) -> Vec<Vec<u8>> {
    target
        .split(|&byte| byte == b'/')
        .map(<[u8]>::to_vec)
        .collect()
}
