//! Every example in `specs/spec.md` is accepted, and every key of the schema has its example.

use customize::core::spec::{Spec, json_schema};
use serde_json::Value;

const REFERENCE: &str = include_str!("../specs/spec.md");
const BASE: &str =
    "base_image: nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

fn examples() -> impl Iterator<Item = String> {
    REFERENCE.split("```yaml\n").skip(1).map(|rest| {
        let (example, _) = rest.split_once("```").expect("the end of the example");
        if example.contains("base_image:") {
            example.to_owned()
        } else {
            format!("{BASE}{example}")
        }
    })
}

#[test]
fn every_example_of_the_reference_is_accepted() {
    for example in examples() {
        if let Err(error) = Spec::parse(&example, "spec.yaml") {
            panic!("{error}\nin:\n{example}");
        }
    }
}

#[test]
fn every_key_has_an_example() {
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().expect("definitions").values();
    let examples: String = examples().collect();
    for definition in definitions.chain([&schema]) {
        let keys = definition.get("properties").and_then(Value::as_object);
        for key in keys.expect("a mapping").keys() {
            assert!(
                examples.contains(&format!("{key}:")),
                "specs/spec.md has no example of `{key}`"
            );
        }
    }
}
