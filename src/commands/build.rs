//! `customize build`: request, build, write, report.

use super::listing::{self, Listing};
use super::{Environment, inputs};
use crate::build;
use crate::cli::BuildArgs;
use crate::error::Result;
use crate::report::Report;
use crate::store::metadata;

pub(super) fn run(args: &BuildArgs, environment: &Environment, report: &Report) -> Result<()> {
    for output in &args.outputs {
        output.check_place()?;
    }
    for file in args.metadata_file.iter().chain(&args.digest_file) {
        metadata::check(file)?;
    }
    let request = inputs::request(&args.inputs, environment)?;
    let outcome = build::build(&request)?;
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
