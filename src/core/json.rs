//! JSON objects of other people, edited in place: what is not changed keeps its bytes, order and
//! unknown fields included.
//!
//! Refused: objects in which two keys differ only by the case of ASCII letters. Readers written in
//! Go take such keys for one and the same, so that two programs would see two different images.
//! Refused too: nesting deeper than [`MAX_DEPTH`], which other readers could not take.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// The largest manifest or index that is read, in bytes: the distribution spec's limit.
pub const MAX_MANIFEST: u64 = 4 << 20;

/// The largest image config that is read, in bytes.
pub const MAX_CONFIG: u64 = 8 << 20;

/// The deepest nesting of arrays and objects that is taken, in fields that are not ours as well.
pub const MAX_DEPTH: usize = 128;

/// A JSON object whose values are kept as the text they were written as.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Object(IndexMap<String, Box<RawValue>>);

impl Object {
    /// Parses the text of an object; `what` names it in the error.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        parse(bytes, what)
    }

    /// The value of `key`, parsed; `None` where it is missing or null.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| malformed(&format!("`{key}`"), error)),
        }
    }

    /// The value of `key`, parsed; an error where it is missing or null.
    pub fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.read(key)?
            .ok_or_else(|| Error::integrity(format!("expected `{key}`, found no such field")))
    }

    /// Whether there is a value for `key` that is not null.
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|raw| raw.get() != "null")
    }

    /// Sets `key`: in its place where it exists, else at the end.
    pub fn set(&mut self, key: &str, value: &impl Serialize) -> Result<()> {
        let raw = serde_json::value::to_raw_value(value).map_err(|error| {
            Error::internal(format!("cannot write `{key}` as JSON")).because(error)
        })?;
        self.0.insert(key.to_owned(), raw);
        Ok(())
    }

    /// Removes `key`; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.0.shift_remove(key).is_some()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON without white space between its own fields.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::internal("cannot write JSON").because(error))
    }
}

/// The key as Go's `encoding/json` compares it: ASCII case folded, and the two letters beyond ASCII
/// whose case folds into it.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Parses the whole of a JSON text; `what` names it in the error.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    if is_too_deep(bytes) {
        return Err(Error::integrity(format!(
            "{what}: expected JSON of at most {MAX_DEPTH} levels, found deeper nesting"
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| malformed(what, error))
}

/// Whether more brackets than [`MAX_DEPTH`] are open at one place. Raw values are kept without a
/// look inside, so that the parser's own limit does not see their depth.
fn is_too_deep(bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                bytes.next();
            }
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn malformed(what: &str, error: serde_json::Error) -> Error {
    Error::integrity(format!("{what} is not the JSON that was expected")).because(error)
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = IndexMap::new();
                let mut folded = std::collections::HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if !folded.insert(fold(&key)) {
                        return Err(serde::de::Error::custom(format!(
                            "the key `{}` is there twice (keys that differ only by case count as one)",
                            key.escape_debug()
                        )));
                    }
                    fields.insert(key, value);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_keeps_its_bytes() {
        let text = br#"{"b":1.50,"x":{ "deep" : [1e400,"\u003c"] },"a":null}"#;
        let mut object = Object::parse(text, "text").expect("an object");
        object.set("a", &"new").expect("set");
        object.set("c", &[1]).expect("set");
        assert!(object.remove("b"));
        assert_eq!(
            String::from_utf8(object.to_bytes().expect("bytes")).expect("UTF-8"),
            r#"{"x":{ "deep" : [1e400,"\u003c"] },"a":"new","c":[1]}"#
        );
    }

    #[test]
    fn keys_that_another_reader_takes_for_one_are_refused() {
        for text in [
            r#"{"layers":[],"Layers":[1]}"#,
            r#"{"layers":[],"layer\u017f":[1]}"#,
            r#"{"a":1,"a":2}"#,
        ] {
            let error = Object::parse(text.as_bytes(), "the manifest").expect_err(text);
            assert_eq!(error.kind(), crate::error::Kind::Integrity);
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        for (depth, taken) in [
            (MAX_DEPTH - 1, true),
            (MAX_DEPTH, false),
            (1_000_000, false),
        ] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let object = Object::parse(format!(r#"{{"a":{deep}}}"#).as_bytes(), "x");
            assert_eq!(object.is_ok(), taken);
            let message = "x: expected JSON of at most 128 levels, found deeper nesting";
            assert!(taken || object.is_err_and(|error| error.to_string() == message));
        }
        let brackets = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(1000));
        assert!(Object::parse(brackets.as_bytes(), "x").is_ok());
    }

    #[test]
    fn missing_and_null_are_the_same() {
        let object = Object::parse(br#"{"a":null}"#, "x").expect("an object");
        assert_eq!(object.read::<String>("a").expect("null"), None);
        assert_eq!(object.read::<String>("b").expect("missing"), None);
        assert!(!object.has("a"));
        assert_eq!(
            object
                .require::<String>("a")
                .expect_err("required")
                .to_string(),
            "expected `a`, found no such field"
        );
    }
}
