//! `customize build`: request, build, write, report.

use std::fs;
use std::path::Path;

use super::listing::{self, Listing};
use super::{Environment, inputs};
use crate::build;
use crate::cli::BuildArgs;
use crate::error::{Error, Result};
use crate::report::Report;
use crate::store::metadata;
use crate::store::output::Output;

pub(super) fn run(args: &BuildArgs, environment: &Environment, report: &Report) -> Result<()> {
    check_places(args)?;
    let request = inputs::request(&args.inputs, environment)?;
    let outcome = inputs::of_spec(build::build(&request), &args.inputs)?;
    for output in &args.outputs {
        output.check(&outcome.built)?;
    }
    let mut same = Vec::new();
    for output in &args.outputs {
        let written = output.write(&outcome.built, &environment.cancel)?;
        if !written.changed {
            same.push(output);
        }
    }
    let digest = outcome.built.root.descriptor.digest.to_string();
    if let Some(file) = &args.metadata_file {
        metadata::write(file, &metadata::buildx(&outcome.built, &args.outputs)?)?;
    }
    if let Some(file) = &args.digest_file {
        metadata::write(file, digest.as_bytes())?;
    }
    listing::status(&outcome, report);
    for output in same {
        report.status(&format!("{output} is the same as before"));
    }
    let references = listing::references(&outcome, &args.outputs);
    report.data(&references.join("\n"), || {
        Listing::new(&request, &outcome, references.clone())
    })
}

/// Whether everything can be written where it is to be written, each file by one result only.
fn check_places(args: &BuildArgs) -> Result<()> {
    let mut files = vec![args.inputs.spec.as_path()];
    for output in &args.outputs {
        output.check_place()?;
        if !matches!(output, Output::Layout { .. }) {
            files.push(output.path());
        }
    }
    for file in args.metadata_file.iter().chain(&args.digest_file) {
        metadata::check(file)?;
        files.push(file);
    }
    for (number, file) in files.iter().enumerate() {
        let full = |file: &Path| fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        if files[..number]
            .iter()
            .any(|other| full(other) == full(file))
        {
            return Err(Error::usage(format!(
                "expected one use of each file, found two for {}",
                file.display()
            ))
            .hint("give each output a file of its own, and none the spec's"));
        }
    }
    Ok(())
}
