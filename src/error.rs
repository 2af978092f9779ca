//! The one error type of the crate: what kind of failure it is, what was expected and found and
//! where, what to do next, and what caused it.
//!
//! Messages are lower case without a full stop. The kind decides the exit code, nothing else does.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Input or output failed, or the program broke one of its own rules: exit code 1.
    Internal,
    /// The command line, the spec or what it names is not usable: exit code 2.
    Usage,
    /// The result would break a policy: exit code 3.
    Policy,
    /// Bytes are not what their digest, size or format promises: exit code 4.
    Integrity,
    /// A registry or the network failed: exit code 5.
    Registry,
    /// The user or the system asked the program to stop: exit code 130, as shells report SIGINT.
    Interrupted,
}

impl Kind {
    /// The exit code of the process for this kind of failure.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Policy => 3,
            Self::Integrity => 4,
            Self::Registry => 5,
            Self::Interrupted => 130,
        }
    }
}

/// A failure: kind, message, an optional hint of what to do, and an optional cause.
///
/// `Display` prints the message and then the causes, separated by `: `; the hint is printed by the
/// report, on a line of its own.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// The command line, the spec, or a file that the spec names is not usable.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Bytes are not what was promised of them.
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new(Kind::Integrity, message)
    }

    /// Input or output failed, or an internal rule was broken.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A file operation on `path` failed; `doing` is the verb, as in "read" or "create".
    pub fn file(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::io(format!("cannot {doing} {}", path.display()), source)
    }

    /// An I/O failure with a message of what was being done. An error that this crate put into
    /// the `io::Error` on its way through a `Read` or `Write` comes out again with its kind.
    pub fn io(message: impl Into<String>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(carried) => carried.at(message),
            Err(source) => Self::internal(message).because(source),
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts the place in front of the message, as in `spec.yaml: copy_files[2]: ...`.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The kind of the failure.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without causes and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Wraps the error so that it can travel through a `Read` or `Write`; [`Error::io`] takes it
    /// out again.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_through_io() {
        let carried = Error::integrity("expected 3 bytes, found 4")
            .hint("pull it again")
            .into_io();
        let error = Error::io("layer 2", carried);
        assert_eq!(error.kind(), Kind::Integrity);
        assert_eq!(error.to_string(), "layer 2: expected 3 bytes, found 4");
        assert_eq!(error.advice(), Some("pull it again"));
    }

    #[test]
    fn causes_are_printed_after_the_message() {
        let error = Error::file("read", Path::new("a.txt"), io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "cannot read a.txt: disk on fire");
        assert_eq!(error.kind().exit_code(), 1);
    }
}
