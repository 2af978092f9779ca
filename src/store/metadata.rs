//! Small files about a result, for scripts: its digest, and what `docker buildx build
//! --metadata-file` says of one.

use std::io::Write;
use std::path::Path;

use super::beside::Beside;
use super::disk::cannot_write;
use super::output::Output;
use super::{Built, Image};
use crate::core::json::Object;
use crate::error::Result;

/// Whether `path` could be written, as far as a look tells: asked before any work.
pub fn check(path: &Path) -> Result<()> {
    Beside::check(path).map(drop)
}

/// Writes `bytes` to `path`: whole, or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = Beside::create(path, 0o666)?;
    let written = beside.file().write_all(bytes);
    written.map_err(|error| cannot_write(path, error))?;
    beside.publish(true).map(drop)
}

/// The metadata in the form of buildx: digest and descriptor of the result, the digest of the
/// config where there is one image, and the names that were written.
pub fn buildx(built: &Built, outputs: &[Output]) -> Result<Vec<u8>> {
    let root = &built.root.descriptor;
    let mut descriptor = Object::default();
    descriptor.set("mediaType", &root.media_type)?;
    descriptor.set("digest", &root.digest)?;
    descriptor.set("size", &root.size)?;
    let mut metadata = Object::default();
    if let [
        Image {
            platform, config, ..
        },
    ] = built.images.as_slice()
    {
        metadata.set("containerimage.config.digest", &config.descriptor.digest)?;
        let mut inner = Object::default();
        inner.set("architecture", &platform.architecture())?;
        inner.set("os", &"linux")?;
        if let Some(variant) = platform.variant() {
            inner.set("variant", &variant)?;
        }
        descriptor.set("platform", &inner)?;
    }
    metadata.set("containerimage.descriptor", &descriptor)?;
    metadata.set("containerimage.digest", &root.digest)?;
    let names: Vec<String> = outputs.iter().filter_map(Output::image_name).collect();
    if !names.is_empty() {
        metadata.set("image.name", &names.join(","))?;
    }
    let mut bytes = metadata.to_bytes()?;
    bytes.push(b'\n');
    Ok(bytes)
}
