//! What must hold for random images and specs. A reference file system, which shares no code with
//! the crate, says what a runtime would have on disk; see `disk.rs`.
//!
//! `PROPTEST_CASES` sets the number of cases; failures are kept in `tests/property/regressions`.

mod build;
mod copier;
mod disk;
mod extract;
mod laws;
mod layers;
mod merge;
mod spec;
mod umoci;

use proptest::test_runner::{Config, FileFailurePersistence};

/// The number of cases is `cases`, unless `PROPTEST_CASES` says another.
fn config(cases: u32, regressions: &'static str) -> Config {
    let default = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            default.cases
        } else {
            cases
        },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 20_000,
        ..default
    }
}
