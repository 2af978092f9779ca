//! Who owns what: the accounts of the result, and the owners that the spec names by them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Read;

use crate::base::Files;
use crate::core::accounts::{self, Accounts, NewGroup, NewUser};
use crate::core::entry::{Content, LayerEntryKind};
use crate::core::overlay::{Ids, Plan};
use crate::core::path::LayerPath;
use crate::core::spec::{Owner, Principal, Spec};
use crate::core::tree::resolve;
use crate::error::{Error, Result};

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";

/// The key in the spec that the edited files are told by.
const KEY: &str = "accounts";

/// The base's accounts with those of the spec. The base's files are read only where the spec or
/// the image's user needs them.
pub(super) fn accounts(spec: &Spec, files: &Files, user: &str) -> Result<Accounts> {
    let by_name = |owner: &Owner| !matches!(owner, Owner::Numeric { .. });
    let owners = spec.copy_files.iter().map(|copy| &copy.owner);
    let mut owners = owners.chain([&spec.defaults.owner]).flatten();
    let adds = !spec.accounts.users.is_empty() || !spec.accounts.groups.is_empty();
    let has_names = user.contains(|c: char| !c.is_ascii_digit() && c != ':');
    if !adds && !has_names && !owners.any(by_name) {
        return Ok(Accounts::new(None, None));
    }
    let passwd = files.read(&path(PASSWD)?, accounts::MAX_SIZE)?;
    let group = files.read(&path(GROUP)?, accounts::MAX_SIZE)?;
    let mut accounts = Accounts::new(passwd, group);
    if adds {
        add(&mut accounts, spec, nologin(files)?)?;
    }
    Ok(accounts)
}

fn add(accounts: &mut Accounts, spec: &Spec, nologin: &str) -> Result<()> {
    for (number, group) in spec.accounts.groups.iter().enumerate() {
        let members = group.members.iter().map(|name| name.as_str().to_owned());
        let members: Vec<String> = members.collect();
        let group = NewGroup {
            name: group.name.as_str(),
            gid: group.gid,
            members: &members,
        };
        let added = accounts.add_group(&group);
        added.map_err(|error| error.at(format!("accounts.groups[{number}]")))?;
    }
    for (number, user) in spec.accounts.users.iter().enumerate() {
        let user = NewUser {
            name: user.name.as_str(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.as_str(),
            description: user.description.as_str(),
        };
        let added = accounts.add_user(&user, nologin);
        added.map_err(|error| error.at(format!("accounts.users[{number}]")))?;
    }
    Ok(())
}

/// Where the base has its `nologin`, or where most have it.
fn nologin(files: &Files) -> Result<&'static str> {
    for place in ["/usr/sbin/nologin", "/sbin/nologin"] {
        let found = resolve(&files.tree, &path(place)?, true);
        if found.is_ok_and(|found| found.at.is_some()) {
            return Ok(place);
        }
    }
    Ok("/sbin/nologin")
}

fn path(text: &str) -> Result<LayerPath> {
    LayerPath::parse(text)
        .map_err(|error| Error::internal(format!("bad path {text}")).because(error))
}

/// Looks owners up.
pub(super) struct Owners {
    accounts: Accounts,
    /// The user that the result runs as.
    user: String,
    /// Whether these are the accounts of the result, and not only those that it may have.
    is_final: bool,
    /// Whether a name was looked up.
    asked: Cell<bool>,
    /// Who was looked up before: account files may be long.
    known: RefCell<HashMap<String, Ids>>,
}

impl Owners {
    /// Looks names up in `accounts` for now: one that is unknown may yet come with a file.
    pub(super) fn new(accounts: Accounts, user: String) -> Self {
        Self {
            accounts,
            user,
            is_final: false,
            asked: Cell::new(false),
            known: RefCell::default(),
        }
    }

    /// Whether any owner depended on the accounts.
    pub(super) fn were_asked(&self) -> bool {
        self.asked.get()
    }

    /// Looks names up in what the result will have: the files that `plan` puts there, else those
    /// that were known before. Now a name that is unknown is an error.
    pub(super) fn of_result(self, plan: &Plan, files: &Files) -> Result<Self> {
        let passwd = planned(plan, files, PASSWD)?;
        let group = planned(plan, files, GROUP)?;
        Ok(Self {
            accounts: self.accounts.replaced(passwd, group),
            is_final: true,
            known: RefCell::default(),
            ..self
        })
    }

    /// The account files that the spec's accounts change.
    pub(super) fn edited(&self) -> Result<Vec<(Content, LayerPath)>> {
        let files = [
            (&self.accounts.passwd, PASSWD),
            (&self.accounts.group, GROUP),
        ];
        let changed = files.into_iter().filter_map(|(file, at)| {
            let content = file.changed()?;
            Some(path(at).map(|path| (Content::bytes(content), path)))
        });
        changed.collect()
    }

    /// Who `owner`, which stands at `place` in the spec, is; root where it is none.
    pub(super) fn ids(&self, owner: Option<&Owner>, place: &str) -> Result<Ids> {
        let key = owner.map(ToString::to_string).unwrap_or_default();
        if let Some(ids) = self.known.borrow().get(&key) {
            return Ok(*ids);
        }
        let ids = match owner {
            None => return Ok(Ids { uid: 0, gid: 0 }),
            Some(Owner::Numeric { uid, gid }) => {
                return Ok(Ids {
                    uid: *uid,
                    gid: *gid,
                });
            }
            Some(Owner::Runtime) => self.accounts.runtime(&self.user),
            Some(Owner::Named { user, group }) => self.named(user, group.as_ref()),
        };
        self.asked.set(true);
        if let Ok(ids) = &ids {
            self.known.borrow_mut().insert(key, *ids);
        }
        match ids {
            Err(_) if !self.is_final => Ok(Ids { uid: 0, gid: 0 }),
            ids => ids.map_err(|error| error.at(place)),
        }
    }

    fn named(&self, user: &Principal, group: Option<&Principal>) -> Result<Ids> {
        let ids = self.accounts.runtime(&user.to_string())?;
        match group {
            None => Ok(ids),
            Some(group) => Ok(Ids {
                gid: self.accounts.gid(&group.to_string())?,
                ..ids
            }),
        }
    }

    /// A user by name is looked up when the container starts: it must be there then.
    pub(super) fn note_user(&self, notes: &mut Vec<String>) {
        if let Err(error) = self.accounts.runtime(&self.user) {
            let note = format!(
                "the image runs as `{}`, which it does not know: {error}",
                self.user.escape_debug()
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
}

/// The content that `plan` gives the file `at`, unless that is our own edit of it.
fn planned(plan: &Plan, files: &Files, at: &str) -> Result<Option<Vec<u8>>> {
    let physical = resolve(&files.tree, &path(at)?, true).ok();
    let entry = physical.and_then(|found| plan.entries.get(&found.path));
    let Some(entry) =
        entry.filter(|entry| entry.cause.as_ref().is_some_and(|cause| cause.key != KEY))
    else {
        return Ok(None);
    };
    let LayerEntryKind::File(content) = &entry.kind else {
        return Ok(None);
    };
    if content.size() > accounts::MAX_SIZE {
        return Err(Error::usage(format!(
            "expected /{at} of at most {} bytes, found {}",
            accounts::MAX_SIZE,
            content.size()
        )));
    }
    let mut bytes = Vec::new();
    let read = content
        .open()
        .and_then(|mut data| data.read_to_end(&mut bytes));
    read.map_err(|error| Error::io(format!("cannot read what becomes /{at}"), error))?;
    Ok(Some(bytes))
}
