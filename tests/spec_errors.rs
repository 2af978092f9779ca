//! Bad specs and the whole message that each gives: `tests/golden/spec-errors.txt` holds cases of
//! YAML, a line `----`, the message, and the hint where there is one; `====` ends a case. `DIGEST`
//! stands for a real digest.

use std::fmt::Write as _;

use customize::core::spec::Spec;
use customize::error::Kind;

use crate::golden;

const CASES: &str = include_str!("golden/spec-errors.txt");
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn every_bad_spec_has_its_message() {
    let mut actual = String::new();
    let cases = CASES.strip_suffix("\n====\n").expect("a last line");
    for case in cases.split("\n====\n") {
        let yaml = case.split("\n----\n").next().unwrap_or_default();
        let result = Spec::parse(&yaml.replace("DIGEST", DIGEST), "spec.yaml");
        let Err(error) = result else {
            panic!("this spec is accepted:\n{yaml}");
        };
        assert_eq!(error.kind(), Kind::Usage, "{yaml}");
        let message = error.to_string().replace(DIGEST, "DIGEST");
        let _ = write!(actual, "{yaml}\n----\n{message}\n");
        if let Some(hint) = error.advice() {
            let _ = writeln!(actual, "hint: {hint}");
        }
        actual.push_str("====\n");
    }
    golden::check("tests/golden/spec-errors.txt", &actual);
}
