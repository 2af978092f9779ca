//! The `index.json` of a layout, edited in place: unknown fields and the entries of others keep
//! their bytes.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::descriptor::Descriptor;
use crate::core::json::{self, MAX_MANIFEST, Object};
use crate::core::media::OCI_INDEX;
use crate::core::platform::Platform;
use crate::error::{Error, Result};

/// The annotation that holds a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An entry to be put into an index.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Entry<'a> {
    pub(in crate::store) descriptor: &'a Descriptor,
    /// The platform of an image; none for an index.
    pub(in crate::store) platform: Option<&'a Platform>,
    pub(in crate::store) tag: Option<&'a str>,
}

/// Puts `entry` into `current`, or into a new index; `name` is the layout's in errors. The new
/// text, or `None` where nothing changes.
///
/// An entry with the same tag is replaced where it stands. Without a tag, an entry with the same
/// digest and no tag is enough.
pub(in crate::store) fn edit(
    current: Option<&[u8]>,
    entry: &Entry<'_>,
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let place = format!("{name}: index.json");
    let mut index = match current {
        Some(bytes) => Object::parse(bytes, &place)?,
        None => new_index()?,
    };
    let version = index
        .read::<u64>("schemaVersion")
        .map_err(|e| e.at(&place))?;
    if version != Some(2) {
        return Err(Error::integrity(format!(
            "{place}: expected `schemaVersion` 2, found {}",
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        )));
    }
    let old: Vec<Box<RawValue>> = index
        .read("manifests")
        .map_err(|error| error.at(&place))?
        .unwrap_or_default();
    let Some(new) = put(old, entry).map_err(|error| error.at(&place))? else {
        return Ok(None);
    };
    index.set("manifests", &new)?;
    let bytes = index.to_bytes()?;
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(Error::usage(format!(
            "{place}: expected at most {MAX_MANIFEST} bytes, found {} with the new entry",
            bytes.len()
        ))
        .hint("write to another layout, or remove entries from this one"));
    }
    Ok(Some(bytes))
}

fn new_index() -> Result<Object> {
    let mut index = Object::default();
    index.set("schemaVersion", &2)?;
    index.set("mediaType", &OCI_INDEX)?;
    Ok(index)
}

/// The entries with the new one; `None` where it is there already.
fn put(old: Vec<Box<RawValue>>, entry: &Entry<'_>) -> Result<Option<Vec<Box<RawValue>>>> {
    let mut new = Vec::with_capacity(old.len() + 1);
    let mut placed = false;
    let mut changed = false;
    for (number, raw) in old.into_iter().enumerate() {
        let found = Found::parse(&raw).map_err(|error| error.at(format!("manifests[{number}]")))?;
        if found.tag.as_deref() != entry.tag {
            new.push(raw);
        } else if found.is(entry.descriptor) && !placed {
            placed = true;
            new.push(raw);
        } else if entry.tag.is_none() {
            // Another image without a tag, or the same one twice: not ours to remove.
            new.push(raw);
        } else if placed {
            changed = true;
        } else {
            placed = true;
            changed = true;
            new.push(write(entry)?);
        }
    }
    if !placed {
        changed = true;
        new.push(write(entry)?);
    }
    Ok(changed.then_some(new))
}

/// What we look at in an entry that is there.
struct Found {
    descriptor: Option<Descriptor>,
    tag: Option<String>,
}

impl Found {
    fn parse(raw: &RawValue) -> Result<Self> {
        let entry = Object::parse(raw.get().as_bytes(), "the entry")?;
        let tag = match entry.read::<Object>("annotations")? {
            Some(annotations) => annotations.read(REF_NAME)?,
            None => None,
        };
        // An entry with a digest of another algorithm is fine, and never ours.
        let descriptor = json::parse(raw.get().as_bytes(), "the entry").ok();
        Ok(Self { descriptor, tag })
    }

    fn is(&self, descriptor: &Descriptor) -> bool {
        self.descriptor.as_ref() == Some(descriptor)
    }
}

fn write(entry: &Entry<'_>) -> Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(flatten)]
        descriptor: &'a Descriptor,
        #[serde(skip_serializing_if = "Option::is_none")]
        platform: Option<WrittenPlatform<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations<'a>>,
    }
    #[derive(Serialize)]
    struct WrittenPlatform<'a> {
        architecture: &'a str,
        os: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Annotations<'a> {
        #[serde(rename = "org.opencontainers.image.ref.name")]
        tag: &'a str,
    }
    let written = Written {
        descriptor: entry.descriptor,
        platform: entry.platform.map(|platform| WrittenPlatform {
            architecture: platform.architecture(),
            os: "linux",
            variant: platform.variant(),
        }),
        annotations: entry.tag.map(|tag| Annotations { tag }),
    };
    serde_json::value::to_raw_value(&written)
        .map_err(|error| Error::internal("cannot write an index entry").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const B: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn put_entry(current: Option<&str>, tag: Option<&str>) -> Result<Option<String>> {
        let descriptor = Descriptor::of("m", b"abc");
        let platform = "linux/arm/v7".parse().ok();
        let entry = Entry {
            descriptor: &descriptor,
            platform: platform.as_ref(),
            tag,
        };
        edit(current.map(str::as_bytes), &entry, "oci:x")
            .map(|bytes| bytes.map(|bytes| String::from_utf8(bytes).expect("UTF-8")))
    }

    fn ours(tag: &str) -> String {
        format!(
            r#"{{"mediaType":"m","digest":"{B}","size":3,"platform":{{"architecture":"arm","os":"linux","variant":"v7"}}{tag}}}"#
        )
    }

    fn tagged(tag: &str) -> String {
        ours(&format!(
            r#","annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#
        ))
    }

    fn old(tag: &str) -> String {
        format!(
            r#"{{ "size" : 1.0, "digest":"{A}","mediaType":"m","x":[ ],"annotations":{{"org.opencontainers.image.ref.name":"{tag}","y":"z"}} }}"#
        )
    }

    #[test]
    fn a_new_index() {
        assert_eq!(
            put_entry(None, Some("1")).expect("an index"),
            Some(format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
                tagged("1")
            ))
        );
        assert_eq!(
            put_entry(None, None).expect("an index"),
            Some(format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
                ours("")
            ))
        );
    }

    #[test]
    fn the_entries_of_others_keep_their_bytes() {
        let index = |manifests: &str| {
            format!(
                r#"{{"x":{{ "y" : 1e400 }},"schemaVersion":2,"manifests":[{manifests}],"z":""}}"#
            )
        };
        let sha512 = r#"{"mediaType":"m","digest":"sha512:00","size":3}"#;
        let (one, two) = (old("1"), old("2"));
        let before = index(&format!("{one}, {sha512},{two}"));
        for (tag, after) in [
            (Some("1"), format!("{},{sha512},{two}", tagged("1"))),
            (Some("2"), format!("{one},{sha512},{}", tagged("2"))),
            (Some("3"), format!("{one},{sha512},{two},{}", tagged("3"))),
            (None, format!("{one},{sha512},{two},{}", ours(""))),
        ] {
            let edited = put_entry(Some(&before), tag).expect("an index");
            assert_eq!(edited, Some(index(&after)));
            // Once it is there, nothing changes any more.
            assert_eq!(put_entry(edited.as_deref(), tag).expect("an index"), None);
        }
        let twice = index(&format!("{one},{one}"));
        assert_eq!(
            put_entry(Some(&twice), Some("1")).expect("an index"),
            Some(index(&tagged("1")))
        );
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        for (text, message) in [
            (
                r#"{"manifests":[]}"#,
                "oci:x: index.json: expected `schemaVersion` 2, found none",
            ),
            (
                r#"{"schemaVersion":1,"manifests":[]}"#,
                "oci:x: index.json: expected `schemaVersion` 2, found 1",
            ),
            (
                r#"{"schemaVersion":2,"manifests":{}}"#,
                "oci:x: index.json: `manifests` is not the JSON that was expected: invalid type: map, expected a sequence at line 1 column 0",
            ),
            (
                r#"{"schemaVersion":2,"manifests":[1]}"#,
                "oci:x: index.json: manifests[0]: the entry is not the JSON that was expected: invalid type: integer `1`, expected an object at line 1 column 1",
            ),
        ] {
            let error = put_entry(Some(text), None).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
    }
}
