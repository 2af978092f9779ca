//! Image indexes (OCI) and manifest lists (Docker).

use super::{Annotations, RawPlatform, annotate, descriptor, forget_base, plain_descriptor};
use crate::core::descriptor::Descriptor;
use crate::core::json::Object;
use crate::core::media::Family;
use crate::core::platform::Platform;
use crate::error::Result;

/// An image index, or Docker's manifest list.
#[derive(Debug, Clone)]
pub struct Index {
    raw: Object,
    /// The family of its media types.
    pub family: Family,
    /// The entries in order.
    pub entries: Vec<IndexDescriptor>,
}

/// An entry of an [`Index`].
#[derive(Debug, Clone)]
pub struct IndexDescriptor {
    raw: Object,
    /// What it points to.
    pub descriptor: Descriptor,
    /// Its platform as it is written there; `None` where there is none.
    pub platform: Option<RawPlatform>,
    /// Whether it is an attestation (of the shape that `docker buildx` writes) and no image.
    pub is_attestation: bool,
}

impl Index {
    pub(super) fn new(raw: Object, family: Family) -> Result<Self> {
        let entries: Vec<Object> = raw.require("manifests")?;
        let entries = entries.into_iter().enumerate().map(|(number, entry)| {
            IndexDescriptor::new(entry).map_err(|error| error.at(format!("manifests[{number}]")))
        });
        Ok(Self {
            family,
            entries: entries.collect::<Result<_>>()?,
            raw,
        })
    }

    /// An empty OCI index, to be filled by [`Index::with`].
    pub fn empty() -> Result<Self> {
        let mut raw = Object::default();
        raw.set("schemaVersion", &2)?;
        raw.set("mediaType", &Family::Oci.index())?;
        Ok(Self {
            raw,
            family: Family::Oci,
            entries: Vec::new(),
        })
    }

    /// The JSON of this index with other entries and more annotations.
    pub fn with(&self, entries: &[Object], annotations: &Annotations) -> Result<Vec<u8>> {
        let mut raw = self.raw.clone();
        raw.set("manifests", &entries)?;
        raw.remove("subject");
        annotate(&mut raw, annotations)?;
        raw.to_bytes()
    }
}

impl IndexDescriptor {
    fn new(raw: Object) -> Result<Self> {
        let platform: Option<RawPlatform> = raw.read("platform")?;
        let annotations: Annotations = raw.read("annotations")?.unwrap_or_default();
        let unknown = platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown");
        Ok(Self {
            descriptor: descriptor(&raw)?,
            platform,
            is_attestation: unknown || annotations.contains_key("vnd.docker.reference.type"),
            raw,
        })
    }

    /// This entry's JSON, pointing to another manifest; platform and annotations stay.
    pub fn repointed(&self, to: &Descriptor) -> Result<Object> {
        let mut raw = self.raw.clone();
        raw.set("mediaType", &to.media_type)?;
        raw.set("digest", &to.digest)?;
        raw.set("size", &to.size)?;
        forget_base(&mut raw)?;
        // An embedded copy of the old manifest, and places where the old one is.
        raw.remove("data");
        raw.remove("urls");
        Ok(raw)
    }

    /// The JSON of a new entry for `platform`.
    pub fn fresh(to: &Descriptor, platform: &Platform) -> Result<Object> {
        let mut inner = Object::default();
        inner.set("architecture", &platform.architecture())?;
        inner.set("os", &"linux")?;
        if let Some(variant) = platform.variant() {
            inner.set("variant", &variant)?;
        }
        let mut raw = plain_descriptor(to)?;
        raw.set("platform", &inner)?;
        Ok(raw)
    }
}
