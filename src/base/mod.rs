//! Opening an image that is named by digest: its documents, the platforms that were asked for, and
//! the merged file system of each. Nothing is trusted before its digest, size and `diff_id` agree.

mod artifact;
mod exclusion;
mod files;
mod layers;
mod select;
mod spool;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::cancel::Cancel;
use crate::core::descriptor::Descriptor;
use crate::core::digest::Digest;
use crate::core::image::{Config, Document, Index, IndexDescriptor, Manifest};
use crate::core::json::{MAX_CONFIG, MAX_MANIFEST};
use crate::core::platform::Platform;
use crate::core::reference::{Location, PinnedRef};
use crate::core::spec::PlatformChoice;
use crate::core::tree::{LayerIndex, MAX_ENTRIES, Tree};
use crate::error::{Error, Result};
use crate::store::archive::Archive;
use crate::store::cache::Cache;
use crate::store::layout::Layout;
use crate::store::{Store, read_blob};

pub use exclusion::Exclusion;
pub use files::{Files, Layer};
pub use spool::Spool;

/// What opening an image needs beside its name.
#[derive(Debug, Clone)]
pub struct Opener {
    /// Where relative paths of local images start: the directory of the spec.
    pub directory: PathBuf,
    /// Layouts that supply the bytes of named images: directories, `oci:DIR` or
    /// `oci-archive:FILE`.
    pub base_layouts: Vec<PathBuf>,
    /// The indexes of layers that were read before.
    pub cache: Cache,
    /// Threads that read layers.
    pub threads: NonZeroUsize,
    /// Raised to stop.
    pub cancel: Cancel,
}

/// An image or index, opened, with the platforms that were asked for.
#[derive(Debug)]
pub struct Base {
    /// The index, where the digest is an index's.
    pub index: Option<Index>,
    /// One for each platform, in the order of the index or of the spec.
    pub images: Vec<BaseImage>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

/// One platform's image.
pub struct BaseImage {
    /// Its platform.
    pub platform: Platform,
    /// Its entry in the index, where it came out of one.
    pub entry: Option<IndexDescriptor>,
    /// The digest of its manifest; `None` for `scratch`.
    pub digest: Option<Digest>,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: Config,
    /// Its merged file system and layers.
    pub files: Files,
}

impl std::fmt::Debug for BaseImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseImage")
            .field("platform", &self.platform)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens the platforms `choice` of an image.
    pub fn image(&self, name: &PinnedRef, choice: &PlatformChoice) -> Result<Base> {
        let store = self.store(name)?;
        self.image_in(&store, name, choice)
            .map_err(|error| located(error, store.as_ref(), name))
    }

    fn image_in(
        &self,
        store: &Arc<dyn Store>,
        name: &PinnedRef,
        choice: &PlatformChoice,
    ) -> Result<Base> {
        self.image_of(store, name, root(store.as_ref(), name)?, choice)
    }

    fn image_of(
        &self,
        store: &Arc<dyn Store>,
        name: &PinnedRef,
        document: Document,
        choice: &PlatformChoice,
    ) -> Result<Base> {
        let (index, found, mut notes) = match document {
            Document::Index(index) => {
                let (found, notes) = select::from_index(store.as_ref(), &index, choice)?;
                (Some(index), found, notes)
            }
            Document::Manifest(manifest) => {
                let found = select::Found::read(store.as_ref(), name.digest, manifest, None)?;
                (None, vec![select::single(found, choice)?], Vec::new())
            }
        };
        let layers = layers::index_all(store.as_ref(), &found, &self.cache, self.threads)?;
        self.cancel.check()?;
        let image = |(found, layers): (select::Found, Vec<Arc<LayerIndex>>)| {
            let files = Files::of_image(store, &found.manifest, layers, &self.cancel);
            Ok::<_, Error>(BaseImage {
                files: files.map_err(|error| error.at(found.platform.to_string()))?,
                platform: found.platform,
                entry: found.entry,
                digest: Some(found.digest),
                manifest: found.manifest,
                config: found.config,
            })
        };
        let mut images = Vec::new();
        let mut size = 0;
        for parts in found.into_iter().zip(layers) {
            let image = image(parts)?;
            size += image.files.tree.size();
            if size > 2 * MAX_ENTRIES {
                return Err(Error::integrity(format!(
                    "expected at most {} files and directories in all platforms together, found more",
                    2 * MAX_ENTRIES
                ))
                .hint("build one platform at a time, with `arch` in the spec"));
            }
            images.push(image);
        }
        for note in images.iter().flat_map(|image| image.files.tree.notes()) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        Ok(Base {
            index,
            images,
            notes,
        })
    }

    /// The files of an image for `platform`, or of an artifact, to copy from.
    pub fn files(&self, name: &PinnedRef, platform: &Platform) -> Result<Files> {
        let store = self.store(name)?;
        self.files_in(&store, name, platform)
            .map_err(|error| located(error, store.as_ref(), name))
    }

    fn files_in(
        &self,
        store: &Arc<dyn Store>,
        name: &PinnedRef,
        platform: &Platform,
    ) -> Result<Files> {
        match root(store.as_ref(), name)? {
            Document::Manifest(manifest) if !manifest.is_image() => {
                artifact::files(store, &manifest, &self.cache, &self.cancel)
            }
            document => {
                let choice = PlatformChoice::One(platform.clone());
                let mut base = self.image_of(store, name, document, &choice)?;
                let image = base.images.pop();
                image
                    .map(|image| image.files)
                    .ok_or_else(|| Error::internal("no image where one was chosen"))
            }
        }
    }

    /// Where the bytes of an image are.
    fn store(&self, name: &PinnedRef) -> Result<Arc<dyn Store>> {
        let path = |text: &str| match self.directory.as_path() {
            // As the user wrote it, in messages too.
            here if here == Path::new(".") => PathBuf::from(text),
            directory => directory.join(text),
        };
        let store: Arc<dyn Store> = match &name.location {
            Location::Layout(text) => Arc::new(Layout::open(&path(text), self.cancel.clone())?),
            Location::Archive(text) => Arc::new(Archive::open(&path(text), self.cancel.clone())?),
            Location::Registry(_) => self.supplied(name)?,
        };
        Ok(store)
    }

    /// The first of the given layouts that has the image's digest.
    fn supplied(&self, name: &PinnedRef) -> Result<Arc<dyn Store>> {
        for place in &self.base_layouts {
            let text = place.to_string_lossy();
            let store: Arc<dyn Store> = if let Some(file) = text.strip_prefix("oci-archive:") {
                Arc::new(Archive::open(Path::new(file), self.cancel.clone())?)
            } else {
                let directory = text.strip_prefix("oci:").map_or(place.as_path(), Path::new);
                Arc::new(Layout::open(directory, self.cancel.clone())?)
            };
            if store.open(&name.digest)?.is_some() {
                return Ok(store);
            }
        }
        let searched = match self.base_layouts.as_slice() {
            [] => "no --base-layout was given".to_owned(),
            layouts => {
                let shown: Vec<_> = layouts.iter().map(|path: &PathBuf| shown(path)).collect();
                format!("it is not in {}", shown.join(", "))
            }
        };
        Err(Error::usage(format!("the bytes of {name} are needed: {searched}")).hint(format!(
            "copy it into a layout, `skopeo copy --all docker://{}@{} oci:DIR`, and give `--base-layout DIR`",
            // A reference with tag and digest both is refused by skopeo.
            without_tag(&name.location),
            name.digest
        )))
    }
}

impl Base {
    /// The empty image for each platform: what `scratch` stands for.
    pub fn scratch(platforms: &[Platform]) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(Nothing);
        let image = |platform: &Platform| {
            Ok(BaseImage {
                platform: platform.clone(),
                entry: None,
                digest: None,
                manifest: Manifest::empty()?,
                config: Config::empty(platform)?,
                files: Files {
                    tree: Tree::default(),
                    layers: Vec::new(),
                    store: Arc::clone(&store),
                },
            })
        };
        Ok(Self {
            index: None,
            images: platforms.iter().map(image).collect::<Result<_>>()?,
            notes: Vec::new(),
        })
    }
}

/// The store of `scratch`.
struct Nothing;

impl Store for Nothing {
    fn name(&self) -> String {
        "scratch".to_owned()
    }

    fn open(&self, _: &Digest) -> Result<Option<(u64, crate::store::Bytes<'_>)>> {
        Ok(None)
    }
}

/// Puts the image's name in front of the message, unless that begins with where the image lies.
fn located(error: Error, store: &dyn Store, name: &PinnedRef) -> Error {
    if error.message().starts_with(&format!("{}: ", store.name())) {
        return error;
    }
    error.at(name.location.to_string())
}

/// What the digest in the spec means.
fn root(store: &dyn Store, name: &PinnedRef) -> Result<Document> {
    if store.open(&name.digest)?.is_none() {
        return Err(Error::integrity(format!(
            "expected an image with the digest {}, found none",
            name.digest
        ))
        .hint("the `index.json` there has the digests of its images"));
    }
    document(store, &name.digest, None)
}

fn document(store: &dyn Store, digest: &Digest, size: Option<u64>) -> Result<Document> {
    let bytes = read_blob(store, digest, size, MAX_MANIFEST)?;
    Document::parse(&bytes).map_err(|error| error.at(digest.to_string()))
}

fn config(store: &dyn Store, manifest: &Manifest) -> Result<Config> {
    let Descriptor { digest, size, .. } = &manifest.config;
    let bytes = read_blob(store, digest, Some(*size), MAX_CONFIG)?;
    Config::parse(&bytes, manifest.layers.len()).map_err(|error| error.at(digest.to_string()))
}

fn without_tag(location: &Location) -> String {
    match location {
        Location::Registry(name) => format!("{}/{}", name.registry, name.repository),
        other => other.to_string(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
