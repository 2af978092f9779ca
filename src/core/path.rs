//! Paths inside an image: relative bytes without `.`, `..`, NUL or empty components.
//!
//! A path that could leave the image's root cannot be made. Names are bytes, as on Linux; they are
//! escaped when shown.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest path that is taken, in bytes: Linux's `PATH_MAX` less its final NUL and the
/// leading slash.
pub const MAX_PATH: usize = 4094;

/// The longest name of one component, in bytes: Linux's `NAME_MAX`.
pub const MAX_NAME: usize = 255;

/// A path inside an image, relative to its root, which is the empty path.
///
/// Ordered by its bytes. `Display` shows it with a leading slash, special bytes escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LayerPath(Vec<u8>);

/// Why bytes are not a path inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// A component is `..`.
    Parent,
    /// There is a NUL byte.
    Nul,
    /// The whole is longer than [`MAX_PATH`].
    TooLong,
    /// A component is longer than [`MAX_NAME`].
    NameTooLong,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent => f.write_str("`..` is not accepted in a path"),
            Self::Nul => f.write_str("a NUL byte is not accepted in a path"),
            Self::TooLong => write!(f, "the path is longer than {MAX_PATH} bytes"),
            Self::NameTooLong => write!(f, "a name in the path is longer than {MAX_NAME} bytes"),
        }
    }
}

impl std::error::Error for PathError {}

impl LayerPath {
    /// The image's root.
    pub const ROOT: Self = Self(Vec::new());

    /// Makes a path of `raw`: slashes at either end, doubled slashes and `.` components are
    /// dropped.
    pub fn parse(raw: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let names = raw.as_ref().split(|&byte| byte == b'/');
        Self::of(names.filter(|name| !matches!(*name, b"" | b".")))
    }

    /// The path of these names, from the root on.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n [u8]>) -> Result<Self, PathError> {
        let mut path = Self::ROOT;
        for name in names {
            path.push(name)?;
        }
        Ok(path)
    }

    /// This path with one more component. `name` is one name: it may hold no slash.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        let mut joined = Self(Vec::with_capacity(self.0.len() + 1 + name.len()));
        joined.0.extend_from_slice(&self.0);
        joined.push(name)?;
        Ok(joined)
    }

    fn push(&mut self, name: &[u8]) -> Result<(), PathError> {
        debug_assert!(!name.is_empty() && !name.contains(&b'/'), "one name");
        if name == b".." {
            return Err(PathError::Parent);
        }
        if name.contains(&0) {
            return Err(PathError::Nul);
        }
        if name.len() > MAX_NAME {
            return Err(PathError::NameTooLong);
        }
        let slash = usize::from(!self.0.is_empty());
        if self.0.len() + slash + name.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if slash == 1 {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(())
    }

    /// This path followed by all of `tail`.
    pub fn join_all(&self, tail: &Self) -> Result<Self, PathError> {
        Self::of(self.components().chain(tail.components()))
    }

    /// Whether this is the image's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading slash; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components, from the root on.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// The path without its last component; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// Parent and last component; `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::ROOT, &self.0),
        })
    }

    /// Every directory above this path, from the top down, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|&(_, &byte)| byte == b'/')
            .map(|(slash, _)| Self(self.0[..slash].to_vec()))
    }

    /// Whether this is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root()
            || self
                .0
                .strip_prefix(other.0.as_slice())
                .is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
    }
}

impl Borrow<[u8]> for LayerPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", escape(&self.0))
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of a name as text that is safe on a terminal and keeps one name on one line: valid UTF-8
/// as it is, control characters and other bytes escaped as in Rust literals.
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_bidi_control(c) {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Unicode's bidirectional controls, which make a terminal show other text than there is.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text).expect("a path")
    }

    #[test]
    fn parsing_normalizes() {
        for text in ["/etc/ssl/", "./etc//ssl", "etc/./ssl", "/etc/ssl/."] {
            assert_eq!(path(text).as_bytes(), b"etc/ssl", "{text}");
        }
        for text in ["", "/", ".", "./"] {
            assert!(path(text).is_root(), "{text}");
        }
    }

    #[test]
    fn what_could_leave_the_root_or_break_a_tar_is_refused() {
        assert_eq!(LayerPath::parse("a/../b"), Err(PathError::Parent));
        assert_eq!(LayerPath::parse("a\0b"), Err(PathError::Nul));
        assert_eq!(
            LayerPath::parse("a".repeat(256)),
            Err(PathError::NameTooLong)
        );
        assert_eq!(LayerPath::parse("a/".repeat(2048)), Err(PathError::TooLong));
        assert!(LayerPath::parse("a/".repeat(2047)).is_ok());
    }

    #[test]
    fn parts() {
        let p = path("a/b/c");
        assert_eq!(p.parent(), Some(path("a/b")));
        assert_eq!(p.name(), Some(&b"c"[..]));
        assert_eq!(p.ancestors().collect::<Vec<_>>(), [path("a"), path("a/b")]);
        assert_eq!(path("a").parent(), Some(LayerPath::ROOT));
        assert_eq!(LayerPath::ROOT.parent(), None);
        assert!(p.starts_with(&path("a/b")));
        assert!(!path("a/bc").starts_with(&path("a/b")));
        assert!(p.starts_with(&LayerPath::ROOT));
    }

    #[test]
    fn display_escapes_what_a_terminal_would_obey() {
        let p = LayerPath::parse(b"a\n\x1b[31m\xff\xe2\x80\xae").expect("a path");
        assert_eq!(p.to_string(), "/a\\n\\u{1b}[31m\\xff\\u{202e}");
        assert_eq!(path("naïve/文").to_string(), "/naïve/文");
    }
}
