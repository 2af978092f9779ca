//! Path resolution as a chroot does it (`path_resolution(7)`), over anything that can look up one
//! name in one directory.

use std::fmt;

use crate::core::path::{LayerPath, MAX_PATH, PathError};

/// The most symbolic links that one resolution follows, as in Linux.
pub const MAX_LINKS: usize = 40;

/// The most names that one resolution looks up. The longest path has half as many.
pub const MAX_WALK: usize = 4096;

/// A file system in which single names can be looked up.
pub trait Lookup {
    /// A place in it.
    type At: Clone;

    /// The root.
    fn root(&self) -> Self::At;

    /// What has this name in the directory `at`; no link is followed.
    fn child(&self, at: &Self::At, name: &[u8]) -> Option<(Self::At, Seen<'_>)>;
}

/// What a look-up saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A directory.
    Directory,
    /// A symbolic link with this target.
    Symlink(&'a [u8]),
    /// A file, device or pipe.
    Other,
}

/// A symbolic link that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where the link is.
    pub path: LayerPath,
    /// Its target, as it stands in the link.
    pub target: Vec<u8>,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<A> {
    /// The path without links in it.
    pub path: LayerPath,
    /// What is there; `None` where nothing is yet.
    pub at: Option<A>,
    /// The links that were followed, in order.
    pub links: Vec<Link>,
    /// Whether only a directory can be there: the target of the last link ends in a slash or dot.
    pub directory: bool,
    /// The names that were looked up.
    pub steps: usize,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveError {
    /// More than [`MAX_LINKS`] links: the first of them.
    Loop(LayerPath),
    /// Something on the way is neither a directory nor a link to one.
    NotADirectory(LayerPath),
    /// A link leads by `..` out of a directory that does not exist: what a runtime makes of that
    /// is its own affair.
    Missing(LayerPath, LayerPath),
    /// A link leads to a path that cannot be.
    BadTarget(LayerPath, PathError),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(path) => write!(f, "the symbolic link {path} leads in a circle"),
            Self::NotADirectory(path) => write!(f, "{path} is not a directory"),
            Self::Missing(path, missing) => write!(
                f,
                "the symbolic link {path} leads through {missing}, which does not exist"
            ),
            Self::BadTarget(path, error) => write!(
                f,
                "the symbolic link {path} leads to no valid path: {error}"
            ),
        }
    }
}

impl std::error::Error for ResolveError {}

/// Resolves `path` in `fs`. Links in the parent are followed; a link at the end only where
/// `follow_last` says so. What does not exist is taken for a directory yet to be made.
pub fn resolve<F: Lookup>(
    fs: &F,
    path: &LayerPath,
    follow_last: bool,
) -> Result<Resolved<F::At>, ResolveError> {
    let mut walk = Walk {
        fs,
        above: Vec::new(),
        length: 0,
        links: Vec::new(),
        left: path.components().rev().map(<[u8]>::to_vec).collect(),
        directory: false,
        steps: 0,
    };
    while let Some(name) = walk.left.pop() {
        walk.steps += 1;
        if walk.steps > MAX_WALK {
            return Err(walk.bad_target(PathError::TooLong));
        }
        walk.step(name, follow_last)?;
    }
    Ok(Resolved {
        path: walk.path(&[])?,
        at: walk.at(),
        links: walk.links,
        directory: walk.directory,
        steps: walk.steps,
    })
}

/// The names from the root to where the walk is, and what each is.
type Steps<A> = Vec<(Vec<u8>, Option<A>)>;

struct Walk<'f, F: Lookup> {
    fs: &'f F,
    above: Steps<F::At>,
    /// The bytes of the names in `above`, each with a slash.
    length: usize,
    links: Vec<Link>,
    /// The names still to go, the next one last.
    left: Vec<Vec<u8>>,
    /// Whether the last name asked for a directory.
    directory: bool,
    steps: usize,
}

impl<F: Lookup> Walk<'_, F> {
    fn at(&self) -> Option<F::At> {
        match self.above.last() {
            None => Some(self.fs.root()),
            Some((_, at)) => at.clone(),
        }
    }

    /// The path to where the walk is, and on to `name`.
    fn path(&self, name: &[u8]) -> Result<LayerPath, ResolveError> {
        let above = self.above.iter().map(|(name, _)| name.as_slice());
        let name = (!name.is_empty()).then_some(name);
        LayerPath::of(above.chain(name)).map_err(|error| self.bad_target(error))
    }

    /// The link whose target is being walked; a path itself holds nothing that needs one.
    fn last_link(&self) -> LayerPath {
        let link = self.links.last().map(|link| link.path.clone());
        link.unwrap_or_default()
    }

    fn bad_target(&self, error: PathError) -> ResolveError {
        ResolveError::BadTarget(self.last_link(), error)
    }

    fn step(&mut self, name: Vec<u8>, follow_last: bool) -> Result<(), ResolveError> {
        self.directory = matches!(name.as_slice(), b"" | b"." | b"..");
        if matches!(name.as_slice(), b"" | b".") {
            return Ok(());
        }
        if name == b".." {
            if self.at().is_none() {
                return Err(ResolveError::Missing(self.last_link(), self.path(&[])?));
            }
            let gone = self.above.pop();
            self.length -= gone.map_or(0, |(name, _)| name.len() + 1);
            return Ok(());
        }
        let found = self.at().and_then(|at| self.fs.child(&at, &name));
        let is_last = self.left.is_empty();
        match found {
            Some((_, Seen::Symlink(target))) if follow_last || !is_last => {
                let target = target.to_vec();
                let path = self.path(&name)?;
                return self.follow(path, target);
            }
            Some((_, Seen::Other)) if !is_last => {
                return Err(ResolveError::NotADirectory(self.path(&name)?));
            }
            _ => {}
        }
        self.length += name.len() + 1;
        if self.length > MAX_PATH + 1 {
            return Err(self.bad_target(PathError::TooLong));
        }
        self.above.push((name, found.map(|(at, _)| at)));
        Ok(())
    }

    fn follow(&mut self, path: LayerPath, target: Vec<u8>) -> Result<(), ResolveError> {
        if self.links.len() == MAX_LINKS {
            let first = self.links.swap_remove(0).path;
            return Err(ResolveError::Loop(first));
        }
        if target.first() == Some(&b'/') {
            self.above.clear();
            self.length = 0;
        }
        let names = target.split(|&byte| byte == b'/').rev();
        self.left.extend(names.map(<[u8]>::to_vec));
        self.links.push(Link { path, target });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Fake(BTreeMap<LayerPath, &'static str>);

    impl Lookup for Fake {
        type At = LayerPath;

        fn root(&self) -> LayerPath {
            LayerPath::ROOT
        }

        fn child(&self, at: &LayerPath, name: &[u8]) -> Option<(LayerPath, Seen<'_>)> {
            let path = at.join(name).ok()?;
            let seen = match *self.0.get(&path)? {
                "dir" => Seen::Directory,
                "file" => Seen::Other,
                target => Seen::Symlink(target.as_bytes()),
            };
            Some((path, seen))
        }
    }

    fn fake() -> Fake {
        let entries = [
            ("bin", "usr/bin"),
            ("usr", "dir"),
            ("usr/bin", "dir"),
            ("usr/bin/sh", "busybox"),
            ("var", "dir"),
            ("var/run", "/run"),
            ("etc", "dir"),
            ("etc/up", "../../../usr/./bin//"),
            ("etc/file", "file"),
            ("etc/dangling", "nowhere/at/all"),
            ("loop", "etc/../loop"),
            ("etc/slash", "/"),
            ("etc/new-dir", "new/"),
            ("etc/through", "missing/../file"),
        ];
        Fake(
            entries
                .into_iter()
                .map(|(path, what)| (p(path), what))
                .collect(),
        )
    }

    fn p(path: &str) -> LayerPath {
        LayerPath::parse(path).expect("a path")
    }

    fn resolved(path: &str, follow_last: bool) -> Result<String, ResolveError> {
        resolve(&fake(), &p(path), follow_last).map(|resolved| resolved.path.to_string())
    }

    #[test]
    fn links_are_followed_as_in_a_chroot() {
        for (path, follow, expected) in [
            ("bin/tool", false, "/usr/bin/tool"),
            ("var/run/app/pid", false, "/run/app/pid"),
            ("etc/up/x", false, "/usr/bin/x"),
            ("bin/sh", false, "/usr/bin/sh"),
            ("bin/sh", true, "/usr/bin/busybox"),
            ("bin", false, "/bin"),
            ("bin", true, "/usr/bin"),
            ("etc/dangling", true, "/etc/nowhere/at/all"),
            ("etc/slash/etc/new", true, "/etc/new"),
            ("new/deep/path", true, "/new/deep/path"),
        ] {
            assert_eq!(
                resolved(path, follow),
                Ok(expected.to_owned()),
                "{path} {follow}"
            );
        }
    }

    #[test]
    fn what_is_there_is_told() {
        let at = |path: &str| resolve(&fake(), &p(path), true).expect("resolves").at;
        assert_eq!(at("bin"), Some(p("usr/bin")));
        assert_eq!(at(""), Some(LayerPath::ROOT));
        assert_eq!(at("bin/new"), None);
        assert_eq!(at("new/deep"), None);
    }

    #[test]
    fn what_leads_nowhere_is_an_error() {
        assert_eq!(
            resolved("loop/x", false),
            Err(ResolveError::Loop(p("loop")))
        );
        assert_eq!(resolved("loop", true), Err(ResolveError::Loop(p("loop"))));
        assert_eq!(
            resolved("etc/file/x", true),
            Err(ResolveError::NotADirectory(p("etc/file")))
        );
    }

    #[test]
    fn no_link_leads_out_of_a_directory_that_is_not_there() {
        let error = resolved("etc/through", true).expect_err("missing");
        assert_eq!(
            error,
            ResolveError::Missing(p("etc/through"), p("etc/missing"))
        );
    }

    #[test]
    fn a_slash_at_the_end_of_a_link_asks_for_a_directory() {
        for (path, directory) in [
            ("etc/new-dir", true),
            ("etc/dangling", false),
            ("etc", false),
        ] {
            let resolved = resolve(&fake(), &p(path), true).expect("resolves");
            assert_eq!(resolved.directory, directory, "{path}");
        }
    }

    #[test]
    fn followed_links_are_told() {
        let links = resolve(&fake(), &p("bin/sh"), true)
            .expect("resolves")
            .links;
        let shown: Vec<_> = links.iter().map(|link| link.path.to_string()).collect();
        assert_eq!(shown, ["/bin", "/usr/bin/sh"]);
    }
}
