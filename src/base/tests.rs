//! Files out of images and artifacts, over a store in memory.

use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::core::entry::{SourceEntry, SourceKind};
use crate::core::path::LayerPath;
use crate::core::spec::{Glob, SourcePattern};
use crate::error::Kind;

#[derive(Default)]
struct Memory(HashMap<Digest, Vec<u8>>);

impl Store for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self, digest: &Digest) -> Result<Option<(u64, crate::store::Bytes<'_>)>> {
        let blob = self.0.get(digest);
        Ok(blob.map(|bytes| (bytes.len() as u64, Box::new(bytes.as_slice()) as _)))
    }
}

impl Memory {
    fn put(&mut self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.0.insert(digest, bytes);
        digest
    }
}

/// Path, content or link target, and whether it is executable.
enum File<'a> {
    Plain(&'a str, &'a str),
    Tool(&'a str, &'a str),
    Link(&'a str, &'a str),
    Fifo(&'a str),
}
use File::{Fifo, Link, Plain, Tool};

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        let (path, data, mode) = match file {
            Plain(path, data) => (path, data, 0o600),
            Tool(path, data) => (path, data, 0o755),
            Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(target).expect("short");
                (path, &"", 0o777)
            }
            Fifo(path) => {
                header.set_entry_type(tar::EntryType::Fifo);
                (path, &"", 0o600)
            }
        };
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, path, data.as_bytes())
            .expect("in memory");
    }
    tar.into_inner().expect("in memory")
}

/// An artifact whose layers have the given media type, annotations and bytes.
fn artifact(layers: &[(&str, serde_json::Value, Vec<u8>)]) -> Result<Files> {
    let mut store = Memory::default();
    let mut listed = Vec::new();
    for (media_type, annotations, bytes) in layers {
        let digest = store.put(bytes.clone());
        listed.push(json!({"mediaType": media_type, "digest": digest, "size": bytes.len(), "annotations": annotations}));
    }
    let config = store.put("{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.tools",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": listed,
    });
    let Document::Manifest(manifest) = Document::parse(manifest.to_string().as_bytes())? else {
        unreachable!("a manifest was written");
    };
    assert!(!manifest.is_image());
    let store: Arc<dyn Store> = Arc::new(store);
    artifact::files(&store, &manifest, &Cache::disabled(), &Cancel::default())
}

fn title(name: &str) -> serde_json::Value {
    json!({"org.opencontainers.image.title": name})
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// What `source` names: each match with its entries, on one line each.
fn collected(files: &Files, source: &str, exclude: &[&str]) -> Result<Vec<String>> {
    let pattern = SourcePattern::in_image(source)?;
    let exclude = exclude
        .iter()
        .map(|glob| glob.parse())
        .collect::<Result<Vec<Glob>>>()?;
    let spool = Spool::new()?;
    let mut lines = Vec::new();
    for found in files
        .collect(&pattern, &Exclusion::new(&exclude), &spool)?
        .0
    {
        lines.push(format!(
            "{} as {}",
            found.shown,
            String::from_utf8_lossy(&found.name)
        ));
        for SourceEntry { path, kind } in found.entries {
            lines.push(match kind {
                SourceKind::Directory => format!("  {path}/"),
                SourceKind::Symlink(target) => {
                    format!("  {path} -> {}", String::from_utf8_lossy(&target))
                }
                SourceKind::File {
                    content,
                    executable,
                } => {
                    let mut text = String::new();
                    content
                        .open()
                        .and_then(|mut data| data.read_to_string(&mut text))
                        .expect("reads");
                    format!(
                        "  {path} {text}{}",
                        if executable { " executable" } else { "" }
                    )
                }
            });
        }
    }
    Ok(lines)
}

fn tools() -> Files {
    artifact(&[(
        TAR,
        json!({}),
        tar(&[
            Tool("opt/tool/bin/run", "run"),
            Plain("opt/tool/lib/a.so", "a"),
            Plain("opt/tool/lib/b.so", "b"),
            Plain("opt/tool/lib/b.so.bak", "old"),
            Link("opt/tool/lib/c.so", "b.so"),
            Link("usr/bin/run", "../../opt/tool/bin/run"),
            Link("opt/current", "/opt/tool"),
            Link("opt/broken", "nowhere"),
            Fifo("opt/pipes/fifo"),
        ]),
    )])
    .expect("an artifact")
}

#[test]
fn sources_are_found_through_links() {
    let files = tools();
    for (source, exclude, expected) in [
        (
            "/usr/bin/run",
            vec![],
            vec!["/usr/bin/run as run", "  / run executable"],
        ),
        (
            "opt/current/lib",
            vec!["*.bak", "a.*"],
            vec![
                "/opt/current/lib as lib",
                "  //",
                "  /b.so b",
                "  /c.so -> b.so",
            ],
        ),
        (
            "/opt/current/lib/{b,c}*",
            vec!["*.bak"],
            vec![
                "/opt/current/lib/b.so as b.so",
                "  / b",
                "/opt/current/lib/c.so as c.so",
                "  / b",
            ],
        ),
        (
            "opt/*",
            vec!["broken", "pipes", "current", "tool/lib"],
            vec![
                "/opt/tool as tool",
                "  //",
                "  /bin/",
                "  /bin/run run executable",
            ],
        ),
    ] {
        assert_eq!(
            collected(&files, source, &exclude).expect(source),
            expected,
            "{source}"
        );
    }
}

#[test]
fn sources_that_are_not_there_are_the_users_to_mend() {
    let files = tools();
    for (source, message) in [
        (
            "opt/none",
            "expected `opt/none` in the image, found nothing there",
        ),
        (
            "opt/broken",
            "expected `opt/broken` in the image, found nothing there",
        ),
        (
            "opt/*.none",
            "expected `opt/*.none` in the image, found nothing there",
        ),
        (
            "opt/brok*",
            "/opt/broken of the image is a link that leads nowhere",
        ),
        (
            "opt/pipes",
            "/opt/pipes: expected files, directories and links in the image's source, found a device or pipe at /fifo",
        ),
    ] {
        let error = collected(&files, source, &[]).expect_err(source);
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Usage, message)
        );
    }
}

#[test]
fn layers_of_an_artifact_are_files_or_tars() {
    let files = artifact(&[
        (
            "application/octet-stream",
            title("bin/agent"),
            b"agent".to_vec(),
        ),
        (
            "application/vnd.example.config",
            title("agent.yaml"),
            b"a: 1".to_vec(),
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            json!({"org.opencontainers.image.title": "lib", "io.deis.oras.content.unpack": "true"}),
            tar(&[Plain("lib/x", "x")]),
        ),
        (TAR, title("kept.tar"), tar(&[Plain("y", "y")])),
    ])
    .expect("an artifact");
    let read = |path: &str| {
        let path = LayerPath::parse(path).expect("a path");
        files
            .read(&path, 1 << 20)
            .expect("reads")
            .map(|bytes| bytes.len())
    };
    assert_eq!(read("bin/agent"), Some(5));
    assert_eq!(read("agent.yaml"), Some(4));
    assert_eq!(read("lib/x"), Some(1));
    assert_eq!(read("kept.tar"), Some(2048));
    assert_eq!(read("y"), None);
    assert_eq!(
        collected(&files, "bin/*", &[]).expect("found"),
        ["/bin/agent as agent", "  / agent"]
    );
}

#[test]
fn artifacts_that_say_nothing_usable_are_refused() {
    for (media_type, annotations, message) in [
        (
            "application/octet-stream",
            json!({}),
            "layers[0]: expected a layer with the annotation `org.opencontainers.image.title`, or a tar, found media type `application/octet-stream` without a title",
        ),
        (
            "application/octet-stream",
            title("../../etc/passwd"),
            "layers[0]: expected a file name in the annotation `org.opencontainers.image.title`, found `../../etc/passwd`",
        ),
        (
            "application/octet-stream",
            title("/"),
            "layers[0]: expected a file name in the annotation `org.opencontainers.image.title`, found `/`",
        ),
    ] {
        let error = artifact(&[(media_type, annotations, b"x".to_vec())])
            .err()
            .expect("refused");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_file_that_is_not_kept_in_the_index_is_read_out_of_its_layer() {
    let files = artifact(&[(
        TAR,
        json!({}),
        tar(&[
            Plain("usr/lib/passwd", "root:x:0:0::/:\n"),
            Link("etc/passwd", "/usr/lib/passwd"),
        ]),
    )])
    .expect("an artifact");
    let path = LayerPath::parse("etc/passwd").expect("a path");
    assert_eq!(
        files.read(&path, 100).expect("reads").as_deref(),
        Some(&b"root:x:0:0::/:\n"[..])
    );
    let error = files.read(&path, 3).expect_err("too large");
    assert_eq!(
        error.to_string(),
        "expected /etc/passwd of at most 3 bytes in the base, found 15"
    );
}
