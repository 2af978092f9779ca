//! The tests that see the crate from outside, in one binary.

mod architecture;
mod cli;
mod examples;
mod golden;
mod hostile;
mod property;
mod readmes;
mod results;
mod schema;
mod spec_errors;
mod spec_reference;
mod support;
