//! Docker's archives, as `docker save` writes them and `docker load`, `podman load` and `skopeo
//! copy docker-archive:` read them: `manifest.json`, the config, and the layers as plain tars.
//!
//! Refused: more than one platform, which the format cannot say.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use super::beside::Beside;
use super::disk::Stop;
use super::tarball::Tarball;
use super::{Blob, Built, Image, Outcome};
use crate::core::cancel::Cancel;
use crate::core::decompress::Decompressor;
use crate::core::digest::{Digest, Hashing};
use crate::core::reference::RepositoryName;
use crate::error::{Error, Result};

/// Writes the only image of `built` to the tar file `path`, under the full name of `reference`
/// where one is given. A file that is there is replaced as a whole, and left alone where it holds
/// the same bytes.
///
/// Layers are decompressed on the way and verified against their diff ids. Order of the members:
/// `manifest.json`, the config, the layers from the base up.
pub fn write(
    path: &Path,
    reference: Option<&RepositoryName>,
    built: &Built,
    cancel: &Cancel,
) -> Result<Outcome> {
    cancel.check()?;
    let image = only_image(built)?;
    let manifest = manifest(image, reference)?;
    let mut beside = Beside::create(path, 0o666)?;
    let target = beside.target().to_owned();
    let stop = Stop::new(cancel);
    let mut tar = Tarball::new(beside.file(), &target, &stop);
    tar.bytes("manifest.json", &manifest)?;
    let config = &image.config;
    tar.stream(&config_name(config), &mut config.open()?, &config.origin())?;
    let mut seen = HashSet::new();
    for (layer, diff_id) in image.layers.iter().zip(&image.diff_ids) {
        if seen.insert(*diff_id) {
            put_layer(&mut tar, layer, diff_id)?;
        }
    }
    tar.finish()?;
    let changed = beside.publish(true)?;
    let blobs = seen.len() + 1;
    let (written, present) = if changed { (blobs, 0) } else { (0, blobs) };
    Ok(Outcome {
        changed,
        written,
        linked: 0,
        present,
    })
}

/// Refuses what the format cannot say.
pub fn check(built: &Built) -> Result<()> {
    only_image(built).map(drop)
}

fn only_image(built: &Built) -> Result<&Image> {
    let [image] = &built.images[..] else {
        let platforms: Vec<String> = built
            .images
            .iter()
            .map(|image| image.platform.to_string())
            .collect();
        return Err(Error::usage(format!(
            "expected one platform for a docker-archive, found {}: {}",
            platforms.len(),
            platforms.join(", ")
        ))
        .hint("choose one with `arch` in the spec, or write all of them to `oci:DIR` or `oci-archive:FILE`"));
    };
    if image.layers.len() != image.diff_ids.len() {
        return Err(Error::internal(format!(
            "expected a diff id for each of {} layers, found {}",
            image.layers.len(),
            image.diff_ids.len()
        )));
    }
    Ok(image)
}

fn manifest(image: &Image, reference: Option<&RepositoryName>) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Item {
        config: String,
        repo_tags: Vec<String>,
        layers: Vec<String>,
    }
    if reference.is_some_and(|reference| reference.tag.is_none()) {
        return Err(Error::usage(
            "expected a tag in the name of a docker-archive, found none",
        ));
    }
    let item = Item {
        config: config_name(&image.config),
        repo_tags: reference.iter().map(ToString::to_string).collect(),
        layers: image.diff_ids.iter().map(layer_name).collect(),
    };
    serde_json::to_vec(&[item])
        .map_err(|error| Error::internal("cannot write manifest.json").because(error))
}

fn config_name(config: &Blob) -> String {
    format!("{}.json", config.descriptor.digest.hex())
}

fn layer_name(diff_id: &Digest) -> String {
    format!("{}.tar", diff_id.hex())
}

/// Adds a layer, decompressed; checks both the blob and what came out of it.
fn put_layer<W: std::io::Write + std::io::Seek>(
    tar: &mut Tarball<'_, W>,
    layer: &Blob,
    diff_id: &Digest,
) -> Result<()> {
    let mut blob = layer.open()?;
    let mut plain = Hashing::new(Decompressor::new(&mut blob)?);
    tar.stream(&layer_name(diff_id), &mut plain, &layer.origin())?;
    let (found, _, _) = plain.finish();
    blob.finish()?;
    if found != *diff_id {
        return Err(Error::integrity(format!(
            "{}: layer {}: expected the diff id {diff_id}, found {found}",
            layer.origin(),
            layer.descriptor.digest
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "docker_archive_tests.rs"]
mod tests;
