//! The documents of the result: config, manifest and index, made of the base's raw JSON and of
//! what the build adds. Nothing of the host and no version of the tool goes into them, so that the
//! digests stay.

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::image::{
    Annotations, BASE_DIGEST, BASE_NAME, Config, ConfigChange, Index, IndexDescriptor, Manifest,
};
use super::json::Object;
use super::layer::LayerSummary;
use super::media::{Compression, Family};
use super::overlay::{Action, Plan};
use super::platform::Platform;
use super::reference::Location;
use super::spec::{Base, Line, Metadata, Prose, Spec, Timestamp};
use crate::error::Result;

/// Who asked for the change (`metadata.author`).
const AUTHORS: &str = "org.opencontainers.image.authors";
/// What the change is (`metadata.description`).
const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Where the change was decided (`metadata.ticket`).
const TICKET: &str = "dev.customize.ticket";
/// The `variant` of the spec.
const VARIANT: &str = "dev.customize.variant";

/// The paths that a history entry names before it only counts.
const MAX_HISTORY_PATHS: usize = 12;

/// What a result is made of, for one platform.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// The time of the result.
    pub time: Timestamp,
    /// The base's manifest.
    pub manifest: &'a Manifest,
    /// The digest of the base's manifest; `None` for `scratch`.
    pub base_digest: Option<Digest>,
    /// The base's config.
    pub config: &'a Config,
    /// The merged field `config`.
    pub runtime: &'a Object,
    /// What the layer holds.
    pub plan: &'a Plan,
    /// The layer; `None` where there is nothing to add.
    pub layer: Option<LayerSummary>,
}

/// The documents of one platform.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The descriptor of the new layer.
    pub layer: Option<Descriptor>,
    /// The config: media type and bytes.
    pub config: (String, Vec<u8>),
    /// The manifest: media type and bytes.
    pub manifest: (String, Vec<u8>),
}

impl Parts<'_> {
    /// Makes config and manifest.
    pub fn assemble(&self) -> Result<Documents> {
        let family = self.manifest.family;
        let layer = match &self.layer {
            None => None,
            Some(layer) => Some(Descriptor {
                media_type: family.layer(self.spec.compression)?.to_owned(),
                digest: layer.digest,
                size: layer.size,
            }),
        };
        let history = if self.config.keeps_history() {
            Some(self.history()?)
        } else {
            None
        };
        let config = self.config.with(&ConfigChange {
            created: self.time.rfc3339(),
            runtime: self.runtime,
            diff_id: self.layer.as_ref().map(|layer| layer.diff_id),
            history,
        })?;
        let config_descriptor = Descriptor::of(family.config(), &config);
        let annotations = annotations(self.spec, self.base_digest);
        let manifest = self
            .manifest
            .with(&config_descriptor, layer.as_ref(), &annotations)?;
        Ok(Documents {
            layer,
            config: (family.config().to_owned(), config),
            manifest: (family.manifest().to_owned(), manifest),
        })
    }

    fn history(&self) -> Result<Object> {
        let mut entry = Object::default();
        entry.set("created", &self.time.rfc3339())?;
        let Metadata {
            description,
            author,
            ticket,
        } = &self.spec.metadata;
        if let Some(author) = author {
            entry.set("author", &author.as_str())?;
        }
        entry.set(
            "created_by",
            &format!("customize build: {}", summary(self.plan)),
        )?;
        let description = description.as_ref().map(Prose::as_str);
        let ticket = ticket.as_ref().map(Line::as_str);
        let comment: Vec<&str> = ticket.into_iter().chain(description).collect();
        if !comment.is_empty() {
            entry.set("comment", &comment.join(": "))?;
        }
        if self.layer.is_none() {
            entry.set("empty_layer", &true)?;
        }
        Ok(entry)
    }
}

/// The media type of a new layer for images of `family`: asked before any work is done.
pub fn check_compression(family: Family, compression: Compression) -> Result<()> {
    family.layer(compression).map(drop)
}

/// Makes the index of several platforms' manifests. Entries that come out of the base's index keep
/// what it says of them.
pub fn index<'a>(
    spec: &Spec,
    base: Option<&Index>,
    base_digest: Option<Digest>,
    manifests: impl IntoIterator<Item = (&'a Platform, Option<&'a IndexDescriptor>, &'a Descriptor)>,
) -> Result<(String, Vec<u8>)> {
    let entries = manifests
        .into_iter()
        .map(|(platform, entry, to)| match entry {
            Some(entry) => entry.repointed(to),
            None => IndexDescriptor::fresh(to, platform),
        });
    let entries: Vec<Object> = entries.collect::<Result<_>>()?;
    let empty = Index::empty()?;
    let base = base.unwrap_or(&empty);
    let bytes = base.with(&entries, &provenance(spec, base_digest))?;
    Ok((base.family.index().to_owned(), bytes))
}

/// The annotations of an image: the spec's own come last and win.
fn annotations(spec: &Spec, base_digest: Option<Digest>) -> Annotations {
    let mut annotations = provenance(spec, base_digest);
    let own = spec.annotations.iter();
    annotations.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    annotations
}

/// Who asked for the result, why, and what it is built on.
fn provenance(spec: &Spec, base_digest: Option<Digest>) -> Annotations {
    let mut annotations = Annotations::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            annotations.insert(key.to_owned(), value.to_owned());
        }
    };
    let Metadata {
        description,
        author,
        ticket,
    } = &spec.metadata;
    put(DESCRIPTION, description.as_ref().map(Prose::as_str));
    put(AUTHORS, author.as_ref().map(Line::as_str));
    put(TICKET, ticket.as_ref().map(Line::as_str));
    put(VARIANT, Some(spec.variant.as_str()));
    if let Base::Image(pinned) = &spec.base_image {
        // A path of the machine that built is no name, and would make its place part of the bytes.
        if let Location::Registry(name) = &pinned.location {
            put(BASE_NAME, Some(&name.to_string()));
        }
        put(
            BASE_DIGEST,
            base_digest.map(|digest| digest.to_string()).as_deref(),
        );
    }
    annotations
}

/// What the plan does, in one line.
fn summary(plan: &Plan) -> String {
    let mut words = Vec::new();
    for (action, verb) in [(Action::Add, "add"), (Action::Replace, "replace")] {
        let paths = plan
            .entries
            .iter()
            .filter(|(_, planned)| planned.action == action && planned.cause.is_some());
        let paths: Vec<String> = paths.map(|(path, _)| path.to_string()).collect();
        if paths.is_empty() {
            continue;
        }
        let named = paths[..paths.len().min(MAX_HISTORY_PATHS)].join(" ");
        let more = paths.len().saturating_sub(MAX_HISTORY_PATHS);
        words.push(if more > 0 {
            format!("{verb} {named} and {more} more")
        } else {
            format!("{verb} {named}")
        });
    }
    if words.is_empty() {
        return "change the configuration".to_owned();
    }
    words.join(", ")
}

#[cfg(test)]
mod tests;
