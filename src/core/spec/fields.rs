//! The values of single keys: base, platform, variant, mode, port, compression.
//! Each is made of text, and what is ambiguous in YAML is refused with the way to write it.

use std::fmt;
use std::str::FromStr;

use super::fault::{Fault, FromNode, listed, nearest, quoted, text};
use super::node::Node;
use crate::core::media::Compression;
use crate::core::platform::Platform;
use crate::core::reference::PinnedRef;
use crate::error::{Error, Result};

/// What the result is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the overlay is the only layer.
    Scratch,
    /// An image or an index of images.
    Image(PinnedRef),
}

impl FromStr for Base {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "scratch" => Ok(Self::Scratch),
            _ => text.parse().map(Self::Image),
        }
    }
}

impl FromNode for Base {
    fn from_node(node: Node) -> Result<Self, Fault> {
        Ok(text(node, "an image pinned by digest, or `scratch`")?.parse()?)
    }
}

impl FromNode for PinnedRef {
    fn from_node(node: Node) -> Result<Self, Fault> {
        Ok(text(node, "an image pinned by digest")?.parse()?)
    }
}

impl FromNode for Platform {
    fn from_node(node: Node) -> Result<Self, Fault> {
        let text = text(node, "a platform such as `linux/amd64`")?;
        text.parse()
            .map_err(|error: crate::core::platform::PlatformError| {
                let fault = Fault::new(error.to_string());
                let architecture = text.split('/').next().unwrap_or_default();
                if KNOWN.contains(&architecture) {
                    fault.hint(format!("write `linux/{text}`"))
                } else {
                    fault
                }
            })
    }
}

/// Architectures that are often written without `linux/`.
const KNOWN: [&str; 6] = ["amd64", "arm64", "arm", "ppc64le", "riscv64", "s390x"];

/// The value of `arch`: a Linux platform without its `linux/`.
#[derive(Debug)]
pub(super) struct Architecture(pub(super) Platform);

impl FromNode for Architecture {
    fn from_node(node: Node) -> Result<Self, Fault> {
        const EXPECTED: &str = "an architecture such as `amd64` or `arm64`";
        let text = text(node, EXPECTED)?;
        let bad = || Fault::new(format!("expected {EXPECTED}, found {}", quoted(&text)));
        if let Ok(platform) = text.parse::<Platform>() {
            return Err(bad().hint(format!("write `platforms: [{platform}]`")));
        }
        format!("linux/{text}").parse().map(Self).map_err(|_| bad())
    }
}

/// One of a few words; what is near to one of them is named.
fn word<T: Copy>(node: Node, words: &[(&str, T)]) -> Result<T, Fault> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let expected = format!("one of {}", listed(&names));
    let found = text(node, &expected)?;
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == found) {
        return Ok(*value);
    }
    let fault = Fault::new(format!("expected {expected}, found {}", quoted(&found)));
    Err(match nearest(&found, &names) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault,
    })
}

/// Which kind of image the base is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// A hardened image for production, without a shell.
    #[default]
    Prod,
    /// An image with the tools of development.
    Dev,
}

impl Variant {
    /// The word in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
        }
    }
}

impl FromNode for Variant {
    fn from_node(node: Node) -> Result<Self, Fault> {
        word(node, &[("prod", Self::Prod), ("dev", Self::Dev)])
    }
}

impl FromNode for Compression {
    fn from_node(node: Node) -> Result<Self, Fault> {
        word(
            node,
            &[
                ("gzip", Self::Gzip),
                ("zstd", Self::Zstd),
                ("none", Self::None),
            ],
        )
    }
}

/// The value of `compression_level`, not yet checked against the compression.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level(pub(super) i32);

impl FromNode for Level {
    fn from_node(node: Node) -> Result<Self, Fault> {
        match &node {
            Node::Integer(digits) => digits.parse().ok().map(Self),
            _ => None,
        }
        .ok_or_else(|| Fault::expected("a whole number", &node))
    }
}

/// Permission bits of a file: at most `0o777`, no setuid, setgid or sticky bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// The bits for a file.
    pub fn for_files(self) -> u32 {
        self.0
    }

    /// The bits for a directory: search is added for everyone who may read.
    pub fn for_directories(self) -> u32 {
        self.0 | (self.0 & 0o444) >> 2
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

const MODE: &str = "a mode of three or four octal digits such as \"0644\"";

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        match bits {
            Some(bits) if bits <= 0o777 => Ok(Self(bits)),
            Some(_) => Err(Error::usage(format!(
                "setuid, setgid and sticky bits are not accepted here, found mode \"{text}\""
            ))
            .hint(format!("write \"0{}\"", &text[1..]))),
            None => Err(Error::usage(format!(
                "expected {MODE}, found {}",
                quoted(text)
            ))),
        }
    }
}

impl FromNode for Mode {
    fn from_node(node: Node) -> Result<Self, Fault> {
        if let Node::Integer(_) = node {
            return Err(Fault::expected(MODE, &node).hint(
                "put the octal digits in quotes: YAML has no one way to read such a number",
            ));
        }
        Ok(text(node, MODE)?.parse()?)
    }
}

/// A port that the image listens on, written `8080/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// TCP where none is given.
    pub protocol: Protocol,
}

/// The transport protocol of a [`Port`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

const PORT: &str = "a port from 1 to 65535 such as 8080 or \"53/udp\"";

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = number
            .parse()
            .ok()
            .filter(|n| *n > 0 && number.bytes().all(|b| b.is_ascii_digit()));
        let protocol = match protocol {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            "sctp" => Some(Protocol::Sctp),
            _ => None,
        };
        if let (Some(number), Some(protocol)) = (number, protocol) {
            return Ok(Self { number, protocol });
        }
        let error = Error::usage(format!("expected {PORT}, found {}", quoted(text)));
        Err(if text.contains(['-', ':']) {
            error.hint(
                "write each port as an entry of its own; the host's ports are chosen at run time",
            )
        } else {
            error
        })
    }
}

impl FromNode for Port {
    fn from_node(node: Node) -> Result<Self, Fault> {
        match node {
            Node::Integer(digits) => Ok(digits.parse()?),
            other => Ok(text(other, PORT)?.parse()?),
        }
    }
}
