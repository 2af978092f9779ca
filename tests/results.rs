//! What a build decides by all of its input together, told by its plan.

use serde_json::Value;

use crate::support::bench::Bench;
use crate::support::layout::{Layer, base_layer};
use crate::support::tar::Tar;

fn plan(bench: &Bench) -> Value {
    let ran = bench.run(&["plan", "--spec", "spec.yaml", "--json"]);
    serde_json::from_str(&ran.succeeded().stdout).expect("JSON")
}

/// Owner and path of all that is added or replaced, and the notes.
fn told(plan: &Value) -> Vec<String> {
    let files = plan["platforms"][0]["files"].as_array().expect("files");
    let files = files.iter().filter(|file| file["action"] != "keep");
    let lines = files.map(|file| {
        format!(
            "{}:{} {} {}",
            file["uid"],
            file["gid"],
            file["mode"].as_str().expect("a mode"),
            file["path"].as_str().expect("a path")
        )
    });
    let notes = plan["notes"].as_array().expect("notes");
    let notes = notes
        .iter()
        .map(|note| note.as_str().expect("a note").to_owned());
    lines.chain(notes).collect()
}

#[test]
fn owners_are_those_of_the_result() {
    let bench = Bench::new();
    bench.spec(
        r#"
base_image: scratch
arch: amd64
config: {user: "1000"}
copy_files:
  - {destination: /named, content: "", owner: app}
  - {destination: /etc/passwd, content: "app:x:1000:2000::/:/sbin/nologin\n"}
  - {destination: /runtime, content: "", owner: runtime}
"#,
    );
    assert_eq!(
        told(&plan(&bench)),
        [
            "0:0 0755 /etc",
            "0:0 0644 /etc/passwd",
            "1000:2000 0644 /named",
            "1000:2000 0644 /runtime",
        ]
    );
}

#[test]
fn a_directory_that_is_asked_for_gets_what_is_asked() {
    let bench = Bench::of(&[base_layer()]);
    std::fs::create_dir(bench.path("data")).expect("a directory");
    bench.write("data/file", "");
    bench.add_to(
        &format!("oci:base@{}", bench.pinned()),
        r#"copy_files:
  - {destination: /opt/app/conf, content: ""}
  - {destination: /opt/app, source: data, owner: "1:2", mode: "0600"}
  - {destination: /etc, source: data, owner: "1:2"}
"#,
    );
    assert_eq!(
        told(&plan(&bench)),
        [
            "1:2 0644 /etc/file",
            "0:0 0755 /opt",
            "1:2 0700 /opt/app",
            "0:0 0644 /opt/app/conf",
            "1:2 0600 /opt/app/file",
            "copy_files[2]: the directory /etc is there already and keeps mode 0755 and owner 0:0",
        ]
    );
}

#[test]
fn what_a_file_out_of_an_image_loses_is_told() {
    let bench = Bench::of(&[base_layer()]);
    let mut tar = Tar::new();
    tar.pax(&[("SCHILY.xattr.security.capability", b"\x01\0")]);
    tar.file(b"bin/ping", b"ping");
    let tools = bench.base().image(&[Layer::plain(tar.end())]);
    bench.add_to(
        &format!("oci:base@{}", bench.pinned()),
        &format!(
            r#"copy_files:
  - {{from: "oci:base@{tools}", source: bin/ping, destination: /opt/ping}}
"#
        ),
    );
    assert_eq!(
        told(&plan(&bench)),
        [
            "0:0 0755 /opt",
            "0:0 0644 /opt/ping",
            "copy_files[0]: /bin/ping loses what makes it more than a file: security.capability",
        ]
    );
}

#[test]
fn a_glob_that_leaves_nothing_out_is_told_of() {
    let bench = Bench::of(&[base_layer()]);
    std::fs::create_dir(bench.path("data")).expect("a directory");
    bench.write("data/file", "");
    bench.write("data/secret.key", "");
    bench.add_to(
        &format!("oci:base@{}", bench.pinned()),
        r#"copy_files:
  - {destination: /data, source: data, exclude: ["*.key", "*.kye"]}
"#,
    );
    assert_eq!(
        told(&plan(&bench)),
        [
            "0:0 0755 /data",
            "0:0 0644 /data/file",
            "copy_files[0]: exclude `*.kye` leaves nothing out",
        ]
    );
}

#[test]
fn no_output_takes_the_place_of_something_else() {
    let bench = Bench::honest();
    bench.write("notes", "a".repeat(1000));
    for (arguments, message) in [
        (
            &["-o", "oci-archive:notes"][..],
            "expected a tar archive or nothing, found another file: notes",
        ),
        (
            &["-o", "oci:out", "--digest-file", "./spec.yaml"],
            "expected one use of each file, found two for ./spec.yaml",
        ),
        (
            &["-o", "oci-archive:a.tar", "-o", "docker-archive:a.tar"],
            "expected one use of each file, found two for a.tar",
        ),
    ] {
        let arguments = [&["build", "--spec", "spec.yaml"], arguments].concat();
        let ran = bench.refused_with(2, &mut bench.program(), &arguments);
        let first = ran.stderr.lines().next();
        assert_eq!(first, Some(format!("error: {message}").as_str()));
    }
    let again = [
        "build",
        "-q",
        "--spec",
        "spec.yaml",
        "-o",
        "oci-archive:a.tar",
    ];
    bench.run(&again).succeeded();
    bench.run(&again).succeeded();
}

#[test]
fn a_result_is_a_base_by_the_line_that_named_it() {
    let bench = Bench::honest();
    let ran = bench.run(&["build", "--spec", "spec.yaml", "-o", "oci:out:v1"]);
    let line = ran.succeeded().stdout;
    bench.add_to(line.trim(), "config: {user: \"7\"}\n");
    assert_eq!(plan(&bench)["platforms"][0]["layer"], Value::Null);
}
