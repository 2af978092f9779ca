//! `specs/spec.schema.json` is what the types of the spec give.

use crate::golden;

#[test]
fn the_schema_file_is_made_of_the_types() {
    let schema = customize::core::spec::json_schema();
    let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    golden::check("specs/spec.schema.json", &text);
}
