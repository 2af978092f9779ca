//! The YAML of a spec as a tree of plain values, and the place in the text where a path of keys
//! leads to.
//!
//! Refused here: duplicate keys, tags, more than one document, nesting and aliases beyond all
//! measure. What the values mean is not decided here. `serde_yaml` tells the place of an error only,
//! so [`locate`] reads the text again and fails on purpose where the path ends.

use std::cell::{Cell, RefCell};
use std::fmt;

use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Deserializer;

use super::fault::{Fault, Place, Step, quoted};
use crate::error::{Error, Result};

/// How many more brackets may be open than closed, wherever they stand. A spec needs three levels,
/// text within it closes nearly all that it opens, and the YAML parser takes quadratic time.
const MAX_OPEN: usize = 1000;

/// What a tree may cost after its aliases are followed: a byte of text costs 1, a value
/// [`NODE_COST`]. Without aliases no text within the limit of a spec reaches it.
const MAX_COST: usize = 20 << 20;
const NODE_COST: usize = 16;

/// A YAML value. Numbers are kept as text: they are only read where they are exact.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(String),
    Float(String),
    Text(String),
    List(Vec<Node>),
    Map(IndexMap<String, Node>),
}

impl Node {
    /// What was found, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Integer(digits) => format!("the number {digits}"),
            Self::Float(digits) => format!("the fraction {digits}"),
            Self::Text(text) => quoted(text),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads `yaml` into a tree; `file` names it in errors.
pub(super) fn read(yaml: &str, file: &str) -> Result<Node> {
    check_depth(yaml, file)?;
    let reader = Reader {
        left: Cell::new(MAX_COST),
        failure: RefCell::new(None),
    };
    Tree(&reader)
        .deserialize(Deserializer::from_str(yaml))
        .map_err(|error| {
            let place = error.location().map(|at| (at.line(), at.column()));
            let (message, hint) = reader
                .failure
                .take()
                .unwrap_or_else(|| (foreign_message(&error), None));
            let error = Error::usage(message).at(shown(file, place));
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
}

/// Turns a fault into an error that names the line and column of `yaml` that its path leads to.
pub(super) fn locate(fault: Fault, yaml: &str, file: &str) -> Error {
    let path: Vec<Step> = fault.path.iter().rev().cloned().collect();
    let seek = Seek {
        path: &path,
        place: fault.place,
    };
    let place = seek
        .deserialize(Deserializer::from_str(yaml))
        .err()
        .and_then(|error| error.location())
        .map(|at| (at.line(), at.column()));
    fault.into_error(&shown(file, place))
}

fn shown(file: &str, place: Option<(usize, usize)>) -> String {
    match place {
        Some((line, column)) => format!("{file}:{line}:{column}"),
        None => file.to_owned(),
    }
}

/// Refuses heaps of open brackets before the YAML parser sees them.
fn check_depth(yaml: &str, file: &str) -> Result<()> {
    let mut open = 0_usize;
    for (number, line) in yaml.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        if open > MAX_OPEN {
            return Err(Error::usage(TOO_DEEP)
                .at(format!("{file}:{}:1", number + 1))
                .hint("if the brackets are text, put it into a file and name it as `source`"));
        }
    }
    Ok(())
}

const TOO_DEEP: &str = "the YAML is nested too deeply";

/// The parser's own message in our words, without the place, which stands in front of it.
fn foreign_message(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let place = error.location().map_or_else(String::new, |at| {
        format!(" at line {} column {}", at.line(), at.column())
    });
    let text = text.replacen(&place, "", usize::from(!place.is_empty()));
    if text.contains("more than one document") {
        return "expected one YAML document, found another one after `---`".to_owned();
    }
    if text.ends_with("repetition limit exceeded") {
        return "the YAML's aliases repeat too much".to_owned();
    }
    if text.ends_with("recursion limit exceeded") {
        return TOO_DEEP.to_owned();
    }
    if let Some((_, found)) = text.split_once("invalid type: ")
        && let Some((found, expected)) = found.rsplit_once(", expected ")
    {
        let found = match found {
            "map" => "mapping",
            "sequence" => "list",
            other => other,
        };
        return format!("expected {expected}, found a {found}");
    }
    format!("not valid YAML (indented by spaces, items of one list alike): {text}")
}

struct Reader {
    left: Cell<usize>,
    failure: RefCell<Option<(String, Option<String>)>>,
}

impl Reader {
    fn fail<E: serde::de::Error>(&self, message: String, hint: Option<&str>) -> E {
        self.failure
            .replace(Some((message, hint.map(str::to_owned))));
        E::custom("")
    }

    fn pay<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes + NODE_COST);
        self.left.set(left.ok_or_else(|| {
            self.fail(
                "the YAML grows beyond all measure by its aliases".to_owned(),
                Some("write repeated values out"),
            )
        })?);
        Ok(())
    }
}

/// Builds a [`Node`].
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Reader);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.0.pay(0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Integer(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value.to_string()))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        self.0.pay(text.len())?;
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(self
            .0
            .fail("a YAML tag is not accepted here".to_owned(), None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = IndexMap::new();
        while let Some(key) = entries.next_key_seed(NewKey {
            reader: self.0,
            map: &map,
        })? {
            let value = entries.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Node::Map(map))
    }
}

/// Reads a key that `map` does not have yet. The check stands here, not in the mapping's visitor,
/// so that the error's place is the second key's.
struct NewKey<'a> {
    reader: &'a Reader,
    map: &'a IndexMap<String, Node>,
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        self.reader.pay(key.len())?;
        if self.map.contains_key(key) {
            return Err(self.reader.fail(
                format!("the key {} is there twice", quoted(key)),
                Some("keep one of the two"),
            ));
        }
        Ok(key.to_owned())
    }
}

/// Walks along a path and fails at its end, so that the parser tells the place.
#[derive(Clone, Copy)]
struct Seek<'a> {
    path: &'a [Step],
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Every visit that has no method here fails, which is what is wanted.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place of an error")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(""));
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items
            .next_element_seed(Seek { path: rest, ..self })?
            .ok_or_else(|| A::Error::custom(""))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(""));
        };
        let seek = SeekKey {
            wanted,
            fails: rest.is_empty() && self.place == Place::Key,
        };
        while let Some(found) = entries.next_key_seed(seek)? {
            if found {
                return entries.next_value_seed(Seek { path: rest, ..self });
            }
            entries.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom(""))
    }
}

/// Says whether a key is the wanted one, or fails at it where the key itself is the place.
#[derive(Clone, Copy)]
struct SeekKey<'a> {
    wanted: &'a str,
    fails: bool,
}

impl<'de> DeserializeSeed<'de> for SeekKey<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for SeekKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        let found = key == self.wanted;
        if found && self.fails {
            return Err(E::custom(""));
        }
        Ok(found)
    }
}
