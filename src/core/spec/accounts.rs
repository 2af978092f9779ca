//! The users and groups that a spec adds: complete, and without two of one name or id.

use std::collections::HashSet;
use std::hash::Hash;

use super::document::{AccountsDocument, GroupDocument, UserDocument};
use super::fault::Fault;
use super::text::{AccountName, Comment, Home};

/// Users and groups to add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// In the order of the spec.
    pub users: Vec<UserAccount>,
    /// In the order of the spec.
    pub groups: Vec<GroupAccount>,
}

/// A user to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAccount {
    /// The name.
    pub name: AccountName,
    /// The user's id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home directory.
    pub home: Home,
    /// What the account is for, or nothing.
    pub description: Comment,
}

/// A group to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAccount {
    /// The name.
    pub name: AccountName,
    /// The group's id.
    pub gid: u32,
    /// Names of users.
    pub members: Vec<AccountName>,
}

impl TryFrom<AccountsDocument> for Accounts {
    type Error = Fault;

    fn try_from(accounts: AccountsDocument) -> Result<Self, Fault> {
        let users: Vec<UserAccount> = accounts.users.into_iter().map(user).collect();
        let groups: Vec<GroupAccount> = accounts.groups.into_iter().map(group).collect();
        unique(users.iter().map(|user| &user.name), "users", "name")?;
        unique(users.iter().map(|user| user.uid), "users", "uid")?;
        unique(groups.iter().map(|group| &group.name), "groups", "name")?;
        unique(groups.iter().map(|group| group.gid), "groups", "gid")?;
        Ok(Self { users, groups })
    }
}

fn user(user: UserDocument) -> UserAccount {
    UserAccount {
        name: user.name,
        uid: user.uid.0,
        gid: user.gid.unwrap_or(user.uid).0,
        home: user.home.unwrap_or_default(),
        description: user.description.unwrap_or_default(),
    }
}

fn group(group: GroupDocument) -> GroupAccount {
    GroupAccount {
        name: group.name,
        gid: group.gid.0,
        members: group.members,
    }
}

fn unique<T: Eq + Hash + std::fmt::Display>(
    values: impl Iterator<Item = T>,
    list: &str,
    key: &str,
) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, value) in values.enumerate() {
        let message = format!("the {key} `{value}` is there twice");
        if !seen.insert(value) {
            return Err(Fault::new(message).under(key).item(index).under(list));
        }
    }
    Ok(())
}
