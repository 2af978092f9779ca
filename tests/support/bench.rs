//! A place of its own for each run of the program: a clean environment, a spec, a base, and a look
//! at what is left afterwards.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use customize::core::digest::Digest;

use super::layout::{Layer, Layout, base_layer};

const PROGRAM: &str = env!("CARGO_BIN_EXE_customize");

/// As much address space as a run may have, in KiB: threads reserve far more than they use, so this
/// is no measure, only a wall.
pub(crate) const MEMORY: u64 = 1 << 20;

/// A directory with `spec.yaml`, the base layout `base`, and places for home, cache and temporary
/// files. The program runs in it.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// A bench with an empty layout `base` and no spec yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["home", "cache", "tmp"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        fs::write(dir.path().join("hello"), b"hello\n").expect("written");
        Layout::new(&dir.path().join("base"));
        Self { dir }
    }

    /// A bench whose base is one image of these layers, and whose spec adds one file to it.
    pub(crate) fn of(layers: &[Layer]) -> Self {
        let bench = Self::new();
        let digest = bench.base().image(layers);
        bench.spec_for(&digest);
        bench
    }

    /// A bench with an honest base.
    pub(crate) fn honest() -> Self {
        Self::of(&[base_layer()])
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn base(&self) -> Layout {
        Layout {
            dir: self.path("base"),
        }
    }

    /// A spec that adds one file to the image of this digest in the layout `base`.
    pub(crate) fn spec_for(&self, digest: &str) {
        self.add_to(
            &format!("oci:base@{digest}"),
            "copy_files:\n  - source: hello\n    destination: /opt/hello\n",
        );
    }

    /// A spec on `base_image` with `rest` below it.
    pub(crate) fn add_to(&self, base_image: &str, rest: &str) {
        self.spec(format!("base_image: {base_image}\n{rest}"));
    }

    /// The digest that the spec pins.
    pub(crate) fn pinned(&self) -> String {
        let spec = fs::read_to_string(self.path("spec.yaml")).expect("a spec");
        let (_, rest) = spec.split_once('@').expect("a digest");
        rest.lines().next().expect("a digest").to_owned()
    }

    pub(crate) fn spec(&self, text: impl AsRef<[u8]>) {
        self.write("spec.yaml", text);
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("written");
    }

    /// The program in a clean environment, without a memory limit.
    pub(crate) fn program(&self) -> Command {
        self.set_up(Command::new(PROGRAM))
    }

    /// The program under `ulimit` with these words, where the system has such a limit.
    pub(crate) fn limited(&self, limit: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("ulimit {limit} && exec \"$@\""),
            "sh",
            PROGRAM,
        ]);
        self.set_up(command)
    }

    /// The program in bounded memory.
    pub(crate) fn bounded(&self) -> Command {
        if cfg!(target_os = "linux") {
            self.limited(&format!("-v {MEMORY}"))
        } else {
            self.program()
        }
    }

    fn set_up(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Builds the spec into `oci:out`.
    pub(crate) fn build(&self) -> Ran {
        self.run(&["build", "--spec", "spec.yaml", "--output", "oci:out"])
    }

    /// Runs the program in bounded memory.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        Ran::of(self.bounded().args(args))
    }

    /// All that lies here but the cache: for each path its type, mode, and bytes or target.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        look(self.dir.path(), &mut found);
        found.retain(|path, _| !path.starts_with(self.path("cache")));
        found
    }

    /// A build that must fail with `code`, and leave everything as it was.
    pub(crate) fn refused(&self, code: i32) -> Ran {
        self.refused_with(
            code,
            &mut self.bounded(),
            &["build", "--spec", "spec.yaml", "-o", "oci:out"],
        )
    }

    /// A run that must fail with `code`, say nothing on standard output, and leave everything as it
    /// was.
    pub(crate) fn refused_with<S: AsRef<OsStr>>(
        &self,
        code: i32,
        command: &mut Command,
        args: &[S],
    ) -> Ran {
        let before = self.snapshot();
        let mut ran = Ran::of(command.args(args));
        let here = format!("{}/", self.dir.path().display());
        ran.stderr = without_staging(&ran.stderr.replace(&here, ""));
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{}", ran.stderr);
        assert_eq!(self.snapshot(), before, "{}", ran.stderr);
        ran
    }
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the program runs"))
    }

    /// The run as it must be: with success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// The digest in the last line of standard output.
    pub(crate) fn digest(&self) -> String {
        let line = self.stdout.lines().last().expect("a line");
        let (_, digest) = line.rsplit_once('@').expect("a digest");
        digest.to_owned()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn look(path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    let kind = metadata.file_type();
    let mut shown = format!("{:o}", metadata.mode());
    if kind.is_symlink() {
        let _ = write!(shown, " {}", fs::read_link(path).expect("a link").display());
    } else if kind.is_file() {
        let digest = File::open(path).ok().map(|mut file| {
            let mut hashing = customize::core::digest::Hashing::new(&mut file);
            std::io::copy(&mut hashing, &mut std::io::sink()).expect("read");
            hashing.finish().0
        });
        let _ = write!(
            shown,
            " {}",
            digest.map_or_else(String::new, |d: Digest| d.to_string())
        );
    } else if kind.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            look(&entry.path(), found);
        }
    } else if kind.is_fifo() {
        shown.push_str(" FIFO");
    }
    found.insert(path.to_owned(), shown);
}

/// The longest line of a transcript: paths may be far longer.
const LINE: usize = 400;

/// Collects what runs said, for a golden file. Digests are given names.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
}

impl Transcript {
    /// Notes what a run said. `names` are digests and what to call them; others keep their first
    /// eight digits.
    pub(crate) fn note(&mut self, title: &str, ran: &Ran, names: &[(&str, &str)]) {
        let mut said = format!("{}{}", ran.stdout, ran.stderr);
        for (digest, name) in names {
            said = said.replace(digest, &format!("<{name}>"));
        }
        let _ = writeln!(self.text, "## {title}: exit {}", ran.code.unwrap_or(-1));
        for line in without_numbers(&shorten(&said)).lines() {
            let _ = match line.get(..LINE) {
                Some(start) if line.len() > LINE => writeln!(self.text, "{start}..."),
                _ => writeln!(self.text, "{line}"),
            };
        }
        self.text.push('\n');
    }

    pub(crate) fn check(&self, name: &str) {
        crate::golden::check(&format!("tests/golden/hostile/{name}.txt"), &self.text);
    }
}

/// The names of staging directories are made up.
fn without_staging(text: &str) -> String {
    let mut parts = text.split(".customize-");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        rest.push_str(".customize-XXXXXX");
        rest.push_str(part.trim_start_matches(|c: char| c == '-' || c.is_ascii_alphanumeric()));
    }
    rest
}

/// The numbers of the system's errors are not the same everywhere.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        rest.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    rest
}

/// Digests down to their first eight digits.
fn shorten(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        short.push_str("sha256:");
        if digits == 64 {
            short.push_str(&part[..8]);
            short.push_str(&part[64..]);
        } else {
            short.push_str(part);
        }
    }
    short
}
