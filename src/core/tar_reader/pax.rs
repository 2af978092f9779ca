//! PAX extended headers (POSIX.1-2024, `pax`, "pax Extended Header"): records of
//! `LENGTH KEY=VALUE\n`, where the value may hold any bytes, newlines too.

use std::collections::BTreeMap;

use super::number;
use crate::core::path::escape;

/// Extended attributes of one entry that are taken, at most.
pub(super) const MAX_XATTRS: usize = 1024;

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What the records of an extended header say of the entry that follows. A later record for the
/// same key wins.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Records {
    /// Reads the data of an `x` header. Keys that change nothing for an image are left out:
    /// access times, user names, comments, vendors' own.
    pub(super) fn parse(data: &[u8]) -> Result<Self, String> {
        let mut records = Self::default();
        for_each(data, |key, value| records.apply(key, value))?;
        Ok(records)
    }

    /// Checks the data of a `g` header. POSIX applies its records to all entries that follow; the
    /// runtimes, by way of Go, apply none of them. So records that would change an entry are
    /// refused, and the others, such as git's `comment`, mean nothing here.
    pub(super) fn check_global(data: &[u8]) -> Result<(), String> {
        for_each(data, |key, _| {
            let changes_entries = matches!(
                key,
                b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime"
            );
            if changes_entries || key.starts_with(XATTR) || key.starts_with(b"GNU.sparse.") {
                return Err(format!(
                    "a global extended header sets `{}`, which some runtimes apply and others do not",
                    shown(key)
                ));
            }
            Ok(())
        })
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(XATTR) {
            return self.xattr(name, value);
        }
        if key.starts_with(b"GNU.sparse.") {
            return Err(format!("a sparse file (PAX `{}`)", shown(key)));
        }
        let place = |error| format!("the PAX record `{}`: {error}", shown(key));
        match key {
            b"path" => self.path = name(value).map_err(place)?,
            b"linkpath" => self.link = name(value).map_err(place)?,
            b"size" => self.size = unless_empty(value, number::decimal).map_err(place)?,
            b"uid" => self.uid = unless_empty(value, number::decimal).map_err(place)?,
            b"gid" => self.gid = unless_empty(value, number::decimal).map_err(place)?,
            b"mtime" => self.mtime = unless_empty(value, number::time).map_err(place)?,
            _ => {}
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if name.is_empty() {
            return Err("an extended attribute without a name".to_owned());
        }
        self.xattrs.insert(name.to_vec(), value.to_vec());
        if self.xattrs.len() > MAX_XATTRS {
            return Err(format!("more than {MAX_XATTRS} extended attributes"));
        }
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if value.contains(&0) {
        return Err("a NUL byte in a name".to_owned());
    }
    unless_empty(value, |value| Ok(value.to_vec()))
}

/// An empty value takes back what an earlier record said.
fn unless_empty<T>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, String> {
    (!value.is_empty()).then(|| parse(value)).transpose()
}

fn for_each(
    mut data: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    while !data.is_empty() {
        let (record, rest) = split_record(data).ok_or_else(|| {
            format!(
                "expected a PAX record `LENGTH KEY=VALUE`, found `{}`",
                shown(data)
            )
        })?;
        let equals = record.iter().position(|&byte| byte == b'=');
        match equals.map(|at| (&record[..at], &record[at + 1..])) {
            Some((key, value)) if !key.is_empty() && !key.contains(&0) => take(key, value)?,
            _ => {
                return Err(format!(
                    "expected a PAX record `KEY=VALUE`, found `{}`",
                    shown(record)
                ));
            }
        }
        data = rest;
    }
    Ok(())
}

/// `KEY=VALUE` of the first record, and what follows the record.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(number::decimal(&data[..space]).ok()?).ok()?;
    if length > data.len() {
        return None;
    }
    let (record, rest) = data.split_at(length);
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    Some((record, rest))
}

fn shown(bytes: &[u8]) -> String {
    escape(&bytes[..bytes.len().min(60)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_newlines_and_any_bytes() {
        let data = b"12 path=a\nb\n30 SCHILY.xattr.user.x=\0\n\xff=yz\n14 uid=123456\n";
        let records = Records::parse(data).expect("well-formed");
        assert_eq!(records.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(records.uid, Some(123_456));
        let xattrs: Vec<_> = records.xattrs.into_iter().collect();
        assert_eq!(xattrs, [(b"user.x".to_vec(), b"\0\n\xff=yz".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for (data, expected) in [
            (
                &b"path=a\n"[..],
                "expected a PAX record `LENGTH KEY=VALUE`, found `path=a\\n`",
            ),
            (
                b"99 path=a\n",
                "expected a PAX record `LENGTH KEY=VALUE`, found `99 path=a\\n`",
            ),
            (
                b"2 path=a\n",
                "expected a PAX record `LENGTH KEY=VALUE`, found `2 path=a\\n`",
            ),
            (
                b"0 path=a\n",
                "expected a PAX record `LENGTH KEY=VALUE`, found `0 path=a\\n`",
            ),
            (
                b"8 path=a\n",
                "expected a PAX record `LENGTH KEY=VALUE`, found `8 path=a\\n`",
            ),
            (
                b"-9 path=a\n",
                "expected a PAX record `LENGTH KEY=VALUE`, found `-9 path=a\\n`",
            ),
            (
                b"8 pathx\n",
                "expected a PAX record `KEY=VALUE`, found `pathx`",
            ),
            (b"5 =a\n", "expected a PAX record `KEY=VALUE`, found `=a`"),
            (
                b"12 path=a\0b\n",
                "the PAX record `path`: a NUL byte in a name",
            ),
            (
                b"11 size=-x\n",
                "the PAX record `size`: expected a decimal number within 63 bits, found `-x`",
            ),
            (
                b"22 GNU.sparse.major=1\n",
                "a sparse file (PAX `GNU.sparse.major`)",
            ),
            (
                b"19 SCHILY.xattr.=a\n",
                "an extended attribute without a name",
            ),
        ] {
            assert_eq!(
                Records::parse(data).map(|_| ()),
                Err(expected.to_owned()),
                "{data:?}"
            );
        }
    }

    #[test]
    fn a_later_record_wins_and_an_empty_one_takes_back() {
        let records = Records::parse(b"9 path=a\n9 path=b\n8 uid=1\n7 uid=\n").expect("fine");
        assert_eq!(records.path.as_deref(), Some(&b"b"[..]));
        assert_eq!(records.uid, None);
    }
}
