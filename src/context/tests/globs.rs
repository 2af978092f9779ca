//! What a glob matches, and what is excluded from it.

use super::*;

const NO_SUCH_GLOB: &str = "hint: `*` does not match `/`; `**/` looks into all directories below";

fn shown(found: &[SourceMatch]) -> Vec<(&str, Vec<String>)> {
    let matches = found.iter();
    matches
        .map(|found| (found.shown.as_str(), listing(found)))
        .collect()
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

#[test]
fn globs() {
    let fixture = Fixture::new();
    fixture
        .file("certs/b.pem", "b")
        .file("certs/a.pem", "a")
        .file("certs/a.key", "k")
        .file("certs/.hidden.pem", "h")
        .file("certs/sub/c.pem", "c")
        .file("certs/sub/deep/d.pem", "d")
        .file("other/e.pem", "e");
    let find = |prefix, text| fixture.glob(prefix, text, &|_| false).expect("found");
    let found = find("certs", "certs/*.pem");
    assert_eq!(
        shown(&found),
        [
            ("certs/.hidden.pem", lines(&[". = h"])),
            ("certs/a.pem", lines(&[". = a"])),
            ("certs/b.pem", lines(&[". = b"])),
        ]
    );
    assert_eq!(found[1].name, b"a.pem");
    let found = find("", "**/[cde].pem");
    assert_eq!(
        shown(&found),
        [
            ("certs/sub/c.pem", lines(&[". = c"])),
            ("certs/sub/deep/d.pem", lines(&[". = d"])),
            ("other/e.pem", lines(&[". = e"])),
        ]
    );
    // a directory that matches brings all below it, once
    let found = find("certs", "certs/s**");
    assert_eq!(
        shown(&found),
        [(
            "certs/sub",
            lines(&["./", "c.pem = c", "deep/", "deep/d.pem = d"])
        )]
    );
}

#[test]
fn excluding_from_a_glob() {
    let fixture = Fixture::new();
    fixture
        .file("certs/a.pem", "a")
        .file("certs/b.pem", "b")
        .file("certs/sub/c.pem", "c")
        .file("certs/sub/d.key", "d");
    let exclude = |path: &[u8]| path == b"b.pem" || path == b"sub/d.key";
    let found = fixture.glob("certs", "certs/*", &exclude).expect("found");
    assert_eq!(
        shown(&found),
        [
            ("certs/a.pem", lines(&[". = a"])),
            ("certs/sub", lines(&["./", "c.pem = c"])),
        ]
    );
    assert_eq!(
        fixture.refusal(fixture.glob("certs", "certs/*", &|_| true)),
        "Usage: all that certs/* matches in the context CTX is excluded\n\
         hint: narrow `exclude`, or remove this source"
    );
    assert_eq!(
        fixture.refusal(fixture.glob("certs", "certs/*.crt", &|_| false)),
        format!("Usage: certs/*.crt matches nothing in the context CTX\n{NO_SUCH_GLOB}")
    );
    assert_eq!(
        fixture.refusal(fixture.glob("cert", "cert/*.crt", &|_| false)),
        "Usage: cert/*.crt does not exist in the context CTX: there is no cert\n\
         hint: did you mean certs?"
    );
}

#[test]
fn a_pruned_directory_is_not_asked_about() {
    let fixture = Fixture::new();
    fixture.file("src/a.py", "a").file("src/venv/b.py", "b");
    let asked = std::cell::RefCell::new(Vec::new());
    let exclude = |path: &[u8]| {
        asked.borrow_mut().push(escape(path));
        path == b"venv"
    };
    let found = fixture.glob("src", "src/**/*.py", &exclude).expect("found");
    assert_eq!(shown(&found), [("src/a.py", lines(&[". = a"]))]);
    let mut asked = asked.into_inner();
    asked.sort();
    assert_eq!(asked, ["a.py", "venv"]);
}
