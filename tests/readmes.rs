//! The READMEs tell the truth: every command of their `console` blocks is run, in order, in a copy
//! of the repository, and must print what stands below it. `UPDATE_GOLDEN=1` writes it there.
//!
//! `customize` is always run. What other programs show is compared on Linux where all of `TOOLS`
//! are installed.

use std::env;
use std::fs;
use std::path::Path;

use crate::examples::{copied, names};
use crate::golden;
use crate::support::run::{BINARY, CopyStyle, Sandbox, repository, run};

/// The programs that commands may use, beside `customize` and the shell.
const TOOLS: [&str; 4] = ["jq", "sha256sum", "skopeo", "tar"];
const BASES: &str = "examples/bases/README.md";
/// What stands between the outputs of two commands.
const MARK: &str = "==== end of a command ====";

#[test]
fn the_tour_is_true() {
    check(&clone(), "README.md");
}

#[test]
fn the_examples_are_true() {
    let sandbox = clone();
    check(&sandbox, BASES);
    for name in names() {
        check(&sandbox, &format!("examples/{name}/README.md"));
    }
}

#[test]
fn the_main_job_is_one_command() {
    let readme = fs::read_to_string(repository("README.md")).expect("a README");
    let mut blocks = readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let command = blocks
        .find(|block| block.starts_with("cargo run"))
        .expect("the command");
    let sandbox = clone();
    let command = command.replace("cargo run --release --locked --", "customize");
    let output = shell(&sandbox, &format!("set -e\n{command}"));
    assert!(
        output.contains("\noci:target/images:corporate-ca@sha256:"),
        "{output}"
    );
}

#[test]
fn links_lead_somewhere() {
    let examples = names()
        .into_iter()
        .map(|name| format!("examples/{name}/README.md"));
    for path in examples.chain([BASES.to_owned(), "README.md".to_owned()]) {
        let full = repository(&path);
        let text = fs::read_to_string(&full).expect("a README");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let place = full.parent().expect("a directory").join(target);
            assert!(
                place.exists(),
                "{path} links to {target}, which is not there"
            );
        }
    }
}

/// What a fresh clone has, after cargo has made `target`.
fn clone() -> Sandbox {
    let sandbox = copied(CopyStyle::default());
    fs::create_dir(sandbox.work().join("target")).expect("a directory");
    sandbox
}

fn check(sandbox: &Sandbox, path: &str) {
    let text =
        fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut blocks = text.split("```console\n");
    let mut commands = Vec::new();
    let mut pieces = vec![blocks.next().unwrap_or_default().to_owned()];
    for block in blocks {
        let (block, rest) = block.split_once("```").expect("the end of a block");
        pieces.push("```console\n".to_owned());
        for command in split(block) {
            pieces.push(String::new());
            commands.push((pieces.len() - 1, command));
        }
        pieces.push(format!("```{rest}"));
    }
    assert!(!commands.is_empty(), "{path} shows no command");
    commands.retain(|(place, command)| {
        let is_run = everything_is_run() || only_customize(&command.line);
        if !is_run {
            pieces[*place] = format!("{}{}", command.shown, command.output);
        }
        is_run
    });
    let lines: Vec<String> = commands
        .iter()
        .map(|(_, command)| format!("{}\necho '{MARK}'\n", command.line))
        .collect();
    let printed = shell(sandbox, &lines.concat());
    let outputs: Vec<&str> = printed.split(&format!("{MARK}\n")).collect();
    assert_eq!(outputs.len(), commands.len() + 1, "{path}: {printed}");
    for ((place, command), output) in commands.iter().zip(outputs) {
        pieces[*place] = format!("{}{output}", command.shown);
    }
    golden::check(path, &pieces.concat());
}

struct Command {
    /// The lines of the command, as they stand in the block.
    shown: String,
    /// What the shell gets.
    line: String,
    output: String,
}

/// The commands of a block: a line after `$ `, and those that a backslash goes on with.
fn split(block: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut open = false;
    for line in block.split_inclusive('\n') {
        if let Some(start) = line.strip_prefix("$ ") {
            commands.push(Command {
                shown: line.to_owned(),
                line: start.to_owned(),
                output: String::new(),
            });
        } else {
            let command = commands.last_mut().expect("a block starts with `$ `");
            if open {
                command.shown += line;
                command.line += line;
            } else {
                command.output += line;
            }
        }
        open = (open || line.starts_with("$ ")) && line.ends_with("\\\n");
    }
    commands
}

fn only_customize(line: &str) -> bool {
    let is_tool = |word| TOOLS.contains(&word);
    line.starts_with("customize ") && !line.split_whitespace().any(is_tool)
}

fn everything_is_run() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    cfg!(target_os = "linux") && TOOLS.iter().all(|tool| is_there(tool))
}

/// What a script prints, to either stream.
fn shell(sandbox: &Sandbox, script: &str) -> String {
    let binary = Path::new(BINARY).parent().expect("a directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = [binary.to_owned()]
        .into_iter()
        .chain(env::split_paths(&path));
    let script = format!("exec 2>&1\n{script}");
    let mut command = sandbox.command("/bin/sh");
    command
        .args(["-c", &script])
        .env("PATH", env::join_paths(paths).expect("a path"));
    run(&mut command).success()
}
