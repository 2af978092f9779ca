//! Customizes hardened container images without a daemon, and never runs anything inside them.

pub mod context;
pub mod core;
pub mod error;
pub mod store;
