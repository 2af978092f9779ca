//! The indexes of an image's layers: out of the cache, or made in parallel by reading each layer
//! once as a stream.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::select::Found;
use crate::core::descriptor::Descriptor;
use crate::core::digest::Digest;
use crate::core::image::LayerDescriptor;
use crate::core::tree::{FORMAT_VERSION, LayerIndex, MAX_ENTRIES, MAX_NAME_BYTES};
use crate::error::{Error, Result};
use crate::store::cache::Cache;
use crate::store::{Store, open_blob};

/// The indexes of all layers of each image, lowest first. A layer that several images share is
/// read once. Every `diff_id` is checked against the image's config, and no more is held than one
/// image may have.
pub(super) fn index_all(
    store: &dyn Store,
    images: &[Found],
    cache: &Cache,
    threads: NonZeroUsize,
) -> Result<Vec<Vec<Arc<LayerIndex>>>> {
    let mut distinct: HashMap<Digest, &LayerDescriptor> = HashMap::new();
    for layer in images.iter().flat_map(|image| &image.manifest.layers) {
        distinct.entry(layer.descriptor.digest).or_insert(layer);
    }
    let threads = threads.get().min(distinct.len());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1));
    let pool = pool
        .build()
        .map_err(|error| Error::internal("cannot start threads").because(error))?;
    let room = Room::default();
    let one = |(digest, layer)| {
        let index = index(store, layer, cache)?;
        room.take(&index)?;
        Ok((digest, Arc::new(index)))
    };
    let indexed: HashMap<Digest, Arc<LayerIndex>> =
        pool.install(|| distinct.into_par_iter().map(one).collect::<Result<_>>())?;
    images
        .iter()
        .map(|image| in_order(image, &indexed))
        .collect()
}

/// What indexes take together. Each layer is bounded by itself, their number is not: it is counted
/// while they are made, and not only when they are merged.
#[derive(Default)]
pub(super) struct Room {
    entries: AtomicUsize,
    name_bytes: AtomicUsize,
}

impl Room {
    /// Counts one more index in; an error where that is too much.
    pub(super) fn take(&self, index: &LayerIndex) -> Result<()> {
        let more = |sum: &AtomicUsize, n| sum.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        let entries = more(&self.entries, index.entries.len());
        let name_bytes = more(&self.name_bytes, index.name_bytes());
        if entries <= MAX_ENTRIES && name_bytes <= MAX_NAME_BYTES {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "expected at most {MAX_ENTRIES} entries and {MAX_NAME_BYTES} bytes of names in the layers of all platforms, found more"
        ))
        .hint("take a smaller image, or build one platform at a time with `platforms`"))
    }
}

/// The index of one layer of an image.
fn index(store: &dyn Store, layer: &LayerDescriptor, cache: &Cache) -> Result<LayerIndex> {
    // Refuses what is no layer. How it is compressed, its bytes tell, as for the runtimes.
    layer.compression()?;
    index_tar(store, &layer.descriptor, cache)
}

/// The index of a tar, plain or compressed.
pub(super) fn index_tar(store: &dyn Store, tar: &Descriptor, cache: &Cache) -> Result<LayerIndex> {
    let kind = format!("layer-index-{FORMAT_VERSION}");
    // The blob is looked for even where its index is known: the result needs it, with this size.
    let blob = open_blob(store, tar)?;
    let cached = cache.load(&kind, &tar.digest);
    if let Some(index) = cached.and_then(|bytes| LayerIndex::from_bytes(&bytes)) {
        return Ok(index);
    }
    let index = LayerIndex::read(blob, tar.size)
        .map_err(|error| error.at(format!("layer {}", tar.digest)))?;
    cache.store(&kind, &tar.digest, &index.to_bytes()?);
    Ok(index)
}

fn in_order(
    image: &Found,
    indexed: &HashMap<Digest, Arc<LayerIndex>>,
) -> Result<Vec<Arc<LayerIndex>>> {
    let layers = image.manifest.layers.iter().zip(&image.config.diff_ids);
    layers
        .map(|(layer, diff_id)| {
            let digest = layer.descriptor.digest;
            let index = &indexed[&digest];
            if index.diff_id != *diff_id {
                return Err(Error::integrity(format!(
                    "layer {digest}: expected diff_id {diff_id}, as the config says, found {}",
                    index.diff_id
                ))
                .hint("the image is damaged or forged: its config speaks of other layers"));
            }
            Ok(Arc::clone(index))
        })
        .collect()
}
