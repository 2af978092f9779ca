//! Small images and a look into directories, for the tests of this module.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::{Blob, BlobSource, Built, Image, Store};
use crate::core::digest::Digest;
use crate::core::media::{Compression, Family, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};

/// The names in a directory, sorted.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort_unstable();
    names
}

/// A plain tar that holds one file of the given text.
pub(super) fn layer_tar(text: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("file").expect("a name");
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

/// A layer of a tar, and its diff id.
pub(super) fn layer(text: &str, compression: Compression) -> (Blob, Digest) {
    let plain = layer_tar(text);
    let diff_id = Digest::of(&plain);
    let bytes = match compression {
        Compression::None => plain,
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&plain).expect("compressed");
            out.finish().expect("compressed")
        }
        Compression::Zstd => zstd::encode_all(&plain[..], 1).expect("compressed"),
    };
    let media_type = Family::Oci.layer(compression).expect("a media type");
    (Blob::of(media_type, bytes), diff_id)
}

/// An image of the given layers.
pub(super) fn image(platform: &str, layers: Vec<(Blob, Digest)>) -> Image {
    let platform: crate::core::platform::Platform = platform.parse().expect("a platform");
    let (layers, diff_ids): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
    let config = serde_json::json!({
        "architecture": platform.architecture(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Blob::of(OCI_CONFIG, config.to_string().into_bytes());
    let descriptors: Vec<_> = layers.iter().map(|layer| &layer.descriptor).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": config.descriptor, "layers": descriptors,
    });
    Image {
        platform,
        manifest: Blob::of(OCI_MANIFEST, manifest.to_string().into_bytes()),
        config,
        layers,
        diff_ids,
    }
}

/// A result of one image, with layers of the given texts, compressed by gzip.
pub(super) fn single(texts: &[&str]) -> Built {
    let layers = texts.iter().map(|text| layer(text, Compression::Gzip));
    let image = image("linux/amd64", layers.collect());
    Built {
        root: image.manifest.clone(),
        images: vec![image],
    }
}

/// A result of two images under an index.
pub(super) fn multi() -> Built {
    let shared = layer("shared", Compression::Gzip);
    let images = vec![
        image(
            "linux/amd64",
            vec![shared.clone(), layer("amd64", Compression::Zstd)],
        ),
        image(
            "linux/arm64",
            vec![shared, layer("arm64", Compression::None)],
        ),
    ];
    let manifests: Vec<_> = images
        .iter()
        .map(|image| &image.manifest.descriptor)
        .collect();
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests,
    });
    Built {
        root: Blob::of(OCI_INDEX, index.to_string().into_bytes()),
        images,
    }
}

/// The same result with all bytes in `store`.
pub(super) fn stored(mut built: Built, store: &Arc<dyn Store>) -> Built {
    let source = BlobSource::Store(store.clone());
    built.root.source = source.clone();
    for image in &mut built.images {
        image.manifest.source = source.clone();
        image.config.source = source.clone();
        for layer in &mut image.layers {
            layer.source = source.clone();
        }
    }
    built
}
