//! The JSON schema of the spec (draft 2020-12), for editors. The structs give keys and
//! descriptions; here stand the shapes of their values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::copy::Destination;
use super::document::Document;
use super::fields::{Architecture, Base, Level, Mode, Port, Variant};
use super::owner::{Id, MAX_ID, Owner};
use super::pattern::Glob;
use super::text::{
    AccountName, Annotations, Arguments, Comment, Env, Home, Labels, Line, Prose, Signal, User,
    Workdir,
};
use super::time::Timestamp;
use crate::core::media::Compression;
use crate::core::platform::Platform;
use crate::core::reference::PinnedRef;

/// The JSON schema of a spec. What depends on two keys, or is no matter of shape, only
/// [`super::Spec::parse`] checks.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Document);
    schema.insert("title".to_owned(), "customize spec, version 1".into());
    let mut schema = schema.to_value();
    without_null(&mut schema);
    schema
}

/// Takes `null` out of what is allowed: an optional key is left out, not empty.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            let null = json!({ "type": "null" });
            if let Some(Value::Array(choices)) = object.get("anyOf")
                && let [Value::Object(choice), other] = choices.as_slice()
                && *other == null
            {
                let choice = choice.clone();
                object.remove("anyOf");
                object.extend(choice);
            }
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

const PINNED: &str = "^.+@sha256:[0-9a-f]{64}$";
const NO_CONTROL: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Gives a type its schema, in place wherever it is used.
macro_rules! shape {
    ($($name:ident: $schema:tt)*) => {
        $(impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

shape! {
    Base: { "type": "string", "pattern": format!("^scratch$|{PINNED}") }
    PinnedRef: { "type": "string", "pattern": PINNED }
    Architecture: {
        "type": "string",
        "pattern": "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$",
        "examples": ["amd64", "arm64", "arm/v7"]
    }
    Platform: {
        "type": "string",
        "pattern": "^linux/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$",
        "examples": ["linux/amd64", "linux/arm64/v8"]
    }
    Variant: { "enum": ["prod", "dev"] }
    Compression: { "enum": ["gzip", "zstd", "none"] }
    Level: { "type": "integer", "minimum": 1, "maximum": 19 }
    Destination: { "type": "string", "pattern": "^/" }
    Glob: { "type": "string", "minLength": 1, "maxLength": super::MAX_GLOB }
    Mode: { "type": "string", "pattern": "^0?[0-7]{3}$", "examples": ["0644"] }
    Owner: {
        "type": "string",
        "pattern": "^([^:,/\\s]+:[^:,/\\s]+|[^:,/\\s]*[^0-9:,/\\s][^:,/\\s]*)$",
        "examples": ["65532:65532", "postgres:postgres", "runtime"]
    }
    Port: {
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(/(tcp|udp|sctp))?$",
        "minimum": 1,
        "maximum": 65535,
        "examples": [8080, "53/udp"]
    }
    Timestamp: {
        "type": ["string", "integer"],
        "pattern": "^([0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))$",
        "minimum": 0,
        "maximum": Timestamp::MAX.seconds(),
        "examples": ["2026-01-31T12:00:00Z", 1_769_860_800]
    }
    Id: { "type": "integer", "minimum": 0, "maximum": MAX_ID }
    AccountName: { "type": "string", "pattern": "^[a-z_][a-z0-9_-]*\\$?$", "maxLength": 32 }
    Home: { "type": "string", "pattern": "^/[^:\\u0000-\\u001f\\u007f-\\u009f]*$" }
    Comment: { "type": "string", "pattern": "^[^:\\u0000-\\u001f\\u007f-\\u009f]*$" }
    Line: { "type": "string", "pattern": NO_CONTROL }
    Prose: { "type": "string" }
    User: { "type": ["string", "integer"], "minimum": 0, "maximum": MAX_ID, "pattern": "^[^:,/\\s]+(:[^:,/\\s]+)?$" }
    Workdir: { "type": "string", "minLength": 1, "pattern": NO_CONTROL }
    Signal: {
        "type": ["string", "integer"],
        "pattern": "^(SIG[A-Z0-9]+([+-][0-9]+)?|[0-9]+)$",
        "minimum": 1,
        "maximum": 64,
        "examples": ["SIGTERM"]
    }
    Arguments: { "type": "array", "items": { "type": "string" } }
    Env: {
        "type": "object",
        "propertyNames": { "pattern": "^[^=\\u0000-\\u001f\\u007f-\\u009f]+$" },
        "additionalProperties": { "type": "string" }
    }
    Labels: {
        "type": "object",
        "propertyNames": { "minLength": 1 },
        "additionalProperties": { "type": "string" }
    }
    Annotations: {
        "type": "object",
        "propertyNames": {
            "minLength": 1,
            "not": {
                "enum": [
                    "org.opencontainers.image.base.digest",
                    "org.opencontainers.image.base.name"
                ]
            }
        },
        "additionalProperties": { "type": "string" }
    }
}
