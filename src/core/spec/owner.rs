//! Who owns what is added: ids, names, and `runtime`. A lone number is refused, so that the group is
//! never guessed.

use std::fmt;
use std::str::FromStr;

use super::fault::{Fault, FromNode, quoted, text};
use super::node::Node;
use crate::error::{Error, Result};

/// The highest user or group id: the one above means "none" to Linux.
pub const MAX_ID: u32 = u32::MAX - 1;

/// A user or group id from a YAML number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id(pub(super) u32);

impl FromNode for Id {
    fn from_node(node: Node) -> Result<Self, Fault> {
        let id = match &node {
            Node::Integer(digits) => numeric_id(digits),
            _ => None,
        };
        id.map(Self)
            .ok_or_else(|| Fault::expected(&format!("a number from 0 to {MAX_ID}"), &node))
    }
}

fn numeric_id(digits: &str) -> Option<u32> {
    digits
        .parse()
        .ok()
        .filter(|id| *id <= MAX_ID && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A user or a group, by number or by a name that the result's passwd or group file resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// By number.
    Id(u32),
    /// By name.
    Name(String),
}

impl Principal {
    /// A number, or a name that fits into a line of passwd or group; digits are always a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return numeric_id(text).map(Self::Id);
        }
        let fits = text.len() <= 256
            && !text.starts_with(['-', '+'])
            && text
                .chars()
                .all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, ':' | ',' | '/'));
        fits.then(|| Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Who owns what is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// `uid:gid`.
    Numeric {
        /// The owning user.
        uid: u32,
        /// The owning group.
        gid: u32,
    },
    /// `user`, `user:group` or a mix of name and number.
    Named {
        /// The owning user.
        user: Principal,
        /// The owning group; `None` is the primary group of the user.
        group: Option<Principal>,
    },
    /// `runtime`: the user that the result runs as.
    Runtime,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric { uid, gid } => write!(f, "{uid}:{gid}"),
            Self::Named {
                user,
                group: Some(group),
            } => write!(f, "{user}:{group}"),
            Self::Named { user, group: None } => user.fmt(f),
            Self::Runtime => f.write_str("runtime"),
        }
    }
}

const OWNER: &str =
    "an owner such as \"65532:65532\", \"postgres\", \"postgres:postgres\" or \"runtime\"";

impl FromStr for Owner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "runtime" {
            return Ok(Self::Runtime);
        }
        let bad = || Error::usage(format!("expected {OWNER}, found {}", quoted(text)));
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let user = Principal::parse(user).ok_or_else(bad)?;
        let group = match group {
            Some(group) => Some(Principal::parse(group).ok_or_else(bad)?),
            None => None,
        };
        match (user, group) {
            (Principal::Id(uid), Some(Principal::Id(gid))) => Ok(Self::Numeric { uid, gid }),
            (Principal::Id(uid), None) => {
                Err(bad().hint(format!("name the group too: \"{uid}:{uid}\"")))
            }
            (user, group) => Ok(Self::Named { user, group }),
        }
    }
}

impl FromNode for Owner {
    fn from_node(node: Node) -> Result<Self, Fault> {
        if let Node::Integer(id) = &node {
            return Err(Fault::expected(OWNER, &node)
                .hint(format!("name the group too, in quotes: \"{id}:{id}\"")));
        }
        Ok(text(node, OWNER)?.parse()?)
    }
}
