//! A good image, and every way to break it.

use super::*;
use crate::core::image::Annotations;
use crate::error::Kind;

const LAYER: &[u8] = b"the blob";

/// An image as text, to be changed before its descriptors are made.
struct Sample {
    config: String,
    manifest: String,
    facts: std::collections::BTreeMap<Digest, LayerFacts>,
}

fn sample() -> Sample {
    let digest = Digest::of(LAYER);
    let diff_id = Digest::of(b"the tar");
    let fact = LayerFacts {
        size: LAYER.len() as u64,
        diff_id,
    };
    Sample {
        config: format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"history":[{{}},{{"empty_layer":true}}]}}"#
        ),
        manifest: format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"CONFIG","size":LENGTH}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":8}}]}}"#
        ),
        facts: std::collections::BTreeMap::from([(digest, fact)]),
    }
}

/// The documents with their descriptors, which `break_it` may spoil, and what the check says.
fn verdict(
    change: impl FnOnce(&mut Sample),
    break_it: impl FnOnce(&mut Descriptor, &mut Descriptor),
) -> String {
    let mut sample = sample();
    change(&mut sample);
    let mut config = Descriptor::of(OCI_CONFIG, sample.config.as_bytes());
    let manifest = sample
        .manifest
        .replace("CONFIG", &config.digest.to_string())
        .replace("LENGTH", &config.size.to_string());
    let mut descriptor = Descriptor::of(Family::Oci.manifest(), manifest.as_bytes());
    break_it(&mut descriptor, &mut config);
    let manifest = Pointed {
        descriptor: &descriptor,
        bytes: manifest.as_bytes(),
    };
    let config = Pointed {
        descriptor: &config,
        bytes: sample.config.as_bytes(),
    };
    let amd64 = "linux/amd64".parse().expect("a platform");
    let said = match image(manifest, config, &amd64, &sample.facts) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string(),
    };
    // digests are told by the word before them
    let words = said.split(' ').map(|word| match word.find("sha256:") {
        Some(_) => "DIGEST",
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn changed(change: impl FnOnce(&mut Sample)) -> String {
    verdict(change, |_, _| {})
}

fn spoiled(break_it: impl FnOnce(&mut Descriptor, &mut Descriptor)) -> String {
    verdict(|_| {}, break_it)
}

fn swap(text: &mut String, from: &str, to: &str) {
    assert!(text.contains(from), "{from}");
    *text = text.replace(from, to);
}

#[test]
fn a_good_image_is_good() {
    assert_eq!(changed(|_| {}), "good");
}

#[test]
fn descriptors_must_be_true() {
    assert_eq!(
        spoiled(|manifest, _| manifest.digest = Digest::of(b"")),
        "expected DIGEST of 399 bytes, found DIGEST of 399"
    );
    assert_eq!(
        spoiled(|manifest, _| manifest.size += 1),
        "expected DIGEST of 400 bytes, found DIGEST of 399"
    );
    assert_eq!(
        spoiled(|_, config| config.digest = Digest::of(b"")),
        "expected DIGEST of 187 bytes, found DIGEST of 187"
    );
    assert_eq!(
        changed(|sample| swap(&mut sample.manifest, "CONFIG", &Digest::of(b"").to_string())),
        "expected the config DIGEST found DIGEST in the manifest"
    );
}

#[test]
fn layers_must_be_those_that_were_read() {
    let diff_id = Digest::of(b"the tar").to_string();
    for said in [
        changed(|sample| sample.facts.clear()),
        changed(|sample| swap(&mut sample.manifest, r#""size":8"#, r#""size":9"#)),
        changed(|sample| swap(&mut sample.config, &diff_id, &Digest::of(b"").to_string())),
    ] {
        assert!(
            said.starts_with("layer DIGEST expected LayerFacts {"),
            "{said}"
        );
    }
}

#[test]
fn the_history_must_speak_of_all_layers() {
    assert_eq!(
        changed(|sample| swap(&mut sample.config, "{},", "{},{},")),
        "expected a history of 1 layers, as the manifest has, found 2"
    );
    assert_eq!(
        changed(|sample| swap(&mut sample.config, r#"[{},{"empty_layer":true}]"#, "[]")),
        "good"
    );
}

#[test]
fn families_are_not_mixed() {
    let oci = "application/vnd.oci.image.layer.v1.tar+gzip";
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let mixed = |found: &str| {
        format!(
            "expected OCI media types only, or Docker's only, found `{found}` in a manifest of the other family"
        )
    };
    assert_eq!(
        changed(|sample| swap(&mut sample.manifest, oci, docker)),
        mixed(docker)
    );
    assert_eq!(
        verdict(
            |sample| swap(&mut sample.manifest, OCI_CONFIG, DOCKER_CONFIG),
            |_, config| config.media_type = DOCKER_CONFIG.to_owned(),
        ),
        mixed(DOCKER_CONFIG)
    );
    assert_eq!(
        spoiled(|manifest, _| manifest.media_type = Family::Docker.manifest().to_owned()),
        mixed(Family::Docker.manifest())
    );
}

fn platform(text: &str) -> Platform {
    text.parse().expect("a platform")
}

fn index_verdict(images: &[(Platform, Descriptor)], said: &[(&str, Descriptor)]) -> String {
    let empty = crate::core::image::Index::empty().expect("JSON");
    let entries: Vec<_> = said
        .iter()
        .map(|(name, to)| crate::core::image::IndexDescriptor::fresh(to, &platform(name)))
        .collect::<Result<_>>()
        .expect("JSON");
    let bytes = empty.with(&entries, &Annotations::new()).expect("JSON");
    let descriptor = Descriptor::of(Family::Oci.index(), &bytes);
    let pointed = Pointed {
        descriptor: &descriptor,
        bytes: &bytes,
    };
    match index(pointed, images) {
        Ok(()) => "good".to_owned(),
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Integrity | Kind::Usage));
            error.to_string()
        }
    }
}

#[test]
fn an_index_must_say_what_its_images_say() {
    let (one, two) = (
        Descriptor::of(Family::Oci.manifest(), b"1"),
        Descriptor::of(Family::Oci.manifest(), b"2"),
    );
    let images = [
        (platform("linux/amd64"), one.clone()),
        (platform("linux/arm64"), two.clone()),
    ];
    let verdict = |said: &[(&str, Descriptor)]| index_verdict(&images, said);
    assert_eq!(
        verdict(&[("linux/amd64", one.clone()), ("linux/arm64", two.clone())]),
        "good"
    );
    assert_eq!(
        verdict(&[("linux/amd64", one.clone())]),
        "expected an index of 2 images, found 1"
    );
    assert_eq!(
        verdict(&[("linux/arm64", one.clone()), ("linux/amd64", two.clone())]),
        format!(
            "expected an index entry for linux/amd64 with digest {0}, found {0}",
            one.digest
        )
    );
    assert_eq!(
        verdict(&[("linux/amd64", two.clone()), ("linux/arm64", one.clone())]),
        format!(
            "expected an index entry for linux/amd64 with digest {}, found {}",
            one.digest, two.digest
        )
    );
}
