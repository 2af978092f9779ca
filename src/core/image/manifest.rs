//! Manifests of images and artifacts.

use super::{Annotations, annotate, append, descriptor, plain_descriptor};
use crate::core::descriptor::Descriptor;
use crate::core::digest::Digest;
use crate::core::json::Object;
use crate::core::media::{Compression, DOCKER_CONFIG, Family, OCI_CONFIG};
use crate::error::{Error, Result};

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

impl Manifest {
    pub(super) fn new(raw: Object, family: Family) -> Result<Self> {
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
