use proptest::prelude::*;

use super::*;
use crate::error::Kind;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Puts the digest in for `DIGEST`, so that the tests' YAML stays readable.
fn parse(yaml: &str) -> Result<Spec> {
    Spec::parse(
        &yaml.replace("DIGEST", &format!("sha256:{HEX}")),
        "spec.yaml",
    )
}

fn with_base(rest: &str) -> Result<Spec> {
    parse(&format!("base_image: nginx@DIGEST\n{rest}"))
}

/// Message and hint of the error.
fn failure(result: Result<Spec>) -> String {
    let error = result.expect_err("a bad spec");
    assert_eq!(error.kind(), Kind::Usage);
    match error.advice() {
        Some(hint) => format!("{error} | {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn the_smallest_spec_has_the_defaults() {
    let spec = with_base("").expect("a spec");
    assert_eq!(spec.platforms, PlatformChoice::All);
    assert_eq!(spec.variant, Variant::Prod);
    assert!(spec.copy_files.is_empty());
    assert_eq!(spec.config, Config::default());
    assert_eq!(spec.accounts, Accounts::default());
    assert_eq!(spec.defaults, Defaults::default());
    assert_eq!(spec.timestamp, None);
    assert_eq!(spec.metadata, Metadata::default());
    assert_eq!(spec.compression, Compression::Gzip);
    assert_eq!(spec.compression_level, Some(6));
}

#[test]
fn the_cleanstart_spec_is_valid_as_it_stands() {
    let spec = parse(
        r#"base_image: "cleanstart/postgresql:15-prod@DIGEST"
arch: amd64
variant: prod
copy_files:
  - source: certs/corporate-ca.crt
    destination: /etc/ssl/certs/corporate-ca.crt
  - source: config/custom.conf
    destination: /etc/postgresql/custom.conf
"#,
    )
    .expect("a spec");
    let Base::Image(base) = &spec.base_image else {
        panic!("expected an image");
    };
    assert_eq!(
        base.to_string(),
        format!("docker.io/cleanstart/postgresql:15-prod@sha256:{HEX}")
    );
    assert_eq!(
        spec.platforms,
        PlatformChoice::One("linux/amd64".parse().expect("a platform"))
    );
    assert_eq!(spec.variant, Variant::Prod);
    let copied: Vec<_> = spec
        .copy_files
        .iter()
        .map(|entry| match &entry.what {
            CopySource::Context(source) => (source.as_str(), entry.destination.path.to_string()),
            other => panic!("expected a file of the context, found {other:?}"),
        })
        .collect();
    assert_eq!(
        copied,
        [
            (
                "certs/corporate-ca.crt",
                "/etc/ssl/certs/corporate-ca.crt".to_owned()
            ),
            (
                "config/custom.conf",
                "/etc/postgresql/custom.conf".to_owned()
            ),
        ]
    );
}

#[test]
fn copy_files_are_read() {
    let spec = with_base(
        "copy_files:
  - {source: app/, destination: /app, mode: '0640', owner: '65532:65532', exclude: ['**/*.pyc']}
  - {content: \"a\\nb\\n\", destination: /etc/a, mode: 0755, owner: runtime}
  - {from: alpine@DIGEST, source: /usr/bin/*, destination: /bin/, owner: '1000:web'}
defaults: {owner: postgres, mode: '600'}
",
    )
    .expect("a spec");
    let [app, inline, image] = spec.copy_files.as_slice() else {
        panic!("expected three entries");
    };
    assert_eq!(
        app.mode.map(|mode| mode.to_string()),
        Some("0640".to_owned())
    );
    assert_eq!(
        app.owner,
        Some(Owner::Numeric {
            uid: 65532,
            gid: 65532
        })
    );
    assert_eq!(
        app.exclude.iter().map(Glob::as_str).collect::<Vec<_>>(),
        ["**/*.pyc"]
    );
    assert!(matches!(&inline.what, CopySource::Inline(text) if text == "a\nb\n"));
    assert_eq!(inline.mode.map(Mode::for_files), Some(0o755));
    assert_eq!(inline.owner, Some(Owner::Runtime));
    assert!(image.destination.directory);
    assert!(matches!(&image.what, CopySource::Image(from, source)
            if from.to_string() == format!("docker.io/library/alpine@sha256:{HEX}")
                && source.literal_prefix().to_string() == "/usr/bin"));
    assert_eq!(
        image.owner,
        Some(Owner::Named {
            user: Principal::Id(1000),
            group: Some(Principal::Name("web".to_owned())),
        })
    );
    assert_eq!(
        spec.defaults.owner,
        Some(Owner::Named {
            user: Principal::Name("postgres".to_owned()),
            group: None,
        })
    );
    assert_eq!(spec.defaults.mode.map(Mode::for_directories), Some(0o700));
}

#[test]
fn config_keeps_order_and_text() {
    let spec = with_base(
        "config:
  user: 65532
  env: {Z: '1.10', A: $Z/bin, EMPTY: ''}
  labels: {b: '', a: 'true'}
  workdir: /app
  entrypoint: [/usr/bin/tini, --]
  cmd: []
  expose: [8080, 53/udp, '9/sctp']
  stop_signal: 15
annotations: {z: '1', a: '2'}
",
    )
    .expect("a spec");
    let pairs = |map: &indexmap::IndexMap<String, String>| -> Vec<String> {
        map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let config = &spec.config;
    assert_eq!(config.user.as_ref().map(User::as_str), Some("65532"));
    assert_eq!(pairs(&config.env), ["Z=1.10", "A=$Z/bin", "EMPTY="]);
    assert_eq!(pairs(&config.labels), ["b=", "a=true"]);
    assert_eq!(pairs(&spec.annotations), ["z=1", "a=2"]);
    assert_eq!(config.workdir.as_ref().map(Workdir::as_str), Some("/app"));
    let arguments = |list: &Option<Arguments>| -> Option<Vec<String>> {
        list.as_ref()
            .map(|list| list.iter().map(str::to_owned).collect())
    };
    assert_eq!(
        arguments(&config.entrypoint),
        Some(vec!["/usr/bin/tini".to_owned(), "--".to_owned()])
    );
    assert_eq!(arguments(&config.cmd), Some(Vec::new()));
    let ports: Vec<String> = config.expose.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["8080/tcp", "53/udp", "9/sctp"]);
    assert_eq!(config.stop_signal.as_ref().map(Signal::as_str), Some("15"));
}

#[test]
fn the_rest_is_read() {
    let spec = parse(
        "base_image: scratch
platforms: [linux/arm64/v8, linux/amd64]
variant: dev
accounts:
  users: [{name: app, uid: 10001}, {name: web, uid: 1, gid: 2, home: /web, description: Web}]
  groups: [{name: app, gid: 10001, members: [web]}]
timestamp: 2026-01-31T12:00:00Z
metadata: {description: \"a\\nb\", author: A. Author, ticket: OPS-1}
compression: zstd
",
    )
    .expect("a spec");
    assert_eq!(spec.base_image, Base::Scratch);
    let PlatformChoice::List(platforms) = &spec.platforms else {
        panic!("expected a list");
    };
    let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/arm64", "linux/amd64"]);
    assert_eq!(spec.variant, Variant::Dev);
    let users: Vec<String> = spec
        .accounts
        .users
        .iter()
        .map(|u| {
            format!(
                "{}:{}:{}:{}:{}",
                u.name, u.uid, u.gid, u.description, u.home
            )
        })
        .collect();
    assert_eq!(users, ["app:10001:10001::/nonexistent", "web:1:2:Web:/web"]);
    assert_eq!(spec.accounts.groups[0].members[0].as_str(), "web");
    assert_eq!(spec.timestamp.map(Timestamp::seconds), Some(1_769_860_800));
    assert_eq!(
        spec.metadata.description.as_ref().map(Prose::as_str),
        Some("a\nb")
    );
    assert_eq!(
        spec.metadata.ticket.as_ref().map(Line::as_str),
        Some("OPS-1")
    );
    assert_eq!(spec.compression, Compression::Zstd);
    assert_eq!(spec.compression_level, Some(3));
}

#[test]
fn byte_order_mark_crlf_anchors_and_document_markers_are_accepted() {
    for yaml in [
        "\u{feff}base_image: nginx@DIGEST\n",
        "base_image: nginx@DIGEST\r\narch: amd64\r\n",
        "---\nbase_image: nginx@DIGEST\n...\n",
        "base_image: nginx@DIGEST\ncopy_files:\n  - &a {content: x, destination: /a, mode: &m '0600'}\n  - {content: y, destination: /b, mode: *m}\n",
        "{\"base_image\": \"nginx@DIGEST\", \"arch\": \"arm/v7\"}",
    ] {
        parse(yaml).expect(yaml);
    }
}

#[test]
fn the_place_is_right_after_wide_characters_and_crlf() {
    assert_eq!(
        failure(parse(
            "base_image: nginx@DIGEST\r\nmetadata: {author: 文é, autor: x}\r\n"
        )),
        "spec.yaml:2:24: metadata: unknown key `autor`: did you mean `author`? (known: `description`, `author`, `ticket`)"
    );
}

#[test]
fn yaml_bombs_are_refused_soon() {
    let mut laughs = "l0: &l0 [x, x, x, x]\n".to_owned();
    for n in 1..20 {
        let inner = vec![format!("*l{}", n - 1); 9].join(", ");
        laughs.extend([format!("l{n}: &l{n} [{inner}]\n")]);
    }
    let long = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(1 << 18),
        "*a,".repeat(1 << 17)
    );
    let cyclic = "a: &a [*a]\n".to_owned();
    for (name, yaml, message) in [
        ("laughs", laughs, "the YAML's aliases repeat too much"),
        (
            "long",
            long,
            "the YAML grows beyond all measure by its aliases",
        ),
        ("cyclic", cyclic, "the YAML is nested too deeply"),
        ("flow", "[".repeat(10_000), "the YAML is nested too deeply"),
        (
            "flow, all",
            "[".repeat(1 << 20),
            "the YAML is nested too deeply",
        ),
        (
            "closed",
            "[".repeat(900) + &"]".repeat(900),
            "the YAML is nested too deeply",
        ),
        (
            "block",
            "- ".repeat(10_000),
            "the YAML is nested too deeply",
        ),
        (
            "long lines",
            "x".repeat((1 << 20) + 1),
            "expected at most 1048576 bytes, found 1048577",
        ),
    ] {
        let error = Spec::parse(&yaml, "spec.yaml").expect_err(name);
        assert!(error.message().ends_with(message), "{name}: {error}");
    }
}

#[test]
fn the_largest_plain_spec_is_within_the_budget() {
    let head = format!("base_image: nginx@sha256:{HEX}\nconfig:\n  cmd: [");
    let room = (usize::try_from(MAX_SPEC).expect("a size") - head.len() - 1) / 2;
    let spec = Spec::parse(&format!("{head}{}]", "a,".repeat(room)), "spec.yaml").expect("a spec");
    assert_eq!(spec.config.cmd.map(|cmd| cmd.iter().len()), Some(room));
}

/// Pieces that a spec is made of, so that the parser gets far into strange ones.
fn piece() -> impl Strategy<Value = String> {
    let words = vec![
        "base_image: scratch\n",
        "platforms: [linux/amd64]\n",
        "copy_files:\n",
        "  - ",
        "source: ",
        "destination: ",
        "content: |\n    x\n",
        "exclude: ",
        "mode: '0644'\n",
        "owner: ",
        "timestamp: ",
        "config:\n",
        "  env: ",
        "{a: b}",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a ",
        "!!str ",
        "!x ",
        "<<: ",
        "? ",
        "\"",
        "'",
        "\n",
        "\t",
        "# ",
        "---\n",
        "~",
        "0x7f",
        ".inf",
        "**/*",
        "/",
    ];
    prop_oneof![
        4 => proptest::sample::select(words).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Spec::parse(&text, "spec.yaml");
    }

    #[test]
    fn no_odd_spec_makes_the_parser_panic(pieces in proptest::collection::vec(piece(), 0..40)) {
        let _ = Spec::parse(&pieces.concat(), "spec.yaml");
    }

    #[test]
    fn no_value_makes_the_types_panic(text in any::<String>()) {
        let _ = text.parse::<Base>();
        let _ = text.parse::<Mode>();
        let _ = text.parse::<Owner>();
        let _ = text.parse::<Port>();
        let _ = text.parse::<Timestamp>();
        let _ = text.parse::<Destination>();
        let _ = text.parse::<Glob>();
        let _ = SourcePattern::in_context(&text);
        let _ = SourcePattern::in_image(&text);
    }

    #[test]
    fn modes_and_owners_are_written_as_they_are_read(mode in 0_u32..=0o777, uid in 0..=MAX_ID, gid in 0..=MAX_ID) {
        let text = format!("{mode:04o}");
        prop_assert_eq!(text.parse::<Mode>().expect("a mode").to_string(), text);
        let owner = format!("{uid}:{gid}").parse::<Owner>().expect("an owner");
        prop_assert_eq!(owner, Owner::Numeric { uid, gid });
    }
}
