//! What `exclude` leaves out, and whether it left anything out at all.

use std::cell::Cell;

use crate::core::path::LayerPath;
use crate::core::spec::Glob;

/// The globs of `exclude`, and which of them matched anything.
#[derive(Debug)]
pub struct Exclusion<'a> {
    globs: &'a [Glob],
    hits: Vec<Cell<bool>>,
}

impl<'a> Exclusion<'a> {
    /// None of them matched yet.
    pub fn new(globs: &'a [Glob]) -> Self {
        Self {
            globs,
            hits: vec![Cell::new(false); globs.len()],
        }
    }

    /// Whether any glob matches `path`.
    pub fn matches(&self, path: &LayerPath) -> bool {
        let matched = self
            .globs
            .iter()
            .zip(&self.hits)
            .find(|(glob, _)| glob.matches(path));
        matched.is_some_and(|(_, hit)| {
            hit.set(true);
            true
        })
    }

    /// What to tell of globs that matched nothing: what they were to keep out may be in.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let unused = self
            .globs
            .iter()
            .zip(&self.hits)
            .filter(|(_, hit)| !hit.get());
        unused.map(|(glob, _)| {
            format!(
                "exclude `{}` leaves nothing out",
                glob.as_str().escape_debug()
            )
        })
    }
}

/// What is excluded of a walk, in which all that lies below a path follows it at once: each path
/// is matched once, however deep it is.
pub(super) struct Excluded<'a> {
    exclusion: &'a Exclusion<'a>,
    /// The last path that a glob matched.
    top: Option<LayerPath>,
}

impl<'a> Excluded<'a> {
    pub(super) fn new(exclusion: &'a Exclusion<'a>) -> Self {
        Self {
            exclusion,
            top: None,
        }
    }

    /// Whether the next path of the walk or a directory above it is excluded.
    pub(super) fn covers(&mut self, path: &LayerPath) -> bool {
        if self.top.as_ref().is_some_and(|top| path.starts_with(top)) {
            return true;
        }
        let hit = self.exclusion.matches(path);
        if hit {
            self.top = Some(path.clone());
        }
        hit
    }
}
