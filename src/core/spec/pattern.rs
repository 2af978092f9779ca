//! Paths and globs of `source` and `exclude`: relative, never above where they start, and of bounded
//! cost.

use std::fmt;
use std::str::FromStr;

use globset::{Candidate, GlobBuilder, GlobSet};

use super::fault::{Fault, FromNode, quoted, text};
use super::node::Node;
use crate::core::path::LayerPath;
use crate::error::{Error, Result};

/// The longest glob that is taken, in bytes: it bounds what a compiled glob costs.
pub const MAX_GLOB: usize = 1024;

/// A glob with the text it was made of. `*` and `?` stay within one name, `**` crosses
/// directories, `[a-z]` and `{a,b}` choose, and a backslash takes the next character as it is.
#[derive(Clone)]
pub struct Glob {
    text: String,
    matcher: GlobSet,
}

impl Glob {
    /// The glob, without `./` in front and without slashes at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the glob matches the whole of `path`.
    pub fn matches(&self, path: &LayerPath) -> bool {
        self.matcher
            .is_match_candidate(&Candidate::from_bytes(path.as_bytes()))
    }

    fn compile(text: &str) -> Result<Self> {
        if text.len() > MAX_GLOB {
            return Err(Error::usage(format!(
                "expected a glob of at most {MAX_GLOB} bytes, found {} bytes",
                text.len()
            )));
        }
        let bad = |error: &globset::Error| {
            Error::usage(format!("bad glob {}: {}", quoted(text), error.kind()))
                .hint("a backslash in front of `*`, `?`, `[` or `{` takes it as it is")
        };
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| bad(&error))?;
        // A set of one: unlike a matcher, it reports a glob that is too costly.
        let matcher = GlobSet::builder()
            .add(glob)
            .build()
            .map_err(|error| bad(&error))?;
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

/// A glob of `exclude`, relative to the source directory.
impl FromStr for Glob {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = relative(text, false)?;
        if names.is_empty() {
            return Err(Error::usage(format!(
                "expected {EXCLUDE}, found {}",
                quoted(text)
            )));
        }
        Self::compile(&names.join("/"))
    }
}

const EXCLUDE: &str = "a glob relative to the source such as `**/*.pyc`";

impl FromNode for Glob {
    fn from_node(node: Node) -> Result<Self, Fault> {
        Ok(text(node, EXCLUDE)?.parse()?)
    }
}

/// What `source` names: one path, or every path that a glob matches.
#[derive(Debug, Clone)]
pub struct SourcePattern {
    text: String,
    literal_prefix: LayerPath,
    glob: Option<Glob>,
}

impl SourcePattern {
    /// The text in the spec.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The glob, where the text has one of `*`, `?`, `[` and `{`.
    pub fn glob(&self) -> Option<&Glob> {
        self.glob.as_ref()
    }

    /// Where to begin: the path itself, or of a glob the names before the first with a character
    /// of globs. The root is the whole of the context or image.
    pub fn literal_prefix(&self) -> &LayerPath {
        &self.literal_prefix
    }

    /// Whether `path`, from the root of the context or image, is what is named.
    pub fn matches(&self, path: &LayerPath) -> bool {
        match &self.glob {
            Some(glob) => glob.matches(path),
            None => *path == self.literal_prefix,
        }
    }

    /// A source in the context: relative, and never above it.
    pub fn in_context(text: &str) -> Result<Self> {
        Self::parse(text, false).map_err(|error| {
            if error.advice().is_some() || text.is_empty() {
                return error;
            }
            error.hint("put the file into the context, or choose it with --context")
        })
    }

    /// A source in another image: a leading slash changes nothing.
    pub fn in_image(text: &str) -> Result<Self> {
        Self::parse(text, true)
    }

    fn parse(text: &str, absolute: bool) -> Result<Self> {
        let names = relative(text, absolute)?;
        let is_glob = |name: &&&str| name.contains(['*', '?', '[', '{']);
        let globbed = names.iter().any(|name| is_glob(&name));
        let prefix = names
            .iter()
            .take_while(|name| !globbed || !(is_glob(name) || name.contains('\\')))
            .copied()
            .collect::<Vec<_>>()
            .join("/");
        Ok(Self {
            text: text.to_owned(),
            literal_prefix: LayerPath::parse(&prefix)
                .map_err(|error| Error::usage(format!("{}: {error}", quoted(text))))?,
            glob: if globbed {
                Some(Glob::compile(&names.join("/"))?)
            } else {
                None
            },
        })
    }
}

/// The names of a path that stays below where it starts, without empty ones and `.`.
fn relative(text: &str, absolute: bool) -> Result<Vec<&str>> {
    let expected = |what: &str| {
        Err(Error::usage(format!(
            "expected {what}, found {}",
            quoted(text)
        )))
    };
    if text.is_empty() {
        return expected("a path");
    }
    if text.starts_with('/') && !absolute {
        return expected("a relative path");
    }
    if text.contains('\0') {
        return expected("a path without NUL");
    }
    let names: Vec<&str> = text
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    if names.contains(&"..") {
        return expected("a path without `..`");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text).expect("a path")
    }

    #[test]
    fn a_source_is_a_path_or_a_glob() {
        for (text, prefix, glob) in [
            ("certs/ca.crt", "/certs/ca.crt", None),
            ("./certs//ca/", "/certs/ca", None),
            (".", "/", None),
            ("a\\b", "/a\\b", None),
            ("certs/*.crt", "/certs", Some("certs/*.crt")),
            ("a/b/{c,d}/e", "/a/b", Some("a/b/{c,d}/e")),
            ("a/\\*/b", "/a", Some("a/\\*/b")),
            ("a\\b/?", "/", Some("a\\b/?")),
            ("**", "/", Some("**")),
        ] {
            let source = SourcePattern::in_context(text).expect(text);
            assert_eq!(source.literal_prefix().to_string(), prefix, "{text}");
            assert_eq!(source.glob().map(Glob::as_str), glob, "{text}");
        }
        let source = SourcePattern::in_image("/usr/bin/tini").expect("absolute in an image");
        assert_eq!(*source.literal_prefix(), path("usr/bin/tini"));
    }

    #[test]
    fn globs_match_whole_paths_and_stars_stay_in_one_name() {
        for (glob, given, matched) in [
            ("certs/*.crt", "certs/a.crt", true),
            ("certs/*.crt", "certs/sub/a.crt", false),
            ("**/*.pyc", "a/b/c.pyc", true),
            ("**/*.pyc", "c.pyc", true),
            ("*.pyc", "a/c.pyc", false),
            ("a/**", "a/b/c", true),
            ("[ab]?", "bc", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            let source = SourcePattern::in_context(glob).expect(glob);
            assert_eq!(source.matches(&path(given)), matched, "{glob} {given}");
        }
        let raw = LayerPath::parse(b"a/\xff.pyc").expect("a path");
        assert!("a/*.pyc".parse::<Glob>().expect("a glob").matches(&raw));
    }

    #[test]
    fn costly_globs_are_errors_and_not_panics() {
        let deep = format!("{}{}", "{".repeat(400), "}".repeat(400));
        let wide = "{[a-z],**}".repeat(100);
        let stars = "**/*".repeat(256);
        for text in [deep.as_str(), wide.as_str(), stars.as_str()] {
            let _ = text.parse::<Glob>();
        }
        assert!("?".repeat(MAX_GLOB + 1).parse::<Glob>().is_err());
        assert!("?".repeat(MAX_GLOB).parse::<Glob>().is_ok());
    }
}
