//! Four layers, one answer: flag over environment over file over default, and where each value came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::file;
use super::guide;
use super::units::Setting;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// Which.
        path: PathBuf,
        /// From 1; 0 = not known.
        line: u64,
    },
    /// An environment variable.
    Variable(String),
    /// A file named by an environment variable.
    VariableFile(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::VariableFile(name) => write!(f, "file named by {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from.
    pub origin: Origin,
    /// Key, value, what is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// A setting as it stands after all layers, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its key.
    pub key: &'static str,
    /// What it is for, with its unit.
    pub doc: &'static str,
    /// Its value; a secret's is not here.
    pub value: String,
    /// Its default; empty = none.
    pub default: String,
    /// What is accepted.
    pub range: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// How a setting is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// In the file, and with `__` for `.` in the environment.
    pub path: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Short environment names of ours.
    pub short: &'static [&'static str],
    /// An environment name that other programs use too: a value that is not for us is set aside.
    pub shared: Option<&'static str>,
    /// Whether it may be read from a file named by `*_FILE`, and is never shown.
    pub secret: bool,
}

impl Key {
    pub(super) const fn new(path: &'static str, doc: &'static str) -> Self {
        Self {
            path,
            doc,
            short: &[],
            shared: None,
            secret: false,
        }
    }

    pub(super) const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }

    pub(super) const fn shared(mut self, name: &'static str) -> Self {
        self.shared = Some(name);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// `server.listen` is `FORETELL_SERVER__LISTEN`.
    fn variable(self) -> String {
        format!(
            "FORETELL_{}",
            self.path.replace('.', "__").to_ascii_uppercase()
        )
    }
}

struct Given {
    text: String,
    origin: Origin,
}

/// The layers, while the settings are taken out of them one by one.
pub(super) struct Layers<'a> {
    flags: BTreeMap<&'static str, Given>,
    environment: &'a Environment,
    file: BTreeMap<String, Given>,
    known: BTreeSet<&'static str>,
    known_variables: BTreeSet<String>,
    settled: Vec<Settled>,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

/// What the layers held beside the settings themselves.
pub(super) struct Residue {
    pub settled: Vec<Settled>,
    pub problems: Vec<Problem>,
    pub notes: Vec<String>,
}

impl<'a> Layers<'a> {
    /// Reads the file, if there is one.
    pub(super) fn new(environment: &'a Environment, path: Option<&Path>) -> Self {
        let mut layers = Self {
            flags: BTreeMap::new(),
            environment,
            file: BTreeMap::new(),
            known: BTreeSet::new(),
            known_variables: BTreeSet::new(),
            settled: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        };
        if let Some(path) = path {
            layers.read_file(path);
        }
        layers
    }

    fn read_file(&mut self, path: &Path) {
        let origin = |line| Origin::File {
            path: path.to_owned(),
            line,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.refuse(origin(0), format!("cannot be read: {error}"));
                return;
            }
        };
        let (leaves, faults) = file::read(&text, self.environment);
        for fault in faults {
            self.refuse(origin(fault.line), fault.message);
        }
        for leaf in leaves {
            let given = Given {
                text: leaf.text,
                origin: origin(leaf.line),
            };
            self.file.insert(leaf.path, given);
        }
    }

    /// Sets a key from a flag.
    pub(super) fn flag(&mut self, key: &'static str, flag: &'static str, text: Option<String>) {
        if let Some(text) = text {
            let origin = Origin::Flag(flag);
            self.flags.insert(key, Given { text, origin });
        }
    }

    /// Takes a setting that any value of its kind will do for.
    pub(super) fn take<T: Setting>(&mut self, key: Key, default: T) -> T {
        self.settle(key, Some(default.clone()), T::RULE.to_owned(), |_| true)
            .unwrap_or(default)
    }

    /// Takes a setting with bounds, both inclusive.
    pub(super) fn take_within<T: Setting + PartialOrd>(
        &mut self,
        key: Key,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let rule = format!("{} to {}", range.start().show(), range.end().show());
        self.settle(key, Some(default.clone()), rule, |value| {
            range.contains(value)
        })
        .unwrap_or(default)
    }

    /// Takes a setting that may be absent.
    pub(super) fn take_optional<T: Setting>(&mut self, key: Key) -> Option<T> {
        self.settle(key, None, T::RULE.to_owned(), |_| true)
    }

    fn settle<T: Setting>(
        &mut self,
        key: Key,
        default: Option<T>,
        rule: String,
        fits: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let shown_default = default.as_ref().map(T::show).unwrap_or_default();
        let mut value = default;
        let mut origin = Origin::Default;
        if let Some(given) = self.find(key) {
            let parsed = T::parse(&given.text).and_then(|parsed| {
                if fits(&parsed) {
                    Ok(parsed)
                } else {
                    Err(String::new())
                }
            });
            match parsed {
                Ok(parsed) => {
                    value = Some(parsed);
                    origin = given.origin;
                }
                Err(reason) => self.refuse_value(key, &given, &reason, &rule),
            }
        }
        let shown = match (&value, key.secret) {
            (None, _) => String::new(),
            (Some(_), true) if origin != Origin::Default => "(secret)".to_owned(),
            (Some(value), _) => value.show(),
        };
        self.settled.push(Settled {
            key: key.path,
            doc: key.doc,
            value: shown,
            default: shown_default,
            range: rule,
            origin,
        });
        value
    }

    fn find(&mut self, key: Key) -> Option<Given> {
        self.known.insert(key.path);
        let from_file = self.file.remove(key.path);
        let from_environment = self.find_variable(key);
        self.flags
            .remove(key.path)
            .or(from_environment)
            .or(from_file)
    }

    fn find_variable(&mut self, key: Key) -> Option<Given> {
        let own = key.variable();
        let names = std::iter::once(own.as_str()).chain(key.short.iter().copied());
        let mut found = None;
        for name in names.chain(key.shared) {
            let given = self.read_variable(name, key.secret);
            if found.is_none() {
                found = given;
            }
        }
        found
    }

    fn read_variable(&mut self, name: &str, secret: bool) -> Option<Given> {
        self.known_variables.insert(name.to_owned());
        let direct = self.environment.get(name).map(|text| Given {
            text: text.to_owned(),
            origin: Origin::Variable(name.to_owned()),
        });
        if !secret {
            return direct;
        }
        let file_name = format!("{name}_FILE");
        self.known_variables.insert(file_name.clone());
        let Some(path) = self.environment.get(&file_name) else {
            return direct;
        };
        let origin = Origin::VariableFile(file_name.clone());
        if direct.is_some() {
            self.refuse(
                origin,
                format!("{name} and {file_name} are both set; keep one of them"),
            );
            return direct;
        }
        match std::fs::read_to_string(path) {
            // Editors and `echo` end a file with a line break that is no part of the secret.
            Ok(text) => Some(Given {
                text: text.trim_end_matches(['\r', '\n']).to_owned(),
                origin,
            }),
            Err(error) => {
                self.refuse(origin, format!("{path} cannot be read: {error}"));
                None
            }
        }
    }

    fn refuse_value(&mut self, key: Key, given: &Given, reason: &str, rule: &str) {
        let shown = if key.secret {
            "the value given".to_owned()
        } else {
            format!("`{}`", given.text.escape_debug())
        };
        let reason = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        let message = format!("{} cannot be {shown}{reason}; use {rule}", key.path);
        let shared = matches!(&given.origin, Origin::Variable(name) | Origin::VariableFile(name)
            if key.shared.is_some_and(|shared| name.starts_with(shared)));
        if shared {
            // Other programs set this name for themselves: not for us is no reason to stay down, silence would be wrong.
            self.notes
                .push(format!("{} is not used: {message}", given.origin));
        } else {
            self.refuse(given.origin.clone(), message);
        }
    }

    /// Adds a problem of a key that was taken, at its origin.
    pub(super) fn refuse_key(&mut self, key: &str, message: String) {
        let origin = self
            .settled
            .iter()
            .find(|settled| settled.key == key)
            .map_or(Origin::Default, |settled| settled.origin.clone());
        self.refuse(origin, message);
    }

    fn refuse(&mut self, origin: Origin, message: String) {
        self.problems.push(Problem { origin, message });
    }

    /// Whatever was given and not taken is a mistake, or a feature of a later version.
    pub(super) fn finish(mut self) -> Residue {
        for (path, given) in std::mem::take(&mut self.file) {
            let message = self.unknown(&path, &path);
            self.refuse(given.origin, message);
        }
        let ours: Vec<_> = self
            .environment
            .iter()
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.starts_with("FORETELL_") && name.contains("__"))
            .filter(|name| !self.known_variables.contains(name))
            .collect();
        for name in ours {
            let path = name
                .trim_start_matches("FORETELL_")
                .replace("__", ".")
                .to_ascii_lowercase();
            let message = self.unknown(&name, &path);
            self.refuse(Origin::Variable(name), message);
        }
        self.notes.extend(
            guide::VARIABLES
                .iter()
                .filter(|name| self.environment.get(name).is_some())
                .map(|name| format!("environment {name} has no effect yet in this version")),
        );
        Residue {
            settled: self.settled,
            problems: self.problems,
            notes: self.notes,
        }
    }

    fn unknown(&self, shown: &str, path: &str) -> String {
        if guide::is_planned(path) {
            return format!(
                "`{shown}` is not supported yet in this version; remove it, so that nobody relies on it"
            );
        }
        let near = self
            .known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, path), known))
            .min()
            .filter(|(distance, _)| *distance <= 2 + path.len() / 5);
        match near {
            Some((_, near)) if shown == path => {
                format!("unknown key `{shown}`; did you mean `{near}`?")
            }
            Some((_, near)) => format!(
                "unknown key `{shown}`; did you mean `FORETELL_{}`?",
                near.replace('.', "__").to_ascii_uppercase()
            ),
            None => format!("unknown key `{shown}`; `foretell config show` lists every key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const KEY: Key = Key::new("server.limit", "A limit.").short(&["FORETELL_LIMIT"]);

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let file = file("server:\n  limit: 3\n");
        let variables = Environment::from([("FORETELL_SERVER__LIMIT", "2")]);
        let short = Environment::from([("FORETELL_LIMIT", "4")]);
        let none = Environment::default();
        for (flag, environment, path, value, origin) in [
            (Some("1"), &variables, Some(file.path()), 1, "flag --limit"),
            (
                None,
                &variables,
                Some(file.path()),
                2,
                "environment FORETELL_SERVER__LIMIT",
            ),
            (
                None,
                &short,
                Some(file.path()),
                4,
                "environment FORETELL_LIMIT",
            ),
            (
                None,
                &none,
                Some(file.path()),
                3,
                &format!("{}:2", file.path().display()),
            ),
            (None, &none, None, 9, "default"),
        ] {
            let mut layers = Layers::new(environment, path);
            layers.flag("server.limit", "--limit", flag.map(str::to_owned));
            assert_eq!(layers.take_within(KEY, 9_u32, 1..=10), value);
            let residue = layers.finish();
            assert_eq!(residue.problems, []);
            assert_eq!(residue.settled[0].origin.to_string(), origin);
        }
    }

    #[test]
    fn every_problem_is_reported_with_key_value_range_and_origin() {
        let file = file("server:\n  limit: 30\n  lmit: 3\nmonitoring:\n  enabled: true\nzzz: 1\n");
        let environment = Environment::from([("FORETELL_SERVER__LIMTI", "2")]);
        let mut layers = Layers::new(&environment, Some(file.path()));
        layers.take_within(KEY, 9_u32, 1..=10);
        let problems: Vec<_> = layers
            .finish()
            .problems
            .iter()
            .map(|problem| {
                problem
                    .to_string()
                    .replace(&*file.path().to_string_lossy(), "FILE")
            })
            .collect();
        assert_eq!(
            problems,
            [
                "FILE:2: server.limit cannot be `30`; use 1 to 10",
                "FILE:5: `monitoring.enabled` is not supported yet in this version; remove it, so that nobody relies on it",
                "FILE:3: unknown key `server.lmit`; did you mean `server.limit`?",
                "FILE:6: unknown key `zzz`; `foretell config show` lists every key",
                "environment FORETELL_SERVER__LIMTI: unknown key `FORETELL_SERVER__LIMTI`; did you mean `FORETELL_SERVER__LIMIT`?",
            ]
        );
    }

    #[test]
    fn a_name_that_other_programs_use_never_stops_the_server() {
        let key = Key::new("database.limit", "A limit.").shared("DB_LIMIT");
        let environment =
            Environment::from([("DB_LIMIT", "unlimited"), ("REDIS_URL", "redis://x")]);
        let mut layers = Layers::new(&environment, None);
        assert_eq!(layers.take(key, 9_u32), 9);
        let residue = layers.finish();
        assert_eq!(residue.problems, []);
        assert_eq!(
            residue.notes,
            [
                "environment DB_LIMIT is not used: database.limit cannot be `unlimited`; use a whole number",
                "environment REDIS_URL has no effect yet in this version",
            ]
        );
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let key = Key::new("security.pin", "A secret.").secret();
        let file = file("12345\n");
        let path = file.path().to_str().unwrap();
        let from_file = Environment::from([("FORETELL_SECURITY__PIN_FILE", path)]);
        let mut layers = Layers::new(&from_file, None);
        assert_eq!(layers.take_optional::<u32>(key), Some(12345));
        let residue = layers.finish();
        assert_eq!(residue.settled[0].value, "(secret)");
        assert_eq!(
            residue.settled[0].origin.to_string(),
            "file named by FORETELL_SECURITY__PIN_FILE"
        );

        let both = Environment::from([
            ("FORETELL_SECURITY__PIN_FILE", path),
            ("FORETELL_SECURITY__PIN", "hush"),
        ]);
        let mut layers = Layers::new(&both, None);
        assert_eq!(layers.take_optional::<u32>(key), None);
        let problems = layers.finish().problems;
        assert_eq!(problems.len(), 2);
        assert!(
            problems
                .iter()
                .all(|problem| !problem.to_string().contains("hush"))
        );
    }
}
