//! Image manifests, configs and indexes as they are published: parsed to read, edited as raw JSON,
//! so that what is not ours keeps its bytes, order and unknown fields.
//!
//! Refused with a reason: Docker schema 1, documents that are manifest and index at once, other
//! systems than Linux, and a config whose `diff_ids` do not match the layers.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::json::Object;
use super::media::{Compression, DOCKER_CONFIG, Family, OCI_CONFIG};
use super::platform::Platform;
use crate::error::{Error, Result};

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

/// A manifest of an image or artifact.
#[derive(Debug, Clone)]
pub struct Manifest {
    raw: Object,
    /// The family of its media types.
    pub family: Family,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<LayerDescriptor>,
}

/// A layer as a manifest names it.
#[derive(Debug, Clone)]
pub struct LayerDescriptor {
    /// Media type, digest, size.
    pub descriptor: Descriptor,
    /// Annotations on the descriptor.
    pub annotations: Annotations,
}

impl LayerDescriptor {
    /// How the layer is compressed, by its media type.
    pub fn compression(&self) -> Result<Compression> {
        Family::of_layer(&self.descriptor.media_type).map(|(_, compression)| compression)
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

impl Index {
    fn new(raw: Object, family: Family) -> Result<Self> {
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

impl Manifest {
    fn new(raw: Object, family: Family) -> Result<Self> {
        let config = descriptor(&raw.require("config")?).map_err(|error| error.at("config"))?;
        let _: Option<Annotations> = raw.read("annotations")?;
        let layers: Vec<Object> = raw.read("layers")?.unwrap_or_default();
        let layers = layers.iter().enumerate().map(|(number, layer)| {
            let read = || {
                Ok(LayerDescriptor {
                    descriptor: descriptor(layer)?,
                    annotations: layer.read("annotations")?.unwrap_or_default(),
                })
            };
            read().map_err(|error: Error| error.at(format!("layers[{number}]")))
        });
        Ok(Self {
            config,
            family,
            layers: layers.collect::<Result<_>>()?,
            raw,
        })
    }

    /// An OCI image without layers, to be filled by [`Manifest::with`].
    pub fn empty() -> Result<Self> {
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: Digest::of(b""),
            size: 0,
        };
        let mut raw = Object::default();
        raw.set("schemaVersion", &2)?;
        raw.set("mediaType", &Family::Oci.manifest())?;
        raw.set("config", &config)?;
        raw.set("layers", &[(); 0])?;
        Ok(Self {
            raw,
            family: Family::Oci,
            config,
            layers: Vec::new(),
        })
    }

    /// Whether this is a container image; anything else is an artifact.
    pub fn is_image(&self) -> bool {
        let of_image = |media_type| matches!(media_type, OCI_CONFIG | DOCKER_CONFIG);
        of_image(self.config.media_type.as_str()) && !self.raw.has("artifactType")
    }

    /// The annotations.
    pub fn annotations(&self) -> Result<Annotations> {
        Ok(self.raw.read("annotations")?.unwrap_or_default())
    }

    /// The JSON of this manifest with another config, one more layer on top, and more annotations.
    ///
    /// `subject` goes: it says of which image the base is a signature or the like, and the result
    /// is none.
    pub fn with(
        &self,
        config: &Descriptor,
        layer: Option<&Descriptor>,
        annotations: &Annotations,
    ) -> Result<Vec<u8>> {
        let mut raw = self.raw.clone();
        raw.set("config", &plain_descriptor(config)?)?;
        if let Some(layer) = layer {
            append(&mut raw, "layers", &plain_descriptor(layer)?)?;
        }
        raw.remove("subject");
        annotate(&mut raw, annotations)?;
        raw.to_bytes()
    }
}

/// The config of an image.
#[derive(Debug, Clone)]
pub struct Config {
    raw: Object,
    /// The platform it is for.
    pub platform: Platform,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    history: Option<Vec<HistoryKind>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
struct HistoryKind {
    #[serde(default)]
    empty_layer: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

impl Config {
    /// Parses the config of an image with `layers` layers.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self> {
        let raw = Object::parse(bytes, "the image config")?;
        let platform = RawPlatform {
            os: raw.require("os")?,
            architecture: raw.require("architecture")?,
            variant: raw.read("variant")?,
        };
        let root: RootFs = raw.require("rootfs")?;
        let diff_ids = root.diff_ids.unwrap_or_default();
        if root.kind != "layers" || diff_ids.len() != layers {
            return Err(Error::integrity(format!(
                "expected a config with rootfs of type `layers` and {layers} diff_ids, one for each layer, found type `{}` and {}",
                root.kind.escape_debug(),
                diff_ids.len()
            )));
        }
        let runtime: Object = raw.read("config")?.unwrap_or_default();
        check_runtime(&runtime).map_err(|error| error.at("config"))?;
        Ok(Self {
            platform: platform.parse()?,
            diff_ids,
            history: raw.read("history")?,
            raw,
        })
    }

    /// A config without layers for `platform`.
    pub fn empty(platform: &Platform) -> Result<Self> {
        let mut raw = Object::default();
        raw.set("architecture", &platform.architecture())?;
        if let Some(variant) = platform.variant() {
            raw.set("variant", &variant)?;
        }
        raw.set("os", &"linux")?;
        let mut root = Object::default();
        root.set("type", &"layers")?;
        root.set("diff_ids", &[(); 0])?;
        raw.set("rootfs", &root)?;
        Ok(Self {
            raw,
            platform: platform.clone(),
            diff_ids: Vec::new(),
            history: None,
        })
    }

    /// Whether the image is for `platform`. The variant of a config is optional: where it is not
    /// stated, the index's word counts.
    pub fn is_for(&self, platform: &Platform) -> bool {
        self.platform == *platform
            || (!self.raw.has("variant") && self.platform.architecture() == platform.architecture())
    }

    /// What a container is run with: the field `config`.
    pub fn runtime(&self) -> Result<Object> {
        Ok(self.raw.read("config")?.unwrap_or_default())
    }

    /// Whether a history is kept: there is one, or there are no layers yet.
    pub fn keeps_history(&self) -> bool {
        self.diff_ids.is_empty()
            || self
                .history
                .as_ref()
                .is_some_and(|history| !history.is_empty())
    }

    /// The number of layers that the history speaks of; `None` where there is no history.
    pub fn history_layers(&self) -> Option<usize> {
        let history = self
            .history
            .as_ref()
            .filter(|history| !history.is_empty())?;
        Some(history.iter().filter(|entry| !entry.empty_layer).count())
    }

    /// The JSON of this config with another runtime part, time, one more layer and its history.
    pub fn with(&self, change: &ConfigChange<'_>) -> Result<Vec<u8>> {
        let mut raw = self.raw.clone();
        raw.set("created", &change.created)?;
        if !change.runtime.is_empty() || self.raw.has("config") {
            raw.set("config", change.runtime)?;
        }
        if let Some(diff_id) = &change.diff_id {
            let mut root: Object = raw.require("rootfs")?;
            append(&mut root, "diff_ids", diff_id)?;
            raw.set("rootfs", &root)?;
        }
        if let Some(history) = &change.history {
            append(&mut raw, "history", history)?;
        }
        raw.to_bytes()
    }
}

/// What [`Config::with`] changes.
#[derive(Debug)]
pub struct ConfigChange<'a> {
    /// RFC 3339.
    pub created: String,
    /// The new value of the field `config`.
    pub runtime: &'a Object,
    /// The new layer.
    pub diff_id: Option<Digest>,
    /// Its history entry.
    pub history: Option<Object>,
}

/// Checks the types of what the OCI image spec ("Image Configuration", `config`) defines, whether
/// it is going to be changed or not: no runtime could start a result with other types.
fn check_runtime(runtime: &Object) -> Result<()> {
    for key in ["User", "WorkingDir", "StopSignal"] {
        runtime.read::<String>(key)?;
    }
    for key in ["Env", "Entrypoint", "Cmd"] {
        runtime.read::<Vec<String>>(key)?;
    }
    for key in ["ExposedPorts", "Volumes"] {
        runtime.read::<Object>(key)?;
    }
    runtime.read::<Annotations>("Labels").map(drop)
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

#[cfg(test)]
mod tests;
