//! `customize build`: request, build, write, report.

use super::listing::Listing;
use super::{Environment, inputs};
use crate::build;
use crate::cli::BuildArgs;
use crate::error::Result;
use crate::report::Report;
use crate::store::metadata;

pub(super) fn run(args: &BuildArgs, environment: &Environment, report: &Report) -> Result<()> {
    let request = inputs::request(&args.inputs, environment)?;
    let outcome = build::build(&request)?;
    for output in &args.outputs {
        output.check(&outcome.built)?;
    }
    for output in &args.outputs {
        output.write(&outcome.built, &environment.cancel)?;
    }
    if let Some(file) = &args.metadata_file {
        metadata::write(file, &metadata::buildx(&outcome.built, &args.outputs)?)?;
    }
    if let Some(file) = &args.digest_file {
        metadata::write(
            file,
            outcome.built.root.descriptor.digest.to_string().as_bytes(),
        )?;
    }
    let listing = Listing::new(&request, &outcome, &args.outputs);
    listing.status(report);
    report.data(&listing.references(), &listing)
}
