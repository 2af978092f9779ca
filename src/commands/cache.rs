//! `customize cache`: where the layer indexes are kept, what they take, and how to be rid of them.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Environment, inputs};
use crate::cli::CacheCommand;
use crate::error::Result;
use crate::report::{Report, bytes};
use crate::store::cache::CacheInfo;

/// The fields are a promise to scripts.
#[derive(Debug, Serialize)]
struct Listing {
    /// `null` where the cache is not used.
    directory: Option<String>,
    /// Why it is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<String>,
    entries: u64,
    bytes: u64,
    damaged: u64,
    leftovers: u64,
    outdated: u64,
}

pub(super) fn run(command: CacheCommand, environment: &Environment, report: &Report) -> Result<()> {
    let cache = inputs::cache(false, environment);
    let (verb, info) = match command {
        CacheCommand::Info => ("holds", cache.info()?),
        CacheCommand::Prune => ("pruned", cache.prune(None)?),
    };
    let listing = Listing::new(&info, cache.trouble());
    report.data(&listing.text(verb), || &listing)
}

impl Listing {
    fn new(info: &CacheInfo, disabled: Option<&str>) -> Self {
        Self {
            directory: info.dir.as_ref().map(|dir| dir.display().to_string()),
            disabled: disabled.map(str::to_owned),
            entries: info.entries,
            bytes: info.bytes,
            damaged: info.damaged,
            leftovers: info.leftovers,
            outdated: info.outdated,
        }
    }

    fn text(&self, verb: &str) -> String {
        let directory = self.directory.as_deref().unwrap_or("none");
        let mut text = format!("directory {directory}\n");
        if let Some(reason) = &self.disabled {
            let _ = writeln!(text, "not used: {reason}");
        }
        let _ = writeln!(
            text,
            "{verb} {} entries of {} together; damaged {}, left over {}, outdated {}",
            self.entries,
            bytes(self.bytes),
            self.damaged,
            self.leftovers,
            self.outdated
        );
        text
    }
}
