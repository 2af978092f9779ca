//! Errors before their line is known, and the way from a YAML tree to types: each type says how it
//! is made of a [`Node`], and the `record!` macro makes structs of mappings whose unknown keys are
//! errors.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::node::Node;
use crate::core::path::escape;
use crate::error::Error;

/// One step down into the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Whether the fault lies in the value at the path's end, or in the key in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Value,
    Key,
}

/// What is wrong, and the path to where; the path's last step comes first.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Vec<Step>,
    pub(super) place: Place,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            place: Place::Value,
            message: message.into(),
            hint: None,
        }
    }

    /// A value of the wrong type or shape.
    pub(super) fn expected(expected: &str, found: &Node) -> Self {
        Self::new(format!("expected {expected}, found {}", found.describe()))
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The fault lies below `key`.
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path.push(Step::Key(key.to_owned()));
        self
    }

    /// The fault lies in the item at `index`.
    pub(super) fn item(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }

    /// The fault is that there is this `key`.
    pub(super) fn key(mut self, key: &str) -> Self {
        self.place = Place::Key;
        self.under(key)
    }

    /// The error, with `place` (file, line and column) and the path in front of the message.
    pub(super) fn into_error(self, place: &str) -> Error {
        let mut path = String::new();
        let last = usize::from(self.place == Place::Key);
        for step in self.path.iter().skip(last).rev() {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(&shortened(key)),
                Step::Key(key) => {
                    let _ = write!(path, ".{}", shortened(key));
                }
                Step::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        let mut error = Error::usage(self.message);
        if !path.is_empty() {
            error = error.at(path);
        }
        error = error.at(place);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self {
            hint: error.advice().map(str::to_owned),
            ..Self::new(error.to_string())
        }
    }
}

/// A text in backquotes, safe on a terminal and not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", escape(&text.as_bytes()[..end])),
        None => escape(text.as_bytes()),
    }
}

/// The one of `known` that `text` was most likely meant to be.
pub(super) fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    // The measure costs the product of the lengths; no name of ours is long.
    if text.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(text, name), *name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A list of names for messages, each in backquotes.
pub(super) fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What can be made of a YAML value.
pub(super) trait FromNode: Sized {
    fn from_node(node: Node) -> Result<Self, Fault>;

    /// The value where the key is not there; `None` where the key is required.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: Node) -> Result<Self, Fault> {
        T::from_node(node).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: Node) -> Result<Self, Fault> {
        match node {
            Node::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| T::from_node(item).map_err(|fault| fault.item(index)))
                .collect(),
            other => Err(Fault::expected("a list", &other)),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// Takes text; a number or a boolean is told to be put in quotes.
pub(super) fn text(node: Node, expected: &str) -> Result<String, Fault> {
    match node {
        Node::Text(text) => Ok(text),
        other => {
            let fault = Fault::expected(expected, &other);
            Err(match other {
                Node::Integer(_) | Node::Float(_) | Node::Bool(_) => {
                    fault.hint("put the value in quotes, so that it is kept as it is written")
                }
                Node::Null => fault.hint("give the key a value, or remove it"),
                _ => fault,
            })
        }
    }
}

/// A mapping that gives up its known keys one by one.
pub(super) struct Table(IndexMap<String, Node>);

impl Table {
    /// The mapping `node`, which may have no keys but `known`.
    pub(super) fn open(node: Node, known: &[&str]) -> Result<Self, Fault> {
        let Node::Map(map) = node else {
            let fault = Fault::expected("a mapping", &node);
            return Err(match node {
                Node::Null => fault.hint("give the key a value, or remove it"),
                _ => fault,
            });
        };
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Self(map)),
            Some(key) => {
                let guess = nearest(key, known)
                    .map_or_else(String::new, |name| format!(": did you mean `{name}`?"));
                Err(Fault::new(format!(
                    "unknown key {}{guess} (known: {})",
                    quoted(key),
                    listed(known)
                ))
                .key(key))
            }
        }
    }

    /// The value of `key`, or what stands for it where it is not there.
    pub(super) fn take<T: FromNode>(&mut self, key: &str) -> Result<T, Fault> {
        match self.0.swap_remove(key) {
            Some(node) => T::from_node(node).map_err(|fault| fault.under(key)),
            None => T::absent().ok_or_else(|| Fault::new(format!("the key `{key}` is missing"))),
        }
    }
}

/// Defines a struct of a mapping: its fields are the known keys, their types say what is required.
/// The JSON schema is made of the same fields.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty, )*
        }
    ) => {
        #[derive(schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        $visibility struct $name {
            $( $(#[$field_meta])* $field_visibility $field: $type, )*
        }

        impl $crate::core::spec::fault::FromNode for $name {
            fn from_node(
                node: $crate::core::spec::node::Node,
            ) -> Result<Self, $crate::core::spec::fault::Fault> {
                const KEYS: &[&str] = &[$(stringify!($field)),*];
                let mut table = $crate::core::spec::fault::Table::open(node, KEYS)?;
                Ok(Self { $( $field: table.take(stringify!($field))?, )* })
            }
        }
    };
}
pub(super) use record;
