//! The command line, as clap parses it: names, help texts, nothing else.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::store::output::Output;

/// Customizes hardened container images without a daemon.
///
/// Reads a spec that names a digest-pinned base image and what to add, and writes one
/// reproducible layer on top of it. Nothing is ever run inside the image.
#[derive(Debug, Parser)]
#[command(name = "customize", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to say.
    #[command(flatten)]
    pub talk: Talk,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    an internal or I/O error
  2    the command line, the spec, or what it names is not usable
  3    a policy refuses the result
  4    bytes are not what their digest, size or format promises
  5    a registry or the network failed
  130  interrupted";

/// How much to say.
#[derive(Debug, Clone, Copy, Args)]
pub struct Talk {
    /// Print one JSON object on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing on standard error but errors.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: every file, and the directories that are repeated from the base.
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the image that a spec describes.
    Build(BuildArgs),
    /// Show what a build would do, and the digest it would have; write nothing.
    Plan(PlanArgs),
    /// Look after the cache of layer indexes.
    Cache(CacheArgs),
}

/// Arguments of `customize build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// What to build.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Where to write the image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
    /// `docker-archive:FILE[:NAME:TAG]` (one platform). May be given several times.
    #[arg(long = "output", short, value_name = "OUTPUT", required = true)]
    pub outputs: Vec<Output>,
    /// Write the result's digests as JSON, in the form of `docker buildx build --metadata-file`.
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write the result's digest.
    #[arg(long, value_name = "FILE")]
    pub digest_file: Option<PathBuf>,
}

/// Arguments of `customize plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What to build.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// An output to check: whether it can hold the result. Nothing is written.
    #[arg(long = "output", short, value_name = "OUTPUT")]
    pub outputs: Vec<Output>,
}

/// What decides the result, and where it is found.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// The spec; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub spec: PathBuf,
    /// The directory that `source` paths are in [default: the spec's directory].
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    /// An OCI layout with the bytes of named images, a directory or `oci-archive:FILE`; their digest
    /// decides. May be given several times.
    #[arg(long = "base-layout", value_name = "DIR")]
    pub base_layouts: Vec<PathBuf>,
    /// Neither read nor write the cache of layer indexes.
    #[arg(long)]
    pub no_cache: bool,
    /// Threads that read and compress layers; the result does not depend on it [default: one for
    /// each processor].
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Arguments of `customize cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do with the cache.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CacheCommand {
    /// Show where the cache is and what it holds.
    Info,
    /// Remove everything in the cache.
    Prune,
}
