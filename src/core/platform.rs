//! Platforms as the OCI image index names them (`os/architecture[/variant]`), normalized as
//! containerd does. The images are Linux's: every other system is refused.

use std::fmt;
use std::str::FromStr;

/// A Linux platform. `arm64` and `arm64/v8` are the same one, as are `arm` and `arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    architecture: String,
    variant: Option<String>,
}

/// Why a text is not a platform that we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformError(String);

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a platform such as `linux/amd64` or `linux/arm64/v8`, found `{}`",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for PlatformError {}

impl Platform {
    /// The platform of an image config or index entry; `os` must be `linux`.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Result<Self, PlatformError> {
        let name = |text: &str| {
            !text.is_empty()
                && text.len() <= 32
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        let variant = variant.filter(|variant| !variant.is_empty());
        if os != "linux" || !name(architecture) || !variant.is_none_or(name) {
            let slash = variant.map_or_else(String::new, |variant| format!("/{variant}"));
            return Err(PlatformError(format!("{os}/{architecture}{slash}")));
        }
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            other => other,
        };
        let variant = match (architecture, variant) {
            ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
            ("arm", None | Some("7")) => Some("v7"),
            ("arm", Some("5")) => Some("v5"),
            ("arm", Some("6")) => Some("v6"),
            ("arm", Some("8")) => Some("v8"),
            (_, variant) => variant,
        };
        Ok(Self {
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }

    /// The CPU architecture by Go's name, such as `amd64`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture, such as `v7`; `None` where it is the usual one.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(os), Some(architecture), variant, None) if variant != Some("") => {
                Self::new(os, architecture, variant)
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        for (given, shown) in [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/amd64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(
                given.parse::<Platform>().map(|p| p.to_string()),
                Ok(shown.to_owned())
            );
        }
    }

    #[test]
    fn other_systems_and_shapes_are_refused() {
        for text in [
            "amd64",
            "windows/amd64",
            "linux/",
            "linux/arm/v7/x",
            "linux/a b",
            "linux/arm/",
            "",
        ] {
            assert_eq!(
                text.parse::<Platform>(),
                Err(PlatformError(text.to_owned())),
                "{text}"
            );
        }
    }
}
