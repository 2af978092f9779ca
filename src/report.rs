//! The only writer to standard output and standard error. Data goes to standard output, as text or
//! as one JSON object; everything else to standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::cli::Talk;
use crate::error::{Error, Result};

/// Where a command says what it did.
#[derive(Debug)]
pub struct Report {
    talk: Talk,
    color: bool,
}

impl Report {
    /// Says as much as `talk` asks for; `no_color` is whether the environment asks for none
    /// (`NO_COLOR` is set and not empty).
    pub fn new(talk: Talk, no_color: bool) -> Self {
        Self {
            talk,
            color: !no_color && io::stderr().is_terminal(),
        }
    }

    /// Whether the user wants every detail.
    pub fn verbose(&self) -> bool {
        self.talk.verbose
    }

    /// Prints the command's data: `text`, or `value` as JSON where the user wants that. A line end
    /// is added where it is missing.
    pub fn data<T: Serialize>(&self, text: &str, value: impl FnOnce() -> T) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = if self.talk.json {
            let json = serde_json::to_string_pretty(&value())
                .map_err(|error| Error::internal("cannot write JSON").because(error))?;
            writeln!(out, "{json}")
        } else {
            writeln!(out, "{}", text.trim_end_matches('\n'))
        };
        let written = written.and_then(|()| out.flush());
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Whoever read has seen enough, as `head` does.
            return Ok(());
        }
        written.map_err(|error| Error::io("cannot write to standard output", error))
    }

    /// Says what was done, unless the user wants quiet.
    pub fn status(&self, line: &str) {
        if !self.talk.quiet {
            Self::say(line);
        }
    }

    /// Says what the user should know, unless quiet.
    pub fn note(&self, note: &str) {
        if !self.talk.quiet {
            Self::say(&format!("{} {note}", self.painted("note:", "1;36")));
        }
    }

    /// Says why the command failed, and what to do about it.
    pub fn error(&self, error: &Error) {
        Self::say(&format!("{} {error}", self.painted("error:", "1;31")));
        if let Some(advice) = error.advice() {
            Self::say(&format!("{} {advice}", self.painted("hint:", "1;33")));
        }
    }

    fn painted(&self, word: &str, color: &str) -> String {
        if self.color {
            format!("\x1b[{color}m{word}\x1b[0m")
        } else {
            word.to_owned()
        }
    }

    fn say(line: &str) {
        // There is nowhere left to tell of a standard error that cannot be written to.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_short() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}
