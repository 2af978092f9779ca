//! Checks a finished image as a suspicious runtime would: digests, sizes, `diff_ids`, history, media
//! types of one family, and that the index says of each image what its config says.

use std::collections::BTreeMap;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::image::{Config, Document, Manifest};
use super::media::{DOCKER_CONFIG, Family, OCI_CONFIG};
use super::platform::Platform;
use crate::error::{Error, Result};

/// What is known of a layer's blob because its bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerFacts {
    /// Size of the blob in bytes.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// A document and what points to it.
#[derive(Debug, Clone, Copy)]
pub struct Pointed<'a> {
    /// Media type, digest and size as they are pointed to.
    pub descriptor: &'a Descriptor,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Pointed<'_> {
    fn check(&self) -> Result<()> {
        let found = Descriptor::of(self.descriptor.media_type.clone(), self.bytes);
        if found != *self.descriptor {
            return Err(Error::integrity(format!(
                "expected {} of {} bytes, found {} of {}",
                self.descriptor.digest, self.descriptor.size, found.digest, found.size
            )));
        }
        Ok(())
    }
}

/// Checks the image of one platform.
pub fn image(
    manifest: Pointed<'_>,
    config: Pointed<'_>,
    platform: &Platform,
    layers: &BTreeMap<Digest, LayerFacts>,
) -> Result<()> {
    manifest.check()?;
    config.check()?;
    let Document::Manifest(parsed) = Document::parse(manifest.bytes)? else {
        return Err(Error::integrity(
            "expected an image manifest, found an index",
        ));
    };
    if parsed.config != *config.descriptor {
        return Err(Error::integrity(format!(
            "expected the config {}, found {} in the manifest",
            config.descriptor.digest, parsed.config.digest
        )));
    }
    families(&parsed, &manifest.descriptor.media_type)?;
    let config = Config::parse(config.bytes, parsed.layers.len())?;
    for (layer, diff_id) in parsed.layers.iter().zip(&config.diff_ids) {
        let expected = LayerFacts {
            size: layer.descriptor.size,
            diff_id: *diff_id,
        };
        if layers.get(&layer.descriptor.digest) != Some(&expected) {
            return Err(Error::integrity(format!(
                "layer {}: expected {expected:?}, found {:?}",
                layer.descriptor.digest,
                layers.get(&layer.descriptor.digest)
            )));
        }
    }
    if !config.is_for(platform) {
        return Err(Error::integrity(format!(
            "expected a config for {platform}, found one for {}",
            config.platform
        )));
    }
    history(&config, parsed.layers.len())
}

/// The history, where there is one, speaks of as many layers as there are. Also asked of a base.
pub fn history(config: &Config, layers: usize) -> Result<()> {
    match config.history_layers() {
        Some(count) if count != layers => Err(Error::integrity(format!(
            "expected a history of {layers} layers, as the manifest has, found {count}"
        ))
        .hint("some runtimes refuse such an image: have the base rebuilt, or drop its history")),
        _ => Ok(()),
    }
}

/// Checks an index over images that were checked: each entry points to the image for its platform.
pub fn index(index: Pointed<'_>, images: &[(Platform, Descriptor)]) -> Result<()> {
    index.check()?;
    let Document::Index(parsed) = Document::parse(index.bytes)? else {
        return Err(Error::integrity(
            "expected an index, found an image manifest",
        ));
    };
    if parsed.entries.len() != images.len() {
        return Err(Error::integrity(format!(
            "expected an index of {} images, found {}",
            images.len(),
            parsed.entries.len()
        )));
    }
    for (entry, (platform, manifest)) in parsed.entries.iter().zip(images) {
        let says = match &entry.platform {
            Some(platform) => Some(platform.parse()?),
            None => None,
        };
        let wrong_platform = says.as_ref().is_some_and(|says| says != platform);
        if wrong_platform || entry.descriptor != *manifest {
            return Err(Error::integrity(format!(
                "expected an index entry for {platform} with digest {}, found {}",
                manifest.digest, entry.descriptor.digest
            )));
        }
    }
    Ok(())
}

/// All media types of one manifest are of one family. Also asked of a base before work begins.
pub fn families(manifest: &Manifest, media_type: &str) -> Result<()> {
    let family = manifest.family;
    if Family::of(media_type) != Some(family) {
        return Err(mixed("a manifest", media_type));
    }
    let config = match family {
        Family::Oci => OCI_CONFIG,
        Family::Docker => DOCKER_CONFIG,
    };
    if manifest.config.media_type != config {
        return Err(mixed("a manifest", &manifest.config.media_type));
    }
    for layer in &manifest.layers {
        let media_type = &layer.descriptor.media_type;
        if Family::of_layer(media_type)?.0 != family {
            return Err(mixed("a manifest", media_type));
        }
    }
    Ok(())
}

fn mixed(what: &str, media_type: &str) -> Error {
    Error::usage(format!(
        "expected OCI media types only, or Docker's only, found `{}` in {what} of the other family",
        media_type.escape_debug()
    ))
    .hint("some runtimes refuse such a mix: convert the base, `skopeo copy --format oci`")
}

#[cfg(test)]
mod tests;
