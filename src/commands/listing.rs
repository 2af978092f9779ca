//! What a build did or would do, as text and as JSON. The JSON's fields are a promise to scripts.

use std::fmt::Write as _;

use serde::Serialize;

use crate::build::{Outcome, PlatformOutcome, Request};
use crate::core::digest::Digest;
use crate::core::entry::LayerEntryKind;
use crate::core::overlay::{Action, Planned};
use crate::core::path::{LayerPath, escape};
use crate::core::runtime::Change;
use crate::core::spec::Base;
use crate::report::{Report, bytes};
use crate::store::output::Output;

/// The whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing {
    /// The digest of the result: an index's, or the only manifest's.
    digest: Digest,
    media_type: String,
    size: u64,
    /// The base as the spec pins it.
    base: String,
    variant: &'static str,
    /// RFC 3339.
    created: String,
    platforms: Vec<PlatformListing>,
    /// Where the result was written, each with its digest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformListing {
    platform: String,
    #[serde(skip)]
    summary: String,
    manifest: Digest,
    config: Digest,
    base_manifest: Option<Digest>,
    /// `null` where nothing was added to the file system.
    layer: Option<LayerListing>,
    files: Vec<FileListing>,
    config_changes: Vec<ChangeListing>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerListing {
    media_type: String,
    digest: Digest,
    size: u64,
    diff_id: Digest,
    uncompressed_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileListing {
    /// `add`, `replace`, or `keep` for a directory of the base that is repeated.
    action: &'static str,
    /// `file`, `directory` or `symlink`.
    #[serde(rename = "type")]
    kind: &'static str,
    path: String,
    /// Four octal digits.
    mode: String,
    uid: u32,
    gid: u32,
    /// Of a file.
    size: Option<u64>,
    /// Of a symbolic link.
    target: Option<String>,
    /// Links of the base that led here.
    links: Vec<LinkListing>,
    /// The part of the spec that asks for it; `null` for parents.
    key: Option<String>,
    /// Where the bytes come from; `null` where the spec holds them.
    source: Option<String>,
}

#[derive(Debug, Serialize)]
struct LinkListing {
    path: String,
    target: String,
}

#[derive(Debug, Serialize)]
struct ChangeListing {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

/// Where a result was written: one reference with digest for each output.
pub(super) fn references(outcome: &Outcome, outputs: &[Output]) -> Vec<String> {
    let digest = outcome.built.root.descriptor.digest;
    let reference = |output: &Output| format!("{output}@{digest}");
    outputs.iter().map(reference).collect()
}

/// Says what was done, in a line for each platform, and every file where the user wants that.
pub(super) fn status(outcome: &Outcome, report: &Report) {
    for done in &outcome.platforms {
        report.status(&summary(done));
        if report.verbose() {
            report.status(platform(done).details(true).trim_end());
        }
    }
    for note in &outcome.notes {
        report.note(note);
    }
}

/// One platform in one line.
fn summary(outcome: &PlatformOutcome) -> String {
    let count = |action: Action| {
        let entries = outcome.plan.entries.values();
        let asked = entries.filter(|entry| entry.action == action && entry.cause.is_some());
        asked.count()
    };
    let layer = match &outcome.layer {
        Some((descriptor, _)) => format!("layer of {}", bytes(descriptor.size)),
        None => "no layer".to_owned(),
    };
    format!(
        "{}: {} added, {} replaced, {} changed in the config, {layer}",
        outcome.platform,
        count(Action::Add),
        count(Action::Replace),
        outcome.changes.len(),
    )
}

impl Listing {
    /// `outputs` are the references that were written.
    pub(super) fn new(request: &Request, outcome: &Outcome, outputs: Vec<String>) -> Self {
        let root = &outcome.built.root.descriptor;
        Self {
            digest: root.digest,
            media_type: root.media_type.clone(),
            size: root.size,
            base: match &request.spec.base_image {
                Base::Scratch => "scratch".to_owned(),
                Base::Image(name) => name.to_string(),
            },
            variant: request.spec.variant.as_str(),
            created: request.time.rfc3339(),
            platforms: outcome.platforms.iter().map(platform).collect(),
            outputs,
            notes: outcome.notes.clone(),
        }
    }

    /// The plan for people. `all` shows the repeated directories too.
    pub(super) fn text(&self, all: bool) -> String {
        let mut text = format!("base {}\n", self.base);
        for platform in &self.platforms {
            text.push('\n');
            let _ = writeln!(text, "{}", platform.summary);
            text.push_str(&platform.details(all));
        }
        let _ = writeln!(text, "\ndigest {}", self.digest);
        text
    }
}

impl PlatformListing {
    fn details(&self, all: bool) -> String {
        let mut text = String::new();
        for file in self
            .files
            .iter()
            .filter(|file| all || file.action != "keep")
        {
            text.push_str(&file.line());
        }
        for change in &self.config_changes {
            text.push_str(&change.line());
        }
        let _ = writeln!(text, "  manifest {}", self.manifest);
        text
    }
}

impl FileListing {
    fn line(&self) -> String {
        let sign = match self.action {
            "add" => '+',
            "replace" => '~',
            _ => '=',
        };
        let slash = if self.kind == "directory" { "/" } else { "" };
        let mut line = format!(
            "  {sign} {} {}:{} {}{slash}",
            self.mode, self.uid, self.gid, self.path
        );
        if let Some(target) = &self.target {
            let _ = write!(line, " -> {target}");
        }
        if let Some(size) = self.size {
            let _ = write!(line, " ({})", bytes(size));
        }
        if let Some(key) = &self.key {
            let _ = write!(line, "  {key}");
        }
        if let Some(source) = &self.source {
            let _ = write!(line, " {source}");
        }
        line.push('\n');
        for link in &self.links {
            let _ = writeln!(
                line,
                "      through the link {} -> {}",
                link.path, link.target
            );
        }
        line
    }
}

impl ChangeListing {
    fn line(&self) -> String {
        let shown = |value: &Option<String>| {
            let value = value.as_ref().filter(|value| !value.is_empty());
            value.map(|value| escape(value.as_bytes()))
        };
        match (shown(&self.before), shown(&self.after)) {
            (Some(before), Some(after)) => {
                format!("  config {}: {before} -> {after}\n", self.field)
            }
            (Some(before), None) => format!("  config {}: {before} -> nothing\n", self.field),
            (None, Some(after)) => format!("  config {}: {after}\n", self.field),
            (None, None) => format!("  config {}\n", self.field),
        }
    }
}

fn platform(outcome: &PlatformOutcome) -> PlatformListing {
    PlatformListing {
        platform: outcome.platform.to_string(),
        summary: summary(outcome),
        manifest: outcome.manifest,
        config: outcome.config,
        base_manifest: outcome.base,
        layer: outcome
            .layer
            .as_ref()
            .map(|(descriptor, layer)| LayerListing {
                media_type: descriptor.media_type.clone(),
                digest: layer.digest,
                size: layer.size,
                diff_id: layer.diff_id,
                uncompressed_size: layer.uncompressed_size,
            }),
        files: outcome.plan.entries.iter().map(file).collect(),
        config_changes: outcome.changes.iter().map(change).collect(),
    }
}

fn file((path, planned): (&LayerPath, &Planned)) -> FileListing {
    let (kind, size, target) = match &planned.kind {
        LayerEntryKind::Directory => ("directory", None, None),
        LayerEntryKind::File(content) => ("file", Some(content.size()), None),
        LayerEntryKind::Symlink(target) => ("symlink", None, Some(escape(target))),
    };
    let link = |link: &crate::core::tree::Link| LinkListing {
        path: link.path.to_string(),
        target: escape(&link.target),
    };
    FileListing {
        action: match planned.action {
            Action::Add => "add",
            Action::Replace => "replace",
            Action::Keep => "keep",
        },
        kind,
        path: path.to_string(),
        mode: format!("{:04o}", planned.metadata.mode),
        uid: planned.metadata.uid,
        gid: planned.metadata.gid,
        size,
        target,
        links: planned.links.iter().map(link).collect(),
        key: planned.cause.as_ref().map(|cause| cause.key.clone()),
        source: planned
            .cause
            .as_ref()
            .and_then(|cause| cause.source.clone()),
    }
}

fn change(change: &Change) -> ChangeListing {
    ChangeListing {
        field: escape(change.field.as_bytes()),
        before: change.before.clone(),
        after: change.after.clone(),
    }
}
