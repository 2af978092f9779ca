//! The commands: each puts the library's parts together and reports; none has logic of its own.

mod build;
mod cache;
mod inputs;
mod listing;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::cli::{Cli, Command};
use crate::core::cancel::Cancel;
use crate::error::Result;
use crate::report::Report;

/// What the commands take from the environment of the process.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub source_date_epoch: Option<String>,
    /// The cache's directory; `None` where neither `XDG_CACHE_HOME` nor `HOME` names one.
    pub cache_dir: Option<PathBuf>,
    /// Raised by a signal.
    pub cancel: Cancel,
    /// Whether a signal ends the process at once: lowered when there is something to clean up.
    pub at_once: Arc<AtomicBool>,
}

/// Runs the command that the user asked for.
pub fn run(cli: &Cli, environment: &Environment, report: &Report) -> Result<()> {
    match &cli.command {
        Command::Build(args) => build::run(args, environment, report),
        Command::Plan(args) => plan::run(args, environment, report),
        Command::Cache(args) => cache::run(args.command, environment, report),
    }
}
