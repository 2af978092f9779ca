//! Which images of an index are chosen, and every reason to refuse.

use std::collections::HashMap;

use super::*;
use crate::core::descriptor::Descriptor;
use crate::core::image::Document;
use crate::core::media::{Family, OCI_CONFIG};
use crate::store::Bytes;

/// Blobs in memory.
#[derive(Default)]
struct Memory(HashMap<Digest, Vec<u8>>);

impl Store for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self, digest: &Digest) -> Result<Option<(u64, Bytes<'_>)>> {
        let blob = self.0.get(digest);
        Ok(blob.map(|blob| (blob.len() as u64, Box::new(blob.as_slice()) as Bytes<'_>)))
    }
}

impl Memory {
    fn put(&mut self, text: &str) -> Descriptor {
        let descriptor = Descriptor::of(Family::Oci.manifest(), text.as_bytes());
        self.0.insert(descriptor.digest, text.as_bytes().to_vec());
        descriptor
    }

    /// The manifest of an image for `linux/ARCHITECTURE`.
    fn image(&mut self, architecture: &str) -> Descriptor {
        let config = self.put(&format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        ));
        self.manifest(OCI_CONFIG, &config)
    }

    fn manifest(&mut self, config_type: &str, config: &Descriptor) -> Descriptor {
        self.put(&format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config_type}","digest":"{}","size":{}}},"layers":[]}}"#,
            config.digest, config.size
        ))
    }
}

/// An entry of an index; `platform` as `OS/ARCHITECTURE`, empty for none.
fn entry(to: &Descriptor, platform: &str) -> String {
    let platform = match platform.split_once('/') {
        Some((os, architecture)) => {
            format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
        }
        None => String::new(),
    };
    let Descriptor {
        media_type,
        digest,
        size,
    } = to;
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{platform}}}"#)
}

/// The platforms that are chosen, and the notes.
fn chosen(
    store: &Memory,
    entries: &[String],
    choice: &[&str],
) -> Result<(Vec<String>, Vec<String>)> {
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    );
    let Document::Index(index) = Document::parse(text.as_bytes())? else {
        panic!("a manifest");
    };
    let (found, notes) = from_index(store, &index, &list(choice))?;
    let platforms = found.iter().map(|found| found.config.platform.to_string());
    Ok((platforms.collect(), notes))
}

fn list(choice: &[&str]) -> PlatformChoice {
    if choice.is_empty() {
        return PlatformChoice::All;
    }
    let parse = |text: &&str| text.parse().expect("a platform");
    PlatformChoice::List(choice.iter().map(parse).collect())
}

/// Message and hint.
fn refusal(store: &Memory, entries: &[String], choice: &[&str]) -> (String, String) {
    let error = chosen(store, entries, choice).expect_err("a refusal");
    let hint = error.advice().unwrap_or_default().to_owned();
    (error.to_string(), hint)
}

fn pair(message: &str, hint: &str) -> (String, String) {
    (message.to_owned(), hint.to_owned())
}

#[test]
fn attestations_are_left_out_and_said_so() {
    let mut store = Memory::default();
    let (amd64, arm64) = (store.image("amd64"), store.image("arm64"));
    let entries = [
        entry(&arm64, "linux/arm64"),
        entry(&store.put("{}"), "unknown/unknown"),
        entry(&amd64, "linux/amd64"),
    ];
    let (platforms, notes) = chosen(&store, &entries, &[]).expect("images");
    assert_eq!(platforms, ["linux/arm64", "linux/amd64"]);
    assert_eq!(
        notes,
        ["left out 1 attestation manifest of the base: they speak of the base, not of the result"]
    );
    let order = ["linux/amd64", "linux/arm64"];
    let (platforms, _) = chosen(&store, &entries, &order).expect("images");
    assert_eq!(platforms, order);
}

#[test]
fn entries_without_platform_have_that_of_their_config() {
    let mut store = Memory::default();
    let amd64 = store.image("amd64");
    let config = store.put("{}");
    let artifact = store.manifest("text/plain", &config);
    let entries = [entry(&amd64, ""), entry(&artifact, "")];
    let (platforms, notes) = chosen(&store, &entries, &["linux/amd64"]).expect("an image");
    assert_eq!(platforms, ["linux/amd64"]);
    let note = format!("left out {}: it is no container image", artifact.digest);
    assert_eq!(notes, [note]);
}

#[test]
fn platforms_that_are_missing_or_foreign_are_refused() {
    let mut store = Memory::default();
    let amd64 = entry(&store.image("amd64"), "linux/amd64");
    let arm64 = entry(&store.image("arm64"), "linux/arm64");
    let windows = entry(&store.put("{}"), "windows/amd64");
    assert_eq!(
        refusal(&store, &[amd64.clone(), arm64.clone()], &["linux/s390x"]),
        pair(
            "expected an image for linux/s390x, found only: linux/amd64, linux/arm64",
            "choose others with `arch` or `platforms` in the spec, or another base"
        )
    );
    let all = [amd64.clone(), windows, arm64];
    assert_eq!(
        refusal(&store, &all, &[]),
        pair(
            "expected Linux images only, found one for windows/amd64 in the index",
            "choose with `platforms: [linux/amd64, linux/arm64]`"
        )
    );
    assert!(chosen(&store, &all, &["linux/arm64"]).is_ok());
    assert_eq!(
        refusal(&store, &[amd64.clone(), amd64], &[]),
        pair(
            "expected one image for each platform, found two for linux/amd64 in the index",
            "pin the digest of the one manifest that is meant"
        )
    );
    assert_eq!(
        refusal(&store, &[], &[]),
        pair("expected an index with images, found none in it", "")
    );
}

#[test]
fn entries_that_lie_are_refused() {
    let mut store = Memory::default();
    let amd64 = store.image("amd64");
    assert_eq!(
        refusal(&store, &[entry(&amd64, "linux/arm64")], &[]),
        pair(
            "expected an image for linux/arm64, as the index says, found a config for linux/amd64",
            ""
        )
    );
    let inner = store.put(r#"{"schemaVersion":2,"manifests":[]}"#);
    assert_eq!(
        refusal(&store, &[entry(&inner, "linux/amd64")], &[]),
        pair(
            "linux/amd64: expected an image manifest, found an index inside the index",
            "pin the digest of the inner index"
        )
    );
    let config = store.put("{}");
    let artifact = store.manifest("text/plain", &config);
    assert_eq!(
        refusal(&store, &[entry(&artifact, "linux/amd64")], &[]),
        pair(
            "linux/amd64: expected a container image, found an artifact with config `text/plain`",
            "an artifact can be the `from` of `copy_files`, but no base"
        )
    );
}
