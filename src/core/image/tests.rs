//! The exact bytes that edits of documents give, on top of what is not ours.

use super::*;
use crate::core::digest::Digest;
use crate::core::media::{DOCKER_CONFIG, OCI_CONFIG};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn fill(text: &str) -> String {
    text.replace("DIGEST", DIGEST)
}

fn to(media_type: &str, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(b""),
        size,
    }
}

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

fn manifest(text: &str) -> Manifest {
    match Document::parse(fill(text).as_bytes()).expect("a manifest") {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("an index"),
    }
}

fn index(text: &str) -> Index {
    match Document::parse(fill(text).as_bytes()).expect("an index") {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("a manifest"),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .expect("UTF-8")
        .replace(DIGEST, "DIGEST")
}

#[test]
fn a_manifest_keeps_what_is_not_ours() {
    let manifest = manifest(
        r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json", "x-first" : [1, 2.50],
        "subject":{"mediaType":"a/b","digest":"DIGEST","size":1},
        "layers":[{"size": 7,"digest":"DIGEST","mediaType":"application/vnd.oci.image.layer.v1.tar","urls":["u"]}],
        "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":3,"data":"e30="},
        "annotations":{"z":"1","a":"2"},"schemaVersion":2}"#,
    );
    let layer = to("application/vnd.oci.image.layer.v1.tar+gzip", 9);
    let edited = manifest.with(
        &to(OCI_CONFIG, 5),
        Some(&layer),
        &annotations(&[("a", "new"), ("b", "3")]),
    );
    assert_eq!(
        text(edited.expect("JSON")),
        r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","x-first":[1, 2.50],"layers":[{"size": 7,"digest":"DIGEST","mediaType":"application/vnd.oci.image.layer.v1.tar","urls":["u"]},{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"DIGEST","size":9}],"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":5},"annotations":{"z":"1","a":"new","b":"3"},"schemaVersion":2}"#
    );
}

#[test]
fn a_manifest_of_docker_stays_one_and_gets_no_empty_annotations() {
    let manifest = manifest(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"DIGEST","size":3},"layers":[]}"#,
    );
    assert_eq!(manifest.family, Family::Docker);
    let edited = manifest.with(&to(DOCKER_CONFIG, 5), None, &Annotations::new());
    assert_eq!(
        text(edited.expect("JSON")),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"DIGEST","size":5},"layers":[]}"#
    );
}

#[test]
fn an_index_keeps_its_fields_and_those_of_its_entries() {
    let index = index(
        r#"{"schemaVersion":2,"x":null,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"DIGEST","size":1,"data":"e30=","urls":["u"],"y":true,"platform":{"architecture":"arm64","os":"linux","os.features":["f"]}}],"subject":{"mediaType":"a/b","digest":"DIGEST","size":1},"annotations":{"a":"1"}}"#,
    );
    let kept = index.entries[0].repointed(&to("m/t", 8)).expect("JSON");
    let platform: Platform = "linux/arm/v7".parse().expect("a platform");
    let fresh = IndexDescriptor::fresh(&to("m/t", 9), &platform).expect("JSON");
    let edited = index.with(&[kept, fresh], &annotations(&[("b", "2")]));
    assert_eq!(
        text(edited.expect("JSON")),
        r#"{"schemaVersion":2,"x":null,"manifests":[{"mediaType":"m/t","digest":"DIGEST","size":8,"y":true,"platform":{"architecture":"arm64","os":"linux","os.features":["f"]}},{"mediaType":"m/t","digest":"DIGEST","size":9,"platform":{"architecture":"arm","os":"linux","variant":"v7"}}],"annotations":{"a":"1","b":"2"}}"#
    );
}

#[test]
fn attestations_are_told_from_images() {
    let entry = |more: &str| {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m/t","digest":"DIGEST","size":1{more}}}]}}"#
        );
        index(&text).entries[0].is_attestation
    };
    assert!(entry(
        r#","platform":{"architecture":"unknown","os":"unknown"}"#
    ));
    assert!(entry(
        r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#
    ));
    assert!(!entry(
        r#","platform":{"architecture":"amd64","os":"linux"}"#
    ));
    assert!(!entry(""));
}

fn config(history: &str) -> Config {
    let text = format!(
        r#"{{"os":"linux","x":{{"b": 1}},"architecture":"amd64","created":"old","rootfs":{{"diff_ids":["DIGEST"],"type":"layers","y":1}}{history}}}"#
    );
    Config::parse(fill(&text).as_bytes(), 1).expect("a config")
}

/// A config with one more layer, its history as `Parts::assemble` gives it.
fn grown(history: &str) -> String {
    let config = config(history);
    let mut entry = Object::default();
    entry.set("created_by", &"us").expect("JSON");
    let edited = config.with(&ConfigChange {
        created: "new".to_owned(),
        runtime: &Object::default(),
        diff_id: Some(Digest::of(b"")),
        history: config.keeps_history().then_some(entry),
    });
    text(edited.expect("JSON"))
}

#[test]
fn a_config_keeps_what_is_not_ours() {
    const START: &str = r#"{"os":"linux","x":{"b": 1},"architecture":"amd64","created":"new","rootfs":{"diff_ids":["DIGEST","DIGEST"],"type":"layers","y":1}"#;
    for (before, after) in [
        ("", ""),
        (r#","history":null"#, r#","history":null"#),
        (r#","history":[]"#, r#","history":[]"#),
        (
            r#","history":[{"created_by": "base"}]"#,
            r#","history":[{"created_by": "base"},{"created_by":"us"}]"#,
        ),
        (
            r#","history":[{},{"empty_layer":true}],"config":{"User":"1"}"#,
            r#","history":[{},{"empty_layer":true},{"created_by":"us"}],"config":{}"#,
        ),
    ] {
        assert_eq!(grown(before), format!("{START}{after}}}"), "{before}");
    }
    assert_eq!(config("").history_layers(), None);
    let empty_layers = r#","history":[{},{"empty_layer":true}]"#;
    assert_eq!(config(empty_layers).history_layers(), Some(1));
}

#[test]
fn what_is_no_document_is_refused() {
    let config = r#""config":{"mediaType":"c","digest":"DIGEST","size":1}"#;
    for (text, expected) in [
        (
            r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
            "expected an OCI or Docker schema 2 manifest, found Docker schema 1, which runtimes no longer take",
        ),
        (
            r#"{"schemaVersion":2}"#.to_owned(),
            "expected a manifest with `config` and `layers`, or an index with `manifests`, found both or neither",
        ),
        (
            format!(r#"{{"manifests":[],"layers":[],{config}}}"#),
            "expected a manifest with `config` and `layers`, or an index with `manifests`, found both or neither",
        ),
        (
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[],{config}}}"#
            ),
            "expected the media type of an OCI or Docker schema 2 image manifest, found `application/vnd.oci.image.index.v1+json`",
        ),
        (
            r#"{"mediaType":"text/plain","manifests":[]}"#.to_owned(),
            "expected the media type of an OCI or Docker schema 2 index, found `text/plain`",
        ),
        (
            format!(r#"{{"layers":[{{"mediaType":"l","size":1}}],{config}}}"#),
            "layers[0]: expected `digest`, found no such field",
        ),
        (
            r#"{"manifests":[{"mediaType":"m","digest":"DIGEST"}]}"#.to_owned(),
            "manifests[0]: expected `size`, found no such field",
        ),
    ] {
        let error = Document::parse(fill(&text).as_bytes()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_is_no_config_is_refused() {
    for (text, layers, expected) in [
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#,
            1,
            "expected a config with rootfs of type `layers` and 1 diff_ids, one for each layer, found type `layers` and 0",
        ),
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"other"}}"#,
            0,
            "expected a config with rootfs of type `layers` and 0 diff_ids, one for each layer, found type `other` and 0",
        ),
        (
            r#"{"os":"windows","architecture":"amd64","rootfs":{"type":"layers"}}"#,
            0,
            "the image is not for Linux: expected a platform such as `linux/amd64` or `linux/arm64/v8`, found `windows/amd64`",
        ),
        (
            r#"{"os":"linux","rootfs":{"type":"layers"}}"#,
            0,
            "expected `architecture`, found no such field",
        ),
    ] {
        let error = Config::parse(text.as_bytes(), layers).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}
