//! How settings are written: one [`Setting`] for each kind of value, text in both directions.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use foretell_http::Network;

/// A value that can stand in a file, an environment variable or a flag.
pub trait Setting: Clone {
    /// What to write, for messages and for the documented file.
    const RULE: &'static str;

    /// Reads a text.
    ///
    /// # Errors
    /// A text that says what is wrong, when [`Self::RULE`] alone does not say it.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes the value so that [`Self::parse`] reads it again.
    fn show(&self) -> String;
}

/// A number of bytes, written with a unit: `512 KiB`, `8MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Whole mebibytes.
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// Largest unit first, so that a value is shown in the largest that divides it.
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Setting for ByteSize {
    const RULE: &'static str = "a whole number and B, KiB, MiB or GiB, such as 8MiB";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(String::new)?;
        let (_, factor) = SIZES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| unknown_unit(unit))?;
        number
            .checked_mul(*factor)
            .map(Self)
            .ok_or_else(|| "the number is too large".to_owned())
    }

    fn show(&self) -> String {
        in_largest_unit(self.0, &SIZES)
    }
}

/// Milliseconds to a unit, largest first.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl Setting for Duration {
    const RULE: &'static str = "a whole number and ms, s, min or h, such as 30s";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(String::new)?;
        let (_, factor) = TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| unknown_unit(unit))?;
        number
            .checked_mul(*factor)
            .map(Self::from_millis)
            .ok_or_else(|| "the number is too large".to_owned())
    }

    fn show(&self) -> String {
        in_largest_unit(u64::try_from(self.as_millis()).unwrap_or(u64::MAX), &TIMES)
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn unknown_unit(unit: &str) -> String {
    if unit.is_empty() {
        "the unit is missing".to_owned()
    } else {
        format!("`{unit}` is no unit of it")
    }
}

fn in_largest_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    // Zero fits no unit; it is shown in the smallest.
    let (unit, factor) = fitting.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value / factor)
}

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            const RULE: &'static str = "a whole number";

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| String::new())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole!(u32, u64, usize);

impl Setting for bool {
    const RULE: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| String::new())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Where gRPC is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcListen {
    /// Beside HTTP, on the next port; on any free one, where HTTP is on any.
    Next,
    /// Nowhere.
    Off,
    /// On an address of its own.
    At(SocketAddr),
}

impl GrpcListen {
    /// The address, for a server that listens for HTTP on this one.
    pub fn address(self, mut http: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
            Self::Next => {
                let next = match http.port() {
                    0 => 0,
                    port => port.checked_add(1).unwrap_or(0),
                };
                http.set_port(next);
                Some(http)
            }
        }
    }
}

impl Setting for GrpcListen {
    const RULE: &'static str =
        "an address and a port, next (the one after server.listen's), or off";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "next" => Ok(Self::Next),
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Next => "next".to_owned(),
            Self::Off => "off".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// Where the prediction cache keeps its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheBackend {
    /// In the server's own memory.
    Memory,
}

impl Setting for CacheBackend {
    const RULE: &'static str = "memory";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "memory" => Ok(Self::Memory),
            "redis" => Err("Redis is not supported yet".to_owned()),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        "memory".to_owned()
    }
}

impl Setting for SocketAddr {
    const RULE: &'static str =
        "an address and a port, such as 127.0.0.1:5000 (port 0: any free one)";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| String::new())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    const RULE: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(Self::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Where the store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The embedded store in the data folder.
    pub fn embedded() -> Self {
        Self("sqlite:".to_owned())
    }

    /// The URL as the store reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for DatabaseUrl {
    const RULE: &'static str =
        "sqlite: (a file in the data folder), sqlite:///absolute/path or memory:";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let path = text.strip_prefix("sqlite:");
        match path {
            Some(path) if path.is_empty() || path.starts_with("///") && path.len() > 3 => {
                Ok(Self(text.to_owned()))
            }
            _ if text == "memory:" => Ok(Self(text.to_owned())),
            _ if text.starts_with("postgres:") || text.starts_with("postgresql:") => {
                Err("PostgreSQL is not supported yet".to_owned())
            }
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Ranges of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(pub Vec<Network>);

impl Setting for Networks {
    const RULE: &'static str =
        "addresses and ranges with commas between, such as 10.0.0.0/8,192.168.1.7, or none";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|part| part.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let parts: Vec<_> = self.0.iter().map(Network::to_string).collect();
        parts.join(",")
    }
}

/// An operator's key set by hand.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminKey(String);

impl AdminKey {
    /// The key itself: for the store of keys, never for a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

impl Setting for AdminKey {
    const RULE: &'static str = "16 to 256 visible ASCII characters";

    fn parse(text: &str) -> Result<Self, String> {
        if !(16..=256).contains(&text.len()) {
            return Err(format!("it has {} characters", text.chars().count()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it holds blanks or other characters".to_owned());
        }
        let different: HashSet<u8> = text.bytes().collect();
        let is_placeholder = ["your-", "change", "example", "placeholder"]
            .iter()
            .any(|word| text.to_ascii_lowercase().contains(word));
        if different.len() < 8 || is_placeholder {
            return Err("anybody could guess it; make one with `openssl rand -hex 24`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Setting for LogFormat {
    const RULE: &'static str = "auto, text or json";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }
}

/// Which log lines are written: a level, or levels by module (`info,foretell_engine=debug`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The directives as `tracing-subscriber` reads them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Setting for LogLevel {
    const RULE: &'static str =
        "off, error, warn, info, debug or trace, or levels by module (info,foretell_engine=debug)";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let level =
            |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
        // `EnvFilter` takes a lone unknown word for a module: a misspelt level would silence everything.
        let valid = text.split(',').all(|directive| {
            level(
                directive
                    .split_once('=')
                    .map_or(directive, |(_, level)| level),
            )
        });
        if !valid || tracing_subscriber::EnvFilter::try_new(text).is_err() {
            return Err(String::new());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: Setting>(text: &str) -> Option<String> {
        T::parse(text).ok().map(|value| value.show())
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        for (text, shown) in [
            ("8MiB", Some("8MiB")),
            ("8 MiB", Some("8MiB")),
            ("1024KiB", Some("1MiB")),
            ("1536B", Some("1536B")),
            ("0B", Some("0B")),
            ("2048MiB", Some("2GiB")),
            ("8", None),
            ("8MB", None),
            ("-1B", None),
            ("1.5MiB", None),
            ("MiB", None),
            ("99999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(reads::<ByteSize>(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_in_its_largest_whole_unit() {
        for (text, shown) in [
            ("30s", Some("30s")),
            ("60 s", Some("1min")),
            ("1500ms", Some("1500ms")),
            ("0ms", Some("0ms")),
            ("2h", Some("2h")),
            ("30", None),
            ("30m", None),
            ("s", None),
        ] {
            assert_eq!(reads::<Duration>(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_missing_unit_is_named() {
        assert_eq!(Duration::parse("30").unwrap_err(), "the unit is missing");
        assert_eq!(ByteSize::parse("8MB").unwrap_err(), "`MB` is no unit of it");
    }

    #[test]
    fn a_database_url_is_embedded_absolute_or_memory() {
        for good in ["sqlite:", "sqlite:///var/lib/foretell.db", "memory:"] {
            assert_eq!(reads::<DatabaseUrl>(good).as_deref(), Some(good));
        }
        for bad in ["", "sqlite", "sqlite:x.db", "sqlite:///", "mysql://x"] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            DatabaseUrl::parse("postgresql://u:p@h/d").unwrap_err(),
            "PostgreSQL is not supported yet"
        );
    }

    #[test]
    fn networks_are_a_list_or_none() {
        for (text, shown) in [
            ("none", Some("none")),
            ("10.0.0.0/8, 192.168.1.7", Some("10.0.0.0/8,192.168.1.7/32")),
            ("10.0.0.1/8", None),
            ("proxy", None),
            ("", None),
        ] {
            assert_eq!(reads::<Networks>(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn an_admin_key_is_long_visible_and_not_shown_by_debug() {
        let key = AdminKey::parse("correct-horse-battery").unwrap();
        assert!(!format!("{key:?}").contains("horse"));
        for bad in [
            "short",
            "has a blank in its middle",
            "ümlaut-ümlaut-ümlaut",
            &"x".repeat(257),
        ] {
            assert!(AdminKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_log_level_is_refused() {
        for good in ["info", "warn,foretell_engine=debug", "off"] {
            assert!(LogLevel::parse(good).is_ok(), "{good}");
        }
        for bad in ["inof", "info,foretell_engine=loud", "", "info,"] {
            assert!(LogLevel::parse(bad).is_err(), "{bad}");
        }
    }
}
