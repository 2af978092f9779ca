//! Image manifests, configs and indexes as they are published: parsed to read, edited as raw JSON,
//! so that what is not ours keeps its bytes, order and unknown fields.
//!
//! Refused with a reason: Docker schema 1, documents that are manifest and index at once, other
//! systems than Linux, and a config whose `diff_ids` do not match the layers.

mod config;
mod index;
mod manifest;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descriptor::Descriptor;
use super::json::Object;
use super::media::Family;
use super::platform::Platform;
use crate::error::{Error, Result};

pub use config::{Config, ConfigChange};
pub use index::{Index, IndexDescriptor};
pub use manifest::{LayerDescriptor, Manifest};

/// The annotation with the name of the image's base (OCI image spec, "Pre-Defined Annotation
/// Keys").
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The annotation with the digest of the image's base.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Annotations in the order they are written.
pub type Annotations = IndexMap<String, String>;

/// What the bytes behind a digest are.
#[derive(Debug, Clone)]
pub enum Document {
    /// Several images, one a platform.
    Index(Index),
    /// One image, or one artifact.
    Manifest(Manifest),
}

/// A platform as an index or a config writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct RawPlatform {
    /// The operating system by Go's name.
    #[serde(default)]
    pub os: String,
    /// The architecture by Go's name.
    #[serde(default)]
    pub architecture: String,
    /// The architecture's variant.
    #[serde(default)]
    pub variant: Option<String>,
}

impl RawPlatform {
    /// The platform, which must be a Linux one.
    pub fn parse(&self) -> Result<Platform> {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref()).map_err(|error| {
            Error::usage("the image is not for Linux").because(error).hint(
                "customize builds Linux images: name the Linux platforms of the base with `platforms`",
            )
        })
    }
}

impl std::fmt::Display for RawPlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}",
            self.os.escape_debug(),
            self.architecture.escape_debug()
        )?;
        match &self.variant {
            Some(variant) => write!(f, "/{}", variant.escape_debug()),
            None => Ok(()),
        }
    }
}

impl Document {
    /// Parses the bytes behind a digest. They must be an OCI or Docker schema 2 manifest or index.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let raw = Object::parse(bytes, "the manifest")?;
        if raw.read::<u64>("schemaVersion")? == Some(1) || raw.has("fsLayers") {
            return Err(Error::usage(
                "expected an OCI or Docker schema 2 manifest, found Docker schema 1, which runtimes no longer take",
            )
            .hint("convert the base: `skopeo copy --format oci docker://... oci:...`"));
        }
        let media_type: Option<String> = raw.read("mediaType")?;
        let is_index = raw.has("manifests");
        let is_manifest = raw.has("layers") || raw.has("config");
        if is_index == is_manifest {
            return Err(Error::integrity(
                "expected a manifest with `config` and `layers`, or an index with `manifests`, found both or neither",
            ));
        }
        let family = match media_type.as_deref() {
            None => Family::Oci,
            Some(media_type) => Family::of(media_type)
                .filter(|family| {
                    media_type
                        == if is_index {
                            family.index()
                        } else {
                            family.manifest()
                        }
                })
                .ok_or_else(|| wrong_media_type(media_type, is_index))?,
        };
        if is_index {
            Index::new(raw, family).map(Self::Index)
        } else {
            Manifest::new(raw, family).map(Self::Manifest)
        }
    }
}

fn wrong_media_type(media_type: &str, is_index: bool) -> Error {
    let what = if is_index { "index" } else { "image manifest" };
    Error::integrity(format!(
        "expected the media type of an OCI or Docker schema 2 {what}, found `{}`",
        media_type.escape_debug()
    ))
}

fn descriptor(raw: &Object) -> Result<Descriptor> {
    Ok(Descriptor {
        media_type: raw.read("mediaType")?.unwrap_or_default(),
        digest: raw.require("digest")?,
        size: raw.require("size")?,
    })
}

fn plain_descriptor(descriptor: &Descriptor) -> Result<Object> {
    let mut raw = Object::default();
    raw.set("mediaType", &descriptor.media_type)?;
    raw.set("digest", &descriptor.digest)?;
    raw.set("size", &descriptor.size)?;
    Ok(raw)
}

/// Puts one more value at the end of the array `key`; those before keep their bytes.
fn append(raw: &mut Object, key: &str, value: &impl serde::Serialize) -> Result<()> {
    let mut values: Vec<Box<RawValue>> = raw.read(key)?.unwrap_or_default();
    let value = serde_json::value::to_raw_value(value)
        .map_err(|error| Error::internal("cannot write JSON").because(error))?;
    values.push(value);
    raw.set(key, &values)
}

/// Drops what the base says of its own base: of the result it is not true.
fn forget_base(raw: &mut Object) -> Result<()> {
    let mut annotations: Annotations = raw.read("annotations")?.unwrap_or_default();
    let count = annotations.len();
    for key in [BASE_NAME, BASE_DIGEST] {
        annotations.shift_remove(key);
    }
    match (annotations.len() == count, annotations.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => {
            raw.remove("annotations");
            Ok(())
        }
        (false, false) => raw.set("annotations", &annotations),
    }
}

/// Adds annotations, in place of what the base says of its own base.
fn annotate(raw: &mut Object, more: &Annotations) -> Result<()> {
    forget_base(raw)?;
    let mut annotations: Annotations = raw.read("annotations")?.unwrap_or_default();
    annotations.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    if annotations.is_empty() {
        return Ok(());
    }
    raw.set("annotations", &annotations)
}
