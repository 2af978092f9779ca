//! What the tests share.

pub(crate) mod check;
pub(crate) mod run;
//! What several tests need: input made by code, and the program run in a clean environment.

pub(crate) mod bench;
pub(crate) mod layout;
pub(crate) mod tar;
