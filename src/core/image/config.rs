//! The config of an image.

use serde::Deserialize;

use super::{Annotations, RawPlatform, append};
use crate::core::digest::Digest;
use crate::core::json::Object;
use crate::core::platform::Platform;
use crate::error::{Error, Result};

/// The config of an image.
#[derive(Debug, Clone)]
pub struct Config {
    raw: Object,
    /// The platform it is for.
    pub platform: Platform,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    history: Option<Vec<HistoryKind>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
struct HistoryKind {
    #[serde(default)]
    empty_layer: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

impl Config {
    /// Parses the config of an image with `layers` layers.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self> {
        let raw = Object::parse(bytes, "the image config")?;
        let platform = RawPlatform {
            os: raw.require("os")?,
            architecture: raw.require("architecture")?,
            variant: raw.read("variant")?,
        };
        let root: RootFs = raw.require("rootfs")?;
        let diff_ids = root.diff_ids.unwrap_or_default();
        if root.kind != "layers" || diff_ids.len() != layers {
            return Err(Error::integrity(format!(
                "expected a config with rootfs of type `layers` and {layers} diff_ids, one for each layer, found type `{}` and {}",
                root.kind.escape_debug(),
                diff_ids.len()
            )));
        }
        let runtime: Object = raw.read("config")?.unwrap_or_default();
        check_runtime(&runtime).map_err(|error| error.at("config"))?;
        Ok(Self {
            platform: platform.parse()?,
            diff_ids,
            history: raw.read("history")?,
            raw,
        })
    }

    /// A config without layers for `platform`.
    pub fn empty(platform: &Platform) -> Result<Self> {
        let mut raw = Object::default();
        raw.set("architecture", &platform.architecture())?;
        if let Some(variant) = platform.variant() {
            raw.set("variant", &variant)?;
        }
        raw.set("os", &"linux")?;
        let mut root = Object::default();
        root.set("type", &"layers")?;
        root.set("diff_ids", &[(); 0])?;
        raw.set("rootfs", &root)?;
        Ok(Self {
            raw,
            platform: platform.clone(),
            diff_ids: Vec::new(),
            history: None,
        })
    }

    /// Whether the image is for `platform`. The variant of a config is optional: where it is not
    /// stated, the index's word counts.
    pub fn is_for(&self, platform: &Platform) -> bool {
        self.platform == *platform
            || (!self.raw.has("variant") && self.platform.architecture() == platform.architecture())
    }

    /// What a container is run with: the field `config`.
    pub fn runtime(&self) -> Result<Object> {
        Ok(self.raw.read("config")?.unwrap_or_default())
    }

    /// Whether a history is kept: there is one, or there are no layers yet.
    pub fn keeps_history(&self) -> bool {
        self.diff_ids.is_empty()
            || self
                .history
                .as_ref()
                .is_some_and(|history| !history.is_empty())
    }

    /// The number of layers that the history speaks of; `None` where there is no history.
    pub fn history_layers(&self) -> Option<usize> {
        let history = self
            .history
            .as_ref()
            .filter(|history| !history.is_empty())?;
        Some(history.iter().filter(|entry| !entry.empty_layer).count())
    }

    /// The JSON of this config with another runtime part, time, one more layer and its history.
    pub fn with(&self, change: &ConfigChange<'_>) -> Result<Vec<u8>> {
        let mut raw = self.raw.clone();
        raw.set("created", &change.created)?;
        if !change.runtime.is_empty() || self.raw.has("config") {
            raw.set("config", change.runtime)?;
        }
        if let Some(diff_id) = &change.diff_id {
            let mut root: Object = raw.require("rootfs")?;
            append(&mut root, "diff_ids", diff_id)?;
            raw.set("rootfs", &root)?;
        }
        if let Some(history) = &change.history {
            append(&mut raw, "history", history)?;
        }
        raw.to_bytes()
    }
}

/// What [`Config::with`] changes.
#[derive(Debug)]
pub struct ConfigChange<'a> {
    /// RFC 3339.
    pub created: String,
    /// The new value of the field `config`.
    pub runtime: &'a Object,
    /// The new layer.
    pub diff_id: Option<Digest>,
    /// Its history entry.
    pub history: Option<Object>,
}

/// Checks the types of what the OCI image spec ("Image Configuration", `config`) defines, whether
/// it is going to be changed or not: no runtime could start a result with other types.
fn check_runtime(runtime: &Object) -> Result<()> {
    for key in ["User", "WorkingDir", "StopSignal"] {
        runtime.read::<String>(key)?;
    }
    for key in ["Env", "Entrypoint", "Cmd"] {
        runtime.read::<Vec<String>>(key)?;
    }
    for key in ["ExposedPorts", "Volumes"] {
        runtime.read::<Object>(key)?;
    }
    runtime.read::<Annotations>("Labels").map(drop)
}
