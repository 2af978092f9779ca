use std::fs;
use std::sync::Arc;

use std::io::Read as _;

use super::*;
use crate::core::media::Compression;
use crate::error::Kind;
use crate::store::BlobSource;
use crate::store::testing::{image, layer, layer_tar, multi, names};

fn put(path: &Path, name: Option<&str>, built: &Built) -> Result<Outcome> {
    let name: Option<RepositoryName> = name.map(|name| name.parse().expect("a name"));
    write(path, name.as_ref(), built, &Cancel::default())
}

/// Layers of every compression, one of them twice.
fn built() -> Built {
    let layers = vec![
        layer("one", Compression::Gzip),
        layer("two", Compression::Zstd),
        layer("three", Compression::None),
        layer("one", Compression::Zstd),
    ];
    let image = image("linux/amd64", layers);
    Built {
        root: image.manifest.clone(),
        images: vec![image],
    }
}

fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(fs::File::open(path).expect("a file"));
    tar.entries()
        .expect("entries")
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            assert_eq!(entry.header().mtime().ok(), Some(0));
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("read");
            (name, bytes)
        })
        .collect()
}

#[test]
fn layers_are_plain_tars_and_each_is_there_once() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("a.tar");
    let built = built();
    let outcome = put(&path, Some("app:1.0"), &built).expect("written");
    assert_eq!((outcome.changed, outcome.written), (true, 4));
    let config = built.images[0].config.descriptor.digest.hex();
    let [one, two, three] = ["one", "two", "three"].map(|text| {
        let tar = layer_tar(text);
        (format!("{}.tar", Digest::of(&tar).hex()), tar)
    });
    let manifest = format!(
        r#"[{{"Config":"{config}.json","RepoTags":["docker.io/library/app:1.0"],"Layers":["{}","{}","{}","{}"]}}]"#,
        one.0, two.0, three.0, one.0
    );
    let BlobSource::Bytes(bytes) = &built.images[0].config.source else {
        panic!("bytes");
    };
    assert_eq!(
        members(&path),
        [
            ("manifest.json".to_owned(), manifest.into_bytes()),
            (format!("{config}.json"), bytes.to_vec()),
            one,
            two,
            three,
        ]
    );
    assert!(
        !put(&path, Some("app:1.0"), &built)
            .expect("written")
            .changed
    );
    put(&path, None, &built).expect("written");
    let first = &members(&path)[0].1;
    assert!(String::from_utf8_lossy(first).contains(r#""RepoTags":[],"#));
}

#[test]
fn more_than_one_platform_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let error = put(&temp.path().join("a.tar"), None, &multi()).expect_err("two platforms");
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(
        error.to_string(),
        "expected one platform for a docker-archive, found 2: linux/amd64, linux/arm64"
    );
    assert_eq!(names(temp.path()), [""; 0]);
}

#[test]
fn a_layer_that_is_not_its_diff_id_is_an_integrity_error() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("a.tar");
    let mut wrong = built();
    wrong.images[0].diff_ids[1] = Digest::of(b"other");
    let error = put(&path, None, &wrong).expect_err("another diff id");
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(
        error.to_string(),
        format!(
            "the result: layer {}: expected the diff id {}, found {}",
            wrong.images[0].layers[1].descriptor.digest,
            Digest::of(b"other"),
            Digest::of(&layer_tar("two"))
        )
    );
    let mut damaged = built();
    damaged.images[0].layers[0].source = BlobSource::Bytes(Arc::from([0; 98]));
    let error = put(&path, None, &damaged).expect_err("other bytes");
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(
        error.to_string(),
        format!(
            "the result: expected digest {}, found {}",
            damaged.images[0].layers[0].descriptor.digest,
            Digest::of(&[0; 98])
        )
    );
    assert_eq!(names(temp.path()), [""; 0]);
}
