//! Makes OCI layouts and archives, honest by default; every document and every blob can be made to
//! lie.

use std::fs;
use std::path::{Path, PathBuf};

use customize::core::digest::Digest;
use serde_json::{Value, json};

use super::tar::{Tar, gzip};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// A digest that nothing here has.
pub(crate) fn no_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// A layer of an image: its blob, what the manifest says of it, and what the config says of it.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) diff_id: String,
}

impl Layer {
    /// A layer of gzip.
    pub(crate) fn gzip(tar: &[u8]) -> Self {
        Self::of(TAR_GZIP, gzip(tar), tar)
    }

    /// A plain layer.
    pub(crate) fn plain(tar: Vec<u8>) -> Self {
        let diff_id = digest(&tar);
        Self {
            bytes: tar,
            media_type: TAR,
            diff_id,
        }
    }

    pub(crate) fn of(media_type: &'static str, bytes: Vec<u8>, tar: &[u8]) -> Self {
        Self {
            bytes,
            media_type,
            diff_id: digest(tar),
        }
    }

    /// A layer whose plain bytes nobody needs to know, since it is refused before its end.
    pub(crate) fn unread(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            media_type,
            diff_id: no_digest(),
        }
    }

    /// Its descriptor, true as it stands.
    pub(crate) fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": digest(&self.bytes),
            "size": self.bytes.len(),
        })
    }
}

/// A layer that every honest base here has: merged `/usr`, a `/tmp`, accounts, one program.
pub(crate) fn base_layer() -> Layer {
    Layer::gzip(&base_tar().end())
}

pub(crate) fn base_tar() -> Tar {
    let mut tar = Tar::new();
    tar.symlink(b"bin", b"usr/bin")
        .dir(b"etc/")
        .file(
            b"etc/group",
            b"root:x:0:\nnonroot:x:65532:\n",
        )
        .file(
            b"etc/passwd",
            b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
        )
        .entry(&super::tar::Entry {
            name: b"tmp/",
            kind: b'5',
            mode: 0o1777,
            ..super::tar::Entry::default()
        })
        .dir(b"usr/")
        .dir(b"usr/bin/")
        .file(b"usr/bin/app", b"the program\n");
    tar
}

/// The config of an image with these layers.
pub(crate) fn config(layers: &[Layer]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({"created_by": "a"})).collect();
    json!({
        "architecture": "amd64", "os": "linux",
        "config": {"User": "65532:65532", "Env": ["PATH=/usr/bin"], "Entrypoint": ["/usr/bin/app"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
}

/// The descriptor of some JSON text.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// A manifest of a config and layers.
pub(crate) fn manifest(config: &[u8], layers: &[Layer]) -> Value {
    let layers: Vec<_> = layers.iter().map(Layer::descriptor).collect();
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config), "layers": layers,
    })
}

/// An OCI layout on disk.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    /// An empty layout in `dir`, which is made.
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("directories");
        fs::write(dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
        fs::write(
            dir.join("index.json"),
            br#"{"schemaVersion":2,"manifests":[]}"#,
        )
        .expect("written");
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The file of a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.dir.join("blobs/sha256").join(hex)
    }

    /// Writes a blob under its own name, which is given back.
    pub(crate) fn put(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.put_as(&digest, bytes);
        digest
    }

    /// Writes a blob under any name.
    pub(crate) fn put_as(&self, digest: &str, bytes: &[u8]) {
        fs::write(self.blob(digest), bytes).expect("written");
    }

    /// Writes an honest image; the digest of its manifest.
    pub(crate) fn image(&self, layers: &[Layer]) -> String {
        self.image_with(layers, &config(layers).to_string())
    }

    /// Writes an image with this text as its config.
    pub(crate) fn image_with(&self, layers: &[Layer], config: &str) -> String {
        for layer in layers {
            self.put(&layer.bytes);
        }
        self.put(config.as_bytes());
        self.put(manifest(config.as_bytes(), layers).to_string().as_bytes())
    }

    /// The layout as the members of a tar.
    pub(crate) fn tar(&self) -> Tar {
        let mut tar = Tar::new();
        for name in ["oci-layout", "index.json"] {
            tar.file(
                name.as_bytes(),
                &fs::read(self.dir.join(name)).expect("read"),
            );
        }
        let mut blobs: Vec<_> = fs::read_dir(self.dir.join("blobs/sha256"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        blobs.sort_unstable();
        for blob in blobs {
            let hex = blob.file_name().expect("a name").to_string_lossy();
            let name = format!("blobs/sha256/{hex}");
            tar.file(name.as_bytes(), &fs::read(&blob).expect("read"));
        }
        tar
    }
}
