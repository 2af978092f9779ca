use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::SystemTime;

use super::super::Layout;
use super::*;
use crate::core::descriptor::Descriptor;
use crate::error::Kind;
use crate::store::testing::{multi, names, single, stored};
use crate::store::{BlobSource, Bytes, Store, read_blob};

fn put(dir: &Path, tag: Option<&str>, built: &Built) -> Result<Outcome> {
    write(dir, tag, built, &Cancel::default())
}

fn temp() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("out");
    (temp, dir)
}

/// Every file below `dir`: its path, bytes, time and inode.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u64)> {
    let mut files = BTreeMap::new();
    for name in names(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let found = fs::metadata(&path).expect("metadata");
            let bytes = fs::read(&path).expect("read");
            files.insert(
                path,
                (bytes, found.modified().expect("a time"), found.ino()),
            );
        }
    }
    files
}

/// The layout is whole: every blob of the result is there, and nothing but blobs.
fn assert_whole(dir: &Path, built: &Built) {
    assert_eq!(names(dir), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(&dir.join("blobs")), ["sha256"]);
    let layout = Layout::open(dir, Cancel::default()).expect("a layout");
    for blob in built.blobs() {
        let Descriptor { digest, size, .. } = &blob.descriptor;
        read_blob(&layout, digest, Some(*size), u64::MAX).expect("a whole blob");
    }
}

fn tags(dir: &Path) -> Vec<(String, String)> {
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join(INDEX)).expect("read")).expect("JSON");
    let mut tags: Vec<_> = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .map(|entry| {
            let tag = &entry["annotations"]["org.opencontainers.image.ref.name"];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
            (text(tag), text(&entry["digest"]))
        })
        .collect();
    tags.sort();
    tags
}

#[test]
fn a_new_layout() {
    let (_temp, dir) = temp();
    let built = single(&["one"]);
    let outcome = put(&dir, Some("1.0"), &built).expect("written");
    assert_eq!(
        outcome,
        Outcome {
            changed: true,
            written: 3,
            linked: 0,
            present: 0
        }
    );
    assert_whole(&dir, &built);
    let Descriptor { digest, size, .. } = &built.root.descriptor;
    assert_eq!(
        fs::read_to_string(dir.join(INDEX)).expect("read"),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"platform":{{"architecture":"amd64","os":"linux"}},"annotations":{{"org.opencontainers.image.ref.name":"1.0"}}}}]}}"#
        )
    );
    assert_eq!(fs::read(dir.join(MARKER)).expect("read"), MARKER_BYTES);
}

#[test]
fn files_get_the_mode_that_the_umask_leaves() {
    let (temp, dir) = temp();
    put(&dir, None, &multi()).expect("written");
    File::create(temp.path().join("plain")).expect("a file");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").mode();
    let plain = mode(&temp.path().join("plain"));
    for path in files(&dir).keys() {
        assert_eq!(mode(path), plain, "{}", path.display());
    }
    fs::create_dir(temp.path().join("dir")).expect("a directory");
    for path in [dir.clone(), dir.join("blobs"), dir.join("blobs/sha256")] {
        assert_eq!(mode(&path), mode(&temp.path().join("dir")));
    }
}

#[test]
fn the_same_again_changes_nothing() {
    let (_temp, dir) = temp();
    for tag in [Some("1.0"), None] {
        let built = multi();
        put(&dir, tag, &built).expect("written");
        let before = (
            files(&dir),
            fs::metadata(&dir).expect("metadata").modified().ok(),
        );
        let outcome = put(&dir, tag, &built).expect("written");
        assert_eq!(
            (outcome.changed, outcome.written, outcome.present),
            (false, 0, 8)
        );
        let after = (
            files(&dir),
            fs::metadata(&dir).expect("metadata").modified().ok(),
        );
        assert_eq!(after, before);
    }
}

#[test]
fn an_existing_layout_keeps_what_it_has_and_a_tag_moves() {
    let (_temp, dir) = temp();
    let (one, two, three) = (single(&["one"]), single(&["two"]), multi());
    put(&dir, Some("1"), &one).expect("written");
    put(&dir, Some("2"), &two).expect("written");
    fs::write(dir.join("note.txt"), "kept").expect("written");
    let before = files(&dir);
    put(&dir, Some("1"), &three).expect("written");
    let digest = |built: &Built| built.root.descriptor.digest.to_string();
    assert_eq!(
        tags(&dir),
        [
            ("1".to_owned(), digest(&three)),
            ("2".to_owned(), digest(&two))
        ]
    );
    let after = files(&dir);
    for (path, old) in before.iter().filter(|(path, _)| !path.ends_with(INDEX)) {
        assert_eq!(after.get(path), Some(old), "{}", path.display());
    }
    assert_eq!(
        names(&dir),
        ["blobs", "index.json", "note.txt", "oci-layout"]
    );
}

#[test]
fn the_blobs_of_the_base_are_linked() {
    let (temp, dir) = temp();
    let base = temp.path().join("base");
    put(&base, None, &multi()).expect("written");
    let store: Arc<dyn Store> = Arc::new(Layout::open(&base, Cancel::default()).expect("a layout"));
    let outcome = put(&dir, None, &stored(multi(), &store)).expect("written");
    assert_eq!((outcome.linked, outcome.written), (8, 0));
    assert_whole(&dir, &multi());
    let digest = &multi().root.descriptor.digest;
    let inode = |dir: &Path| {
        fs::metadata(blob_path(dir, digest))
            .expect("metadata")
            .ino()
    };
    assert_eq!(inode(&base), inode(&dir));
    // A file that others cannot read is copied instead.
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(blob_path(&base, digest), private).expect("a mode");
    let other = temp.path().join("other");
    let outcome = put(&other, None, &stored(multi(), &store)).expect("written");
    assert_eq!((outcome.linked, outcome.written), (7, 1));
}

#[test]
fn a_damaged_blob_in_the_target_is_replaced() {
    let (_temp, dir) = temp();
    let built = single(&["one"]);
    put(&dir, Some("1"), &built).expect("written");
    let index = files(&dir)[&dir.join(INDEX)].clone();
    let layer = blob_path(&dir, &built.images[0].layers[0].descriptor.digest);
    let mut bytes = fs::read(&layer).expect("read");
    bytes[20] ^= 1;
    fs::write(&layer, &bytes).expect("written");
    fs::write(blob_path(&dir, &built.root.descriptor.digest), b"short").expect("written");
    let outcome = put(&dir, Some("1"), &built).expect("written");
    assert_eq!(
        (outcome.changed, outcome.written, outcome.present),
        (true, 2, 1)
    );
    assert_whole(&dir, &built);
    assert_eq!(files(&dir)[&dir.join(INDEX)], index);
}

#[test]
fn a_damaged_source_is_an_integrity_error_and_leaves_nothing() {
    let (temp, dir) = temp();
    let base = temp.path().join("base");
    put(&base, None, &single(&["one"])).expect("written");
    let digest = single(&["one"]).images[0].layers[0].descriptor.digest;
    let path = blob_path(&base, &digest);
    let mut bytes = fs::read(&path).expect("read");
    bytes[20] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let store: Arc<dyn Store> = Arc::new(Layout::open(&base, Cancel::default()).expect("a layout"));
    let built = stored(single(&["one"]), &store);
    let error = put(&dir, None, &built).expect_err("damaged");
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(
        error.to_string(),
        format!(
            "oci:{}: expected digest {digest}, found {}",
            base.display(),
            Digest::of(&bytes)
        )
    );
    assert!(!dir.exists());
    // Neither in a layout that is there, nor in an empty directory.
    put(&dir, Some("2"), &single(&["two"])).expect("written");
    let before = files(&dir);
    assert!(put(&dir, None, &built).is_err());
    assert_eq!(files(&dir), before);
    assert_whole(&dir, &single(&["two"]));
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    assert!(put(&empty, None, &built).is_err());
    assert_eq!(names(&empty), [""; 0]);
    fs::remove_file(&path).expect("removed");
    let error = put(&dir, None, &built).expect_err("missing");
    assert_eq!(
        error.to_string(),
        format!(
            "expected blob {digest} in oci:{}, found no such blob",
            base.display()
        )
    );
}

/// A store that raises the flag after the first bytes of a blob.
struct Raising(Cancel);

impl Store for Raising {
    fn name(&self) -> String {
        "raising".to_owned()
    }

    fn open(&self, digest: &Digest) -> Result<Option<(u64, Bytes<'_>)>> {
        let built = multi();
        let mut blobs = built.blobs().into_iter();
        let blob = blobs.find(|blob| blob.descriptor.digest == *digest);
        let bytes = RaisingBytes(self.0.clone());
        Ok(blob.map(|blob| (blob.descriptor.size, Box::new(bytes) as Bytes<'_>)))
    }
}

struct RaisingBytes(Cancel);

impl Read for RaisingBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.cancel();
        buf[0] = 0;
        Ok(1)
    }
}

#[test]
fn cancelled_in_the_middle_nothing_is_left() {
    let (_temp, dir) = temp();
    let run = |dir: &Path| {
        let cancel = Cancel::default();
        let store: Arc<dyn Store> = Arc::new(Raising(cancel.clone()));
        write(dir, Some("1"), &stored(multi(), &store), &cancel).expect_err("cancelled")
    };
    assert_eq!(run(&dir).kind(), Kind::Interrupted);
    assert!(!dir.exists());
    put(&dir, Some("2"), &single(&["two"])).expect("written");
    let before = files(&dir);
    assert_eq!(run(&dir).to_string(), "interrupted");
    assert_eq!(files(&dir), before);
    assert_eq!(names(&dir), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn writers_at_the_same_time_both_succeed() {
    for round in 0..10 {
        let (_temp, dir) = temp();
        if round % 2 == 0 {
            put(&dir, Some("base"), &single(&["base"])).expect("written");
        }
        std::thread::scope(|scope| {
            for number in 0..6 {
                let dir = &dir;
                scope.spawn(move || {
                    let built = single(&["shared", &format!("own {}", number / 2)]);
                    put(dir, Some(&format!("tag{number}")), &built).expect("written");
                });
            }
        });
        let mut expected: Vec<String> = (0..6).map(|number| format!("tag{number}")).collect();
        if round % 2 == 0 {
            expected.insert(0, "base".to_owned());
        }
        let found: Vec<String> = tags(&dir).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(found, expected);
        for number in 0..3 {
            assert_whole(&dir, &single(&["shared", &format!("own {number}")]));
        }
    }
}

#[test]
fn one_that_fails_takes_nothing_from_one_that_succeeds() {
    for _ in 0..10 {
        let (_temp, dir) = temp();
        let good = single(&["shared", "good"]);
        let mut bad = single(&["shared", "bad"]);
        bad.images[0].layers[1].source = BlobSource::Bytes(Arc::from(&b"other"[..]));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| put(&dir, None, &bad).expect_err("damaged"));
            }
            scope.spawn(|| put(&dir, None, &good).expect("written"));
        });
        assert_whole(&dir, &good);
        assert_eq!(tags(&dir).len(), 1);
    }
}

#[test]
fn a_blob_that_vanishes_before_the_end_is_made_again() {
    let (_temp, dir) = temp();
    let built = single(&["one"]);
    put(&dir, None, &built).expect("written");
    let cancel = Cancel::default();
    let blobs = built.blobs();
    let entry = Entry {
        descriptor: &built.root.descriptor,
        platform: None,
        tag: Some("1"),
    };
    let mut target = Target::open(&dir, &cancel).expect("a layout");
    let mut how = vec![How::Present; 3];
    fs::remove_file(blob_path(&dir, &blobs[1].descriptor.digest)).expect("removed");
    assert_eq!(target.commit(&blobs, &mut how, &entry).ok(), Some(None));
    assert_eq!(how, [How::Present, How::Missing, How::Present]);
    target.stage(&blobs, &mut how).expect("staged");
    assert_eq!(
        target.commit(&blobs, &mut how, &entry).ok(),
        Some(Some(true))
    );
    target.close(true);
    assert_whole(&dir, &built);
}

#[test]
fn a_wait_for_the_lock_can_be_cancelled() {
    let (_temp, dir) = temp();
    put(&dir, None, &single(&["one"])).expect("written");
    let handle = disk::open_dir(&dir, true).expect("a directory");
    let _lock = Locked::new(&handle, &dir, &Cancel::default()).expect("a lock");
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&dir, Some("1"), &single(&["one"]), &cancel));
        std::thread::sleep(std::time::Duration::from_millis(20));
        cancel.cancel();
        let error = writer.join().expect("no panic").expect_err("cancelled");
        assert_eq!(error.kind(), Kind::Interrupted);
    });
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let (_temp, dir) = temp();
    let built = single(&["one"]);
    // Killed while blobs were moved: no index, no marker, the staging directory still there.
    fs::create_dir_all(dir.join("blobs/sha256")).expect("directories");
    fs::create_dir(dir.join(".customize-Ab12cD")).expect("a directory");
    fs::write(blob_path(&dir, &built.root.descriptor.digest), b"torn").expect("written");
    fs::write(dir.join(".customize-Ab12cD/x"), b"torn").expect("written");
    put(&dir, Some("1"), &built).expect("written");
    assert_whole(&dir, &built);
    // Killed in an existing layout.
    fs::create_dir(dir.join(".customize-Ab12cE")).expect("a directory");
    assert!(!put(&dir, Some("1"), &built).expect("written").changed);
    assert_whole(&dir, &built);
    // Killed in a new one, and the next run is cancelled.
    fs::create_dir(dir.join(".customize-Ab12cE")).expect("a directory");
    fs::remove_file(dir.join(MARKER)).expect("removed");
    let mut bad = built;
    bad.root.source = BlobSource::Bytes(Arc::from(&b"other"[..]));
    bad.root.descriptor.digest = Digest::of(b"none");
    assert!(put(&dir, None, &bad).is_err());
    assert_eq!(names(&dir), [""; 0]);
}

#[test]
fn what_is_no_place_for_a_layout_is_refused_and_not_touched() {
    let (temp, dir) = temp();
    let message = |dir: &Path| {
        let error = put(dir, None, &single(&["one"])).expect_err("refused");
        (error.kind(), error.to_string())
    };
    let shown = dir.display();
    fs::create_dir(&dir).expect("a directory");
    for name in ["index.json", "file", "blobs"] {
        fs::write(dir.join(name), "kept").expect("written");
        assert_eq!(
            message(&dir),
            (
                Kind::Usage,
                format!(
                    "expected an OCI image layout or an empty directory, found a directory with other files: {shown}"
                )
            )
        );
        assert_eq!(names(&dir), [name]);
        fs::remove_file(dir.join(name)).expect("removed");
    }
    fs::write(dir.join(MARKER), br#"{"imageLayoutVersion":"2.0.0"}"#).expect("written");
    assert_eq!(message(&dir).0, Kind::Usage);
    fs::write(dir.join(MARKER), MARKER_BYTES).expect("written");
    assert_eq!(
        message(&dir),
        (
            Kind::Integrity,
            format!("expected `index.json` in the layout {shown}, found none")
        )
    );
    assert_eq!(names(&dir), [MARKER]);
    let file = temp.path().join("file");
    fs::write(&file, "").expect("written");
    assert_eq!(
        message(&file).1,
        format!(
            "expected a directory or nothing, found a file: {}",
            file.display()
        )
    );
    let (kind, text) = message(&temp.path().join("no/such"));
    let parent = temp.path().join("no");
    let parent = parent.display();
    assert_eq!(
        (kind, text),
        (
            Kind::Usage,
            format!("expected the directory {parent} to exist, to write {parent}/such")
        )
    );
    let dangling = temp.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).expect("a link");
    assert_eq!(message(&dangling).0, Kind::Usage);
}

#[test]
fn a_directory_may_be_named_by_a_link() {
    let (temp, dir) = temp();
    fs::create_dir(&dir).expect("a directory");
    let link = temp.path().join("link");
    std::os::unix::fs::symlink("out", &link).expect("a link");
    put(&link, None, &single(&["one"])).expect("written");
    assert_whole(&dir, &single(&["one"]));
    assert!(fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()));
}
