//! Names of images that say exactly which bytes they mean: nothing here exists without a digest.
//!
//! Registry names follow the distribution spec and Docker's short forms (`nginx` is
//! `docker.io/library/nginx`), parsed by oci-spec. Local forms are
//! `oci:DIR[:TAG]@DIGEST` and `oci-archive:FILE[:TAG]@DIGEST`.

use std::fmt;
use std::str::FromStr;

use oci_spec::distribution::Reference;

use super::digest::Digest;
use crate::error::{Error, Result};

/// An image, or an index of images, named by digest, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedRef {
    /// Where the bytes are.
    pub location: Location,
    /// The digest of the image manifest or index.
    pub digest: Digest,
}

/// Where the bytes of an image are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// In a repository of a registry.
    Registry(RepositoryName),
    /// In an OCI image layout directory; the path is as the user wrote it.
    Layout(String),
    /// In a tar file of an OCI image layout; the path is as the user wrote it.
    Archive(String),
}

/// A repository of a registry with an optional tag, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryName {
    /// The registry's host, with its port where one was given: `docker.io`.
    pub registry: String,
    /// The repository in it: `library/nginx`.
    pub repository: String,
    /// The tag, for people: the digest decides.
    pub tag: Option<String>,
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => name.fmt(f),
            Self::Layout(path) => write!(f, "oci:{path}"),
            Self::Archive(path) => write!(f, "oci-archive:{path}"),
        }
    }
}

impl fmt::Display for PinnedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.location, self.digest)
    }
}

impl FromStr for PinnedRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, digest)) = text.rsplit_once('@') else {
            return Err(without_digest(text));
        };
        let digest = digest
            .parse()
            .map_err(|error| Error::usage(format!("`{}`: {error}", text.escape_debug())))?;
        let location = match name.split_once(':') {
            Some(("oci" | "oci-archive", "")) => {
                return Err(Error::usage(format!(
                    "`{text}`: expected a path before `@`, found none"
                )));
            }
            Some(("oci", path)) => Location::Layout(without_tag(path).to_owned()),
            Some(("oci-archive", path)) => Location::Archive(without_tag(path).to_owned()),
            _ => Location::Registry(name.parse()?),
        };
        Ok(Self { location, digest })
    }
}

impl FromStr for RepositoryName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named: Reference = text.parse().map_err(|error| {
            Error::usage(format!(
                "expected an image name such as `registry.example.com/team/app:1.2`, found `{}`",
                text.escape_debug()
            ))
            .because(error)
        })?;
        // The parser fills in `latest`; only a tag that the user wrote is one.
        let tagged = text
            .rsplit_once(':')
            .is_some_and(|(_, after)| !after.contains('/'));
        Ok(Self {
            registry: named.registry().to_owned(),
            repository: named.repository().to_owned(),
            tag: named.tag().filter(|_| tagged).map(str::to_owned),
        })
    }
}

/// The path of `PATH[:TAG]`, which ends at the first colon. The tag is for people.
fn without_tag(path: &str) -> &str {
    path.split_once(':').map_or(path, |(path, _)| path)
}

fn without_digest(text: &str) -> Error {
    let parts = text
        .split_once(':')
        .map(|(form, path)| (form, without_tag(path)));
    let hint = match parts {
        Some(("oci", path)) => {
            format!("take the digest from {path}/index.json and write `oci:{path}@sha256:...`")
        }
        Some(("oci-archive", path)) => format!(
            "take the digest from `tar -xOf {path} index.json` and write `oci-archive:{path}@sha256:...`"
        ),
        _ => format!(
            "pin it: `skopeo inspect --format '{{{{.Name}}}}@{{{{.Digest}}}}' docker://{text}` or `crane digest {text}` prints the digest; write `{text}@sha256:...`"
        ),
    };
    Error::usage(format!(
        "expected an image pinned by digest, found `{}` without `@sha256:...`",
        text.escape_debug()
    ))
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn canonical(text: &str) -> String {
        match format!("{text}{DIGEST}").parse::<PinnedRef>() {
            Ok(pinned) => pinned.location.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn names_are_normalized() {
        for (given, shown) in [
            ("nginx", "docker.io/library/nginx"),
            (
                "cleanstart/postgresql:15-prod",
                "docker.io/cleanstart/postgresql:15-prod",
            ),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            (
                "gcr.io/distroless/static:nonroot",
                "gcr.io/distroless/static:nonroot",
            ),
            ("oci:../bases/hardened", "oci:../bases/hardened"),
            ("oci-archive:base.tar", "oci-archive:base.tar"),
            ("oci:out/images:v1", "oci:out/images"),
        ] {
            assert_eq!(canonical(given), shown);
        }
    }

    #[test]
    fn bad_names_are_errors() {
        assert!(canonical("Upper/Case").starts_with("error: expected an image name"));
        assert!(canonical("").starts_with("error: expected an image name"));
        assert!(canonical("oci:").starts_with("error: "));
    }

    #[test]
    fn a_name_without_digest_says_how_to_get_one() {
        let error = "nginx:1.25".parse::<PinnedRef>().expect_err("not pinned");
        assert_eq!(
            error.to_string(),
            "expected an image pinned by digest, found `nginx:1.25` without `@sha256:...`"
        );
        assert!(
            error
                .advice()
                .is_some_and(|hint| hint.contains("crane digest nginx:1.25"))
        );
    }
}
