//! Makes a result out of a spec: base, plan, layer, documents, checks. Nothing is written but
//! temporary files; where the result goes is decided by whoever asks for it.

mod gather;
mod owners;
mod plan;

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};
use std::sync::Arc;

use crate::base::{Base, BaseImage, Opener};
use crate::context::Context;
use crate::core::assemble::{self, Documents, Parts};
use crate::core::cancel::Cancel;
use crate::core::descriptor::Descriptor;
use crate::core::digest::Digest;
use crate::core::layer::{LayerOptions, LayerSummary, write_layer};
use crate::core::overlay::Plan;
use crate::core::platform::Platform;
use crate::core::runtime::Change;
use crate::core::spec::{self, PlatformChoice, Spec, Timestamp};
use crate::core::validate::{self, LayerFacts, Pointed};
use crate::error::{Error, Result};
use crate::store::{Blob, BlobSource, Built, Image};
use crate::temporary::{self, Slice};

/// Everything that decides the bytes of a result, and how to get at them.
#[derive(Debug)]
pub struct Request {
    /// What to build.
    pub spec: Spec,
    /// Where the user's files are.
    pub context: Context,
    /// Where images are.
    pub opener: Opener,
    /// The time of all that is new.
    pub time: Timestamp,
}

/// A result and what there is to say about it.
#[derive(Debug)]
pub struct Outcome {
    /// The result.
    pub built: Built,
    /// What was done, for each platform.
    pub platforms: Vec<PlatformOutcome>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What was done for one platform.
#[derive(Debug)]
pub struct PlatformOutcome {
    /// The platform.
    pub platform: Platform,
    /// The digest of the base's manifest; `None` for `scratch`.
    pub base: Option<Digest>,
    /// What the layer holds.
    pub plan: Plan,
    /// What changed in the config.
    pub changes: Vec<Change>,
    /// The layer; `None` where there was nothing to add.
    pub layer: Option<(Descriptor, LayerSummary)>,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The digest of the config.
    pub config: Digest,
}

/// Builds what the request says.
pub fn build(request: &Request) -> Result<Outcome> {
    let base = open_base(request)?;
    for image in &base.images {
        check_base(image, request)?;
    }
    let mut notes = base.notes.clone();
    let plans = plan::plans(request, &base, &mut notes)?;
    let layers = write_layers(request, &plans)?;
    let mut images = Vec::new();
    let mut platforms = Vec::new();
    for ((image, planned), layer) in base.images.iter().zip(plans).zip(layers) {
        let documents = assemble(request, image, &planned, layer.as_ref())?;
        let (image, outcome) = finish(image, planned, layer, documents)?;
        check_image(&image, &base)?;
        images.push(image);
        platforms.push(outcome);
    }
    let root = root(request, &base, &images)?;
    if let Some(trouble) = request.opener.cache.trouble() {
        notes.push(format!("the cache of layer indexes is not used: {trouble}"));
    }
    Ok(Outcome {
        built: Built { root, images },
        platforms,
        notes,
    })
}

fn open_base(request: &Request) -> Result<Base> {
    let spec = &request.spec;
    match (&spec.base_image, &spec.platforms) {
        (spec::Base::Image(name), choice) => request.opener.image(name, choice),
        (spec::Base::Scratch, PlatformChoice::One(platform)) => {
            Base::scratch(std::slice::from_ref(platform))
        }
        (spec::Base::Scratch, PlatformChoice::List(platforms)) => Base::scratch(platforms),
        (spec::Base::Scratch, PlatformChoice::All) => Err(Error::usage(
            "`scratch` has no platforms of its own: name them with `platforms`",
        )),
    }
}

/// What can be refused before any work is done.
fn check_base(image: &BaseImage, request: &Request) -> Result<()> {
    let manifest = &image.manifest;
    let check = || {
        validate::families(manifest, manifest.family.manifest())?;
        validate::history(&image.config, manifest.layers.len())?;
        assemble::check_compression(manifest.family, request.spec.compression)
    };
    check().map_err(|error| error.at(format!("the base for {}", image.platform)))
}

/// A layer, and its bytes.
type Written = (LayerSummary, Slice);

/// The layer of each plan; `None` where there is nothing in it. Plans whose layers would be equal
/// share one.
fn write_layers(request: &Request, plans: &[plan::PlatformPlan]) -> Result<Vec<Option<Written>>> {
    let mut layers: Vec<Option<Written>> = Vec::new();
    for planned in plans {
        let same = |(other, _): &(&plan::PlatformPlan, _)| other.plan.has_layer_of(&planned.plan);
        let shared = plans.iter().zip(&layers).find(same);
        let layer = match shared {
            Some((_, layer)) => layer.clone(),
            None if planned.plan.is_empty() => None,
            None => Some(write_one(request, &planned.plan)?),
        };
        layers.push(layer);
    }
    Ok(layers)
}

fn write_one(request: &Request, plan: &Plan) -> Result<Written> {
    let options = LayerOptions {
        compression: request.spec.compression,
        level: request.spec.compression_level,
        threads: request.opener.threads,
    };
    let mut file = temporary::file()?;
    let out = CancelWriter {
        inner: io::BufWriter::with_capacity(1 << 18, &mut file),
        cancel: &request.opener.cancel,
    };
    let layer = write_layer(&plan.layer_entries(), &options, out).map_err(temporary::when_full)?;
    file.rewind()
        .map_err(|error| Error::io("cannot read back the new layer", error))?;
    let bytes = Slice::new(Arc::new(file), 0, layer.size);
    Ok((layer, bytes))
}

/// Stops the writing of a layer when the user says so.
struct CancelWriter<'a, W> {
    inner: W,
    cancel: &'a Cancel,
}

impl<W: Write> Write for CancelWriter<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.cancel.check().map_err(Error::into_io)?;
        self.inner.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn assemble(
    request: &Request,
    image: &BaseImage,
    planned: &plan::PlatformPlan,
    layer: Option<&(LayerSummary, Slice)>,
) -> Result<Documents> {
    Parts {
        spec: &request.spec,
        time: request.time,
        manifest: &image.manifest,
        base_digest: image.digest,
        config: &image.config,
        runtime: &planned.runtime,
        plan: &planned.plan,
        layer: layer.map(|(summary, _)| *summary),
    }
    .assemble()
}

fn finish(
    base: &BaseImage,
    planned: plan::PlatformPlan,
    layer: Option<(LayerSummary, Slice)>,
    documents: Documents,
) -> Result<(Image, PlatformOutcome)> {
    let manifest = Blob::of(documents.manifest.0, documents.manifest.1);
    let config = Blob::of(documents.config.0, documents.config.1);
    let of_base = |layer: &crate::base::Layer| Blob {
        descriptor: layer.descriptor.clone(),
        source: BlobSource::Store(Arc::clone(&base.files.store)),
    };
    let mut layers: Vec<Blob> = base.files.layers.iter().map(of_base).collect();
    let mut diff_ids = base.config.diff_ids.clone();
    let layer = match (layer, documents.layer) {
        (Some((summary, bytes)), Some(descriptor)) => {
            diff_ids.push(summary.diff_id);
            layers.push(Blob {
                descriptor: descriptor.clone(),
                source: BlobSource::Temporary(bytes),
            });
            Some((descriptor, summary))
        }
        (None, None) => None,
        _ => {
            return Err(Error::internal(
                "a layer without descriptor, or the reverse",
            ));
        }
    };
    let outcome = PlatformOutcome {
        platform: base.platform.clone(),
        base: base.digest,
        plan: planned.plan,
        changes: planned.changes,
        layer,
        manifest: manifest.descriptor.digest,
        config: config.descriptor.digest,
    };
    let image = Image {
        platform: base.platform.clone(),
        manifest,
        config,
        layers,
        diff_ids,
    };
    Ok((image, outcome))
}

/// Checks a finished image against what is known of its layers from reading and writing them.
fn check_image(image: &Image, base: &Base) -> Result<()> {
    let mut facts = BTreeMap::new();
    for layer in base.images.iter().flat_map(|image| &image.files.layers) {
        let fact = LayerFacts {
            size: layer.index.size,
            diff_id: layer.index.diff_id,
        };
        facts.insert(layer.descriptor.digest, fact);
    }
    if let (Some(blob), Some(&diff_id)) = (image.layers.last(), image.diff_ids.last())
        && matches!(blob.source, BlobSource::Temporary(_))
    {
        let size = blob.descriptor.size;
        facts.insert(blob.descriptor.digest, LayerFacts { size, diff_id });
    }
    validate::image(
        pointed(&image.manifest)?,
        pointed(&image.config)?,
        &image.platform,
        &facts,
    )
}

/// The manifest of the only image, or the index of several.
fn root(request: &Request, base: &Base, images: &[Image]) -> Result<Blob> {
    if let [only] = images {
        return Ok(only.manifest.clone());
    }
    let manifests = base.images.iter().zip(images).map(|(base, image)| {
        (
            &image.platform,
            base.entry.as_ref(),
            &image.manifest.descriptor,
        )
    });
    let digest = match &request.spec.base_image {
        spec::Base::Image(name) => Some(name.digest),
        spec::Base::Scratch => None,
    };
    let (media_type, bytes) =
        assemble::index(&request.spec, base.index.as_ref(), digest, manifests)?;
    let root = Blob::of(media_type, bytes);
    let images: Vec<_> = images
        .iter()
        .map(|image| (image.platform.clone(), image.manifest.descriptor.clone()))
        .collect();
    validate::index(pointed(&root)?, &images)?;
    Ok(root)
}

fn pointed(blob: &Blob) -> Result<Pointed<'_>> {
    match &blob.source {
        BlobSource::Bytes(bytes) => Ok(Pointed {
            descriptor: &blob.descriptor,
            bytes,
        }),
        _ => Err(Error::internal("a document that is not in memory")),
    }
}
