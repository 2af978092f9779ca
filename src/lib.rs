//! Customizes hardened container images without a daemon, and never runs anything inside them.

pub mod base;
pub mod build;
pub mod cli;
pub mod commands;
pub mod context;
pub mod core;
pub mod error;
pub mod report;
pub mod store;
pub mod temporary;
