//! What `copy_files` names: text of the spec, files of the context, files of other images. What
//! does not depend on the platform is looked for once, so that equal plans stay equal.

use std::collections::HashMap;
use std::rc::Rc;

use super::Request;
use crate::base::{Exclusion, Files, Spool};
use crate::context::Pattern;
use crate::core::entry::{Content, SourceEntry, SourceKind, SourceMatch};
use crate::core::path::LayerPath;
use crate::core::platform::Platform;
use crate::core::reference::PinnedRef;
use crate::core::spec::{CopyFile, CopySource, SourcePattern};
use crate::error::Result;

/// What one entry of `copy_files` names.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) matches: Vec<SourceMatch>,
    /// Whether each match goes to the destination by its name, as what a glob matched does.
    pub(super) by_name: bool,
    /// What stands before a path that is shown: nothing for the context, an image's name and a
    /// colon for an image; `None` where the spec holds the bytes.
    pub(super) from: Option<String>,
    /// What of the source is not copied.
    notes: Vec<String>,
}

/// Finds what the entries of `copy_files` name.
pub(super) struct Sources<'a> {
    request: &'a Request,
    spool: Spool,
    /// What was found, by the entry's number and, where it depends on that, the platform.
    found: HashMap<(usize, Option<Platform>), Rc<Gathered>>,
    /// Other images, opened.
    images: HashMap<(String, Platform), Files>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(request: &'a Request) -> Result<Self> {
        Ok(Self {
            request,
            spool: Spool::new()?,
            found: HashMap::new(),
            images: HashMap::new(),
        })
    }

    /// What entry `number` names on `platform`.
    pub(super) fn gather(
        &mut self,
        number: usize,
        copy: &CopyFile,
        platform: &Platform,
    ) -> Result<Rc<Gathered>> {
        let of_image = matches!(copy.what, CopySource::Image(..));
        let key = (number, of_image.then(|| platform.clone()));
        if let Some(gathered) = self.found.get(&key) {
            return Ok(Rc::clone(gathered));
        }
        let exclude = Exclusion::new(&copy.exclude);
        let mut gathered = match &copy.what {
            CopySource::Inline(text) => inline(text),
            CopySource::Context(pattern) => self.context(pattern, &exclude)?,
            CopySource::Image(name, pattern) => self.image(name, pattern, &exclude, platform)?,
        };
        gathered.notes.extend(exclude.notes());
        let gathered = Rc::new(gathered);
        self.found.insert(key, Rc::clone(&gathered));
        Ok(gathered)
    }

    /// What the user should know of the files that were found.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut found: Vec<_> = self.found.iter().collect();
        found.sort_by_key(|(key, _)| *key);
        let notes = found.into_iter().flat_map(|((number, _), gathered)| {
            let notes = gathered.notes.iter();
            notes.map(move |note| format!("copy_files[{number}]: {note}"))
        });
        notes.collect()
    }

    fn context(&self, pattern: &SourcePattern, exclude: &Exclusion<'_>) -> Result<Gathered> {
        let is = |path: &[u8], hit: &dyn Fn(&LayerPath) -> bool| {
            LayerPath::parse(path).is_ok_and(|path| hit(&path))
        };
        let prefix = String::from_utf8_lossy(pattern.literal_prefix().as_bytes()).into_owned();
        let matches = |path: &[u8]| is(path, &|path| pattern.matches(path));
        let excluded = |path: &[u8]| is(path, &|path| exclude.matches(path));
        let source = match pattern.glob() {
            None => Pattern::Literal(pattern.as_str()),
            Some(_) => Pattern::Glob {
                text: pattern.as_str(),
                prefix: &prefix,
                matches: &matches,
            },
        };
        let found = self.request.context.collect(&source, &excluded)?;
        Ok(Gathered {
            matches: found,
            by_name: pattern.glob().is_some(),
            from: Some(String::new()),
            notes: Vec::new(),
        })
    }

    fn image(
        &mut self,
        name: &PinnedRef,
        pattern: &SourcePattern,
        exclude: &Exclusion<'_>,
        platform: &Platform,
    ) -> Result<Gathered> {
        let key = (name.to_string(), platform.clone());
        if !self.images.contains_key(&key) {
            let files = self.request.opener.files(name, platform)?;
            self.images.insert(key.clone(), files);
        }
        let collected = self.images[&key].collect(pattern, exclude, &self.spool);
        let (matches, notes) = collected.map_err(|error| error.at(name.to_string()))?;
        Ok(Gathered {
            matches,
            notes,
            by_name: pattern.glob().is_some(),
            from: Some(format!("{name}:")),
        })
    }
}

fn inline(text: &str) -> Gathered {
    let file = SourceEntry {
        path: LayerPath::ROOT,
        kind: SourceKind::File {
            content: Content::bytes(text),
            executable: false,
        },
    };
    Gathered {
        matches: vec![SourceMatch {
            name: Vec::new(),
            shown: "content".to_owned(),
            entries: vec![file],
        }],
        by_name: false,
        from: None,
        notes: Vec::new(),
    }
}
