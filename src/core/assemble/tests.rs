//! The whole documents of small results.

use super::*;
use crate::core::entry::Content;
use crate::core::image::Document;
use crate::core::overlay::{Defaults, Edit, Ids, Planner};
use crate::core::path::LayerPath;
use crate::core::tree::Tree;

const BASE: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn spec(more: &str) -> Spec {
    let text = format!("base_image: registry.example.com/base:1@{BASE}\n{more}");
    Spec::parse(&text, "spec.yaml").expect("a spec")
}

fn plan(files: usize) -> Plan {
    let tree = Tree::default();
    let owner = Ids { uid: 0, gid: 0 };
    let mut planner = Planner::new(&tree, Defaults { owner, mtime: 0 });
    for number in 0..files {
        let path = LayerPath::parse(format!("f{number:02}")).expect("a path");
        let edit = Edit {
            path: &path,
            content: Content::bytes(""),
            key: "test",
        };
        planner.edit(edit).expect("a plan");
    }
    planner.finish()
}

fn base(media_type: &str, config_type: &str) -> Manifest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"{config_type}","digest":"{BASE}","size":0}},"layers":[],"annotations":{{"org.opencontainers.image.base.name":"older","kept":"1"}}}}"#
    );
    match Document::parse(text.as_bytes()).expect("a manifest") {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("an index"),
    }
}

/// Config and manifest; digests of the layer are those of `layer` and `tar`.
fn documents(spec: &Spec, manifest: &Manifest, files: usize) -> Result<(String, String)> {
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config = Config::parse(config, 0).expect("a config");
    let layer = LayerSummary {
        diff_id: Digest::of(b"tar"),
        uncompressed_size: 3,
        digest: Digest::of(b"layer"),
        size: 5,
    };
    let documents = Parts {
        spec,
        time: Timestamp::EPOCH,
        manifest,
        base_digest: Some(Digest::of(b"")),
        config: &config,
        runtime: &Object::default(),
        plan: &plan(files),
        layer: (files > 0).then_some(layer),
    }
    .assemble()?;
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .expect("UTF-8")
            .replace(BASE, "BASE")
            .replace(&Digest::of(b"tar").to_string(), "TAR")
            .replace(&Digest::of(b"layer").to_string(), "LAYER")
    };
    let digest = Digest::of(&documents.config.1).to_string();
    let manifest = text(documents.manifest.1).replace(&digest, "CONFIG");
    Ok((text(documents.config.1), manifest))
}

#[test]
fn a_layer_on_an_oci_image() {
    let spec = spec(
        "metadata: {description: why, author: who, ticket: T-1}\nannotations: {kept: \"2\", own: x}\nvariant: dev\ncompression: zstd\n",
    );
    let manifest = base(Family::Oci.manifest(), Family::Oci.config());
    let (config, manifest) = documents(&spec, &manifest, 2).expect("documents");
    assert_eq!(
        config,
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["TAR"]},"created":"1970-01-01T00:00:00Z","history":[{"created":"1970-01-01T00:00:00Z","author":"who","created_by":"customize build: add /f00 /f01","comment":"T-1: why"}]}"#
    );
    assert_eq!(
        manifest,
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"CONFIG","size":313},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"LAYER","size":5}],"annotations":{"kept":"2","org.opencontainers.image.description":"why","org.opencontainers.image.authors":"who","dev.customize.ticket":"T-1","dev.customize.variant":"dev","org.opencontainers.image.base.name":"registry.example.com/base:1","org.opencontainers.image.base.digest":"BASE","own":"x"}}"#
    );
}

#[test]
fn no_layer_on_an_image_of_docker() {
    let manifest = base(Family::Docker.manifest(), Family::Docker.config());
    let (config, manifest) = documents(&spec(""), &manifest, 0).expect("documents");
    assert_eq!(
        config,
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"created":"1970-01-01T00:00:00Z","history":[{"created":"1970-01-01T00:00:00Z","created_by":"customize build: change the configuration","empty_layer":true}]}"#
    );
    assert_eq!(
        manifest,
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"CONFIG","size":234},"layers":[],"annotations":{"kept":"1","dev.customize.variant":"prod","org.opencontainers.image.base.name":"registry.example.com/base:1","org.opencontainers.image.base.digest":"BASE"}}"#
    );
}

#[test]
fn docker_images_have_no_zstd_layers() {
    let manifest = base(Family::Docker.manifest(), Family::Docker.config());
    let error = documents(&spec("compression: zstd\n"), &manifest, 1).expect_err("no zstd");
    assert_eq!(
        error.to_string(),
        "`compression: zstd` needs a base with OCI media types, found Docker's schema 2, which has no zstd layers"
    );
}

#[test]
fn the_history_counts_what_it_does_not_name() {
    let twelve: Vec<_> = (0..12).map(|number| format!("/f{number:02}")).collect();
    let twelve = twelve.join(" ");
    assert_eq!(summary(&plan(12)), format!("add {twelve}"));
    assert_eq!(summary(&plan(14)), format!("add {twelve} and 2 more"));
}
