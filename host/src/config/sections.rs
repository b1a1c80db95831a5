//! Every key, by section: name, purpose, default and range, once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::issuers::{self, TokenIssuer};
use super::layers::{Key, Layers};
use super::units::{
    AdminKey, ByteSize, CacheBackend, DatabaseUrl, GrpcListen, LogFormat, LogLevel, Networks,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Address, folder and connections.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where it listens for gRPC.
    pub grpc_listen: GrpcListen,
    /// Where everything lies that must survive.
    pub data_dir: PathBuf,
    /// From the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Between "not ready" and the last connection that is accepted.
    pub drain_delay: Duration,
    /// How long requests may take to end when the server stops.
    pub drain_grace: Duration,
    /// Connections at once, at most.
    pub max_connections: usize,
    /// Connections at once from one address, at most; loopback and trusted proxies are not counted.
    pub max_connections_per_ip: usize,
    /// Addresses behind which many callers stand.
    pub trusted_proxies: Networks,
}

impl Server {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            listen: layers.take(
                Key::new("server.listen", "Where the server listens.").short(&["FORETELL_LISTEN"]),
                SocketAddr::from((Ipv4Addr::LOCALHOST, 5000)),
            ),
            grpc_listen: layers.take(
                Key::new("server.grpc_listen", "Where the server listens for gRPC.")
                    .short(&["FORETELL_GRPC_LISTEN"]),
                GrpcListen::Next,
            ),
            data_dir: layers.take(
                Key::new(
                    "server.data_dir",
                    "The data folder, made at the first start; relative to where the server is started.",
                )
                .short(&["FORETELL_DATA_DIR"]),
                PathBuf::from("./foretell-data"),
            ),
            header_timeout: layers.take_within(
                Key::new("server.header_timeout", "Time for the head of a request."),
                5 * SECOND,
                Duration::from_millis(100)..=60 * SECOND,
            ),
            idle_timeout: layers.take_within(
                Key::new(
                    "server.idle_timeout",
                    "Time that a connection may stay open without a request.",
                ),
                60 * SECOND,
                SECOND..=HOUR,
            ),
            drain_delay: layers.take_within(
                Key::new(
                    "server.drain_delay",
                    "Time between \"not ready\" and the last connection, for load balancers to notice.",
                ),
                Duration::ZERO,
                Duration::ZERO..=600 * SECOND,
            ),
            drain_grace: layers.take_within(
                Key::new(
                    "server.drain_grace",
                    "Time for requests to end when the server is told to stop.",
                ),
                30 * SECOND,
                Duration::ZERO..=HOUR,
            ),
            max_connections: layers.take_within(
                Key::new("server.max_connections", "Connections at once, at most."),
                4_096,
                1..=100_000,
            ),
            max_connections_per_ip: layers.take_within(
                Key::new(
                    "server.max_connections_per_ip",
                    "Connections at once from one address, at most; loopback and trusted proxies are not counted.",
                ),
                256,
                1..=100_000,
            ),
            trusted_proxies: layers.take(
                Key::new(
                    "server.trusted_proxies",
                    "Addresses behind which many callers stand.",
                ),
                Networks::default(),
            ),
        }
    }
}

/// The store.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where it lies.
    pub url: DatabaseUrl,
    /// Connections for reading, at most; one more writes.
    pub pool_size: u32,
}

impl Database {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            url: layers.take(
                Key::new("database.url", "Where the database lies.")
                    .shared("DATABASE_URL")
                    .secret(),
                DatabaseUrl::embedded(),
            ),
            pool_size: layers.take_within(
                Key::new(
                    "database.pool_size",
                    "Connections to the database for reading, at most; one more writes.",
                ),
                4,
                1..=64,
            ),
        }
    }
}

/// Answers that are given again.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Whether there is a cache at all.
    pub enabled: bool,
    /// Where answers are kept.
    pub backend: CacheBackend,
    /// Seconds that an answer is given again.
    pub default_ttl: u64,
    /// Bytes of all answers, at most.
    pub max_memory: ByteSize,
}

impl Cache {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            enabled: layers.take(
                Key::new(
                    "cache.enabled",
                    "Whether equal predictions of deterministic models are answered from memory.",
                )
                .shared("CACHE_ENABLED"),
                true,
            ),
            backend: layers.take(
                Key::new("cache.backend", "Where answers are kept."),
                CacheBackend::Memory,
            ),
            default_ttl: layers.take_within(
                Key::new(
                    "cache.default_ttl",
                    "Seconds that an answer is given again.",
                )
                .shared("CACHE_TTL_SECONDS"),
                3_600,
                1..=2_592_000,
            ),
            max_memory: layers.take_within(
                Key::new(
                    "cache.max_memory",
                    "Memory of all answers that are kept, at most; an answer of more than a sixteenth of it is not kept.",
                ),
                ByteSize::mib(64),
                ByteSize::mib(1)..=ByteSize::mib(1 << 20),
            ),
        }
    }
}

/// Keys.
#[derive(Debug, Clone)]
pub struct Security {
    /// The operator's key, instead of one made at the first start.
    pub admin_key: Option<AdminKey>,
    /// Whose tokens open something.
    pub token_issuers: Vec<TokenIssuer>,
    /// Days until a key expires where its creator does not say.
    pub key_days: u32,
}

impl Security {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        let file = Key::new(
            "security.token_issuers",
            "A file that says whose JSON Web Tokens open something beside API keys (docs/TOKENS.md).",
        );
        let token_issuers = match layers.take_optional::<PathBuf>(file) {
            None => Vec::new(),
            Some(path) => issuers::read(&path).unwrap_or_else(|wrong| {
                layers.refuse_key(file.path, format!("{}: {wrong}", path.display()));
                Vec::new()
            }),
        };
        Self {
            token_issuers,
            admin_key: layers.take_optional(
                Key::new(
                    "security.admin_key",
                    "The operator's key, instead of one made at the first start; changing it revokes the old one.",
                )
                .short(&["FORETELL_ADMIN_KEY"])
                .secret(),
            ),
            key_days: layers.take_within(
                Key::new(
                    "security.key_days",
                    "Days until an API key expires, where its creator does not say.",
                ),
                365,
                1..=3_650,
            ),
        }
    }
}

/// What requests may use.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Bytes of a request's body, at most, but for uploads.
    pub max_body: ByteSize,
    /// Predictions under way, at most.
    pub max_concurrent: usize,
    /// Predictions under way for one tenant, at most.
    pub max_concurrent_per_tenant: usize,
    /// Rows of one request where a version does not say.
    pub max_rows: u32,
    /// Rows that a version may ask for, at most.
    pub max_rows_ceiling: u32,
}

impl Predictions {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            max_body: layers.take_within(
                Key::new(
                    "predictions.max_body",
                    "Bytes of a request's body, at most; uploads have their own limits.",
                ),
                ByteSize::mib(8),
                ByteSize(1 << 10)..=ByteSize::mib(1_024),
            ),
            max_concurrent: layers.take_within(
                Key::new(
                    "predictions.max_concurrent",
                    "Predictions under way, at most.",
                ),
                1_024,
                1..=100_000,
            ),
            max_concurrent_per_tenant: layers.take_within(
                Key::new(
                    "predictions.max_concurrent_per_tenant",
                    "Predictions under way for one tenant, at most.",
                ),
                256,
                1..=100_000,
            ),
            max_rows: layers.take_within(
                Key::new(
                    "predictions.max_rows",
                    "Rows of one request, at most, where a version does not say.",
                ),
                10_240,
                1..=1_000_000,
            ),
            max_rows_ceiling: layers.take_within(
                Key::new(
                    "predictions.max_rows_ceiling",
                    "Rows of one request that a version may ask for, at most.",
                ),
                1_000_000,
                1..=1_000_000,
            ),
        }
    }
}

/// What guests may use.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Milliseconds of one prediction where a version does not say.
    pub deadline_ms: u32,
    /// Milliseconds that a version may ask for, at most.
    pub deadline_ceiling_ms: u32,
    /// Mebibytes of a guest's memory where a version does not say.
    pub memory_mib: u32,
    /// Mebibytes that a version may ask for, at most.
    pub memory_ceiling_mib: u32,
    /// Memory of all guests together, at most.
    pub total_memory: ByteSize,
    /// Percent of it that one tenant may take while others want memory.
    pub tenant_memory_percent: u32,
    /// Versions that stay loaded, at most.
    pub loaded_versions: usize,
    /// Bytes of their code and images, at most.
    pub loaded_memory: ByteSize,
    /// Instances alive at once, at most; more than twice `lanes`.
    pub instances: u32,
    /// Threads for predictions that do not run in place, and as many for long ones; 0 = two per core, at least 4.
    pub lanes: usize,
    /// Failures in a row after which a version is suspended; 0 = never.
    pub suspend_after: u32,
    /// How long it is suspended before it is tried again.
    pub suspend_for: Duration,
}

impl Sandbox {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            deadline_ms: layers.take_within(
                Key::new(
                    "sandbox.deadline_ms",
                    "Milliseconds of one prediction, at most, where a version does not say.",
                ),
                1_000,
                1..=60_000,
            ),
            deadline_ceiling_ms: layers.take_within(
                Key::new(
                    "sandbox.deadline_ceiling_ms",
                    "Milliseconds of one prediction that a version may ask for, at most.",
                ),
                60_000,
                1..=60_000,
            ),
            memory_mib: layers.take_within(
                Key::new(
                    "sandbox.memory_mib",
                    "Mebibytes of a guest's memory, at most, where a version does not say.",
                ),
                128,
                1..=4_096,
            ),
            memory_ceiling_mib: layers.take_within(
                Key::new(
                    "sandbox.memory_ceiling_mib",
                    "Mebibytes of a guest's memory that a version may ask for, at most.",
                ),
                512,
                1..=4_096,
            ),
            total_memory: layers.take_within(
                Key::new(
                    "sandbox.total_memory",
                    "Memory of all guests together, at most; beyond it a prediction waits, and is answered 503.",
                ),
                ByteSize::mib(4_096),
                ByteSize::mib(1)..=ByteSize::mib(1 << 20),
            ),
            tenant_memory_percent: layers.take_within(
                Key::new(
                    "sandbox.tenant_memory_percent",
                    "Percent of it that one tenant may take while others want memory; alone, all but an eighth.",
                ),
                50,
                1..=100,
            ),
            loaded_versions: layers.take_within(
                Key::new(
                    "sandbox.loaded_versions",
                    "Versions that stay loaded, at most; beyond, the one unused for longest makes room.",
                ),
                1_000,
                1..=100_000,
            ),
            loaded_memory: layers.take_within(
                Key::new(
                    "sandbox.loaded_memory",
                    "Memory of their code and weights, at most; a version larger than that is loaded alone.",
                ),
                ByteSize::mib(2_048),
                ByteSize::mib(1)..=ByteSize::mib(1 << 20),
            ),
            instances: layers.take_within(
                Key::new(
                    "sandbox.instances",
                    "Guest instances alive at once, at most; more than twice the threads of lanes, and one.",
                ),
                1_024,
                4..=2_000,
            ),
            lanes: layers.take_within(
                Key::new(
                    "sandbox.lanes",
                    "Threads for predictions above 0.1 ms, and as many for those above 50 ms; 0 is two per core, at least 4.",
                ),
                0,
                0..=999,
            ),
            suspend_after: layers.take_within(
                Key::new(
                    "sandbox.suspend_after",
                    "Failures in a row (traps, memory, deadline, nonsense) that suspend a version; 0 is never.",
                ),
                20,
                0..=1_000_000,
            ),
            suspend_for: layers.take_within(
                Key::new(
                    "sandbox.suspend_for",
                    "Time for which it is answered 503, before one call may try it again.",
                ),
                10 * SECOND,
                SECOND..=HOUR,
            ),
        }
    }
}

/// What uploads may use.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// Bytes of a plugin, before and after inflation, at most.
    pub max_plugin: ByteSize,
    /// Bytes of an artifact, at most.
    pub max_artifact: ByteSize,
    /// Uploads under way, at most: each may fill a temporary file.
    pub max_concurrent: usize,
    /// Uploads under way for one tenant, at most.
    pub max_concurrent_per_tenant: usize,
    /// Times the limits of a plugin's structure that an upload may reach.
    pub complexity: u64,
    /// Processor time of preparing one upload, at most.
    pub compile_cpu: Duration,
    /// Time of preparing one upload, at most.
    pub compile_wall: Duration,
    /// Memory of preparing one upload, at most.
    pub compile_memory: ByteSize,
    /// Uploads prepared at once, at most; 0 = one per two cores.
    pub compile_concurrency: usize,
    /// Uploads and stored versions that may wait to be prepared, at most; half of them of one tenant.
    pub compile_queue: usize,
}

impl Uploads {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            max_plugin: layers.take_within(
                Key::new(
                    "uploads.max_plugin",
                    "Bytes of a plugin, before and after inflation, at most.",
                ),
                ByteSize::mib(64),
                ByteSize(1 << 10)..=ByteSize::mib(1_024),
            ),
            max_artifact: layers.take_within(
                Key::new("uploads.max_artifact", "Bytes of an artifact, at most."),
                ByteSize::mib(256),
                ByteSize(1 << 10)..=ByteSize::mib(2_048),
            ),
            max_concurrent: layers.take_within(
                Key::new(
                    "uploads.max_concurrent",
                    "Uploads under way, at most: each may fill a temporary file.",
                ),
                32,
                1..=10_000,
            ),
            max_concurrent_per_tenant: layers.take_within(
                Key::new(
                    "uploads.max_concurrent_per_tenant",
                    "Uploads under way for one tenant, at most.",
                ),
                4,
                1..=10_000,
            ),
            complexity: layers.take_within(
                Key::new(
                    "uploads.complexity",
                    "How many times the limits of structure in docs/PLUGINS.md (functions, code, loops) a plugin may reach.",
                ),
                1,
                1..=16,
            ),
            compile_cpu: layers.take_within(
                Key::new(
                    "uploads.compile_cpu",
                    "Processor time of preparing one upload, at most.",
                ),
                60 * SECOND,
                SECOND..=HOUR,
            ),
            compile_wall: layers.take_within(
                Key::new(
                    "uploads.compile_wall",
                    "Time of preparing one upload, at most.",
                ),
                120 * SECOND,
                SECOND..=HOUR,
            ),
            compile_memory: layers.take_within(
                Key::new(
                    "uploads.compile_memory",
                    "Memory of the process that prepares one upload, at most.",
                ),
                ByteSize::mib(2_048),
                ByteSize::mib(256)..=ByteSize::mib(65_536),
            ),
            compile_concurrency: layers.take_within(
                Key::new(
                    "uploads.compile_concurrency",
                    "Uploads prepared at once, at most; 0 is one per two cores.",
                ),
                0,
                0..=64,
            ),
            compile_queue: layers.take_within(
                Key::new(
                    "uploads.compile_queue",
                    "Uploads that may wait to be prepared, at most, half of them of one tenant; beyond, 503 or 429.",
                ),
                16,
                1..=1_000,
            ),
        }
    }
}

/// From when on the server calls itself degraded.
#[derive(Debug, Clone)]
pub struct Health {
    /// Free bytes on the disk of the data folder, at least.
    pub min_free_disk: ByteSize,
    /// Resident memory of the server, at most; 0 = nine tenths of what the machine or its container has.
    pub max_memory: ByteSize,
}

impl Health {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        let any = ByteSize(0)..=ByteSize::mib(1 << 30);
        Self {
            min_free_disk: layers.take_within(
                Key::new(
                    "health.min_free_disk",
                    "Free space on the disk of the data folder, below which /health says degraded.",
                ),
                ByteSize::mib(512),
                any.clone(),
            ),
            max_memory: layers.take_within(
                Key::new(
                    "health.max_memory",
                    "Memory of the server, above which /health says degraded; 0B is nine tenths of what the machine or its container has.",
                ),
                ByteSize(0),
                any,
            ),
        }
    }
}

/// What is logged.
#[derive(Debug, Clone)]
pub struct Logging {
    /// Which lines.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

impl Logging {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            level: layers.take(
                Key::new("logging.level", "Which log lines are written."),
                LogLevel::default(),
            ),
            format: layers.take(
                Key::new(
                    "logging.format",
                    "How they are written; auto is text on a terminal and JSON otherwise.",
                ),
                LogFormat::Auto,
            ),
        }
    }
}
