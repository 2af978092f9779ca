//! Media types of the OCI image spec and of Docker's schema 2, as two families that are never
//! mixed in one manifest.

use crate::error::{Error, Result};

/// The two families of media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// OCI image spec 1.0 and 1.1.
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// How a layer or a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Plain tar.
    None,
    /// RFC 1952, one or several members.
    Gzip,
    /// RFC 8878, one or several frames.
    Zstd,
}

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, plain tar; `+gzip` and `+zstd` are the compressed forms.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Docker schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer, plain tar.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

impl Family {
    /// The media type of an image manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The media type of an index of manifests.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_INDEX,
        }
    }

    /// The media type of an image config.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// The media type of a layer. Docker's family has none for zstd.
    pub fn layer(self, compression: Compression) -> Result<&'static str> {
        Ok(match (self, compression) {
            (Self::Oci, Compression::None) => OCI_LAYER,
            (Self::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::Docker, Compression::None) => DOCKER_LAYER,
            (Self::Docker, Compression::Gzip) => DOCKER_LAYER_GZIP,
            (Self::Docker, Compression::Zstd) => {
                return Err(Error::usage(
                    "`compression: zstd` needs a base with OCI media types, found Docker's schema 2, which has no zstd layers",
                )
                .hint("use `compression: gzip`, or convert the base: `skopeo copy --format oci`"));
            }
        })
    }

    /// The family of a manifest's or an index's media type; `None` for every other type.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_MANIFEST | OCI_INDEX => Some(Self::Oci),
            DOCKER_MANIFEST | DOCKER_INDEX => Some(Self::Docker),
            _ => None,
        }
    }

    /// The family and compression of a layer's media type. Types of layers that may not be
    /// distributed count too; encrypted layers and all else are errors.
    pub fn of_layer(media_type: &str) -> Result<(Self, Compression)> {
        const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
        let oci = media_type
            .strip_prefix(OCI_LAYER)
            .or_else(|| media_type.strip_prefix(OCI_FOREIGN));
        let docker = media_type
            .strip_prefix(DOCKER_LAYER)
            .or_else(|| media_type.strip_prefix(DOCKER_FOREIGN));
        match (oci, docker) {
            (Some(""), _) => Ok((Self::Oci, Compression::None)),
            (Some("+gzip"), _) => Ok((Self::Oci, Compression::Gzip)),
            (Some("+zstd"), _) => Ok((Self::Oci, Compression::Zstd)),
            (_, Some("")) => Ok((Self::Docker, Compression::None)),
            (_, Some(".gzip")) => Ok((Self::Docker, Compression::Gzip)),
            _ if media_type.ends_with("+encrypted") => Err(Error::usage(format!(
                "the layer is encrypted (`{media_type}`), so the base's files cannot be read"
            ))
            .hint("decrypt the base first: `skopeo copy --decryption-key KEY`")),
            _ => Err(Error::usage(format!(
                "expected a layer of tar, gzip or zstd, found media type `{}`",
                media_type.escape_debug()
            ))
            .hint("customize reads OCI and Docker schema 2 images")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_type_we_write_is_read_back() {
        for family in [Family::Oci, Family::Docker] {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                if let Ok(media_type) = family.layer(compression) {
                    let found = Family::of_layer(media_type).expect(media_type);
                    assert_eq!(found, (family, compression));
                }
            }
        }
    }

    #[test]
    fn odd_layers_are_refused() {
        for (media_type, part) in [
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                "encrypted",
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+xz",
                "expected a layer",
            ),
            ("", "expected a layer"),
        ] {
            let error = Family::of_layer(media_type).expect_err(media_type);
            assert!(error.message().contains(part), "{error}");
        }
    }
}
