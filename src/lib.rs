//! `customize` adds files, accounts and configuration to a hardened container image and writes the
//! result, byte for byte the same every time. It needs no daemon, no root and no user namespace,
//! and never runs anything inside the image.
//!
//! # How a build goes
//!
//! [`build::build`] reads top-down; each step is a module.
//!
//! 1. [`core::spec`] turns the YAML into a [`core::spec::Spec`]: every value has its type, and what
//!    is wrong has a line and a column.
//! 2. [`base`] opens the image that the spec pins: documents, platforms, and an index of each layer
//!    ([`core::tree::LayerIndex`]), which [`store::cache`] keeps. Everything is checked against
//!    digest, size and `diff_id`.
//! 3. [`core::tree`] merges the layers into the file system that a runtime would unpack.
//! 4. [`context`] finds the user's files, and lets nothing outside its directory be read.
//! 5. [`core::accounts`] and [`core::runtime`] merge users, groups and configuration;
//!    [`core::overlay`] decides where each file goes, through the base's links, and repeats the
//!    base's directories above it exactly.
//! 6. [`core::layer`] writes the plan as a tar, compresses it in parallel and hashes it, in one
//!    pass; equal plans of several platforms share one layer.
//! 7. [`core::assemble`] edits the base's own JSON into config, manifest and index;
//!    [`core::validate`] checks them as a suspicious runtime would.
//! 8. [`store`] writes the result: whole, or not at all.
//!
//! # Rules of the house
//!
//! - Dependencies point one way: `main` to [`commands`], those to [`build`], [`base`], [`context`]
//!   and [`store`], those to [`core`]. `core` is pure: bytes and values; no file, network, clock
//!   or environment. A test reads the imports.
//! - Only [`report`] writes to the terminal; only `main` reads the environment.
//! - Errors say what was expected, what was found, where, and what to do ([`error::Error`]); their
//!   kind decides the exit code.
//! - The base's JSON is never sent through a struct that drops what it does not know
//!   ([`core::json::Object`]).
//! - What decides bytes (the compressor, the header fields, the order) is pinned, and golden
//!   digests in the tests hold it.

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
