//! What several tests need: input made by code, the program run in a clean environment, and a
//! checker of layouts that shares no code with the program.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod layout;
pub(crate) mod run;
pub(crate) mod tar;
