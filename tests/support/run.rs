//! The binary under test in an environment of its own, and copies of the repository's files that
//! it may work on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_customize");

/// A directory to work in, with its own home, cache and temporary directory.
pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What a run of a program gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        for name in ["home", "cache", "tmp", "work"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        Self { dir }
    }

    /// The working directory of commands.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The directory of the cache, which commands make when they need it.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache/customize")
    }

    /// A program that sees nothing of the environment of the tests.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .current_dir(self.work());
        command
    }

    /// Runs the binary.
    pub(crate) fn customize<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        run(self.command(BINARY).args(args))
    }

    /// What is left in the temporary directory: nothing, unless something was forgotten.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("tmp")).expect("a directory");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }
}

impl Run {
    /// The standard output of a run that must succeed.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().expect("the program starts");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// How a copy differs from what it is a copy of, in ways that must not matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyStyle {
    /// Make the last name of each directory first.
    pub(crate) reverse: bool,
    /// Mode of files; execute bits are added where the original is executable.
    pub(crate) mode: u32,
    /// Set every time to this; seconds since the epoch.
    pub(crate) mtime: Option<u64>,
}

impl Default for CopyStyle {
    fn default() -> Self {
        Self {
            reverse: false,
            mode: 0o644,
            mtime: None,
        }
    }
}

/// Copies a file or a directory with all in it.
pub(crate) fn copy(from: &Path, to: &Path, style: CopyStyle) {
    let metadata =
        fs::symlink_metadata(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    if metadata.is_symlink() {
        symlink(fs::read_link(from).expect("a link"), to).expect("make a link");
        return;
    }
    if metadata.is_dir() {
        fs::create_dir_all(to).expect("make a directory");
        let entries = fs::read_dir(from).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        if style.reverse {
            names.reverse();
        }
        for name in names {
            copy(&from.join(&name), &to.join(&name), style);
        }
    } else {
        fs::write(to, fs::read(from).expect("a file")).expect("write a file");
        let readable = style.mode & 0o444;
        let execute = if metadata.permissions().mode() & 0o111 == 0 {
            0
        } else {
            readable >> 2
        };
        fs::set_permissions(to, fs::Permissions::from_mode(style.mode | execute)).expect("chmod");
    }
    if let Some(seconds) = style.mtime {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = fs::File::open(to).expect("open");
        file.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time))
            .expect("touch");
    }
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
