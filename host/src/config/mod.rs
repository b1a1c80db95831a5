//! The configuration: what can be set, to what, and where it was set.
//!
//! Precedence is flag > environment > file > default. Each key is declared once, where its section takes it out of the
//! [`layers`]; `deploy/config/foretell.yaml` and `config show` follow from that. Everything is checked here, before a
//! port is bound, and every problem is reported at once.
//!
//! Environment names: `FORETELL_SECTION__KEY` for every key, the short `FORETELL_CONFIG`, `FORETELL_DATA_DIR`,
//! `FORETELL_LISTEN` and `FORETELL_ADMIN_KEY`, and the enterprise guide's names. A secret may also lie in a file that
//! `NAME_FILE` names. This folder is the only reader of the environment.

pub mod amounts;
mod environment;
mod file;
pub mod governance;
mod guide;
pub mod issuers;
mod layers;
mod sections;
pub mod units;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub use environment::Environment;
pub use layers::{Origin, Problem, Settled};
pub use sections::{
    Cache, Database, Health, Logging, Predictions, Sandbox, Security, Server, Uploads,
};

use foretell_engine::config::LaneConfig;
use governance::{Audit, Cost, DefaultQuotas, RateLimiting};
use layers::Layers;

/// Everything that the server needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address, folder and connections.
    pub server: Server,
    /// The store.
    pub database: Database,
    /// Answers that are given again.
    pub cache: Cache,
    /// Keys.
    pub security: Security,
    /// How many requests tenants may make.
    pub rate_limiting: RateLimiting,
    /// What tenants may use.
    pub quotas: DefaultQuotas,
    /// What predictions cost.
    pub cost: Cost,
    /// What is recorded.
    pub audit: Audit,
    /// What requests may use.
    pub predictions: Predictions,
    /// What guests may use.
    pub sandbox: Sandbox,
    /// What uploads may use.
    pub uploads: Uploads,
    /// From when on the server calls itself degraded.
    pub health: Health,
    /// What is logged.
    pub logging: Logging,
    /// The program that prepares uploads, with its arguments; empty = this program's own `compile-worker`. For
    /// programs that embed the server, so it is no key.
    pub worker_command: Vec<OsString>,
}

/// The flags of the command line that set keys.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
}

/// A configuration that holds, and how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every key with value, default, range and origin.
    pub settled: Vec<Settled>,
    /// What was set and has no effect: a sentence each.
    pub notes: Vec<String>,
}

/// A configuration that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Every problem found.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("the configuration has a problem:")?,
            many => write!(f, "the configuration has {many} problems:")?,
        }
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Default for Config {
    /// The defaults of every key, with no environment and no file.
    fn default() -> Self {
        let environment = Environment::default();
        Self::take(&mut Layers::new(&environment, None))
    }
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found; no value of such a configuration is used.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
        let named = environment.get("FORETELL_CONFIG").map(PathBuf::from);
        let file = flags.config.clone().or(named);
        let mut layers = Layers::new(environment, file.as_deref());
        layers.flag("server.data_dir", "--data-dir", flags.data_dir.clone());
        layers.flag("server.listen", "--listen", flags.listen.clone());
        let config = Self::take(&mut layers);
        config.check(&mut layers);
        let residue = layers.finish();
        if residue.problems.is_empty() {
            Ok(Loaded {
                config,
                settled: residue.settled,
                notes: residue.notes,
            })
        } else {
            Err(ConfigError {
                problems: residue.problems,
            })
        }
    }

    fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            server: Server::take(layers),
            database: Database::take(layers),
            cache: Cache::take(layers),
            security: Security::take(layers),
            rate_limiting: RateLimiting::take(layers),
            quotas: DefaultQuotas::take(layers),
            cost: Cost::take(layers),
            audit: Audit::take(layers),
            predictions: Predictions::take(layers),
            sandbox: Sandbox::take(layers),
            uploads: Uploads::take(layers),
            health: Health::take(layers),
            logging: Logging::take(layers),
            worker_command: Vec::new(),
        }
    }

    /// What no key can see alone.
    fn check(&self, layers: &mut Layers<'_>) {
        let pairs = [
            (
                "sandbox.deadline_ms",
                u64::from(self.sandbox.deadline_ms),
                "sandbox.deadline_ceiling_ms",
                u64::from(self.sandbox.deadline_ceiling_ms),
            ),
            (
                "sandbox.memory_mib",
                u64::from(self.sandbox.memory_mib),
                "sandbox.memory_ceiling_mib",
                u64::from(self.sandbox.memory_ceiling_mib),
            ),
            (
                "sandbox.memory_ceiling_mib",
                u64::from(self.sandbox.memory_ceiling_mib),
                "sandbox.total_memory in MiB",
                self.sandbox.total_memory.0 >> 20,
            ),
            (
                "sandbox.lanes",
                self.sandbox.lanes as u64,
                "half of what sandbox.instances is above 2",
                LaneConfig::most_threads(self.sandbox.instances) as u64,
            ),
            (
                "predictions.max_rows",
                u64::from(self.predictions.max_rows),
                "predictions.max_rows_ceiling",
                u64::from(self.predictions.max_rows_ceiling),
            ),
            (
                "predictions.max_concurrent_per_tenant",
                self.predictions.max_concurrent_per_tenant as u64,
                "predictions.max_concurrent",
                self.predictions.max_concurrent as u64,
            ),
            (
                "uploads.max_concurrent_per_tenant",
                self.uploads.max_concurrent_per_tenant as u64,
                "uploads.max_concurrent",
                self.uploads.max_concurrent as u64,
            ),
            (
                "server.max_connections_per_ip",
                self.server.max_connections_per_ip as u64,
                "server.max_connections",
                self.server.max_connections as u64,
            ),
        ];
        for (key, value, ceiling_key, ceiling) in pairs {
            if value > ceiling {
                layers.refuse_key(
                    key,
                    format!(
                        "{key} cannot be {value}; use at most {ceiling_key}, which is {ceiling}"
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const DOCUMENTED: &str = include_str!("../../../deploy/config/foretell.yaml");

    fn load(environment: &Environment) -> Result<Loaded, ConfigError> {
        Config::load(&Flags::default(), environment)
    }

    #[test]
    fn the_documented_file_shows_every_key_with_its_default_and_range() {
        let none = Environment::default();
        let (leaves, faults) = file::read(DOCUMENTED, &none);
        assert_eq!(faults, []);
        let mut written: BTreeMap<_, _> = leaves
            .into_iter()
            .map(|leaf| (leaf.path, (leaf.text, leaf.line)))
            .collect();
        let lines: Vec<_> = DOCUMENTED.lines().collect();
        for key in load(&none).unwrap().settled {
            // A key without a default stands there as a comment: to write it out would set it.
            let name = key.key.rsplit('.').next().unwrap_or_default();
            let line = match written.remove(key.key) {
                Some((text, line)) => {
                    assert_eq!(text, key.default, "{}: default", key.key);
                    line as usize - 1
                }
                None => {
                    assert_eq!(key.default, "", "{} is missing", key.key);
                    let commented = format!("  # {name}:");
                    lines
                        .iter()
                        .position(|line| line.starts_with(&commented))
                        .unwrap_or_else(|| panic!("{} is missing", key.key))
                }
            };
            let above: Vec<_> = lines[..line]
                .iter()
                .rev()
                .take_while(|line| line.trim_start().starts_with('#'))
                .map(|line| line.trim_start().trim_start_matches('#').trim())
                .collect();
            let above = above.into_iter().rev().collect::<Vec<_>>().join(" ");
            assert!(
                above.contains(key.doc),
                "{}: doc `{}` above: {above}",
                key.key,
                key.doc
            );
            assert!(
                above.contains(&key.range),
                "{}: range `{}` above: {above}",
                key.key,
                key.range
            );
        }
        assert!(written.is_empty(), "keys that do not exist: {written:?}");
    }

    #[test]
    fn the_documented_file_is_a_valid_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), DOCUMENTED).unwrap();
        let flags = Flags {
            config: Some(file.path().to_owned()),
            ..Flags::default()
        };
        Config::load(&flags, &Environment::default()).unwrap();
    }

    #[test]
    fn a_default_never_passes_its_ceiling() {
        for (name, value, message) in [
            ("FORETELL_SANDBOX__DEADLINE_MS", "60000", None),
            (
                "FORETELL_SANDBOX__DEADLINE_CEILING_MS",
                "500",
                Some(
                    "sandbox.deadline_ms cannot be 1000; use at most sandbox.deadline_ceiling_ms, which is 500",
                ),
            ),
            (
                "FORETELL_SANDBOX__LANES",
                "512",
                Some(
                    "sandbox.lanes cannot be 512; use at most half of what sandbox.instances is above 2, which is 511",
                ),
            ),
            (
                "FORETELL_SERVER__MAX_CONNECTIONS",
                "8",
                Some(
                    "server.max_connections_per_ip cannot be 256; use at most server.max_connections, which is 8",
                ),
            ),
        ] {
            let result = load(&Environment::from([(name, value)]));
            match message {
                None => assert!(result.is_ok(), "{name}"),
                Some(message) => {
                    let error = result.unwrap_err().to_string();
                    assert!(error.contains(message), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_database_of_another_program_does_not_stop_the_server() {
        let url = "postgresql://app:hush@db/app";
        let shared = load(&Environment::from([("DATABASE_URL", url)])).unwrap();
        assert_eq!(shared.config.database.url.as_str(), "sqlite:");
        assert!(
            shared.notes[0].contains("PostgreSQL is not supported yet"),
            "{:?}",
            shared.notes
        );
        assert!(!shared.notes[0].contains("hush"));

        let meant = load(&Environment::from([("FORETELL_DATABASE__URL", url)])).unwrap_err();
        assert!(
            meant
                .to_string()
                .contains("PostgreSQL is not supported yet"),
            "{meant}"
        );
        assert!(!meant.to_string().contains("hush"));

        let ours = load(&Environment::from([("DATABASE_URL", "memory:")])).unwrap();
        assert_eq!(ours.config.database.url.as_str(), "memory:");
    }

    #[test]
    fn the_guides_names_set_the_cache_and_the_limit_of_requests() {
        let environment = Environment::from([
            ("CACHE_ENABLED", "false"),
            ("CACHE_TTL_SECONDS", "60"),
            ("RATE_LIMIT_ENABLED", "true"),
            ("MAX_REQUESTS_PER_HOUR", "77"),
        ]);
        let loaded = load(&environment).unwrap();
        assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        assert!(!loaded.config.cache.enabled);
        assert_eq!(loaded.config.cache.default_ttl, 60);
        let rate = &loaded.config.rate_limiting;
        assert_eq!((rate.enabled, rate.default_limit), (true, 77));

        let redis = load(&Environment::from([("FORETELL_CACHE__BACKEND", "redis")])).unwrap_err();
        assert!(
            redis.to_string().contains("Redis is not supported yet"),
            "{redis}"
        );
    }

    #[test]
    fn the_guides_own_file_is_refused_key_by_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "database:\n  url: ${DATABASE_URL:-sqlite:}\n  pool_size: 20\n  pool_timeout: 30\ncache:\n  enabled: true\n  backend: memory\n  url: redis://r\n  default_ttl: 3600\nsecurity:\n  rate_limiting:\n    enabled: true\n",
        )
        .unwrap();
        let flags = Flags {
            config: Some(file.path().to_owned()),
            ..Flags::default()
        };
        let error = Config::load(&flags, &Environment::default()).unwrap_err();
        let messages: Vec<_> = error.problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(
            messages.iter().all(|m| m.contains("not supported yet")),
            "{messages:?}"
        );
    }

    #[test]
    fn a_missing_file_is_a_problem_with_its_name() {
        let flags = Flags {
            config: Some("/no/such/file.yaml".into()),
            ..Flags::default()
        };
        let error = Config::load(&flags, &Environment::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("/no/such/file.yaml: cannot be read"),
            "{error}"
        );
    }
}
