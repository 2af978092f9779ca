//! The rules of the house, read from the sources: what `core` may not touch, which way the
//! dependencies point, and who may write to standard output and standard error.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What `core` names nowhere, its tests included: files, network, clock, environment, processes,
/// and the packages that reach them.
const IMPURE: [&str; 16] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::os",
    "std::process",
    "std::io::stdin",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "tokio",
    "oci_client",
    "sigstore",
    "tempfile",
    "cap_std",
    "rustix",
];

/// Each part of the crate and the parts that it does not know.
const BELOW: [(&str, &[&str]); 6] = [
    (
        "core",
        &[
            "base",
            "build",
            "cli",
            "commands",
            "context",
            "report",
            "store",
            "temporary",
        ],
    ),
    (
        "store",
        &["base", "build", "cli", "commands", "context", "report"],
    ),
    (
        "context",
        &["base", "build", "cli", "commands", "report", "store"],
    ),
    ("base", &["build", "cli", "commands", "context", "report"]),
    ("build", &["cli", "commands", "report"]),
    ("report", &["base", "build", "commands", "context", "store"]),
];

/// What only these may name: they are the ends of the program.
const SPEAKERS: [&str; 2] = ["main.rs", "report.rs"];
const SPEECH: [&str; 9] = [
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "std::io::stdout",
    "std::io::stderr",
    "std::process::exit",
    "std::process::abort",
];

#[test]
fn core_is_pure() {
    let found: Vec<_> = sources("core")
        .iter()
        .flat_map(|file| file.naming(&IMPURE))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn dependencies_point_one_way() {
    let mut found = Vec::new();
    for (part, strangers) in BELOW {
        let files = sources(part);
        assert!(!files.is_empty(), "no sources of {part}");
        let names: Vec<String> = strangers
            .iter()
            .map(|name| format!("crate::{name}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        found.extend(files.iter().flat_map(|file| file.naming(&names)));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn one_module_speaks() {
    let silent = sources("")
        .into_iter()
        .filter(|file| !SPEAKERS.contains(&file.name.as_str()));
    let found: Vec<_> = silent.flat_map(|file| file.naming(&SPEECH)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_module_says_what_it_owns() {
    for file in sources("") {
        let is_test = file.name.ends_with("tests.rs") || file.name.contains("tests/");
        assert!(
            is_test || file.text.starts_with("//! "),
            "{} has no opening words",
            file.name
        );
    }
}

#[test]
fn the_rules_can_be_broken() {
    for (source, name) in [
        (
            "use std::{\n    io::{self, Read},\n    fs as files,\n};",
            "std::fs",
        ),
        ("fn f() { let _ = ::std::env::var(\"A\"); }", "std::env"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        (
            "fn f() -> std :: time :: SystemTime { todo!() }",
            "std::time::SystemTime",
        ),
        ("mod tests { use tempfile::tempdir; }", "tempfile"),
        (
            "use std::io; fn f() { let _ = io::stdout(); }",
            "std::io::stdout",
        ),
        ("fn f() { println!(\"{}\", 1); }", "println"),
        ("use crate::{core::path, store::Store};", "crate::store"),
        ("use super::super::store::Store;", "crate::store"),
        ("use super::{super::store::Store};", "crate::store"),
        ("const A: &str = \"// \\\" \"; use std::fs;", "std::fs"),
        (
            "const A: char = '\"'; use std::fs; const B: char = '\"';",
            "std::fs",
        ),
        (
            "const A: &str = r#\"\"\"#; use std::fs; const B: &str = r#\"\"#;",
            "std::fs",
        ),
    ] {
        let file = Source::new("core/x.rs".to_owned(), source.to_owned());
        assert_eq!(
            file.naming(&[name]),
            [format!("core/x.rs names {name}")],
            "{source}"
        );
    }
    for source in [
        "//! Not std::fs.\n/* std::fs /* std::fs */ std::fs */",
        "const A: &str = \"std::fs\"; const B: &str = r#\"std::fs \" std::fs\"#;",
        "use std::fmt; fn f<'a>(x: &'a str) -> fmt::Result { x.parse::<my::std::fs>() }",
        "use std::fstab;",
    ] {
        let file = Source::new("core/x.rs".to_owned(), source.to_owned());
        assert_eq!(file.naming(&["std::fs"]), Vec::<String>::new(), "{source}");
    }
}

struct Source {
    /// The path below `src`.
    name: String,
    text: String,
    /// Every path that the code names, `use` groups taken apart and `super` resolved.
    paths: BTreeSet<Vec<String>>,
}

/// The sources of a part: `part.rs` and all below `part/`; of the whole crate for an empty name.
fn sources(part: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut todo = vec![root.join(part), root.join(format!("{part}.rs"))];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            todo.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    let source = |path: PathBuf| {
        let name = path
            .strip_prefix(&root)
            .expect("below src")
            .display()
            .to_string();
        Source::new(name, fs::read_to_string(&path).expect("a source"))
    };
    files.into_iter().map(source).collect()
}

impl Source {
    fn new(name: String, text: String) -> Self {
        let tokens = tokens(&text);
        let mut paths = BTreeSet::new();
        let mut place = 0;
        while place < tokens.len() {
            place = collect(&tokens, place, &[], &mut paths).max(place + 1);
        }
        let module = module(&name);
        let aliases = aliases(&paths);
        let paths = paths
            .into_iter()
            .map(|path| absolute(&path, &module, &aliases))
            .collect();
        Self { name, text, paths }
    }

    /// Those of `names` that the code names, or something in them.
    fn naming(&self, names: &[&str]) -> Vec<String> {
        let names = names.iter().filter(|name| {
            let name: Vec<&str> = name.split("::").collect();
            self.paths.iter().any(|path| {
                // A name of one part stands anywhere: `Instant::now` or `println`.
                let starts = path
                    .iter()
                    .map(String::as_str)
                    .take(name.len())
                    .eq(name.iter().copied());
                let anywhere = !["std", "crate"].contains(&name[0])
                    && path.windows(name.len()).any(|part| part == name.as_slice());
                starts || anywhere
            })
        });
        names
            .map(|name| format!("{} names {name}", self.name))
            .collect()
    }
}

/// The module path of a file: `core/x/mod.rs` is `crate::core::x`.
fn module(name: &str) -> Vec<String> {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts = path
        .split('/')
        .filter(|part| !["lib", "main"].contains(part));
    std::iter::once("crate")
        .chain(parts)
        .map(str::to_owned)
        .collect()
}

/// What short names of modules stand for: `io` for `std::io` after `use std::io`.
fn aliases(paths: &BTreeSet<Vec<String>>) -> Vec<(String, Vec<String>)> {
    let of_std = paths
        .iter()
        .filter(|path| path.len() == 2 && path[0] == "std");
    of_std.map(|path| (path[1].clone(), path.clone())).collect()
}

fn absolute(path: &[String], module: &[String], aliases: &[(String, Vec<String>)]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    if ups > 0 {
        // Within a module of the file, one `super` more is needed: too strict there, never too lax.
        let kept = module.len().saturating_sub(ups).max(1);
        return module[..kept].iter().chain(&path[ups..]).cloned().collect();
    }
    for (alias, whole) in aliases {
        if path.len() > 1 && path[0] == *alias {
            return whole.iter().chain(&path[1..]).cloned().collect();
        }
    }
    path.to_vec()
}

/// Reads a path at `place`, with its groups, into `paths`; gives where it ends.
fn collect(
    tokens: &[String],
    mut place: usize,
    prefix: &[String],
    paths: &mut BTreeSet<Vec<String>>,
) -> usize {
    let is = |place: usize, token: &str| tokens.get(place).is_some_and(|found| found == token);
    let mut path = prefix.to_vec();
    if is(place, "::") {
        place += 1;
    }
    loop {
        match tokens.get(place) {
            Some(token) if is_word(token) => path.push(token.clone()),
            Some(token) if token == "{" && !path.is_empty() && is(place - 1, "::") => {
                place += 1;
                while place < tokens.len() && !is(place, "}") {
                    place = collect(tokens, place, &path, paths).max(place + 1);
                    if is(place, "as") {
                        place += 2;
                    }
                    if is(place, ",") {
                        place += 1;
                    }
                }
                return place + 1;
            }
            _ => break,
        }
        place += 1;
        if !is(place, "::") {
            break;
        }
        place += 1;
    }
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if path.len() > prefix.len() || !prefix.is_empty() {
        paths.insert(path);
    }
    place
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::`, and single characters; without comments, texts and characters.
fn tokens(source: &str) -> Vec<String> {
    let mut rest = source;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = skipped(rest) {
            length
        } else if is_word(rest) {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment, text or character that `rest` starts with.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let mut depth = 0;
        let mut place = 0;
        while place < rest.len() {
            let step = match &rest.as_bytes()[place..] {
                [b'/', b'*', ..] => (1, 2),
                [b'*', b'/', ..] => (-1, 2),
                _ => (0, 1),
            };
            depth += step.0;
            place += step.1;
            if depth == 0 {
                break;
            }
        }
        return Some(place);
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(raw) = raw {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        if raw[marks..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(marks));
            let start = rest.len() - raw.len() + marks + 1;
            return Some(
                start
                    + rest[start..]
                        .find(&end)
                        .map_or(rest.len() - start, |found| found + end.len()),
            );
        }
    }
    let quote = rest
        .chars()
        .next()
        .filter(|first| ['"', '\''].contains(first))?;
    if quote == '\'' {
        // A lifetime is no character.
        let mut chars = rest[1..].chars();
        let (first, second) = (chars.next()?, chars.next()?);
        if first != '\\' {
            return (second == '\'').then(|| 2 + first.len_utf8());
        }
    }
    let mut escaped = false;
    for (place, c) in rest.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(place + 1);
        }
        escaped = !escaped && c == '\\';
    }
    Some(rest.len())
}
