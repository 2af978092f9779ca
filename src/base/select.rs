//! Which platforms of an image are meant, and what of an index is no image.

use super::{config, document};
use crate::core::digest::Digest;
use crate::core::image::{Config, Document, Index, IndexDescriptor, Manifest};
use crate::core::platform::Platform;
use crate::core::spec::PlatformChoice;
use crate::core::tree::MAX_LAYERS;
use crate::error::{Error, Result};
use crate::store::Store;

/// One platform's documents.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) digest: Digest,
    /// By the index where that says it, else by the config.
    pub(super) platform: Platform,
    pub(super) entry: Option<IndexDescriptor>,
    pub(super) manifest: Manifest,
    pub(super) config: Config,
}

impl Found {
    /// Reads the config of an image; a manifest that is no image's is an error.
    pub(super) fn read(
        store: &dyn Store,
        digest: Digest,
        manifest: Manifest,
        entry: Option<IndexDescriptor>,
    ) -> Result<Self> {
        if !manifest.is_image() {
            return Err(Error::usage(format!(
                "expected a container image, found an artifact with config `{}`",
                manifest.config.media_type.escape_debug()
            ))
            .hint("an artifact can be the `from` of `copy_files`, but no base"));
        }
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Error::integrity(format!(
                "expected at most {MAX_LAYERS} layers, which is what runtimes can lay over each other, found {}",
                manifest.layers.len()
            )));
        }
        let config = config(store, &manifest)?;
        Ok(Self {
            digest,
            platform: config.platform.clone(),
            entry,
            manifest,
            config,
        })
    }
}

/// The image of a digest that is a manifest's, when it is the platform that was asked for.
pub(super) fn single(found: Found, choice: &PlatformChoice) -> Result<Found> {
    let has = &found.config.platform;
    let wanted = asked(choice);
    match wanted
        .iter()
        .find(|platform| !found.config.is_for(platform))
    {
        Some(missing) => Err(lacking(missing, std::slice::from_ref(has))),
        None => Ok(found),
    }
}

/// The images of an index that were asked for, in the index's order or in that of `choice`, and
/// notes on what was left out.
pub(super) fn from_index(
    store: &dyn Store,
    index: &Index,
    choice: &PlatformChoice,
) -> Result<(Vec<Found>, Vec<String>)> {
    let wanted = asked(choice);
    let (candidates, notes) = candidates(store, index, &wanted)?;
    let has: Vec<_> = candidates
        .iter()
        .filter_map(|c| c.platform.clone())
        .collect();
    let chosen = if wanted.is_empty() {
        refuse_foreign(&candidates, &has)?;
        candidates
    } else {
        let mut chosen = Vec::new();
        for platform in &wanted {
            let found = candidates
                .iter()
                .find(|c| c.platform.as_ref() == Some(platform));
            chosen.push(found.cloned().ok_or_else(|| lacking(platform, &has))?);
        }
        chosen
    };
    if chosen.is_empty() {
        return Err(Error::usage(
            "expected an index with images, found none in it",
        ));
    }
    let found = chosen.into_iter().map(|candidate| read(store, candidate));
    Ok((found.collect::<Result<_>>()?, notes))
}

/// An entry of an index that is an image, as far as its descriptor tells.
#[derive(Debug, Clone)]
struct Candidate {
    entry: IndexDescriptor,
    /// Its platform; `None` where it is not Linux's.
    platform: Option<Platform>,
    shown: String,
}

/// The images of an index. Entries that do not say their platform are opened to see it, but only
/// where those that do are not all that is wanted.
fn candidates(
    store: &dyn Store,
    index: &Index,
    wanted: &[Platform],
) -> Result<(Vec<Candidate>, Vec<String>)> {
    let labels = index
        .entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref());
    let labels: Vec<Platform> = labels
        .filter_map(|platform| platform.parse().ok())
        .collect();
    let labels_do = !wanted.is_empty() && wanted.iter().all(|platform| labels.contains(platform));
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut notes = Vec::new();
    let mut attestations = 0;
    for entry in &index.entries {
        if entry.is_attestation {
            attestations += 1;
            continue;
        }
        let (platform, shown) = if let Some(platform) = &entry.platform {
            (platform.parse().ok(), platform.to_string())
        } else if labels_do {
            continue;
        } else if let Some(platform) = unlabelled(store, entry)? {
            (Some(platform.clone()), platform.to_string())
        } else {
            notes.push(format!(
                "left out {}: it is no container image",
                entry.descriptor.digest
            ));
            continue;
        };
        if platform.is_some() && candidates.iter().any(|other| other.platform == platform) {
            return Err(Error::usage(format!(
                "expected one image for each platform, found two for {shown} in the index"
            ))
            .hint("pin the digest of the one manifest that is meant"));
        }
        candidates.push(Candidate {
            entry: entry.clone(),
            platform,
            shown,
        });
    }
    if attestations > 0 {
        notes.push(format!(
            "left out {attestations} attestation manifest{} of the base: they speak of the base, not of the result",
            if attestations == 1 { "" } else { "s" }
        ));
    }
    Ok((candidates, notes))
}

/// The platform of an index entry that does not say its own; `None` where it is no image.
fn unlabelled(store: &dyn Store, entry: &IndexDescriptor) -> Result<Option<Platform>> {
    let descriptor = &entry.descriptor;
    match document(store, &descriptor.digest, Some(descriptor.size))? {
        Document::Manifest(manifest) if manifest.is_image() => {
            config(store, &manifest).map(|config| Some(config.platform))
        }
        _ => Ok(None),
    }
}

fn read(store: &dyn Store, candidate: Candidate) -> Result<Found> {
    let descriptor = candidate.entry.descriptor.clone();
    let place = candidate.shown;
    let Document::Manifest(manifest) = document(store, &descriptor.digest, Some(descriptor.size))?
    else {
        return Err(Error::usage(format!(
            "{place}: expected an image manifest, found an index inside the index"
        ))
        .hint("pin the digest of the inner index"));
    };
    let found = Found::read(store, descriptor.digest, manifest, Some(candidate.entry))
        .map_err(|error| error.at(place.clone()))?;
    // An index that calls an image something else would put it on the wrong machines.
    match candidate.platform {
        Some(platform) if found.config.is_for(&platform) => Ok(Found { platform, ..found }),
        _ => Err(Error::integrity(format!(
            "expected an image for {place}, as the index says, found a config for {}",
            found.config.platform
        ))),
    }
}

fn asked(choice: &PlatformChoice) -> Vec<Platform> {
    match choice {
        PlatformChoice::All => Vec::new(),
        PlatformChoice::One(platform) => vec![platform.clone()],
        PlatformChoice::List(platforms) => platforms.clone(),
    }
}

fn refuse_foreign(candidates: &[Candidate], has: &[Platform]) -> Result<()> {
    match candidates
        .iter()
        .find(|candidate| candidate.platform.is_none())
    {
        None => Ok(()),
        Some(foreign) => {
            let hint = match has {
                [] => "customize builds Linux images: choose another base".to_owned(),
                has => format!("choose with `platforms: [{}]`", listed(has)),
            };
            Err(Error::usage(format!(
                "expected Linux images only, found one for {} in the index",
                foreign.shown
            ))
            .hint(hint))
        }
    }
}

fn lacking(platform: &Platform, has: &[Platform]) -> Error {
    Error::usage(format!(
        "expected an image for {platform}, found only: {}",
        listed(has)
    ))
    .hint("choose others with `arch` or `platforms` in the spec, or another base")
}

fn listed(platforms: &[Platform]) -> String {
    let shown: Vec<_> = platforms.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests;
