//! OCI artifacts that are no images, as a file system: each layer is one file, named by its title
//! annotation, or a tar to be unpacked.

use std::sync::Arc;

use super::files::{Files, Layer};
use super::layers;
use crate::core::cancel::Cancel;
use crate::core::image::{LayerDescriptor, Manifest};
use crate::core::media::Family;
use crate::core::path::LayerPath;
use crate::core::tree::{LayerIndex, Tree};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::cache::Cache;

/// The name of the file that a layer is (OCI image spec, "Pre-Defined Annotation Keys").
const TITLE: &str = "org.opencontainers.image.title";

/// Set to `true` by ORAS on a directory that it packed as a tar.
const UNPACK: &str = "io.deis.oras.content.unpack";

/// The files of an artifact.
pub(super) fn files(
    store: &Arc<dyn Store>,
    manifest: &Manifest,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<Files> {
    let room = layers::Room::default();
    let layers = manifest.layers.iter().enumerate().map(|(number, layer)| {
        file_or_tar(store.as_ref(), layer, cache)
            .and_then(|layer| room.take(&layer.index).map(|()| layer))
            .map_err(|error| error.at(format!("layers[{number}]")))
    });
    let layers: Vec<Layer> = layers.collect::<Result<_>>()?;
    Ok(Files {
        tree: Tree::merge(layers.iter().map(|layer| layer.index.as_ref()), cancel)?,
        layers,
        store: Arc::clone(store),
    })
}

fn file_or_tar(store: &dyn Store, layer: &LayerDescriptor, cache: &Cache) -> Result<Layer> {
    let descriptor = layer.descriptor.clone();
    let unpack = layer
        .annotations
        .get(UNPACK)
        .is_some_and(|value| value == "true");
    let title = layer.annotations.get(TITLE).filter(|_| !unpack);
    let (index, is_file) = match title {
        Some(title) => {
            let path = LayerPath::parse(title)
                .ok()
                .filter(|path| !path.is_root())
                .ok_or_else(|| bad_title(title))?;
            (
                LayerIndex::of_file(path, descriptor.digest, descriptor.size),
                true,
            )
        }
        None if unpack || Family::of_layer(&descriptor.media_type).is_ok() => {
            (layers::index_tar(store, &descriptor, cache)?, false)
        }
        None => {
            return Err(Error::usage(format!(
                "expected a layer with the annotation `{TITLE}`, or a tar, found media type `{}` without a title",
                descriptor.media_type.escape_debug()
            )));
        }
    };
    Ok(Layer {
        descriptor,
        index: Arc::new(index),
        is_file,
    })
}

fn bad_title(title: &str) -> Error {
    Error::integrity(format!(
        "expected a file name in the annotation `{TITLE}`, found `{}`",
        title.escape_debug()
    ))
}
