//! Path resolution as a chroot does it (`path_resolution(7)`), over anything that can look up one
//! physical path.

use std::collections::VecDeque;
use std::fmt;

use crate::core::path::{LayerPath, PathError};

/// The most symbolic links that one resolution follows, as in Linux.
pub const MAX_LINKS: usize = 40;

/// A file system in which single names can be looked up.
pub trait Lookup {
    /// What has exactly this name; no link is followed.
    fn look(&self, path: &LayerPath) -> Option<Seen<'_>>;
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
pub struct Resolved {
    /// The path without links in it; what it names need not exist.
    pub path: LayerPath,
    /// The links that were followed, in order.
    pub links: Vec<Link>,
    /// Whether only a directory can be there: the target of the last link ends in a slash or dot.
    pub directory: bool,
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
pub fn resolve(
    fs: &impl Lookup,
    path: &LayerPath,
    follow_last: bool,
) -> Result<Resolved, ResolveError> {
    let mut walk = Walk {
        at: LayerPath::ROOT,
        links: Vec::new(),
        left: path.components().map(<[u8]>::to_vec).collect(),
        directory: false,
    };
    while let Some(name) = walk.left.pop_front() {
        walk.step(fs, &name, follow_last)?;
    }
    Ok(Resolved {
        path: walk.at,
        links: walk.links,
        directory: walk.directory,
    })
}

struct Walk {
    at: LayerPath,
    links: Vec<Link>,
    left: VecDeque<Vec<u8>>,
    directory: bool,
}

impl Walk {
    fn step(
        &mut self,
        fs: &impl Lookup,
        name: &[u8],
        follow_last: bool,
    ) -> Result<(), ResolveError> {
        self.directory = matches!(name, b"" | b"." | b"..");
        if matches!(name, b"" | b".") {
            return Ok(());
        }
        if name == b".." {
            if !self.at.is_root() && fs.look(&self.at).is_none() {
                return Err(ResolveError::Missing(self.last_link(), self.at.clone()));
            }
            self.at = self.at.parent().unwrap_or_default();
            return Ok(());
        }
        let next = self
            .at
            .join(name)
            .map_err(|error| ResolveError::BadTarget(self.last_link(), error))?;
        match fs.look(&next) {
            Some(Seen::Symlink(target)) if follow_last || !self.left.is_empty() => {
                self.follow(next, target.to_vec())?;
            }
            Some(Seen::Other) if !self.left.is_empty() => {
                return Err(ResolveError::NotADirectory(next));
            }
            _ => self.at = next,
        }
        Ok(())
    }

    /// The link whose target is being walked; a path itself holds nothing that needs one.
    fn last_link(&self) -> LayerPath {
        self.links
            .last()
            .map_or_else(|| self.at.clone(), |link| link.path.clone())
    }

    fn follow(&mut self, link: LayerPath, target: Vec<u8>) -> Result<(), ResolveError> {
        if self.links.len() == MAX_LINKS {
            let first = self.links.swap_remove(0).path;
            return Err(ResolveError::Loop(first));
        }
        if target.first() == Some(&b'/') {
            self.at = LayerPath::ROOT;
        }
        for name in target.split(|&byte| byte == b'/').rev() {
            self.left.push_front(name.to_vec());
        }
        self.links.push(Link { path: link, target });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Fake(BTreeMap<LayerPath, &'static str>);

    impl Lookup for Fake {
        fn look(&self, path: &LayerPath) -> Option<Seen<'_>> {
            self.0.get(path).map(|what| match *what {
                "dir" => Seen::Directory,
                "file" => Seen::Other,
                target => Seen::Symlink(target.as_bytes()),
            })
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
            assert_eq!(resolved(path, follow), Ok(expected.to_owned()), "{path}");
        }
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
