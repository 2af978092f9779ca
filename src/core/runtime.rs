//! The field `config` of an image config: what a container is run with. The spec's `config` is
//! merged into the base's as the instructions of a Dockerfile would be; fields that are not
//! touched keep their bytes.

use indexmap::IndexMap;

use super::json::Object;
use super::path::LayerPath;
use super::spec::Config;
use crate::error::{Error, Result};

/// One change, for people: the field, and what it was and is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field, such as `env PATH` or `user`.
    pub field: String,
    /// The old value; `None` where there was none.
    pub before: Option<String>,
    /// The new value; `None` where it goes.
    pub after: Option<String>,
}

/// Merges `wanted` into `runtime`; says what changed.
pub fn merge(runtime: &mut Object, wanted: &Config) -> Result<Vec<Change>> {
    let mut merger = Merger {
        runtime,
        changes: Vec::new(),
    };
    merger.triggers()?;
    if let Some(user) = &wanted.user {
        merger.text("User", "user", user.as_str())?;
    }
    merger.env(wanted)?;
    merger.labels(wanted)?;
    if let Some(workdir) = &wanted.workdir {
        merger.workdir(workdir.as_str())?;
    }
    merger.start(wanted)?;
    merger.expose(wanted)?;
    if let Some(signal) = &wanted.stop_signal {
        merger.text("StopSignal", "stop_signal", signal.as_str())?;
    }
    Ok(merger.changes)
}

/// The user that the image runs as: empty where none is set.
pub fn user(runtime: &Object) -> Result<String> {
    Ok(runtime.read("User")?.unwrap_or_default())
}

/// The working directory; `None` where it is the root.
pub fn workdir(runtime: &Object) -> Result<Option<LayerPath>> {
    let text: String = runtime.read("WorkingDir")?.unwrap_or_default();
    let path = LayerPath::parse(&text).map_err(|error| {
        Error::usage(format!("workdir `{}`", text.escape_debug())).because(error)
    })?;
    Ok((!path.is_root()).then_some(path))
}

struct Merger<'a> {
    runtime: &'a mut Object,
    changes: Vec<Change>,
}

impl Merger<'_> {
    fn note(&mut self, field: impl Into<String>, before: Option<String>, after: Option<String>) {
        if before != after {
            self.changes.push(Change {
                field: field.into(),
                before,
                after,
            });
        }
    }

    fn text(&mut self, key: &str, field: &str, value: &str) -> Result<()> {
        let before: Option<String> = self.runtime.read(key)?;
        if before.as_deref() == Some(value) {
            return Ok(());
        }
        self.runtime.set(key, &value)?;
        self.note(field, before, Some(value.to_owned()));
        Ok(())
    }

    /// `FROM`: instructions that the base keeps for those who build on it do not go on to the
    /// result. They would be run, and nothing is.
    fn triggers(&mut self) -> Result<()> {
        let triggers: Vec<String> = self.runtime.read("OnBuild")?.unwrap_or_default();
        if !triggers.is_empty() {
            self.runtime.remove("OnBuild");
            self.note("onbuild", Some(triggers.join("; ")), None);
        }
        Ok(())
    }

    /// `ENV`, one instruction a name: an existing name keeps its place, a new one goes to the end.
    /// Values see the variables so far.
    fn env(&mut self, wanted: &Config) -> Result<()> {
        if wanted.env.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = self.runtime.read("Env")?.unwrap_or_default();
        let before = lines.clone();
        for (name, value) in wanted.env.iter() {
            let value = expand(value, &lines)
                .map_err(|error| error.at(format!("config.env.{}", name.escape_debug())))?;
            let line = format!("{name}={value}");
            let place = lines.iter().position(|line| split(line).0 == name);
            let old = if let Some(place) = place {
                Some(std::mem::replace(&mut lines[place], line))
            } else {
                lines.push(line);
                None
            };
            let old = old.map(|line| split(&line).1.to_owned());
            self.note(format!("env {name}"), old, Some(value));
        }
        if lines != before {
            self.runtime.set("Env", &lines)?;
        }
        Ok(())
    }

    fn labels(&mut self, wanted: &Config) -> Result<()> {
        let mut labels: IndexMap<String, String> = self.runtime.read("Labels")?.unwrap_or_default();
        let before = labels.clone();
        for (key, value) in wanted.labels.iter() {
            let old = labels.insert(key.clone(), value.clone());
            self.note(format!("label {key}"), old, Some(value.clone()));
        }
        if labels != before {
            self.runtime.set("Labels", &labels)?;
        }
        Ok(())
    }

    /// `WORKDIR`: a relative path goes on from the base's; variables are those of the result.
    fn workdir(&mut self, wanted: &str) -> Result<()> {
        let place = |error| Error::usage("config.workdir").because(error);
        let env: Vec<String> = self.runtime.read("Env")?.unwrap_or_default();
        let wanted = &expand(wanted, &env).map_err(|error| error.at("config.workdir"))?;
        let start = if wanted.starts_with('/') {
            LayerPath::ROOT
        } else {
            workdir(self.runtime)?.unwrap_or_default()
        };
        let path = LayerPath::parse(wanted)
            .and_then(|path| start.join_all(&path))
            .map_err(place)?;
        // Both parts were text, so the whole is.
        let text = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
        self.text("WorkingDir", "workdir", &text)
    }

    /// `ENTRYPOINT` and `CMD`: an entrypoint without a command clears the base's command, which
    /// was meant for the base's entrypoint.
    fn start(&mut self, wanted: &Config) -> Result<()> {
        if let Some(entrypoint) = &wanted.entrypoint {
            self.arguments("Entrypoint", "entrypoint", entrypoint.iter().collect())?;
        }
        match (&wanted.cmd, &wanted.entrypoint) {
            (Some(cmd), _) => self.arguments("Cmd", "cmd", cmd.iter().collect()),
            (None, Some(_)) => self.arguments("Cmd", "cmd", Vec::new()),
            (None, None) => Ok(()),
        }
    }

    fn arguments(&mut self, key: &str, field: &str, wanted: Vec<&str>) -> Result<()> {
        let before: Vec<String> = self.runtime.read(key)?.unwrap_or_default();
        if before == wanted {
            return Ok(());
        }
        let shown =
            |arguments: &[String]| (!arguments.is_empty()).then(|| format!("{arguments:?}"));
        if wanted.is_empty() {
            self.runtime.remove(key);
        } else {
            self.runtime.set(key, &wanted)?;
        }
        let after: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        self.note(field, shown(&before), shown(&after));
        Ok(())
    }

    fn expose(&mut self, wanted: &Config) -> Result<()> {
        let mut ports: IndexMap<String, Object> =
            self.runtime.read("ExposedPorts")?.unwrap_or_default();
        let count = ports.len();
        for port in &wanted.expose {
            let port = port.to_string();
            // `8080` and `8080/tcp` are the same port.
            let short = port.strip_suffix("/tcp").map(str::to_owned);
            if ports.contains_key(&port) || short.is_some_and(|short| ports.contains_key(&short)) {
                continue;
            }
            ports.insert(port.clone(), Object::default());
            self.note(format!("expose {port}"), None, Some(String::new()));
        }
        if ports.len() > count {
            self.runtime.set("ExposedPorts", &ports)?;
        }
        Ok(())
    }
}

fn split(line: &str) -> (&str, &str) {
    line.split_once('=').unwrap_or((line, ""))
}

/// Puts variables into a value, as a Dockerfile's `ENV` and `WORKDIR` do for `$NAME` and `${NAME}`; `\$` is a
/// dollar. An unknown variable is an error, since an empty text in its place is never meant.
fn expand(value: &str, env: &[String]) -> Result<String> {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find(['$', '\\']) {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("\\$") {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\\') {
            expanded.push('\\');
            rest = after;
        } else {
            let (name, after) = variable(rest)?;
            let line = env.iter().find(|line| split(line).0 == name);
            let line = line.ok_or_else(|| unknown(name, env))?;
            expanded.push_str(split(line).1);
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name of the variable that `text`, which begins with a dollar, begins with, and the rest.
fn variable(text: &str) -> Result<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bare = &text[1..];
    let found = if let Some(braced) = bare.strip_prefix('{') {
        braced.split_once('}')
    } else {
        let end = bare.find(|c| !is_name(c)).unwrap_or(bare.len());
        Some(bare.split_at(end))
    };
    match found {
        Some((name, rest)) if !name.is_empty() && name.chars().all(is_name) => Ok((name, rest)),
        _ => Err(Error::usage(format!(
            "expected a variable such as `$PATH` or `${{PATH}}`, found `{}`",
            text.chars().take(40).collect::<String>().escape_debug()
        ))
        .hint("write `\\$` for a dollar")),
    }
}

fn unknown(name: &str, env: &[String]) -> Error {
    let known: Vec<_> = env.iter().map(|line| split(line).0).collect();
    Error::usage(format!("expected a variable of the base, found `{name}`")).hint(format!(
        "the base sets: {}; write `\\$` for a dollar",
        known.join(", ").escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::spec::Spec;

    const BASE: &str = r#"{"Hostname":"x","User":"0","Env":["PATH=/usr/bin","A=1"],"Cmd":["run"],"ExposedPorts":{"80":{}},"OnBuild":null,"Labels":{"b":"1","a":"2"},"WorkingDir":"/srv"}"#;

    fn merged(config: &str) -> Result<(String, Vec<String>)> {
        let yaml = format!("base_image: scratch\narch: amd64\nconfig: {config}\n");
        let spec = Spec::parse(&yaml, "spec.yaml")?;
        let mut runtime = Object::parse(BASE.as_bytes(), "base")?;
        let changes = merge(&mut runtime, &spec.config)?;
        let shown = |change: Change| {
            format!(
                "{}: {:?} -> {:?}",
                change.field, change.before, change.after
            )
        };
        let json = String::from_utf8(runtime.to_bytes()?).expect("JSON is UTF-8");
        Ok((json, changes.into_iter().map(shown).collect()))
    }

    #[test]
    fn nothing_asked_changes_no_byte() {
        let same = r#"{user: "0", env: {A: "1"}, labels: {b: "1"}, expose: [80], workdir: /srv}"#;
        for config in ["{}", same] {
            let (json, changes) = merged(config).expect("merges");
            assert_eq!((json.as_str(), changes.len()), (BASE, 0), "{config}");
        }
    }

    #[test]
    fn fields_merge_as_instructions_do() {
        let config = r#"{user: 65532, env: {B: "$A\\$${A}x", PATH: "/opt/$B:$PATH"}, labels: {a: "3", c: "4"}, expose: [9000, 53/udp], workdir: app, entrypoint: [/bin/app, -v], stop_signal: SIGQUIT}"#;
        let (json, changes) = merged(config).expect("merges");
        assert_eq!(
            json,
            r#"{"Hostname":"x","User":"65532","Env":["PATH=/opt/1$1x:/usr/bin","A=1","B=1$1x"],"ExposedPorts":{"80":{},"9000/tcp":{},"53/udp":{}},"OnBuild":null,"Labels":{"b":"1","a":"3","c":"4"},"WorkingDir":"/srv/app","Entrypoint":["/bin/app","-v"],"StopSignal":"SIGQUIT"}"#
        );
        assert_eq!(
            changes,
            [
                r#"user: Some("0") -> Some("65532")"#,
                r#"env B: None -> Some("1$1x")"#,
                r#"env PATH: Some("/usr/bin") -> Some("/opt/1$1x:/usr/bin")"#,
                r#"label a: Some("2") -> Some("3")"#,
                r#"label c: None -> Some("4")"#,
                r#"workdir: Some("/srv") -> Some("/srv/app")"#,
                r#"entrypoint: None -> Some("[\"/bin/app\", \"-v\"]")"#,
                r#"cmd: Some("[\"run\"]") -> None"#,
                r#"expose 9000/tcp: None -> Some("")"#,
                r#"expose 53/udp: None -> Some("")"#,
                r#"stop_signal: None -> Some("SIGQUIT")"#,
            ]
        );
    }

    #[test]
    fn a_working_directory_sees_the_variables() {
        let (json, _) = merged("{env: {HOME: /opt}, workdir: $HOME/app$A}").expect("merges");
        assert!(json.ends_with(r#""WorkingDir":"/opt/app1"}"#), "{json}");
        assert!(merged("{workdir: $NONE/app}").is_err());
    }

    #[test]
    fn triggers_of_the_base_end_with_it() {
        let mut runtime = Object::parse(br#"{"OnBuild":["RUN x","COPY . ."],"User":"1"}"#, "base")
            .expect("an object");
        let changes = merge(&mut runtime, &Config::default()).expect("merges");
        assert_eq!(runtime.to_bytes().expect("JSON"), br#"{"User":"1"}"#);
        assert_eq!(
            changes,
            [Change {
                field: "onbuild".to_owned(),
                before: Some("RUN x; COPY . .".to_owned()),
                after: None
            }]
        );
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        let error = merged("{env: {X: $HOME/bin}}").expect_err("unknown");
        assert_eq!(
            (error.to_string().as_str(), error.advice()),
            (
                "config.env.X: expected a variable of the base, found `HOME`",
                Some("the base sets: PATH, A; write `\\$` for a dollar")
            )
        );
        assert!(merged("{env: {X: \"${A:-1}\"}}").is_err());
        assert!(merged("{env: {X: \"cost: 5$\"}}").is_err());
    }
}
