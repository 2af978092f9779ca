//! Where a result is to be written, as the user says it: the local transports of
//! containers-transports(5), with its rule that a path ends at the first colon.
//!
//! Refused: standard output, Docker names without a tag (`latest` is never made up), and tags
//! outside the grammar of the OCI image spec.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::beside::Beside;
use super::disk;
use super::{Built, Outcome, archive, docker_archive, layout};
use crate::core::cancel::Cancel;
use crate::core::reference::RepositoryName;
use crate::error::{Error, Result};

/// A place for a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `oci:DIR[:TAG]`: an OCI image layout.
    Layout {
        /// The directory, which need not exist.
        dir: PathBuf,
        /// The tag in its `index.json`.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`: a tar file of an OCI image layout.
    OciArchive {
        /// The file, which need not exist.
        file: PathBuf,
        /// The tag in its `index.json`.
        tag: Option<String>,
    },
    /// `docker-archive:FILE[:NAME:TAG]`: what `docker save` writes and `docker load` reads.
    DockerArchive {
        /// The file, which need not exist.
        file: PathBuf,
        /// The name of the image, with its tag.
        reference: Option<RepositoryName>,
    },
}

impl Output {
    /// Whether a result could be written there, as far as a look tells: asked before any work.
    pub fn check_place(&self) -> Result<()> {
        match self {
            Self::Layout { dir, .. } => layout::check(dir),
            Self::OciArchive { file, .. } | Self::DockerArchive { file, .. } => {
                Beside::check(file).and_then(|target| check_archive(&target))
            }
        }
    }

    /// Whether the format can hold `built`: asked before anything is written.
    pub fn check(&self, built: &Built) -> Result<()> {
        match self {
            Self::Layout { .. } | Self::OciArchive { .. } => Ok(()),
            Self::DockerArchive { .. } => docker_archive::check(built),
        }
    }

    /// Writes `built` there.
    pub fn write(&self, built: &Built, cancel: &Cancel) -> Result<Outcome> {
        match self {
            Self::Layout { dir, tag } => layout::write(dir, tag.as_deref(), built, cancel),
            Self::OciArchive { file, tag } => archive::write(file, tag.as_deref(), built, cancel),
            Self::DockerArchive { file, reference } => {
                docker_archive::write(file, reference.as_ref(), built, cancel)
            }
        }
    }

    /// The name that the image has there; `None` where it has none.
    pub fn image_name(&self) -> Option<String> {
        match self {
            Self::Layout { tag, .. } | Self::OciArchive { tag, .. } => tag.clone(),
            Self::DockerArchive { reference, .. } => reference.as_ref().map(ToString::to_string),
        }
    }

    /// The directory or file that is written.
    pub fn path(&self) -> &Path {
        match self {
            Self::Layout { dir, .. } => dir,
            Self::OciArchive { file, .. } | Self::DockerArchive { file, .. } => file,
        }
    }
}

/// Only an archive is replaced by an archive: anything else is likely a mistake, and would be lost.
fn check_archive(file: &Path) -> Result<()> {
    let mut head = [0; 512];
    let mut read = 0;
    if let Some((mut file, _)) = disk::open_plain(file)? {
        while let Ok(n @ 1..) = file.read(&mut head[read..]) {
            read += n;
        }
    }
    if read == 0 || &head[257..262] == b"ustar" {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected a tar archive or nothing, found another file: {}",
        file.display()
    ))
    .hint("it would be replaced: name another file, or remove it first"))
}

impl FromStr for Output {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let error = |message: String| Error::usage(format!("`{}`: {message}", text.escape_debug()));
        let parts = text
            .split_once(':')
            .filter(|(transport, _)| ["oci", "oci-archive", "docker-archive"].contains(transport));
        let Some((transport, rest)) = parts else {
            return Err(error(
                "expected `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME:TAG]`"
                    .to_owned(),
            ));
        };
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (rest, None),
        };
        let expected = format!("a path after `{transport}:`");
        match path {
            "" => return Err(error(format!("expected {expected}, found none"))),
            "-" => {
                return Err(
                    error(format!("expected {expected}, found `-` (standard output)"))
                        .hint("write to a file, then send that"),
                );
            }
            _ => {}
        }
        if path.contains('\0') {
            return Err(error(format!(
                "expected {expected}, found a NUL byte in it"
            )));
        }
        if transport == "docker-archive" {
            let reference = name.map(docker_name).transpose();
            return Ok(Self::DockerArchive {
                file: path.into(),
                reference: reference.map_err(|e| e.at(format!("`{}`", text.escape_debug())))?,
            });
        }
        if let Some(tag) = name {
            check_tag(tag).map_err(|e| e.at(format!("`{}`", text.escape_debug())))?;
        }
        let tag = name.map(str::to_owned);
        Ok(if transport == "oci" {
            Self::Layout {
                dir: path.into(),
                tag,
            }
        } else {
            Self::OciArchive {
                file: path.into(),
                tag,
            }
        })
    }
}

/// The output as it is given on the command line.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, name) = match self {
            Self::Layout { tag, .. } => ("oci", tag.clone()),
            Self::OciArchive { tag, .. } => ("oci-archive", tag.clone()),
            Self::DockerArchive { reference, .. } => (
                "docker-archive",
                reference.as_ref().map(ToString::to_string),
            ),
        };
        write!(f, "{transport}:{}", self.path().display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

fn docker_name(text: &str) -> Result<RepositoryName> {
    if text.contains('@') {
        return Err(Error::usage(
            "expected a name and a tag, found a digest: Docker's archives know only tags",
        ));
    }
    let name: RepositoryName = text.parse()?;
    if name.tag.is_none() {
        return Err(Error::usage(format!(
            "expected a tag after the name `{text}`, found none"
        ))
        .hint(format!(
            "write `{text}:1.0`, or no name; customize never makes up `latest`"
        )));
    }
    Ok(name)
}

/// Checks a tag against the grammar of `org.opencontainers.image.ref.name` (OCI image spec,
/// "Annotations").
pub(super) fn check_tag(tag: &str) -> Result<()> {
    if tag.len() <= 512 && tag.split('/').all(is_component) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected a tag of letters and digits, with single `-._:@+/` or `--` between them, found `{}`",
        tag.chars().take(100).collect::<String>().escape_debug()
    )))
}

/// `alphanum (separator alphanum)*` where the separator is one of `-._:@+` or `--`.
fn is_component(text: &str) -> bool {
    text.replace("--", "-")
        .split(|c| "-._:@+".contains(c))
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<Output>() {
            Ok(output) => format!("{output:?}"),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn outputs_are_parsed() {
        for (text, expected) in [
            ("oci:out", r#"Layout { dir: "out", tag: None }"#),
            ("oci:out:1.0", r#"Layout { dir: "out", tag: Some("1.0") }"#),
            (
                "oci:/a/b:registry.example.com:5000/a/b:1--x",
                r#"Layout { dir: "/a/b", tag: Some("registry.example.com:5000/a/b:1--x") }"#,
            ),
            (
                "oci-archive:a.tar:v1",
                r#"OciArchive { file: "a.tar", tag: Some("v1") }"#,
            ),
            (
                "docker-archive:a.tar",
                r#"DockerArchive { file: "a.tar", reference: None }"#,
            ),
            (
                "docker-archive:a.tar:app:1.0",
                r#"DockerArchive { file: "a.tar", reference: Some(RepositoryName { registry: "docker.io", repository: "library/app", tag: Some("1.0") }) }"#,
            ),
            (
                "docker-archive:a.tar:localhost:5000/app:1.0",
                r#"DockerArchive { file: "a.tar", reference: Some(RepositoryName { registry: "localhost:5000", repository: "app", tag: Some("1.0") }) }"#,
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn an_output_is_shown_as_it_is_given() {
        for text in [
            "oci:out",
            "oci:out:1.0",
            "oci-archive:a.tar:v1",
            "docker-archive:a.tar:docker.io/library/app:1.0",
        ] {
            assert_eq!(
                text.parse::<Output>()
                    .map(|o| o.to_string())
                    .ok()
                    .as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn other_outputs_are_refused() {
        let forms = "expected `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME:TAG]`";
        let tag = "expected a tag of letters and digits, with single `-._:@+/` or `--` between them, found";
        for (text, message) in [
            ("out", forms.to_owned()),
            ("docker://nginx", forms.to_owned()),
            ("", forms.to_owned()),
            (
                "oci:",
                "expected a path after `oci:`, found none".to_owned(),
            ),
            (
                "oci::1",
                "expected a path after `oci:`, found none".to_owned(),
            ),
            (
                "oci-archive:-",
                "expected a path after `oci-archive:`, found `-` (standard output)".to_owned(),
            ),
            ("oci:out:", format!("{tag} ``")),
            ("oci:out:a b", format!("{tag} `a b`")),
            ("oci:out:-a", format!("{tag} `-a`")),
            ("oci:out:a---b", format!("{tag} `a---b`")),
            ("oci:out:a//b", format!("{tag} `a//b`")),
            (
                "docker-archive:a.tar:app",
                "expected a tag after the name `app`, found none".to_owned(),
            ),
            (
                "docker-archive:a.tar:app@sha256:00",
                "expected a name and a tag, found a digest: Docker's archives know only tags"
                    .to_owned(),
            ),
        ] {
            assert_eq!(shown(text), format!("error: `{text}`: {message}"));
        }
        assert!(shown("docker-archive:a.tar:").starts_with("error: "));
        assert!(shown("docker-archive:a.tar:APP:1").starts_with("error: "));
    }
}
