//! The tests that see the crate from outside, in one binary.

mod architecture;
mod cli;
mod examples;
mod golden;
mod property;
mod readmes;
mod hostile;
mod schema;
mod spec_errors;
mod spec_reference;
mod support;
