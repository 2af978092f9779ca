//! The spec as it is written: one struct a mapping, one field a key. The parser and the JSON
//! schema are both made of these; keys that depend on each other are checked in [`super`].

use super::copy::Destination;
use super::fault::record;
use super::fields::{Architecture, Base, Level, Mode, Port, Variant};
use super::owner::{Id, Owner};
use super::pattern::Glob;
use super::text::{
    AccountName, Annotations, Arguments, Comment, Env, Home, Labels, Line, Prose, Signal, User,
    Workdir,
};
use super::time::Timestamp;
use crate::core::media::Compression;
use crate::core::platform::Platform;
use crate::core::reference::PinnedRef;

record! {
    /// A spec of `customize`, version 1: a base pinned by digest, and what to add to it.
    #[schemars(rename = "Spec")]
    #[schemars(extend(
        "not" = { "required": ["arch", "platforms"] },
        "if" = { "properties": { "base_image": { "const": "scratch" } } },
        "then" = { "anyOf": [{ "required": ["arch"] }, { "required": ["platforms"] }] }
    ))]
    pub(super) struct Document {
        /// What to build on: `name[:tag]@sha256:...`, `oci:DIR@sha256:...`,
        /// `oci-archive:FILE@sha256:...`, or `scratch`.
        pub(super) base_image: Base,
        /// The one platform to build, by its Linux architecture. Excludes `platforms`.
        pub(super) arch: Option<Architecture>,
        /// The platforms to build. Without it and `arch`: every platform of the base.
        pub(super) platforms: Option<Vec<Platform>>,
        /// Which kind of image the base is. Default: `prod`.
        pub(super) variant: Option<Variant>,
        /// What to add to the base's file system.
        #[schemars(default)]
        pub(super) copy_files: Vec<CopyFileDocument>,
        /// Changes to the base's image config.
        pub(super) config: Option<Config>,
        /// Annotations of the image manifest.
        #[schemars(default)]
        pub(super) annotations: Annotations,
        /// Users and groups to add to `/etc/passwd` and `/etc/group`.
        pub(super) accounts: Option<AccountsDocument>,
        /// Owner and mode of the entries that give none.
        pub(super) defaults: Option<Defaults>,
        /// The time of all that is written, where `SOURCE_DATE_EPOCH` is not set. Default:
        /// 1970-01-01T00:00:00Z.
        pub(super) timestamp: Option<Timestamp>,
        /// Who asks for the image, and why.
        pub(super) metadata: Option<Metadata>,
        /// Compression of the new layer. Default: `gzip`.
        pub(super) compression: Option<Compression>,
        /// Level of the compression: gzip 1 to 9, default 6; zstd 1 to 19, default 3.
        pub(super) compression_level: Option<Level>,
    }
}

record! {
    /// One thing to add. Exactly one of `source` and `content` is given.
    #[schemars(rename = "CopyFile")]
    #[schemars(extend(
        "oneOf" = [{ "required": ["source"] }, { "required": ["content"] }],
        "dependentRequired" = { "from": ["source"], "exclude": ["source"] }
    ))]
    pub(super) struct CopyFileDocument {
        /// Absolute path in the image; one that ends in `/` is a directory to copy into.
        pub(super) destination: Destination,
        /// File, directory or glob, relative to the context, or a path in the image `from`.
        pub(super) source: Option<String>,
        /// The text of the file.
        pub(super) content: Option<String>,
        /// The image or artifact, pinned by digest, that `source` is taken out of.
        pub(super) from: Option<PinnedRef>,
        /// Octal permission bits, in quotes.
        pub(super) mode: Option<Mode>,
        /// `uid:gid`, names of the result's accounts, or `runtime`.
        pub(super) owner: Option<Owner>,
        /// Globs, relative to the source directory, of what is left out.
        #[schemars(default)]
        pub(super) exclude: Vec<Glob>,
    }
}

record! {
    /// Changes to the image config, merged into the base's as a Dockerfile's instructions would be.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Config {
        /// The user that the image runs as (`USER`).
        pub user: Option<User>,
        /// Environment variables (`ENV`).
        #[schemars(default)]
        pub env: Env,
        /// Labels (`LABEL`).
        #[schemars(default)]
        pub labels: Labels,
        /// The working directory (`WORKDIR`).
        pub workdir: Option<Workdir>,
        /// The entrypoint in exec form (`ENTRYPOINT`); an empty list clears the base's.
        pub entrypoint: Option<Arguments>,
        /// The command in exec form (`CMD`); an empty list clears the base's.
        pub cmd: Option<Arguments>,
        /// Ports that the image listens on (`EXPOSE`).
        #[schemars(default)]
        pub expose: Vec<Port>,
        /// The signal that stops the image (`STOPSIGNAL`).
        pub stop_signal: Option<Signal>,
    }
}

record! {
    /// Lines to add to the base's account files.
    #[schemars(rename = "Accounts")]
    pub(super) struct AccountsDocument {
        /// Users, for `/etc/passwd`. Their shell is `nologin`.
        #[schemars(default)]
        pub(super) users: Vec<UserDocument>,
        /// Groups, for `/etc/group`.
        #[schemars(default)]
        pub(super) groups: Vec<GroupDocument>,
    }
}

record! {
    /// A user.
    #[schemars(rename = "UserAccount")]
    pub(super) struct UserDocument {
        /// The name.
        pub(super) name: AccountName,
        /// The user's id.
        pub(super) uid: Id,
        /// The primary group's id. Default: the user's id.
        pub(super) gid: Option<Id>,
        /// The home directory; it is not made. Default: `/nonexistent`.
        pub(super) home: Option<Home>,
        /// What the account is for. Default: empty.
        pub(super) description: Option<Comment>,
    }
}

record! {
    /// A group.
    #[schemars(rename = "GroupAccount")]
    pub(super) struct GroupDocument {
        /// The name.
        pub(super) name: AccountName,
        /// The group's id.
        pub(super) gid: Id,
        /// Names of the users who are in it beside those whose primary group it is.
        #[schemars(default)]
        pub(super) members: Vec<AccountName>,
    }
}

record! {
    /// What holds for the entries that do not say otherwise.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Defaults {
        /// The owner. Without it: `0:0`.
        pub owner: Option<Owner>,
        /// The mode. Without it: files 0644, or 0755 where the source is executable; directories
        /// 0755.
        pub mode: Option<Mode>,
    }
}

record! {
    /// For the audit trail: it lands in the image's annotations and history.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Metadata {
        /// What the change is; several lines are accepted.
        pub description: Option<Prose>,
        /// Who answers for it.
        pub author: Option<Line>,
        /// Where it was decided.
        pub ticket: Option<Line>,
    }
}
