//! Every directory of `examples/`, built by the binary, held to golden files and checked by code
//! that shares nothing with the crate.

mod archives;
mod checker;
mod same;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::golden;
use crate::support::check::{self, Named};
use crate::support::run::{CopyStyle, Sandbox, copy, repository};

/// The images that stand for what a registry would have: tag in the layout of bases, and the name
/// by which the examples pin it.
const BASES: [(&str, &str); 2] = [
    ("hardened", "registry.example.com/hardened/base:1"),
    ("agent", "registry.example.com/vibed/runner-node:0.4.1"),
];

/// The directories of `examples/` but for `bases`.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(repository("examples")).expect("examples");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().join("spec.yaml").is_file())
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

#[test]
fn examples_are_what_the_golden_files_say() {
    let sandbox = prepared(CopyStyle::default());
    for (tag, _) in BASES {
        let spec = format!("examples/bases/{tag}/spec.yaml");
        let plan = sandbox.customize(["plan", "--spec", &spec]).success();
        let built = check::tagged(&sandbox.work().join("bases"), tag);
        golden::check(
            &format!("tests/golden/examples/base-{tag}.txt"),
            &described(&plan, &built),
        );
    }
    for name in names() {
        let plan = plan(&sandbox, &name);
        let layout = build(&sandbox, &name, "out");
        let built = check::tagged(&layout, "example");
        assert!(
            plan.ends_with(&format!("\ndigest {}\n", built.digest)),
            "{name}: {plan}"
        );
        golden::check(
            &format!("tests/golden/examples/{name}.txt"),
            &described(&plan, &built),
        );
    }
    assert_eq!(sandbox.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn other_compressions_have_golden_digests() {
    let sandbox = prepared(CopyStyle::default());
    let spec = sandbox.work().join("examples/corporate-ca/spec.yaml");
    let text = fs::read_to_string(&spec).expect("a spec");
    let mut digests = String::new();
    for compression in ["gzip", "zstd", "none"] {
        fs::write(&spec, format!("{text}compression: {compression}\n")).expect("write");
        let layout = build(&sandbox, "corporate-ca", compression);
        let built = check::tagged(&layout, "example");
        let layer = built.images[0].layers.last().expect("a layer");
        let _ = writeln!(
            digests,
            "{compression}\n  image {}\n  layer {} {}\n  diff_id {}",
            built.digest,
            layer.digest,
            layer.media_type,
            check::sha256(&layer.tar)
        );
    }
    golden::check("tests/golden/examples/compression.txt", &digests);
}

/// A copy of the examples, and the bases built from it.
pub(crate) fn prepared(style: CopyStyle) -> Sandbox {
    let sandbox = copied(style);
    build_bases(&sandbox);
    sandbox
}

/// A copy of the examples, whose pins are right.
pub(crate) fn copied(style: CopyStyle) -> Sandbox {
    static PINS: OnceLock<()> = OnceLock::new();
    PINS.get_or_init(check_pins);
    let sandbox = Sandbox::new();
    copy(
        &repository("examples"),
        &sandbox.work().join("examples"),
        style,
    );
    sandbox
}

/// The digest that each base has, as a build says it.
fn build_bases(sandbox: &Sandbox) -> Vec<String> {
    let build = |(tag, _): (&str, &str)| {
        let spec = format!("examples/bases/{tag}/spec.yaml");
        let output = format!("oci:bases:{tag}");
        let run = sandbox.customize(["build", "--spec", &spec, "--output", &output]);
        let line = run.success();
        let digest = line.trim_end().strip_prefix(&format!("{output}@"));
        digest.unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    BASES.map(build).to_vec()
}

/// The examples pin what the specs of the bases give. `UPDATE_GOLDEN=1` pins anew.
fn check_pins() {
    let sandbox = Sandbox::new();
    copy(
        &repository("examples"),
        &sandbox.work().join("examples"),
        CopyStyle::default(),
    );
    let digests = build_bases(&sandbox);
    let mut pinned = BTreeSet::new();
    for name in names() {
        let path = format!("examples/{name}/spec.yaml");
        let mut spec = fs::read_to_string(repository(&path)).expect("a spec");
        for ((tag, name), digest) in BASES.iter().zip(&digests) {
            let marker = format!("{name}@");
            let mut parts = spec.split(marker.as_str());
            let mut pinned_anew = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                pinned.insert(tag);
                pinned_anew.extend([&marker, digest, &part[digest.len()..]]);
            }
            spec = pinned_anew;
        }
        golden::check(&path, &spec);
    }
    assert_eq!(pinned.len(), BASES.len(), "a base that no example uses");
}

fn spec(name: &str) -> String {
    format!("examples/{name}/spec.yaml")
}

fn plan(sandbox: &Sandbox, name: &str) -> String {
    let args = ["plan", "--spec", &spec(name), "--base-layout", "bases"];
    sandbox.customize(args).success()
}

/// Builds an example into a layout of its own, by the tag `example`.
fn build(sandbox: &Sandbox, name: &str, directory: &str) -> PathBuf {
    let layout = format!("{directory}-{name}");
    let output = format!("oci:{layout}:example");
    let args = [
        "build",
        "--spec",
        &spec(name),
        "--base-layout",
        "bases",
        "--output",
        &output,
    ];
    sandbox.customize(args).success();
    sandbox.work().join(layout)
}

/// All of a result that there is to see.
fn described(plan: &str, built: &Named) -> String {
    let mut text = format!("digest {}\n\n== plan\n{plan}", built.digest);
    if let Some(index) = &built.index {
        let _ = writeln!(text, "\n== index\n{}", pretty(index));
    }
    let mut layers = BTreeSet::new();
    for image in &built.images {
        let _ = writeln!(
            text,
            "\n== manifest of {}\n{}",
            image.platform,
            pretty(&image.manifest)
        );
        let _ = writeln!(
            text,
            "\n== config of {}\n{}",
            image.platform,
            pretty(&image.config)
        );
        layers.extend(
            image
                .layers
                .iter()
                .map(|layer| (layer.digest.clone(), layer.listing())),
        );
    }
    for (digest, listing) in layers {
        let _ = write!(text, "\n== layer {digest}\n{listing}");
    }
    text
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

/// Paths and bytes of files.
type Contents = Vec<(PathBuf, Vec<u8>)>;

/// All files below a directory.
fn contents(dir: &Path) -> Contents {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").to_owned();
                found.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}
