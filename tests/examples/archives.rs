//! The archives hold the same image as the layout.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use serde_json::{Value, json};

use super::{build, contents, prepared, spec};
use crate::support::check;
use crate::support::run::{CopyStyle, Sandbox};

fn archive(sandbox: &Sandbox, name: &str, output: &str) {
    let args = [
        "build",
        "--spec",
        &spec(name),
        "--base-layout",
        "bases",
        "--output",
        output,
    ];
    sandbox.customize(args).success();
}

#[test]
fn an_oci_archive_is_the_layout_in_a_tar() {
    let sandbox = prepared(CopyStyle::default());
    let layout = build(&sandbox, "nginx", "out");
    archive(&sandbox, "nginx", "oci-archive:nginx.tar:example");
    let unpacked = sandbox.work().join("unpacked");
    let tar = File::open(sandbox.work().join("nginx.tar")).expect("an archive");
    tar::Archive::new(tar).unpack(&unpacked).expect("a tar");
    let [expected, found] = [&layout, &unpacked].map(|dir| check::tagged(dir, "example"));
    assert_eq!(found.digest, expected.digest);
    let blobs = |dir: &std::path::Path| contents(&dir.join("blobs"));
    assert!(blobs(&unpacked) == blobs(&layout));
}

#[test]
fn a_docker_archive_has_config_and_plain_layers() {
    let sandbox = prepared(CopyStyle::default());
    let layout = build(&sandbox, "postgres", "out");
    let expected = check::tagged(&layout, "example").images.remove(0);
    archive(
        &sandbox,
        "postgres",
        "docker-archive:postgres.tar:example/postgres:15",
    );
    let bytes = fs::read(sandbox.work().join("postgres.tar")).expect("an archive");
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(&bytes[..]).entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("its bytes");
        assert!(
            members.insert(name.clone(), bytes).is_none(),
            "{name} is there twice"
        );
    }
    let name = |digest: &str, end: &str| format!("{}.{end}", digest.trim_start_matches("sha256:"));
    let config = name(
        expected.manifest["config"]["digest"]
            .as_str()
            .expect("a digest"),
        "json",
    );
    let layers: Vec<_> = expected
        .layers
        .iter()
        .map(|layer| name(&check::sha256(&layer.tar), "tar"))
        .collect();
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).expect("JSON");
    let repo_tags = ["docker.io/example/postgres:15"];
    assert_eq!(
        manifest,
        json!([{"Config": config, "RepoTags": repo_tags, "Layers": layers}])
    );
    let parsed: Value = serde_json::from_slice(&members[&config]).expect("JSON");
    assert_eq!(name(&check::sha256(&members[&config]), "json"), config);
    assert_eq!(parsed, expected.config);
    for (layer, name) in expected.layers.iter().zip(&layers) {
        assert!(members[name] == layer.tar, "{name}");
    }
    assert_eq!(members.len(), 2 + layers.len());
}
