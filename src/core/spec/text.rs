//! Values that stay text once they are checked, and the maps of text: env, labels, annotations.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use indexmap::IndexMap;

use super::fault::{Fault, FromNode, nearest, quoted, text};
use super::node::Node;
use super::owner::Principal;
use crate::error::{Error, Result};

/// Defines a checked text; `check` says whether a text is one.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $expected:expr, $check:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(Error::usage(format!(
                    "expected {}, found {}",
                    $expected,
                    quoted(text)
                )))
            }
        }
    };
}

/// Takes only text of YAML; numbers and booleans must be quoted.
macro_rules! from_text {
    ($name:ident, $expected:expr) => {
        impl FromNode for $name {
            fn from_node(node: Node) -> Result<Self, Fault> {
                Ok(text(node, $expected)?.parse()?)
            }
        }
    };
}

const USER: &str = "a user such as 65532, \"65532:65532\" or \"postgres\"";
checked_text!(
    /// The user that the image runs as: a name or number, with `:` and a group where one is given.
    User,
    USER,
    |text| {
        let mut parts = text.split(':');
        text.split(':').count() <= 2 && parts.all(|part| Principal::parse(part).is_some())
    }
);

impl FromNode for User {
    fn from_node(node: Node) -> Result<Self, Fault> {
        match node {
            Node::Integer(digits) => Ok(digits.parse()?),
            other => Ok(text(other, USER)?.parse()?),
        }
    }
}

const WORKDIR: &str = "a directory of the image such as `/app`";
checked_text!(
    /// A working directory: absolute, or relative to the base's.
    Workdir,
    WORKDIR,
    |text| !text.is_empty() && text.len() <= 4095 && !text.contains(char::is_control)
);
from_text!(Workdir, WORKDIR);

const ARGUMENT: &str = "an argument without NUL";
checked_text!(
    /// One argument of an entrypoint or command.
    Argument,
    ARGUMENT,
    |text| !text.contains('\0')
);
from_text!(Argument, "text");

/// Arguments in the exec form: the first is the program. An empty list clears the base's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments(Vec<Argument>);

impl Arguments {
    /// The arguments as text.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(Argument::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromNode for Arguments {
    fn from_node(node: Node) -> Result<Self, Fault> {
        if let Node::Text(line) = &node
            && line.trim_start().starts_with('[')
        {
            return Err(Fault::expected("a list of arguments", &node)
                .hint("remove the quotes around the list"));
        }
        if let Node::Text(line) = &node {
            return Err(Fault::expected("a list of arguments", &node).hint(format!(
                "write each argument as an item, as in [{}]: no shell of the image takes a line apart",
                line.split_whitespace()
                    .take(8)
                    .map(|word| format!("\"{}\"", word.escape_debug()))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        Vec::from_node(node).map(Self)
    }
}

const SIGNAL: &str = "a signal such as `SIGTERM`, `SIGRTMIN+3` or 15";
checked_text!(
    /// The signal that stops the image: a name that Linux knows, or a number from 1 to 64.
    Signal,
    SIGNAL,
    is_signal
);

/// The names of Linux' signals, without the real-time ones.
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

fn is_signal(text: &str) -> bool {
    let number = |digits: &str, most: u8| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
            && digits.parse().is_ok_and(|number: u8| number <= most)
    };
    SIGNALS.contains(&text)
        || matches!(text, "SIGRTMIN" | "SIGRTMAX")
        || text
            .strip_prefix("SIGRTMIN+")
            .is_some_and(|n| number(n, 15))
        || text
            .strip_prefix("SIGRTMAX-")
            .is_some_and(|n| number(n, 14))
        || number(text, 64)
}

impl FromNode for Signal {
    fn from_node(node: Node) -> Result<Self, Fault> {
        let found = match node {
            Node::Integer(digits) => digits,
            other => text(other, SIGNAL)?,
        };
        found.parse().map_err(|error: Error| {
            let long = format!("SIG{}", found.to_ascii_uppercase());
            let guess = SIGNALS.iter().copied().find(|name| *name == long);
            let guess = guess.or_else(|| nearest(&found, SIGNALS));
            Fault::from(match guess {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error,
            })
        })
    }
}

const NAME: &str =
    "a name of at most 32 characters from `a-z`, `0-9`, `_` and `-`, a letter or `_` first";
checked_text!(
    /// The name of a new user or group, as `useradd` takes it: `[a-z_][a-z0-9_-]*$?`, at most 32
    /// characters.
    AccountName,
    NAME,
    |text| {
        let body = text.strip_suffix('$').unwrap_or(text);
        text.len() <= 32
            && body.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && body
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    }
);
from_text!(AccountName, NAME);

const HOME: &str = "an absolute directory without `:` such as `/home/app`";
checked_text!(
    /// The home directory of a new user.
    Home,
    HOME,
    |text| text.starts_with('/') && text.len() <= 4095 && !text.contains(breaks_passwd)
);
from_text!(Home, HOME);

impl Default for Home {
    /// A directory that no image has.
    fn default() -> Self {
        Self("/nonexistent".to_owned())
    }
}

const COMMENT: &str = "one line without `:`";
checked_text!(
    /// What passwd says about a user.
    Comment,
    COMMENT,
    |text| !text.contains(breaks_passwd)
);
from_text!(Comment, COMMENT);

impl Default for Comment {
    /// Nothing.
    fn default() -> Self {
        Self(String::new())
    }
}

fn breaks_passwd(c: char) -> bool {
    c == ':' || c.is_control()
}

const LINE: &str = "one line of text without control characters";
checked_text!(
    /// One line of text.
    Line,
    LINE,
    |text| !text.contains(char::is_control)
);
from_text!(Line, LINE);

const PROSE: &str = "text without control characters";
checked_text!(
    /// Text of one or more lines.
    Prose,
    PROSE,
    |text| !text.contains(|c: char| c.is_control() && c != '\n')
);
from_text!(Prose, PROSE);

impl FromNode for String {
    fn from_node(node: Node) -> Result<Self, Fault> {
        text(node, "text")
    }
}

/// Defines a map of text to text whose order is that of the YAML; `check` says what is wrong with a
/// key.
macro_rules! text_map {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(IndexMap<String, String>);

        impl Deref for $name {
            type Target = IndexMap<String, String>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl FromNode for $name {
            fn from_node(node: Node) -> Result<Self, Fault> {
                text_map(node, $check).map(Self)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }
    };
}

text_map!(
    /// Environment variables.
    Env,
    |key| {
        let bad = key.is_empty() || key.contains(|c: char| c == '=' || c.is_control());
        bad.then(|| Fault::new("expected a variable's name without `=` and control characters"))
    }
);
text_map!(
    /// Labels of the image config.
    Labels,
    plain_key
);
text_map!(
    /// Annotations of the manifest.
    Annotations,
    |key| match key {
        "org.opencontainers.image.base.digest" | "org.opencontainers.image.base.name" => Some(
            Fault::new(format!("`{key}` is written by the build")).hint("remove it")
        ),
        _ => plain_key(key),
    }
);

fn plain_key(key: &str) -> Option<Fault> {
    let bad = key.is_empty() || key.contains(char::is_control);
    bad.then(|| Fault::new("expected a key that is not empty and has no control characters"))
}

fn text_map(
    node: Node,
    check: fn(&str) -> Option<Fault>,
) -> Result<IndexMap<String, String>, Fault> {
    let Node::Map(map) = node else {
        return Err(Fault::expected("a mapping of names to text", &node));
    };
    map.into_iter()
        .map(|(key, value)| {
            if let Some(fault) = check(&key) {
                return Err(fault.key(&key));
            }
            let value = text(value, "text").map_err(|fault| fault.under(&key))?;
            if value.contains('\0') {
                return Err(Fault::new("expected text without NUL").under(&key));
            }
            Ok((key, value))
        })
        .collect()
}
