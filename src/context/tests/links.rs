//! Links are followed inside the context, kept below directories, and never lead outside.

use super::*;

const REFUSED: &str = "hint: put what it points to into the context and make the target relative, \
                       or leave the link out with `exclude`";

#[test]
fn a_source_that_is_a_link_is_followed() {
    let fixture = Fixture::new();
    // as Kubernetes mounts a ConfigMap
    fixture
        .file("certs/..2024_05/ca.crt", "ca")
        .link("certs/..data", "..2024_05")
        .link("certs/ca.crt", "..data/ca.crt")
        .link("up", "certs/../certs/./ca.crt")
        .link("dir", "certs/..data/");
    for (source, name) in [("certs/ca.crt", "ca.crt"), ("up", "up")] {
        let found = fixture.literal(source).expect("found");
        assert_eq!(listing(&found), [". = ca"], "{source}");
        assert_eq!(found.name, name.as_bytes());
        assert_eq!(found.shown, source);
    }
    for source in ["dir", "dir/", "certs/..data"] {
        let found = fixture.literal(source).expect("found");
        assert_eq!(listing(&found), ["./", "ca.crt = ca"], "{source}");
    }
    let found = fixture.glob("certs", "certs/*.crt", &|_| false);
    let found = found.expect("found");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].shown, "certs/ca.crt");
    assert_eq!(listing(&found[0]), [". = ca"]);
    // the prefix of a glob is followed, links below it are not searched
    let found = fixture.glob("dir", "dir/*.crt", &|_| false).expect("found");
    assert_eq!(found[0].shown, "dir/ca.crt");
    let found = fixture.glob("", "d*/ca.crt", &|_| false);
    assert_eq!(
        fixture.refusal(found),
        "Usage: d*/ca.crt matches nothing in the context CTX\n\
         hint: `*` does not match `/`; `**/` looks into all directories below"
    );
}

#[test]
fn a_source_that_leads_outside_is_refused() {
    let fixture = Fixture::new();
    fixture
        .file("dir/file", "")
        .link("absolute", "/etc/passwd")
        .link("parent", "../outside/file")
        .link("dir/out", "../..")
        .link("through", "dir/out/outside/file")
        .link("round", "dir/../../context/dir/file")
        .link("loop-a", "loop-b")
        .link("loop-b", "./loop-a")
        .link("gone", "dir/none")
        .link("below-file", "dir/file/x");
    let leaves = |source: &str, link: &str| {
        format!(
            "Usage: {source} leaves the context CTX by the symbolic link {link}\n\
             hint: copy what the link points to into the context, and name the copy"
        )
    };
    let cases = [
        ("absolute", leaves("absolute", "absolute -> /etc/passwd")),
        ("parent", leaves("parent", "parent -> ../outside/file")),
        ("through", leaves("through", "dir/out -> ../..")),
        (
            "dir/out/outside/file",
            leaves("dir/out/outside/file", "dir/out -> ../.."),
        ),
        (
            "round",
            leaves("round", "round -> dir/../../context/dir/file"),
        ),
        (
            "loop-a",
            "Usage: loop-a in the context CTX is a symbolic link that leads to itself\n\
             hint: correct the link"
                .to_owned(),
        ),
        (
            "gone",
            "Usage: gone does not exist in the context CTX: the symbolic link gone -> dir/none \
             leads to dir/none, which is not there\n\
             hint: correct the link, or create what it points to"
                .to_owned(),
        ),
        (
            "below-file",
            "Usage: expected a directory at dir/file in the context CTX for below-file, found a \
             file\nhint: correct the path"
                .to_owned(),
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(fixture.refusal(fixture.literal(source)), expected);
        let glob = format!("{source}*");
        if !source.contains('/') {
            assert_eq!(
                fixture.refusal(fixture.glob("", &glob, &|path| path != source.as_bytes())),
                expected
            );
        }
    }
}

#[test]
fn links_below_a_directory_are_kept_as_they_stand() {
    let fixture = Fixture::new();
    fixture
        .file("d/file", "1")
        .file("shared/file", "2")
        .link("d/a", "file")
        .link("d/b", "../shared//./file")
        .link("d/c", "none/at/all")
        .link("d/e", "none/../file")
        .link("d/f", "file/below")
        .link("d/g", ".")
        .link("d/sub/h", "../../shared/")
        .link("d/i", "sub/h/../shared/file")
        .link("d/j", "..");
    let found = fixture.literal("d").expect("found");
    let expected = [
        "./",
        "a -> file",
        "b -> ../shared//./file",
        "c -> none/at/all",
        "e -> none/../file",
        "f -> file/below",
        "file = 1",
        "g -> .",
        "i -> sub/h/../shared/file",
        "j -> ..",
        "sub/",
        "sub/h -> ../../shared/",
    ];
    assert_eq!(listing(&found), expected);
}

#[test]
fn a_link_below_a_directory_that_leads_outside_is_refused() {
    let cases: [(&[(&str, &str)], &str); 7] = [
        (
            &[("d/a", "/etc/ssl/cert.pem")],
            "d/a -> /etc/ssl/cert.pem leaves the context CTX",
        ),
        (
            &[("d/a", "../../outside/file")],
            "d/a -> ../../outside/file leaves the context CTX",
        ),
        (
            &[("d/a", "x/../../..")],
            "d/a -> x/../../.. leaves the context CTX",
        ),
        (
            &[("d/a", "../../context/d/x")],
            "d/a -> ../../context/d/x leaves the context CTX",
        ),
        // a directory link on the way makes `..` mean another place
        (
            &[
                ("d/a", "deep/../../x"),
                ("d/deep", "../top"),
                ("top/x", "y"),
            ],
            "d/a -> deep/../../x leaves the context CTX, through d/deep -> ../top",
        ),
        (
            &[("d/a", "b"), ("d/b", "../e/c"), ("e/c", "/")],
            "d/a -> b leaves the context CTX, through e/c -> /",
        ),
        (
            &[("d/a", "none/../../../x")],
            "d/a -> none/../../../x leaves the context CTX",
        ),
    ];
    for (links, expected) in cases {
        let fixture = Fixture::new();
        for (path, target) in links {
            fixture.link(path, target);
        }
        assert_eq!(
            fixture.refusal(fixture.literal("d")),
            format!("Usage: the symbolic link {expected}\n{REFUSED}")
        );
        // and it can be left out
        assert!(fixture.literal_without("d", &|_| true).is_ok());
    }
    let fixture = Fixture::new();
    fixture.link("d/a", "../e/b").link("e/b", "../d/a");
    assert_eq!(
        fixture.refusal(fixture.literal("d")),
        "Usage: the symbolic link d/a -> ../e/b in the context CTX leads to itself\n\
         hint: correct the link, or leave it out with `exclude`"
    );
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let fixture = Fixture::new();
    fixture.file("0", "end");
    for number in 1..=41 {
        fixture.link(&number.to_string(), &(number - 1).to_string());
    }
    assert_eq!(listing(&fixture.literal("40").expect("found")), [". = end"]);
    assert_eq!(
        fixture.refusal(fixture.literal("41")),
        "Usage: 41 in the context CTX is a symbolic link that leads to itself\n\
         hint: correct the link"
    );
}
