//! Golden files: what is in the tree must be what the code gives; `UPDATE_GOLDEN=1` rewrites them.

use std::fs;
use std::path::Path;

/// Compares `actual` with the file at `path`, which is relative to the package.
pub(crate) fn check(path: &str, actual: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&full, actual).unwrap_or_else(|error| panic!("write {path}: {error}"));
        return;
    }
    let expected = fs::read_to_string(&full).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let differs = expected
        .lines()
        .zip(actual.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "{path} is out of date at line {}:\n  in the file: {:?}\n  from the code: {:?}\n\
         if the change is meant, run `UPDATE_GOLDEN=1 cargo test --test main` and review the diff",
        differs + 1,
        expected.lines().nth(differs),
        actual.lines().nth(differs),
    );
}
