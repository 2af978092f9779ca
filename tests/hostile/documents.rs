//! Manifests, indexes and configs that are too large, too deep, of wrong types, or something else
//! than they say.

use serde_json::{Value, json};

use crate::support::bench::{Bench, Transcript};
use crate::support::layout::{
    CONFIG, INDEX, Layer, MANIFEST, base_layer, config, descriptor, digest, manifest, no_digest,
};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A bench whose pinned document is `text`, beside an honest image's blobs.
fn pinned(text: impl AsRef<[u8]>) -> Bench {
    let bench = Bench::new();
    bench.base().image(&[base_layer()]);
    bench.spec_for(&bench.base().put(text.as_ref()));
    bench
}

/// The text of an honest manifest with a lie in it.
fn lying_manifest(lie: impl FnOnce(&mut Value)) -> String {
    let layers = [base_layer()];
    let mut manifest = manifest(config(&layers).to_string().as_bytes(), &layers);
    lie(&mut manifest);
    manifest.to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn documents_that_are_no_manifests() {
    let mut said = Transcript::default();
    let honest = lying_manifest(|_| {});
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let spaces = " ".repeat(100 << 20);
    let doubled = |key: &str| honest.replacen('{', &format!("{{\"{key}\":[],"), 1);
    for (title, code, text) in [
        ("empty", 4, String::new()),
        ("no JSON", 4, "no JSON".to_owned()),
        (
            "terminal escapes for JSON",
            4,
            "\x1b[2J\x1b]0;x\x07".to_owned(),
        ),
        ("an array", 4, "[]".to_owned()),
        ("null", 4, "null".to_owned()),
        ("text", 4, "\"a\\u001b[2J\"".to_owned()),
        ("an empty object", 4, "{}".to_owned()),
        ("100 MiB of spaces", 4, format!("{{{spaces}}}")),
        ("a million brackets", 4, deep.clone()),
        (
            "a million brackets in a field",
            4,
            honest.replacen('{', &format!("{{\"x\":{deep},"), 1),
        ),
        ("cut off", 4, honest[..honest.len() - 2].to_owned()),
        ("more after it", 4, format!("{honest}{{}}")),
        ("layers twice", 4, doubled("layers")),
        ("layers and LAYERS", 4, doubled("LAYERS")),
        ("layers and layer\u{17f}", 4, doubled("layer\u{17f}")),
        (
            "a key with escapes, twice",
            4,
            honest.replacen('{', "{\"\\u001b\":1,\"\\u001b\":2,", 1),
        ),
        (
            "manifest and index at once",
            4,
            lying_manifest(|m| m["manifests"] = json!([])),
        ),
        (
            "the media type of an index",
            4,
            lying_manifest(|m| m["mediaType"] = INDEX.into()),
        ),
        (
            "the media type of nobody",
            4,
            lying_manifest(|m| m["mediaType"] = "\u{1b}[2Jx".into()),
        ),
        (
            "a number for the media type",
            4,
            lying_manifest(|m| m["mediaType"] = 1.into()),
        ),
        (
            "Docker's media types mixed in",
            2,
            lying_manifest(|m| m["mediaType"] = DOCKER_MANIFEST.into()),
        ),
        (
            "no config",
            4,
            lying_manifest(|m| m["config"] = Value::Null),
        ),
        (
            "text for the config",
            4,
            lying_manifest(|m| m["config"] = "x".into()),
        ),
        (
            "text for the layers",
            4,
            lying_manifest(|m| m["layers"] = "x".into()),
        ),
        (
            "numbers for layers",
            4,
            lying_manifest(|m| m["layers"] = json!([1])),
        ),
        (
            "no digest of a layer",
            4,
            lying_manifest(|m| m["layers"][0]["digest"] = Value::Null),
        ),
        (
            "a digest that leaves the layout",
            4,
            lying_manifest(|m| m["layers"][0]["digest"] = "sha256:../../../etc/passwd".into()),
        ),
        (
            "a digest of another algorithm",
            4,
            lying_manifest(|m| {
                m["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
            }),
        ),
        (
            "a digest in capitals",
            4,
            lying_manifest(|m| m["layers"][0]["digest"] = no_digest().replace('0', "A").into()),
        ),
        (
            "a digest with escapes",
            4,
            lying_manifest(|m| m["layers"][0]["digest"] = "sha256:\u{1b}[2J".into()),
        ),
        (
            "a size below zero",
            4,
            lying_manifest(|m| m["layers"][0]["size"] = (-1).into()),
        ),
        (
            "a size with a fraction",
            4,
            lying_manifest(|m| m["layers"][0]["size"] = 1.5.into()),
        ),
        (
            "a size of 2^63",
            4,
            lying_manifest(|m| m["layers"][0]["size"] = (1_u64 << 63).into()),
        ),
        (
            "a size of 1e400",
            4,
            honest.replace("\"size\":", "\"size\":1e400,\"x\":"),
        ),
        (
            "text for a size",
            4,
            lying_manifest(|m| m["layers"][0]["size"] = "386".into()),
        ),
        (
            "annotations of numbers",
            4,
            lying_manifest(|m| m["annotations"] = json!({"a": 1})),
        ),
        (
            "an encrypted layer",
            2,
            lying_manifest(|m| {
                m["layers"][0]["mediaType"] =
                    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted".into();
            }),
        ),
        (
            "a foreign layer",
            2,
            lying_manifest(|m| {
                m["layers"][0]["mediaType"] =
                    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
            }),
        ),
        (
            "a layer of nobody",
            2,
            lying_manifest(|m| m["layers"][0]["mediaType"] = "\u{1b}[2Jx\n".into()),
        ),
        (
            "an artifact",
            2,
            lying_manifest(|m| m["config"]["mediaType"] = "application/vnd.x.\u{1b}[2J".into()),
        ),
        (
            "Docker schema 1",
            2,
            r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#.to_owned(),
        ),
        (
            "no layers, the config has one",
            4,
            lying_manifest(|m| m["layers"] = json!([])),
        ),
    ] {
        let of_document = digest(text.as_bytes());
        let ran = pinned(&text).refused(code);
        said.note(title, &ran, &[(&of_document, "document")]);
    }
    said.check("manifests");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn configs_that_are_none() {
    let mut said = Transcript::default();
    let lying = |lie: &dyn Fn(&mut Value)| {
        let mut config = config(&[base_layer()]);
        lie(&mut config);
        config.to_string()
    };
    let deep = "[".repeat(1_000_000);
    for (title, code, text) in [
        ("empty", 4, String::new()),
        ("an array", 4, "[]".to_owned()),
        ("100 MiB", 4, format!("{{{}}}", " ".repeat(100 << 20))),
        ("a million brackets", 4, format!("{{\"config\":{deep}")),
        ("no rootfs", 4, lying(&|c| c["rootfs"] = Value::Null)),
        ("text for rootfs", 4, lying(&|c| c["rootfs"] = "x".into())),
        (
            "no diff_ids",
            4,
            lying(&|c| c["rootfs"]["diff_ids"] = Value::Null),
        ),
        (
            "too few diff_ids",
            4,
            lying(&|c| c["rootfs"]["diff_ids"] = json!([])),
        ),
        (
            "too many diff_ids",
            4,
            lying(&|c| c["rootfs"]["diff_ids"] = json!([no_digest(), no_digest()])),
        ),
        (
            "numbers for diff_ids",
            4,
            lying(&|c| c["rootfs"]["diff_ids"] = json!([1])),
        ),
        (
            "too little history",
            4,
            lying(&|c| c["history"] = json!([{"empty_layer": true}])),
        ),
        (
            "too much history",
            4,
            lying(&|c| c["history"] = json!([{}, {}])),
        ),
        (
            "text for the history",
            4,
            lying(&|c| c["history"] = "x".into()),
        ),
        ("Windows", 2, lying(&|c| c["os"] = "windows".into())),
        (
            "an os with escapes",
            2,
            lying(&|c| c["os"] = "\u{1b}[2J\n".into()),
        ),
        (
            "an architecture with escapes",
            2,
            lying(&|c| c["architecture"] = "\u{1b}[2J\n".into()),
        ),
        (
            "a number for the architecture",
            4,
            lying(&|c| c["architecture"] = 1.into()),
        ),
        (
            "no architecture",
            4,
            lying(&|c| c["architecture"] = Value::Null),
        ),
        ("text for config", 4, lying(&|c| c["config"] = "x".into())),
        (
            "text for Env",
            4,
            lying(&|c| c["config"]["Env"] = "A=b".into()),
        ),
        (
            "numbers for Env",
            4,
            lying(&|c| c["config"]["Env"] = json!([1])),
        ),
        (
            "an array for Labels",
            4,
            lying(&|c| c["config"]["Labels"] = json!(["a"])),
        ),
        (
            "numbers for Labels",
            4,
            lying(&|c| c["config"]["Labels"] = json!({"a": 1})),
        ),
        (
            "a number for User",
            4,
            lying(&|c| c["config"]["User"] = 65532.into()),
        ),
        (
            "text for Entrypoint",
            4,
            lying(&|c| c["config"]["Entrypoint"] = "/app".into()),
        ),
        (
            "a number for WorkingDir",
            4,
            lying(&|c| c["config"]["WorkingDir"] = 1.into()),
        ),
        (
            "User and USER",
            4,
            lying(&|c| c["config"]["USER"] = "0".into()),
        ),
    ] {
        let bench = Bench::new();
        let base = bench.base();
        let digest_of_config = digest(text.as_bytes());
        let pinned = base.image_with(&[base_layer()], &text);
        // All of the config is looked at: env, labels and the working directory are changed.
        bench.add_to(
            &format!("oci:base@{pinned}"),
            "config:\n  env: {A: b}\n  labels: {a: b}\n  workdir: sub\n  user: '1'\n  cmd: [a]\n",
        );
        let names = [(digest_of_config.as_str(), "config")];
        said.note(title, &bench.refused(code), &names);
    }
    said.check("configs");
}

/// An index of these entries.
fn index(entries: &[Value]) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
}

#[test]
fn indexes_that_cannot_be_built_on() {
    let mut said = Transcript::default();
    let honest = lying_manifest(|_| {});
    let of_honest = digest(honest.as_bytes());
    let inner = index(&[]);
    let of_platform = |os: &str, architecture: &str| {
        let mut entry = descriptor(MANIFEST, honest.as_bytes());
        entry["platform"] = json!({"os": os, "architecture": architecture});
        entry
    };
    let many: Vec<_> = (0..100_000).map(|_| json!({})).collect();
    let attestations: Vec<_> = (0..12_000)
        .map(|_| of_platform("unknown", "unknown"))
        .collect();
    let missing: Vec<_> = (0..1000)
        .map(|number| {
            let mut entry = descriptor(MANIFEST, format!("{number}").as_bytes());
            entry["platform"] =
                json!({"os": "linux", "architecture": "riscv64", "variant": format!("v{number}")});
            entry
        })
        .collect();
    let mut wrong_size = of_platform("linux", "amd64");
    wrong_size["size"] = 3.into();
    for (title, code, text) in [
        ("empty", 2, index(&[])),
        ("100,000 empty entries", 4, index(&many)),
        ("entries of wrong types", 4, index(&["x".into()])),
        (
            "12,000 attestations and nothing else",
            2,
            index(&attestations),
        ),
        ("attestations only", 2, index(&attestations[..3])),
        (
            "1,000 entries whose manifests are missing",
            4,
            index(&missing),
        ),
        (
            "an index in the index",
            2,
            index(&[{
                let mut entry = descriptor(INDEX, inner.as_bytes());
                entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
                entry
            }]),
        ),
        (
            "an index in the index, without a platform",
            2,
            index(&[descriptor(INDEX, inner.as_bytes())]),
        ),
        (
            "the wrong platform",
            4,
            index(&[of_platform("linux", "arm64")]),
        ),
        ("a foreign os", 2, index(&[of_platform("windows", "amd64")])),
        (
            "a platform with escapes",
            2,
            index(&[of_platform("linux", "\u{1b}[2J\n")]),
        ),
        (
            "text for the platform",
            4,
            index(&[{
                let mut entry = descriptor(MANIFEST, honest.as_bytes());
                entry["platform"] = "linux/amd64".into();
                entry
            }]),
        ),
        (
            "the same platform twice",
            2,
            index(&[of_platform("linux", "amd64"), of_platform("linux", "amd64")]),
        ),
        ("a wrong size", 4, index(&[wrong_size])),
    ] {
        let bench = pinned(&text);
        bench.base().put(honest.as_bytes());
        bench.base().put(inner.as_bytes());
        let of_document = digest(text.as_bytes());
        let names = [
            (of_document.as_str(), "index"),
            (of_honest.as_str(), "manifest"),
        ];
        said.note(title, &bench.refused(code), &names);
    }
    said.check("indexes");
}

#[test]
fn a_config_of_odd_values_keeps_them() {
    let layers = [base_layer()];
    let text = config(&layers).to_string().replacen(
        '{',
        r#"{"x":[1e400,{"\u001b":"\ud800"}],"created":"never","#,
        1,
    );
    let bench = Bench::new();
    bench.spec_for(&bench.base().image_with(&layers, &text));
    let ran = bench.build().succeeded();
    let read = |digest: &str| {
        let path = bench.path("out/blobs/sha256").join(&digest[7..]);
        std::fs::read_to_string(path).expect("a blob")
    };
    let manifest: Value = serde_json::from_str(&read(&ran.digest())).expect("JSON");
    let config = read(manifest["config"]["digest"].as_str().expect("a digest"));
    assert!(
        config.starts_with(r#"{"x":[1e400,{"\u001b":"\ud800"}],"created":""#),
        "{config}"
    );
}

#[test]
fn a_manifest_that_names_a_layer_as_its_config() {
    let mut said = Transcript::default();
    let layer = base_layer();
    let bench = pinned(lying_manifest(|m| {
        m["config"] = descriptor(CONFIG, &layer.bytes);
    }));
    let names = [
        (digest(&layer.bytes), "layer"),
        (bench.pinned(), "manifest"),
    ];
    let names: Vec<_> = names.iter().map(|(d, name)| (d.as_str(), *name)).collect();
    said.note("a layer for the config", &bench.refused(4), &names);
    let text = config(&[Layer::plain(Vec::new())]).to_string();
    let bench = pinned(lying_manifest(|m| {
        m["layers"][0] = descriptor("application/vnd.oci.image.layer.v1.tar", text.as_bytes());
    }));
    bench.base().put(text.as_bytes());
    let names = [
        (digest(text.as_bytes()), "config"),
        (bench.pinned(), "manifest"),
    ];
    let names: Vec<_> = names.iter().map(|(d, name)| (d.as_str(), *name)).collect();
    said.note("a config for a layer", &bench.refused(4), &names);
    said.check("swapped");
}
