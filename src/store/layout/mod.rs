//! OCI image layouts (OCI image spec 1.x, "Image Layout"): directories of blobs by digest with an
//! `index.json` that names some of them.
//!
//! Refused: layouts of another version, and blobs that are not plain files.

mod blobs;
mod index;
mod staging;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Bytes, Store, disk};
use crate::core::cancel::Cancel;
use crate::core::digest::Digest;
use crate::core::json;
use crate::error::{Error, Result};

pub(in crate::store) use index::{Entry, edit as edit_index};
pub use write::{check, write};

/// The file that makes a directory a layout.
pub(super) const MARKER: &str = "oci-layout";
/// What we write into it.
pub(super) const MARKER_BYTES: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The entry point of a layout.
pub(super) const INDEX: &str = "index.json";
/// The largest `oci-layout` that is read, in bytes.
pub(super) const MAX_MARKER: u64 = 4096;

/// A layout directory, opened for reading.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    cancel: Cancel,
}

impl Layout {
    /// Opens the layout in `dir`, whose version must be 1.x.
    pub fn open(dir: &Path, cancel: Cancel) -> Result<Self> {
        let name = name_of(dir);
        if !dir.is_dir() {
            let hint = if dir.is_file() {
                format!(
                    "for a tar file of a layout write `oci-archive:{}`",
                    dir.display()
                )
            } else {
                "a relative path in a spec starts at the spec's directory, one on the command line at the working directory"
                    .to_owned()
            };
            return Err(Error::usage(format!(
                "expected an OCI image layout, found no such directory: {}",
                dir.display()
            ))
            .hint(hint));
        }
        let marker = disk::read_small(&dir.join(MARKER), MAX_MARKER)?.ok_or_else(|| {
            Error::usage(format!(
                "expected an OCI image layout in {}, found no `{MARKER}` file there",
                dir.display()
            ))
            .hint("copy an image to a layout with `skopeo copy --all docker://IMAGE oci:DIR`")
        })?;
        check_marker(&marker, &name)?;
        Ok(Self {
            dir: dir.to_owned(),
            cancel,
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.dir, digest)
    }
}

impl Store for Layout {
    fn name(&self) -> String {
        name_of(&self.dir)
    }

    fn open(&self, digest: &Digest) -> Result<Option<(u64, Bytes<'_>)>> {
        self.cancel.check()?;
        let found = disk::open_plain(&self.path(digest))?;
        Ok(found.map(|(file, size)| (size, Box::new(self.cancel.reader(file)) as Bytes<'_>)))
    }

    fn file(&self, digest: &Digest) -> Option<PathBuf> {
        // A link to a symlink would be a symlink.
        let path = fs::canonicalize(self.path(digest)).ok()?;
        fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_file())
            .then_some(path)
    }
}

/// Checks the content of `oci-layout` in the layout `name`.
pub(super) fn check_marker(marker: &[u8], name: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let place = format!("{name}: {MARKER}");
    let Marker { version } = json::parse(marker, &place)?;
    if version.split('.').next() != Some("1") {
        return Err(Error::usage(format!(
            "{place}: expected version 1.x of the image layout, found `{}`",
            version.escape_debug()
        )));
    }
    Ok(())
}

fn name_of(dir: &Path) -> String {
    format!("oci:{}", dir.display())
}

fn blob_path(dir: &Path, digest: &Digest) -> PathBuf {
    let mut path = dir.join("blobs/sha256");
    path.push(digest.hex());
    path
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::core::descriptor::Descriptor;
    use crate::error::Kind;
    use crate::store::{open_blob, read_blob};

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("blobs/sha256")).expect("directories");
        fs::write(dir.path().join(MARKER), MARKER_BYTES).expect("written");
        fs::write(blob_path(dir.path(), &Digest::of(b"abc")), b"abc").expect("written");
        fs::write(blob_path(dir.path(), &Digest::of(b"abd")), b"abX").expect("written");
        let layout = Layout::open(dir.path(), Cancel::default()).expect("a layout");
        (dir, layout)
    }

    #[test]
    fn blobs_are_verified() {
        let (dir, layout) = layout();
        let name = format!("oci:{}", dir.path().display());
        let (good, bad, none) = (Digest::of(b"abc"), Digest::of(b"abd"), Digest::of(b"none"));
        assert_eq!(
            read_blob(&layout, &good, Some(3), 3).ok(),
            Some(b"abc".to_vec())
        );
        assert_eq!(
            read_blob(&layout, &good, None, 3).ok(),
            Some(b"abc".to_vec())
        );
        let message = |result: Result<Vec<u8>>| {
            let error = result.expect_err("an error");
            assert_eq!(error.kind(), Kind::Integrity);
            error.to_string()
        };
        assert_eq!(
            message(read_blob(&layout, &good, None, 2)),
            format!("{name}: blob {good}: expected at most 2 bytes, found 3")
        );
        assert_eq!(
            message(read_blob(&layout, &good, Some(2), 9)),
            format!("{name}: blob {good}: expected 2 bytes, found 3")
        );
        assert_eq!(
            message(read_blob(&layout, &bad, None, 9)),
            format!(
                "{name}: expected digest {bad}, found {}",
                Digest::of(b"abX")
            )
        );
        assert_eq!(
            message(read_blob(&layout, &none, None, 9)),
            format!("expected blob {none} in {name}, found no such blob")
        );
    }

    #[test]
    fn a_large_blob_is_checked_early_and_at_its_end() {
        let (_dir, layout) = layout();
        let short = Descriptor {
            size: 2,
            ..Descriptor::of("x", b"abc")
        };
        assert!(open_blob(&layout, &short).is_err());
        let mut reader = open_blob(&layout, &Descriptor::of("x", b"abd")).expect("opened");
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn what_is_not_a_plain_file_is_refused() {
        let (dir, layout) = layout();
        let digest = Digest::of(b"dir");
        fs::create_dir(blob_path(dir.path(), &digest)).expect("a directory");
        assert_eq!(
            layout.open(&digest).err().map(|error| error.kind()),
            Some(Kind::Usage)
        );
        assert_eq!(layout.file(&digest), None);
        assert!(layout.file(&Digest::of(b"abc")).is_some());
    }

    #[test]
    fn reading_stops_when_cancelled() {
        let (dir, _) = layout();
        let cancel = Cancel::default();
        let layout = Layout::open(dir.path(), cancel.clone()).expect("a layout");
        let (_, mut bytes) = layout
            .open(&Digest::of(b"abc"))
            .ok()
            .flatten()
            .expect("a blob");
        cancel.cancel();
        assert!(bytes.read(&mut [0]).is_err());
        assert!(layout.open(&Digest::of(b"abc")).is_err());
    }

    #[test]
    fn other_directories_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |path: &Path| {
            Layout::open(path, Cancel::default())
                .expect_err("no layout")
                .to_string()
        };
        let shown = dir.path().display();
        assert_eq!(
            open(&dir.path().join("none")),
            format!("expected an OCI image layout, found no such directory: {shown}/none")
        );
        assert_eq!(
            open(dir.path()),
            format!("expected an OCI image layout in {shown}, found no `oci-layout` file there")
        );
        fs::write(
            dir.path().join(MARKER),
            br#"{"imageLayoutVersion":"2.0.0"}"#,
        )
        .expect("written");
        assert_eq!(
            open(dir.path()),
            format!(
                "oci:{shown}: oci-layout: expected version 1.x of the image layout, found `2.0.0`"
            )
        );
        fs::write(dir.path().join(MARKER), b"{}").expect("written");
        assert!(open(dir.path()).starts_with(&format!("oci:{shown}: oci-layout is not the JSON")));
    }
}
