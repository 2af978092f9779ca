//! `customize plan`: everything that `build` does, but for writing the result.

use super::listing::Listing;
use super::{Environment, inputs};
use crate::build;
use crate::cli::PlanArgs;
use crate::error::Result;
use crate::report::Report;

pub(super) fn run(args: &PlanArgs, environment: &Environment, report: &Report) -> Result<()> {
    for output in &args.outputs {
        output.check_place()?;
    }
    let request = inputs::request(&args.inputs, environment)?;
    let outcome = inputs::of_spec(build::build(&request), &args.inputs)?;
    for output in &args.outputs {
        output.check(&outcome.built)?;
    }
    for note in &outcome.notes {
        report.note(note);
    }
    let listing = Listing::new(&request, &outcome, Vec::new());
    report.data(&listing.text(report.verbose()), || &listing)
}
