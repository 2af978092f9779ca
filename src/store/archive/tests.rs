use std::fs;
use std::io::Write;
use std::sync::Arc;

use super::*;
use crate::error::Kind;
use crate::store::testing::{multi, names, single, stored};
use crate::store::{BlobSource, Built, Outcome, read_blob};

fn put(path: &Path, tag: Option<&str>, built: &Built) -> Result<Outcome> {
    write(path, tag, built, &Cancel::default())
}

fn open(path: &Path) -> Result<Archive> {
    Archive::open(path, Cancel::default())
}

fn temp() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("a.tar");
    (temp, path)
}

fn error(path: &Path) -> (Kind, String) {
    let error = open(path).expect_err("refused");
    (error.kind(), error.to_string())
}

/// The members of a tar file: mode, time, owner and name.
fn listing(path: &Path) -> Vec<String> {
    let mut tar = tar::Archive::new(File::open(path).expect("a file"));
    tar.entries()
        .expect("entries")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let header = entry.header();
            format!(
                "{:o} {} {}:{} {} {}",
                header.mode().expect("a mode"),
                header.mtime().expect("a time"),
                header.uid().expect("a user"),
                header.gid().expect("a group"),
                header.entry_size().expect("a size"),
                String::from_utf8_lossy(&header.path_bytes())
            )
        })
        .collect()
}

#[test]
fn what_is_written_is_read_again() {
    let (_temp, path) = temp();
    let built = multi();
    assert_eq!(
        put(&path, Some("1.0"), &built).expect("written"),
        Outcome {
            changed: true,
            written: 8,
            linked: 0,
            present: 0
        }
    );
    let archive = open(&path).expect("an archive");
    std::thread::scope(|scope| {
        for blob in built.blobs() {
            let archive = &archive;
            scope.spawn(move || {
                let descriptor = &blob.descriptor;
                read_blob(archive, &descriptor.digest, Some(descriptor.size), 1 << 20)
                    .expect("a whole blob");
            });
        }
    });
    assert_eq!(
        read_blob(&archive, &Digest::of(b"none"), None, 9)
            .expect_err("missing")
            .to_string(),
        format!(
            "expected blob {} in oci-archive:{}, found no such blob",
            Digest::of(b"none"),
            path.display()
        )
    );
}

#[test]
fn the_bytes_depend_on_the_result_alone() {
    let (temp, path) = temp();
    let built = single(&["one"]);
    put(&path, Some("1.0"), &built).expect("written");
    let mut expected = vec![
        "644 0 0:0 30 oci-layout".to_owned(),
        "644 0 0:0 347 index.json".to_owned(),
        "755 0 0:0 0 blobs/".to_owned(),
        "755 0 0:0 0 blobs/sha256/".to_owned(),
    ];
    let mut blobs = built.blobs();
    blobs.sort_by_key(|blob| blob.descriptor.digest);
    expected.extend(blobs.iter().map(|blob| {
        let descriptor = &blob.descriptor;
        format!(
            "644 0 0:0 {} blobs/sha256/{}",
            descriptor.size,
            descriptor.digest.hex()
        )
    }));
    assert_eq!(listing(&path), expected);
    // The same from another store, to another name.
    let store: Arc<dyn Store> = Arc::new(open(&path).expect("an archive"));
    let other = temp.path().join("other.tar");
    put(&other, Some("1.0"), &stored(built.clone(), &store)).expect("written");
    assert_eq!(fs::read(&other).ok(), fs::read(&path).ok());
    let before = fs::metadata(&path).expect("metadata").modified().ok();
    let again = put(&path, Some("1.0"), &built).expect("written");
    assert_eq!((again.changed, again.written, again.present), (false, 0, 3));
    assert_eq!(
        fs::metadata(&path).expect("metadata").modified().ok(),
        before
    );
    assert!(put(&path, Some("2.0"), &built).expect("written").changed);
}

#[test]
fn a_failure_leaves_the_old_file_and_nothing_else() {
    let (temp, path) = temp();
    fs::write(&path, "old").expect("written");
    let mut bad = single(&["one"]);
    bad.images[0].layers[0].source = BlobSource::Bytes(Arc::from(&b"other"[..]));
    assert_eq!(
        put(&path, None, &bad).expect_err("damaged").kind(),
        Kind::Integrity
    );
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(write(&path, None, &single(&["one"]), &cancel).is_err());
    assert_eq!(fs::read(&path).expect("read"), b"old");
    assert_eq!(names(temp.path()), ["a.tar"]);
}

/// A tar file of the given members.
fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // As it is: the builder would drop a leading `./`.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *bytes).expect("added");
    }
    tar.into_inner().expect("a tar")
}

const MARKED: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

#[test]
fn other_forms_of_tar_are_read() {
    let (_temp, path) = temp();
    let digest = Digest::of(b"abc");
    let name = format!("./blobs/sha256/{}", digest.hex());
    // The last of two members counts.
    let twice = tar_of(&[("./oci-layout", MARKED.1), (&name, b"abX"), (&name, b"abc")]);
    assert!(twice.starts_with(b"./oci-layout"));
    // A PAX header and a GNU long name give the name of the member that follows.
    let plain = tar_of(&[MARKED, ("x", b"abc")]);
    let member = &plain[1024..1024 + 1024];
    let record = format!("88 path={name}\n");
    assert_eq!(record.len(), 88);
    let extended = |kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        let mut out = header.as_bytes().to_vec();
        out.extend_from_slice(bytes);
        out.resize(1024, 0);
        out
    };
    let pax = extended(tar::EntryType::XHeader, record.as_bytes());
    let gnu = extended(tar::EntryType::GNULongName, format!("{name}\0").as_bytes());
    let with = |header: &[u8]| [&plain[..1024], header, member].concat();
    for bytes in [twice, with(&pax), with(&gnu)] {
        fs::write(&path, &bytes).expect("written");
        let archive = open(&path).expect("an archive");
        assert_eq!(
            read_blob(&archive, &digest, Some(3), 3).ok(),
            Some(b"abc".to_vec())
        );
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    let (_temp, path) = temp();
    let shown = path.display();
    assert_eq!(
        error(&path).1,
        format!("expected a tar file of an OCI image layout, found no such file: {shown}")
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar_of(&[MARKED])).expect("compressed");
    fs::write(&path, gzip.finish().expect("compressed")).expect("written");
    assert_eq!(
        error(&path).1,
        format!("expected a plain tar file, found one compressed with gzip: {shown}")
    );
    assert_eq!(
        open(&path).expect_err("refused").advice(),
        Some(format!("decompress it first: `gzip -dc {shown} > layout.tar`").as_str())
    );
    fs::write(&path, tar_of(&[("manifest.json", b"[]")])).expect("written");
    assert_eq!(
        error(&path),
        (
            Kind::Usage,
            format!("expected a tar file of an OCI image layout, found no `oci-layout` in {shown}")
        )
    );
    fs::write(&path, [7; 2048]).expect("written");
    assert_eq!(
        error(&path),
        (
            Kind::Integrity,
            format!("oci-archive:{shown}: expected a tar header at byte 0, found something else")
        )
    );
    let whole = tar_of(&[MARKED, ("x", &[1; 2000])]);
    for end in [1024 + 100, 1024 + 512 + 100] {
        fs::write(&path, &whole[..end]).expect("written");
        assert_eq!(
            error(&path),
            (
                Kind::Integrity,
                format!(
                    "oci-archive:{shown}: expected a whole tar file, found one that ends at byte {end} in the middle of a member"
                )
            )
        );
    }
}

#[test]
fn a_hostile_archive_costs_little() {
    let (_temp, path) = temp();
    let shown = path.display();
    let header = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        *header.as_bytes()
    };
    // A name of a gigabyte, in a file with a hole.
    let file = File::create(&path).expect("a file");
    file.set_len(1 << 31).expect("a hole");
    file.write_at(&header(tar::EntryType::GNULongName, 1 << 30), 0)
        .expect("written");
    assert_eq!(
        error(&path).1,
        format!(
            "oci-archive:{shown}: expected an extended tar header of at most 65536 bytes, found 1073741824 at byte 512"
        )
    );
    // A size beyond all files.
    fs::write(&path, header(tar::EntryType::Regular, u64::MAX >> 1)).expect("written");
    assert_eq!(error(&path).0, Kind::Integrity);
    // Too many members.
    let many = header(tar::EntryType::Regular, 0).repeat(100_001);
    fs::write(&path, many).expect("written");
    assert_eq!(
        error(&path),
        (
            Kind::Usage,
            format!(
                "oci-archive:{shown}: expected at most 100000 members in the tar file, found more"
            )
        )
    );
}
