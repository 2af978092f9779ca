//! Descriptors (OCI image spec, "Content Descriptors"): what a blob is, its digest and its size.
//! Only the three fields that are required; descriptors of other people keep theirs as raw JSON.

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The type, digest and size of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
}

impl Descriptor {
    /// The descriptor of `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_form() {
        let text = r#"{"mediaType":"text/plain","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}"#;
        let descriptor = Descriptor::of("text/plain", b"abc");
        assert_eq!(
            serde_json::to_string(&descriptor).ok().as_deref(),
            Some(text)
        );
        assert_eq!(serde_json::from_str(text).ok(), Some(descriptor));
    }
}
