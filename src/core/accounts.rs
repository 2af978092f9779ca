//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)) as text: lines are added at the end, what
//! is there keeps its bytes and order. Also who a name is, for `owner`.
//!
//! Lines that are no accounts (comments, NIS, damage) are left alone and never match.

use super::overlay::Ids;
use super::spec::MAX_ID;
use crate::error::{Error, Result};

/// The largest account file that is read, in bytes.
pub const MAX_SIZE: u64 = 4 << 20;

/// A line of `/etc/passwd` to be added. Its password is locked and it has no shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser<'a> {
    /// Login name.
    pub name: &'a str,
    /// Numeric user.
    pub uid: u32,
    /// Numeric primary group.
    pub gid: u32,
    /// Home directory.
    pub home: &'a str,
    /// The comment field.
    pub description: &'a str,
}

/// A line of `/etc/group` to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup<'a> {
    /// Group name.
    pub name: &'a str,
    /// Numeric group.
    pub gid: u32,
    /// Names of the users in it, beside those whose primary group it is.
    pub members: &'a [String],
}

/// One of the two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFile {
    path: &'static str,
    text: Vec<u8>,
    changed: bool,
}

/// The two files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: AccountFile,
    /// `/etc/group`.
    pub group: AccountFile,
}

impl AccountFile {
    fn new(path: &'static str, text: Vec<u8>) -> Self {
        Self {
            path,
            text,
            changed: false,
        }
    }

    /// The new content; `None` where nothing was added.
    pub fn changed(&self) -> Option<&[u8]> {
        self.changed.then_some(self.text.as_slice())
    }

    /// The fields of every line, with the line's number, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, Vec<&[u8]>)> {
        let lines = self.text.split(|&byte| byte == b'\n').enumerate();
        lines.map(|(number, line)| (number + 1, line.split(|&byte| byte == b':').collect()))
    }

    /// Adds `line`, of which the fields `name` and `id` (the third) must be free, or the whole
    /// line there already with the fields `compared` as they are.
    fn add(&mut self, what: &str, line: &str, compared: &[usize]) -> Result<()> {
        let wanted: Vec<&[u8]> = line.split(':').map(str::as_bytes).collect();
        for (number, fields) in self.lines() {
            if fields.len() < 3
                || (fields[0] != wanted[0] && number_of(fields[2]) != number_of(wanted[2]))
            {
                continue;
            }
            if compared
                .iter()
                .all(|&field| fields.get(field) == Some(&wanted[field]))
            {
                return Ok(());
            }
            return Err(Error::usage(format!(
                "expected {what} to be free or the same in {}, found line {number}: {}",
                self.path,
                super::path::escape(&fields.join(&b':'))
            ))
            .hint("choose another name and id, or the values that the base has"));
        }
        if self.text.last().is_some_and(|&byte| byte != b'\n') {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
        self.changed = true;
        Ok(())
    }

    /// The number in `field` of the line whose name is `name`.
    fn number(&self, name: &str, field: usize) -> Option<u32> {
        self.lines()
            .find(|(_, fields)| fields.len() > field && fields[0] == name.as_bytes())
            .and_then(|(_, fields)| number_of(fields[field]))
    }
}

/// A user or group id. The highest number means "none" to Linux and is no id.
fn number_of(field: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(field).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|id| is_number && *id <= MAX_ID)
}

impl Accounts {
    /// Reads the two files; a missing one is empty.
    pub fn new(passwd: Option<Vec<u8>>, group: Option<Vec<u8>>) -> Self {
        Self {
            passwd: AccountFile::new("/etc/passwd", passwd.unwrap_or_default()),
            group: AccountFile::new("/etc/group", group.unwrap_or_default()),
        }
    }

    /// These accounts with other files in place of those that are given.
    #[must_use]
    pub fn replaced(self, passwd: Option<Vec<u8>>, group: Option<Vec<u8>>) -> Self {
        Self {
            passwd: passwd.map_or(self.passwd, |text| AccountFile::new("/etc/passwd", text)),
            group: group.map_or(self.group, |text| AccountFile::new("/etc/group", text)),
        }
    }

    /// Adds a user. `nologin` is the path of the program that takes the place of a shell.
    pub fn add_user(&mut self, user: &NewUser<'_>, nologin: &str) -> Result<()> {
        let NewUser {
            name,
            uid,
            gid,
            home,
            description,
        } = user;
        let line = format!("{name}:x:{uid}:{gid}:{description}:{home}:{nologin}");
        let what = format!("the user {name} with uid {uid}, gid {gid} and home {home}");
        self.passwd.add(&what, &line, &[0, 2, 3, 4, 5])
    }

    /// Adds a group.
    pub fn add_group(&mut self, group: &NewGroup<'_>) -> Result<()> {
        let NewGroup { name, gid, members } = group;
        let line = format!("{name}:x:{gid}:{}", members.join(","));
        let what = format!(
            "the group {name} with gid {gid} and members [{}]",
            members.join(", ")
        );
        self.group.add(&what, &line, &[0, 2, 3])
    }

    /// The number of the user `name`, and of its primary group.
    pub fn user(&self, name: &str) -> Option<Ids> {
        Some(Ids {
            uid: self.passwd.number(name, 2)?,
            gid: self.passwd.number(name, 3)?,
        })
    }

    /// The primary group of the user with this number.
    pub fn primary_group(&self, uid: u32) -> Option<u32> {
        self.passwd
            .lines()
            .find(|(_, fields)| fields.len() > 3 && number_of(fields[2]) == Some(uid))
            .and_then(|(_, fields)| number_of(fields[3]))
    }

    /// The number of the group `name`.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.group.number(name, 2)
    }

    /// Who `user[:group]` is when a container starts: names by the files, a number's group by
    /// `/etc/passwd`, else group 0 (as containerd and Docker do).
    pub fn runtime(&self, user: &str) -> Result<Ids> {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user, None),
        };
        let ids = match number_of(user.as_bytes()) {
            _ if user.is_empty() => Ids { uid: 0, gid: 0 },
            Some(uid) => Ids {
                uid,
                gid: self.primary_group(uid).unwrap_or(0),
            },
            None => self
                .user(user)
                .ok_or_else(|| unknown("user", user, &self.passwd))?,
        };
        match group.filter(|group| !group.is_empty()) {
            None => Ok(ids),
            Some(group) => Ok(Ids {
                gid: self.gid(group)?,
                ..ids
            }),
        }
    }

    /// The number of the group, by number or name.
    pub fn gid(&self, group: &str) -> Result<u32> {
        let by_name = || {
            self.group(group)
                .ok_or_else(|| unknown("group", group, &self.group))
        };
        number_of(group.as_bytes()).map_or_else(by_name, Ok)
    }
}

fn unknown(what: &str, name: &str, file: &AccountFile) -> Error {
    let known: Vec<_> = file
        .lines()
        .filter(|(_, fields)| fields.len() > 2)
        .map(|(_, fields)| super::path::escape(fields[0]))
        .take(50)
        .collect();
    Error::usage(format!(
        "expected a {what} of the image's {}, found `{}`",
        file.path,
        name.escape_debug()
    ))
    .hint(if known.is_empty() {
        format!("the image names no {what}: use numbers, or add it to `accounts.{what}s`")
    } else {
        format!(
            "use numbers, or add it to `accounts.{what}s`; known: {}",
            known.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/sbin/nologin\n# comment\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin";

    fn accounts() -> Accounts {
        Accounts::new(
            Some(PASSWD.to_vec()),
            Some(b"root:x:0:\nnonroot:x:65532:\n".to_vec()),
        )
    }

    fn app(uid: u32) -> NewUser<'static> {
        NewUser {
            name: "app",
            uid,
            gid: 1000,
            home: "/nonexistent",
            description: "",
        }
    }

    #[test]
    fn a_line_is_added_after_a_missing_line_end() {
        let mut accounts = accounts();
        accounts
            .add_user(&app(1000), "/sbin/nologin")
            .expect("free");
        let mut expected = PASSWD.to_vec();
        expected.extend_from_slice(b"\napp:x:1000:1000::/nonexistent:/sbin/nologin\n");
        assert_eq!(accounts.passwd.changed(), Some(expected.as_slice()));
        assert_eq!(accounts.group.changed(), None);
    }

    #[test]
    fn the_same_account_twice_is_one() {
        let mut accounts = accounts();
        accounts
            .add_user(&app(1000), "/sbin/nologin")
            .expect("free");
        let once = accounts.clone();
        accounts
            .add_user(&app(1000), "/usr/sbin/nologin")
            .expect("the same");
        assert_eq!(accounts, once);
    }

    #[test]
    fn a_name_or_id_with_other_values_is_an_error() {
        let mut accounts = accounts();
        let error = accounts
            .add_user(&app(65532), "/sbin/nologin")
            .expect_err("taken");
        assert_eq!(
            error.to_string(),
            "expected the user app with uid 65532, gid 1000 and home /nonexistent to be free or the same in /etc/passwd, found line 3: nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin"
        );
        let group = NewGroup {
            name: "root",
            gid: 5,
            members: &[],
        };
        assert!(accounts.add_group(&group).is_err());
    }

    #[test]
    fn the_runtime_user_is_found_as_runtimes_do() {
        let accounts = accounts();
        for (user, uid, gid) in [
            ("", 0, 0),
            ("65532", 65532, 65532),
            ("1234", 1234, 0),
            ("nonroot", 65532, 65532),
            ("nonroot:root", 65532, 0),
            ("7:8", 7, 8),
        ] {
            assert_eq!(
                accounts.runtime(user).expect(user),
                Ids { uid, gid },
                "{user}"
            );
        }
        // "None" to Linux, and no number at all.
        assert!(accounts.runtime("4294967295").is_err());
        assert!(accounts.runtime("+7").is_err());
        let error = accounts.runtime("postgres").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "expected a user of the image's /etc/passwd, found `postgres`"
        );
        assert_eq!(
            error.advice(),
            Some("use numbers, or add it to `accounts.users`; known: root, nonroot")
        );
    }
}
