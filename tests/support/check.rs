//! An image layout, read from its specification and without any code of the crate: every blob is
//! read to its end and checked against what points to it, layers are unpacked and checked against
//! their `diff_id`s, and no blob is there that nothing points to.
//!
//! OCI image spec 1.1: "Image Layout", "Image Index", "Manifest", "Config".

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// One image or index that `index.json` names.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) tag: Option<String>,
    pub(crate) digest: String,
    /// The index, where the name is that of one.
    pub(crate) index: Option<Value>,
    pub(crate) images: Vec<Image>,
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) platform: String,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    pub(crate) layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    /// The layer, decompressed.
    pub(crate) tar: Vec<u8>,
}

/// Reads and checks all that is in the layout `dir`.
pub(crate) fn layout(dir: &Path) -> Result<Vec<Named>, String> {
    let marker = read(&dir.join("oci-layout"))?;
    let marker: Value = parse(&marker, "oci-layout")?;
    expect("imageLayoutVersion", &marker["imageLayoutVersion"], "1.0.0")?;
    let index: Value = parse(&read(&dir.join("index.json"))?, "index.json")?;
    expect("schemaVersion of index.json", &index["schemaVersion"], 2)?;
    let mut blobs = Blobs {
        dir,
        seen: BTreeSet::new(),
    };
    let mut named = Vec::new();
    for descriptor in array(&index, "manifests")? {
        named.push(blobs.named(descriptor)?);
    }
    blobs.nothing_else()?;
    Ok(named)
}

/// The only thing of the layout that has this tag.
pub(crate) fn tagged(dir: &Path, tag: &str) -> Named {
    let named = layout(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found = named
        .into_iter()
        .filter(|named| named.tag.as_deref() == Some(tag));
    let first = found.next().unwrap_or_else(|| panic!("no tag {tag}"));
    assert!(found.next().is_none(), "tag {tag} is there twice");
    first
}

impl Layer {
    /// A line for each member: mode, owner, time, size, name, target of a link.
    pub(crate) fn listing(&self) -> String {
        let mut text = String::new();
        let mut archive = tar::Archive::new(&self.tar[..]);
        for entry in archive.entries().expect("a tar") {
            let entry = entry.expect("a member");
            let header = entry.header();
            let kind = match header.entry_type() {
                tar::EntryType::Directory => 'd',
                tar::EntryType::Regular => '-',
                tar::EntryType::Symlink => 'l',
                other => panic!("a member of type {other:?}"),
            };
            let names = [header.username_bytes(), header.groupname_bytes()];
            assert_eq!(names, [Some(&b""[..]); 2], "names of the host");
            let number = |value: std::io::Result<u64>| value.expect("a number");
            let _ = write!(
                text,
                "{kind} {:04o} {}:{} {} {} {}",
                header.mode().expect("a mode"),
                number(header.uid()),
                number(header.gid()),
                number(header.mtime()),
                entry.size(),
                String::from_utf8_lossy(&entry.path_bytes()),
            );
            if let Some(target) = entry.link_name_bytes() {
                let _ = write!(text, " -> {}", String::from_utf8_lossy(&target));
            }
            text.push('\n');
        }
        text
    }
}

struct Blobs<'a> {
    dir: &'a Path,
    seen: BTreeSet<String>,
}

impl Blobs<'_> {
    /// The bytes that a descriptor points to.
    fn read(&mut self, descriptor: &Value) -> Result<Vec<u8>, String> {
        let digest = text(descriptor, "digest")?;
        let hex = digest
            .strip_prefix("sha256:")
            .ok_or(format!("digest {digest}"))?;
        let bytes = read(&self.dir.join("blobs/sha256").join(hex))?;
        if sha256(&bytes) != digest {
            return Err(format!("blob {digest} has the digest {}", sha256(&bytes)));
        }
        expect(
            &format!("size of {digest}"),
            &descriptor["size"],
            bytes.len(),
        )?;
        self.seen.insert(hex.to_owned());
        Ok(bytes)
    }

    fn named(&mut self, descriptor: &Value) -> Result<Named, String> {
        let bytes = self.read(descriptor)?;
        let digest = text(descriptor, "digest")?.to_owned();
        let tag = descriptor["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .map(str::to_owned);
        let document: Value = parse(&bytes, &digest)?;
        expect(
            "mediaType",
            &document["mediaType"],
            descriptor["mediaType"].clone(),
        )?;
        let types = Types::of(text(descriptor, "mediaType")?)?;
        let (index, images) = if document["manifests"].is_array() {
            expect("mediaType of an index", &document["mediaType"], types.index)?;
            let mut images = Vec::new();
            for entry in array(&document, "manifests")? {
                let image = self.image(entry, &types)?;
                expect(
                    "platform of an entry",
                    &platform(&entry["platform"]).into(),
                    image.platform.as_str(),
                )?;
                images.push(image);
            }
            (Some(document), images)
        } else {
            (None, vec![self.image(descriptor, &types)?])
        };
        Ok(Named {
            tag,
            digest,
            index,
            images,
        })
    }

    fn image(&mut self, descriptor: &Value, types: &Types) -> Result<Image, String> {
        let manifest: Value = parse(&self.read(descriptor)?, "a manifest")?;
        expect("schemaVersion", &manifest["schemaVersion"], 2)?;
        expect(
            "mediaType of a manifest",
            &manifest["mediaType"],
            types.manifest,
        )?;
        expect(
            "mediaType of its descriptor",
            &descriptor["mediaType"],
            types.manifest,
        )?;
        expect(
            "mediaType of the config",
            &manifest["config"]["mediaType"],
            types.config,
        )?;
        let config: Value = parse(&self.read(&manifest["config"])?, "a config")?;
        expect(
            "type of the root file system",
            &config["rootfs"]["type"],
            "layers",
        )?;
        let diff_ids = array(&config["rootfs"], "diff_ids")?;
        let descriptors = array(&manifest, "layers")?;
        if diff_ids.len() != descriptors.len() {
            return Err(format!(
                "{} layers, {} diff_ids",
                descriptors.len(),
                diff_ids.len()
            ));
        }
        let mut layers = Vec::new();
        for (descriptor, diff_id) in descriptors.iter().zip(diff_ids) {
            let layer = self.layer(descriptor, types)?;
            expect("diff_id", diff_id, sha256(&layer.tar))?;
            layers.push(layer);
        }
        if let Some(history) = config["history"].as_array() {
            let full = history.iter().filter(|entry| entry["empty_layer"] != true);
            expect(
                "entries of history with a layer",
                &full.count().into(),
                layers.len(),
            )?;
        }
        Ok(Image {
            platform: platform(&config),
            manifest,
            config,
            layers,
        })
    }

    fn layer(&mut self, descriptor: &Value, types: &Types) -> Result<Layer, String> {
        let bytes = self.read(descriptor)?;
        let media_type = text(descriptor, "mediaType")?;
        let compression = types
            .layers
            .iter()
            .find(|(name, _)| *name == media_type)
            .ok_or(format!("a layer of type {media_type}"))?
            .1;
        let mut tar = Vec::new();
        let read = match compression {
            "gzip" => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar),
            "zstd" => zstd::stream::read::Decoder::new(&bytes[..])
                .and_then(|mut decoder| decoder.read_to_end(&mut tar)),
            _ => (&bytes[..]).read_to_end(&mut tar),
        };
        read.map_err(|error| format!("layer {}: {error}", descriptor["digest"]))?;
        Ok(Layer {
            digest: text(descriptor, "digest")?.to_owned(),
            media_type: media_type.to_owned(),
            tar,
        })
    }

    fn nothing_else(&self) -> Result<(), String> {
        let mut there = BTreeSet::new();
        for entry in
            fs::read_dir(self.dir.join("blobs/sha256")).map_err(|error| error.to_string())?
        {
            let name = entry.map_err(|error| error.to_string())?.file_name();
            there.insert(name.to_string_lossy().into_owned());
        }
        let stray: Vec<_> = there.difference(&self.seen).collect();
        if stray.is_empty() {
            Ok(())
        } else {
            Err(format!("nothing points to {stray:?}"))
        }
    }
}

/// The media types of one family.
struct Types {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layers: &'static [(&'static str, &'static str)],
}

impl Types {
    fn of(media_type: &str) -> Result<Self, String> {
        if media_type.starts_with("application/vnd.oci.image.") {
            return Ok(Self {
                index: "application/vnd.oci.image.index.v1+json",
                manifest: "application/vnd.oci.image.manifest.v1+json",
                config: "application/vnd.oci.image.config.v1+json",
                layers: &[
                    ("application/vnd.oci.image.layer.v1.tar", "none"),
                    ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"),
                    ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
                ],
            });
        }
        if media_type.starts_with("application/vnd.docker.distribution.manifest.") {
            return Ok(Self {
                index: "application/vnd.docker.distribution.manifest.list.v2+json",
                manifest: "application/vnd.docker.distribution.manifest.v2+json",
                config: "application/vnd.docker.container.image.v1+json",
                layers: &[
                    ("application/vnd.docker.image.rootfs.diff.tar", "none"),
                    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
                ],
            });
        }
        Err(format!("media type {media_type}"))
    }
}

/// The digest of bytes, as descriptors have it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn platform(of: &Value) -> String {
    let part = |key: &str| of[key].as_str().unwrap_or_default();
    let mut name = format!("{}/{}", part("os"), part("architecture"));
    if of["variant"].is_string() {
        let _ = write!(name, "/{}", part("variant"));
    }
    name
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(bytes: &[u8], what: &str) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{what}: {error}"))
}

fn array<'a>(of: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    of[key].as_array().ok_or(format!("no list `{key}`"))
}

fn text<'a>(of: &'a Value, key: &str) -> Result<&'a str, String> {
    of[key].as_str().ok_or(format!("no text `{key}`"))
}

fn expect(what: &str, found: &Value, expected: impl Into<Value>) -> Result<(), String> {
    let expected = expected.into();
    if *found == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected}, found {found}"))
}
