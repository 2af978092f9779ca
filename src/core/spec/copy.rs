//! One entry of `copy_files`: where it goes, what it is, and which keys exclude each other.

use std::str::FromStr;

use super::document::CopyFileDocument;
use super::fault::{Fault, FromNode, quoted, text};
use super::fields::Mode;
use super::node::Node;
use super::owner::Owner;
use super::pattern::{Glob, SourcePattern};
use crate::core::path::LayerPath;
use crate::core::reference::PinnedRef;
use crate::error::{Error, Result};

/// What is to be added to the image, and where.
#[derive(Debug, Clone)]
pub struct CopyFile {
    /// Where it goes.
    pub destination: Destination,
    /// What it is.
    pub what: CopySource,
    /// The mode, where it is not the default's.
    pub mode: Option<Mode>,
    /// The owner, where it is not the default's.
    pub owner: Option<Owner>,
    /// What below a source directory is left out.
    pub exclude: Vec<Glob>,
}

/// Where the bytes of a [`CopyFile`] come from.
#[derive(Debug, Clone)]
pub enum CopySource {
    /// They stand in the spec.
    Inline(String),
    /// From the build context.
    Context(SourcePattern),
    /// From the tree of another image, or from an artifact.
    Image(PinnedRef, SourcePattern),
}

/// A path in the image, before the base's links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The path.
    pub path: LayerPath,
    /// Whether it ended in `/`: what is copied goes into it by its name.
    pub directory: bool,
}

const DESTINATION: &str = "an absolute path in the image such as `/etc/app/app.conf`";

impl FromStr for Destination {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.starts_with('/') {
            return Err(Error::usage(format!(
                "expected {DESTINATION}, found {}",
                quoted(text)
            )));
        }
        let path = LayerPath::parse(text)
            .map_err(|error| Error::usage(format!("{}: {error}", quoted(text))))?;
        if path.components().any(|name| name.starts_with(b".wh.")) {
            return Err(Error::usage(format!(
                "{}: a name that starts with `.wh.` would delete files of the base",
                quoted(text)
            ))
            .hint("such names mark deletions in image layers; choose another name"));
        }
        Ok(Self {
            path,
            directory: text.ends_with('/'),
        })
    }
}

impl FromNode for Destination {
    fn from_node(node: Node) -> Result<Self, Fault> {
        Ok(text(node, DESTINATION)?.parse()?)
    }
}

impl TryFrom<CopyFileDocument> for CopyFile {
    type Error = Fault;

    fn try_from(entry: CopyFileDocument) -> Result<Self, Fault> {
        let CopyFileDocument {
            destination,
            source,
            content,
            from,
            mode,
            owner,
            exclude,
        } = entry;
        let what = match (source, content) {
            (Some(_), Some(_)) => {
                return Err(
                    Fault::new("expected one of `source` and `content`, found both").key("content"),
                );
            }
            (None, None) => {
                return Err(Fault::new(
                    "expected one of `source` and `content`, found neither",
                ));
            }
            (None, Some(content)) => {
                if from.is_some() {
                    return Err(Fault::new("`from` needs a `source`, found `content`").key("from"));
                }
                if !exclude.is_empty() {
                    return Err(
                        Fault::new("`exclude` needs a `source`, found `content`").key("exclude")
                    );
                }
                if destination.directory {
                    return Err(Fault::new(
                        "expected the path of a file, because `content` has no name of its own; found a directory",
                    )
                    .hint("add the file's name after the last `/`")
                    .under("destination"));
                }
                CopySource::Inline(content)
            }
            (Some(source), None) => {
                let pattern = match from {
                    Some(image) => SourcePattern::in_image(&source)
                        .map(|pattern| CopySource::Image(image, pattern)),
                    None => SourcePattern::in_context(&source).map(CopySource::Context),
                };
                pattern.map_err(|error| Fault::from(error).under("source"))?
            }
        };
        if let CopySource::Context(pattern) | CopySource::Image(_, pattern) = &what
            && pattern.glob().is_some()
            && !destination.directory
        {
            return Err(Fault::new(
                "expected a directory that ends in `/`, because `source` is a glob",
            )
            .hint("add `/` at the end of the destination")
            .under("destination"));
        }
        Ok(Self {
            destination,
            what,
            mode,
            owner,
            exclude,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let parse = |text: &str| {
            text.parse::<Destination>()
                .map(|to| (to.path.to_string(), to.directory))
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            parse("/etc//ssl/./ca.crt"),
            Ok(("/etc/ssl/ca.crt".to_owned(), false))
        );
        assert_eq!(parse("/etc/ssl/"), Ok(("/etc/ssl".to_owned(), true)));
        assert_eq!(parse("/"), Ok(("/".to_owned(), true)));
        for (text, message) in [
            (
                "etc",
                "expected an absolute path in the image such as `/etc/app/app.conf`, found `etc`",
            ),
            ("/etc/../x", "`/etc/../x`: `..` is not accepted in a path"),
            (
                "/etc/.wh.x/y",
                "`/etc/.wh.x/y`: a name that starts with `.wh.` would delete files of the base",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }
}
