//! What the tests share.

pub(crate) mod check;
pub(crate) mod run;
