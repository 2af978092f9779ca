//! The command line as a user sees it: whole outputs and exit codes, in golden transcripts.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::examples::prepared;
use crate::golden;
use crate::support::run::{BINARY, CopyStyle, Run, Sandbox, run};

const SPEC: &str = "examples/corporate-ca/spec.yaml";

/// What a user would see: commands, and what each gave.
struct Transcript<'a> {
    sandbox: &'a Sandbox,
    text: String,
}

impl<'a> Transcript<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let text = String::new();
        Self { sandbox, text }
    }

    /// Runs a line of words without spaces.
    fn run(&mut self, line: &str) -> Run {
        self.run_with(line, &[])
    }

    fn run_with(&mut self, line: &str, environment: &[(&str, &str)]) -> Run {
        let mut command = self.sandbox.command(BINARY);
        command.args(line.split_whitespace());
        command.envs(environment.iter().copied());
        let run = run(&mut command);
        self.text.push_str("$ ");
        for (name, value) in environment {
            let _ = write!(self.text, "{name}={value} ");
        }
        let _ = writeln!(self.text, "customize {line}");
        for (name, output) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            if !output.is_empty() {
                let _ = write!(self.text, "[{name}]\n{}", with_newline(output));
            }
        }
        let code = run.code.expect("an exit code");
        let _ = writeln!(self.text, "[exit code {code}]\n");
        run
    }

    fn check(self, name: &str) {
        assert_eq!(self.sandbox.left_behind(), Vec::<std::path::PathBuf>::new());
        let cache = self.sandbox.cache();
        let text = self.text.replace(cache.to_str().expect("text"), "CACHE");
        golden::check(&format!("tests/golden/cli/{name}.txt"), &text);
    }
}

fn with_newline(text: &str) -> String {
    let end = if text.ends_with('\n') {
        ""
    } else {
        "\n[no newline]\n"
    };
    format!("{text}{end}")
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    let mut transcript = Transcript::new(&sandbox);
    for line in [
        "--help",
        "build --help",
        "plan --help",
        "cache --help",
        "cache info --help",
        "cache prune --help",
        "-h",
        "--version",
    ] {
        assert_eq!(transcript.run(line).code, Some(0));
    }
    transcript.check("help");
}

#[test]
fn bad_command_lines() {
    let sandbox = prepared(CopyStyle::default());
    let work = sandbox.work();
    fs::create_dir(work.join("directory")).expect("a directory");
    let mut transcript = Transcript::new(&sandbox);
    let spec = format!("build --spec {SPEC} --base-layout bases");
    for line in [
        "",
        "bild",
        "build",
        &format!("build --spec {SPEC}"),
        &format!("{spec} --output docker:x"),
        &format!("{spec} --output oci:"),
        &format!("{spec} --output out"),
        &format!("{spec} --output oci:out:-bad"),
        &format!("{spec} --output docker-archive:a.tar:app"),
        &format!("{spec} --output docker-archive:a.tar:app:1.0"),
        &format!("{spec} --output oci:missing/out"),
        &format!("{spec} --output oci:examples"),
        &format!("{spec} --output oci:out --threads 0"),
        &format!("{spec} --output oci:out -q -v"),
        "build --spec missing.yaml --output oci:out",
        "build --spec directory --output oci:out",
        &format!("build --spec {SPEC} --output oci:out"),
        &format!("build --spec {SPEC} --base-layout directory --output oci:out"),
        &format!("build --spec {SPEC} --base-layout missing --output oci:out"),
        &format!("{spec} --output oci:out --context missing"),
        &format!("{spec} --output oci:out --context examples"),
        "cache",
        "cache clear",
    ] {
        assert_eq!(transcript.run(line).code, Some(2), "{line}");
    }
    assert!(!work.join("out").exists());
    assert!(!work.join("a.tar").exists());
    transcript.check("bad-command-lines");
}

#[test]
fn bad_specs_and_bases() {
    let sandbox = prepared(CopyStyle::default());
    let work = sandbox.work();
    let spec = fs::read_to_string(work.join(SPEC)).expect("a spec");
    let write = |name: &str, text: &str| fs::write(work.join(name), text).expect("write");
    let base = spec
        .lines()
        .find(|line| line.starts_with("base_image"))
        .expect("a base");
    let base = format!("{base}\n");
    let (unpinned, digest) = base.trim_end().split_once('@').expect("a digest");
    write(
        "platform.yaml",
        &format!("{base}platforms: [linux/amd64, linux/s390x]\n"),
    );
    write("unpinned.yaml", unpinned);
    write("key.yaml", &format!("{base}copy_file: []\n"));
    write(
        "source.yaml",
        &format!("{base}copy_files:\n  - {{source: a, destination: /a}}\n"),
    );
    write(
        "outside.yaml",
        &format!("{base}copy_files:\n  - {{source: ../a, destination: /a}}\n"),
    );
    write(
        "file.yaml",
        &format!("{base}copy_files:\n  - {{content: a, destination: /etc/passwd/a}}\n"),
    );
    write(
        "other.yaml",
        "base_image: nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    );
    let mut transcript = Transcript::new(&sandbox);
    for name in [
        "platform", "unpinned", "key", "source", "outside", "file", "other",
    ] {
        let line = format!("build --spec {name}.yaml --base-layout bases --output oci:out");
        assert_eq!(transcript.run(&line).code, Some(2), "{name}");
    }
    let line = format!("plan --spec {SPEC} --base-layout bases");
    let run = transcript.run_with(&line, &[("SOURCE_DATE_EPOCH", "yesterday")]);
    assert_eq!(run.code, Some(2));
    let blob = work
        .join("bases/blobs/sha256")
        .join(digest.trim_start_matches("sha256:"));
    fs::remove_file(&blob).expect("remove");
    fs::write(&blob, "{}").expect("write");
    assert_eq!(transcript.run(&line).code, Some(4));
    assert!(!work.join("out").exists());
    transcript.check("bad-specs-and-bases");
}

#[test]
fn a_build_says_what_it_did() {
    let sandbox = prepared(CopyStyle::default());
    let mut transcript = Transcript::new(&sandbox);
    let one = transcript.run(&format!(
        "build --spec {SPEC} --base-layout bases --output oci:out:1"
    ));
    let two = transcript.run(
        "build -q --spec examples/postgres/spec.yaml --base-layout bases --output oci:two:v1 \
         --output oci-archive:two.tar --output docker-archive:docker.tar:app:1 \
         --metadata-file metadata.json --digest-file digest",
    );
    assert_eq!(
        [one.stdout.lines().count(), two.stdout.lines().count()],
        [1, 3]
    );
    assert_eq!(two.stderr, "");
    for name in ["metadata.json", "digest"] {
        let text = fs::read_to_string(sandbox.work().join(name)).expect("a file");
        let _ = writeln!(transcript.text, "== {name}\n{}", with_newline(&text));
    }
    transcript
        .run("build -v --spec examples/postgres/spec.yaml --base-layout bases --output oci:v");
    transcript.run("plan -v --spec examples/postgres/spec.yaml --base-layout bases");
    transcript.run("plan -q --spec examples/postgres/spec.yaml --base-layout bases");
    transcript.check("build");
}

#[test]
fn json_is_one_object() {
    let sandbox = prepared(CopyStyle::default());
    let mut transcript = Transcript::new(&sandbox);
    let spec = "--spec examples/agent-from-image/spec.yaml --base-layout bases";
    let build = transcript.run(&format!("build --json {spec} --output oci:out:1"));
    let plan = transcript.run(&format!("--json plan {spec}"));
    let [mut build, plan] =
        [build, plan].map(|run| -> Value { serde_json::from_str(&run.stdout).expect("JSON") });
    // They agree but for what was written.
    build.as_object_mut().expect("an object").remove("outputs");
    assert_eq!(build, plan);
    transcript.check("json");
}

#[test]
fn the_spec_may_come_from_standard_input() {
    let sandbox = prepared(CopyStyle::default());
    let script = format!(
        "{BINARY} plan --spec - --context examples/corporate-ca --base-layout bases < {SPEC}"
    );
    let piped = run(sandbox.command("/bin/sh").args(["-c", &script]));
    let named = sandbox.customize(["plan", "--spec", SPEC, "--base-layout", "bases"]);
    assert_eq!(piped, named);
}

#[test]
fn no_color_where_there_is_no_terminal() {
    let sandbox = Sandbox::new();
    for no_color in ["", "1"] {
        let mut command = sandbox.command(BINARY);
        command
            .args(["plan", "--spec", "missing"])
            .env("NO_COLOR", no_color)
            .env("TERM", "xterm");
        let run = run(&mut command);
        assert!(!run.stderr.contains('\x1b'), "{}", run.stderr);
    }
}

#[test]
fn the_cache_is_told_of_and_emptied() {
    let sandbox = prepared(CopyStyle::default());
    let mut transcript = Transcript::new(&sandbox);
    transcript.run("cache info");
    let line = format!("plan -q --spec {SPEC} --base-layout bases");
    transcript.run(&line);
    for line in [
        "cache info",
        "cache info --json",
        "cache prune",
        "cache info",
        "cache prune --json",
    ] {
        transcript.run(line);
    }
    transcript.run(&format!("{line} --no-cache"));
    transcript.run("cache info");
    transcript.run_with("cache info", &[("XDG_CACHE_HOME", ""), ("HOME", "")]);
    transcript.check("cache");
}
