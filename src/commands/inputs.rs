//! From arguments and environment to a build request.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;

use super::Environment;
use crate::base::Opener;
use crate::build::Request;
use crate::cli::InputArgs;
use crate::context::Context;
use crate::core::spec::{MAX_SPEC, Spec, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::store::cache::Cache;

/// Reads the spec and opens what it is to be built from.
pub(super) fn request(args: &InputArgs, environment: &Environment) -> Result<Request> {
    let spec = spec(&args.spec)?;
    // A spec may come slowly, by a pipe or by hand; from here on a signal waits for good order.
    environment.at_once.store(false, Ordering::Relaxed);
    let directory = directory(&args.spec);
    let context = args.context.as_ref().unwrap_or(&directory);
    Ok(Request {
        time: time(&spec, environment)?,
        context: Context::open(context, environment.cancel.clone())?,
        opener: Opener {
            directory,
            base_layouts: args.base_layouts.clone(),
            cache: cache(args.no_cache, environment),
            threads: threads(args.threads),
            cancel: environment.cancel.clone(),
        },
        spec,
    })
}

/// Says in which spec the mistake is.
pub(super) fn of_spec<T>(result: Result<T>, args: &InputArgs) -> Result<T> {
    result.map_err(|error| match error.kind() {
        Kind::Usage => error.at(name(&args.spec)),
        _ => error,
    })
}

/// The cache, unless it is not wanted or has no place.
pub(super) fn cache(disabled: bool, environment: &Environment) -> Cache {
    match &environment.cache_dir {
        Some(dir) if !disabled => Cache::at(dir.clone()),
        _ => Cache::disabled(),
    }
}

fn spec(path: &Path) -> Result<Spec> {
    let name = name(path);
    let text = if is_stdin(path) {
        read(io::stdin().lock())
    } else {
        plain_file(path).and_then(read)
    };
    let text = text.map_err(|error| {
        Error::usage(format!("cannot read the spec {name}"))
            .because(error)
            .hint("give the path of a spec with `--spec`")
    })?;
    let text = String::from_utf8(text).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .split(|&byte| byte == b'\n')
            .count();
        Error::usage(format!("{name}:{line}: expected UTF-8 text")).because(error.utf8_error())
    })?;
    Spec::parse(&text, &name)
}

fn is_stdin(spec: &Path) -> bool {
    spec == Path::new("-")
}

/// What a spec is called in messages.
fn name(spec: &Path) -> String {
    if is_stdin(spec) {
        "standard input".to_owned()
    } else {
        spec.display().to_string()
    }
}

/// A pipe (`--spec <(...)`) is as good as a file; a directory is not.
fn plain_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(file)
}

/// One byte more than a spec may have is enough to see that it is too large.
fn read(spec: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    spec.take(MAX_SPEC + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The directory of the spec: the working directory for one from standard input.
fn directory(spec: &Path) -> PathBuf {
    match spec.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn time(spec: &Spec, environment: &Environment) -> Result<Timestamp> {
    match &environment.source_date_epoch {
        Some(text) => Timestamp::from_source_date_epoch(text),
        None => Ok(spec.timestamp.unwrap_or(Timestamp::EPOCH)),
    }
}

fn threads(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}
