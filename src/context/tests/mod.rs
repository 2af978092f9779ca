//! The context against real directories.

mod changes;
mod finding;
mod globs;
mod links;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Context, Pattern};
use crate::core::cancel::Cancel;
use crate::core::entry::SourceMatch;
use crate::core::entry::{Content, SourceKind};
use crate::core::path::escape;
use crate::error::{Error, Result};

/// A context `context` and beside it a directory `outside` that holds a secret.
struct Fixture {
    dir: TempDir,
    context: Context,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("context")).expect("a directory");
        fs::create_dir(dir.path().join("outside")).expect("a directory");
        fs::write(dir.path().join("outside/file"), "secret").expect("a file");
        let context =
            Context::open(&dir.path().join("context"), Cancel::default()).expect("a context");
        Self { dir, context }
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("context").join(path)
    }

    fn parents(&self, path: &Path) {
        fs::create_dir_all(self.path(path).parent().expect("a parent")).expect("directories");
    }

    fn file(&self, path: impl AsRef<Path>, bytes: &str) -> &Self {
        self.parents(path.as_ref());
        fs::write(self.path(path), bytes).expect("a file");
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        self.parents(Path::new(path));
        symlink(target, self.path(path)).expect("a link");
        self
    }

    fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    fn fifo(&self, path: &str) -> &Self {
        self.parents(Path::new(path));
        let status = std::process::Command::new("mkfifo")
            .arg(self.path(path))
            .status();
        assert!(status.expect("mkfifo").success());
        self
    }

    fn literal(&self, source: &str) -> Result<SourceMatch> {
        self.literal_without(source, &|_| false)
    }

    fn literal_without(
        &self,
        source: &str,
        exclude: &dyn Fn(&[u8]) -> bool,
    ) -> Result<SourceMatch> {
        let collected = self.context.collect(&Pattern::Literal(source), exclude)?;
        assert_eq!(collected.len(), 1);
        Ok(collected.into_iter().next().expect("one match"))
    }

    /// A glob of which `prefix` is literal, by the rules that a spec has.
    fn glob(
        &self,
        prefix: &str,
        text: &str,
        exclude: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<SourceMatch>> {
        let compiled = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .expect("a glob")
            .compile_matcher();
        let matches = |path: &[u8]| compiled.is_match(super::native_name(path));
        let pattern = Pattern::Glob {
            text,
            prefix,
            matches: &matches,
        };
        self.context.collect(&pattern, exclude)
    }

    /// The content of the file that `source` names.
    fn content(&self, source: &str) -> Content {
        let found = self.literal(source).expect("a file");
        match &found.entries[..] {
            [entry] => match &entry.kind {
                SourceKind::File { content, .. } => content.clone(),
                other => panic!("expected a file, found {other:?}"),
            },
            other => panic!("expected a file, found {other:?}"),
        }
    }

    /// The whole error for comparison, with the place of the context cut out.
    fn said(&self, error: &Error) -> String {
        let place = self.path("").display().to_string();
        let text = format!(
            "{:?}: {error}\nhint: {}",
            error.kind(),
            error.advice().unwrap_or("none")
        );
        text.replace(place.trim_end_matches('/'), "CTX")
    }

    fn refusal<T: std::fmt::Debug>(&self, result: Result<T>) -> String {
        self.said(&result.expect_err("an error"))
    }
}

/// One line an entry.
fn listing(found: &SourceMatch) -> Vec<String> {
    let lines = found.entries.iter().map(|entry| {
        let path = match entry.path.as_bytes() {
            b"" => ".".to_owned(),
            path => escape(path),
        };
        match &entry.kind {
            SourceKind::Directory => format!("{path}/"),
            SourceKind::Symlink(target) => format!("{path} -> {}", escape(target)),
            SourceKind::File {
                content,
                executable,
            } => {
                let text = escape(&read(content).expect("the bytes"));
                let mark = if *executable { "*" } else { "" };
                format!("{path}{mark} = {text}")
            }
        }
    });
    lines.collect()
}

/// All bytes of a file, as the layer reads them.
fn read(content: &Content) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = content.open().map_err(|error| Error::io("layer", error))?;
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("layer", error))?;
    Ok(bytes)
}
