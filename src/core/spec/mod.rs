//! The spec, version 1: the YAML that says what to build. `specs/spec.md` is its reference.
//!
//! [`Spec::parse`] gives only what is sound: every value has its type, keys that exclude each other
//! do not meet, and there is nothing unknown. Whatever is not is an error with file, line and
//! column. Refused are also duplicate keys, tags, several documents, and YAML that is too large or
//! too deep. Files, platforms and accounts of the base are looked at by others, later.

mod accounts;
mod copy;
mod document;
mod fault;
mod fields;
mod node;
mod owner;
mod pattern;
mod schema;
mod text;
mod time;

#[cfg(test)]
mod tests;

pub use accounts::{Accounts, GroupAccount, UserAccount};
pub use copy::{CopyFile, CopySource, Destination};
pub use document::{Config, Defaults, Metadata};
pub use fields::{Base, Mode, Port, Protocol, Variant};
pub use owner::{MAX_ID, Owner, Principal};
pub use pattern::{Glob, MAX_GLOB, SourcePattern};
pub use schema::json_schema;
pub use text::{
    AccountName, Annotations, Argument, Arguments, Comment, Env, Home, Labels, Line, Prose, Signal,
    User, Workdir,
};
pub use time::Timestamp;

use std::collections::HashSet;

use self::document::{CopyFileDocument, Document};
use self::fault::{Fault, FromNode};
use self::fields::{Architecture, Level};
use super::media::Compression;
use super::platform::Platform;
use crate::error::{Error, Result};

/// The most bytes that a spec may have. Whoever reads the file stops there.
pub const MAX_SPEC: u64 = 1 << 20;

/// A spec that has been checked.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What to build on.
    pub base_image: Base,
    /// Which platforms to build.
    pub platforms: PlatformChoice,
    /// Which kind of image the base is.
    pub variant: Variant,
    /// What to add, in the order of the spec.
    pub copy_files: Vec<CopyFile>,
    /// Changes to the image config.
    pub config: Config,
    /// Annotations of the manifest.
    pub annotations: Annotations,
    /// Users and groups to add.
    pub accounts: Accounts,
    /// Owner and mode of entries that give none.
    pub defaults: Defaults,
    /// The time to write, where the environment gives none.
    pub timestamp: Option<Timestamp>,
    /// For the audit trail.
    pub metadata: Metadata,
    /// Compression of the new layer.
    pub compression: Compression,
    /// The compression's level: gzip 1 to 9, zstd 1 to 19; `None` where nothing is compressed.
    pub compression_level: Option<i32>,
}

/// Which platforms of the base to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformChoice {
    /// Every platform that the base has.
    All,
    /// The one that `arch` names.
    One(Platform),
    /// Those of `platforms`: at least one, each once, in the order of the spec.
    List(Vec<Platform>),
}

impl Spec {
    /// Reads a spec. `file` names it in errors: `spec.yaml:4:7: ...`.
    ///
    /// Every error is one of usage.
    pub fn parse(yaml: &str, file: &str) -> Result<Self> {
        if yaml.len() as u64 > MAX_SPEC {
            return Err(Error::usage(format!(
                "{file}: expected at most {MAX_SPEC} bytes, found {}",
                yaml.len()
            ))
            .hint("put large content into a file and name it as `source`"));
        }
        let node = node::read(yaml, file)?;
        if node == node::Node::Null {
            return Err(Error::usage(format!("{file}: the spec is empty"))
                .hint("begin with `base_image: NAME@sha256:...`"));
        }
        Document::from_node(node)
            .and_then(Self::try_from)
            .map_err(|fault| node::locate(fault, yaml, file))
    }
}

impl TryFrom<Document> for Spec {
    type Error = Fault;

    fn try_from(document: Document) -> Result<Self, Fault> {
        let platforms = platforms(&document.base_image, document.arch, document.platforms)?;
        let compression = document.compression.unwrap_or(Compression::Gzip);
        let accounts = match document.accounts {
            Some(accounts) => accounts
                .try_into()
                .map_err(|fault: Fault| fault.under("accounts"))?,
            None => Accounts::default(),
        };
        Ok(Self {
            base_image: document.base_image,
            platforms,
            variant: document.variant.unwrap_or_default(),
            copy_files: copy_files(document.copy_files)?,
            config: document.config.unwrap_or_default(),
            annotations: document.annotations,
            accounts,
            defaults: document.defaults.unwrap_or_default(),
            timestamp: document.timestamp,
            metadata: document.metadata.unwrap_or_default(),
            compression,
            compression_level: level(compression, document.compression_level)?,
        })
    }
}

fn copy_files(entries: Vec<CopyFileDocument>) -> Result<Vec<CopyFile>, Fault> {
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            CopyFile::try_from(entry).map_err(|fault| fault.item(index).under("copy_files"))
        })
        .collect()
}

fn platforms(
    base: &Base,
    arch: Option<Architecture>,
    list: Option<Vec<Platform>>,
) -> Result<PlatformChoice, Fault> {
    match (arch, list) {
        (Some(_), Some(_)) => {
            Err(Fault::new("expected one of `arch` and `platforms`, found both").key("platforms"))
        }
        (Some(arch), None) => Ok(PlatformChoice::One(arch.0)),
        (None, Some(list)) if list.is_empty() => {
            Err(Fault::new("expected at least one platform, found none")
                .hint("remove the key to build every platform of the base")
                .under("platforms"))
        }
        (None, Some(list)) => {
            let mut seen = HashSet::new();
            match list.iter().position(|platform| !seen.insert(platform)) {
                Some(at) => Err(
                    Fault::new(format!("the platform `{}` is there twice", list[at]))
                        .item(at)
                        .under("platforms"),
                ),
                None => Ok(PlatformChoice::List(list)),
            }
        }
        (None, None) if *base == Base::Scratch => Err(Fault::new(
            "`scratch` has no platforms of its own: expected `platforms` or `arch`, found neither",
        )
        .hint("add `platforms: [linux/amd64, linux/arm64]`")
        .under("base_image")),
        (None, None) => Ok(PlatformChoice::All),
    }
}

fn level(compression: Compression, level: Option<Level>) -> Result<Option<i32>, Fault> {
    let (name, most, default) = match compression {
        Compression::Gzip => ("gzip", 9, 6),
        Compression::Zstd => ("zstd", 19, 3),
        Compression::None => {
            return match level {
                None => Ok(None),
                Some(_) => {
                    Err(Fault::new("`compression: none` has no level").key("compression_level"))
                }
            };
        }
    };
    match level {
        None => Ok(Some(default)),
        Some(Level(level)) if (1..=most).contains(&level) => Ok(Some(level)),
        Some(Level(level)) => Err(Fault::new(format!(
            "expected a level of {name} from 1 to {most}, found {level}"
        ))
        .under("compression_level")),
    }
}
