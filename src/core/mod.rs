//! The pure heart: bytes and values in, bytes and values out. Nothing here opens a file, asks the
//! network, reads a clock or looks at the environment; a test holds it to that.

pub mod accounts;
pub mod ahead;
pub mod assemble;
pub mod cancel;
pub mod decompress;
pub mod descriptor;
pub mod digest;
pub mod entry;
pub mod image;
pub mod json;
pub mod layer;
pub mod media;
pub mod overlay;
pub mod path;
pub mod platform;
pub mod reference;
pub mod runtime;
pub mod spec;
pub mod tar_reader;
pub mod tree;
pub mod validate;
