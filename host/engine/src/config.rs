//! What the engine may use: plain data with documented defaults, units and ranges.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::lanes::ASIDE_THREADS;

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Linear memories of a plugin, at most: the snapshotter reads all of them from one module of its own, and that may have one,
/// since multi-memory is off.
pub(crate) const MEMORIES: u32 = 1;

/// Bytes that a place keeps in any case: below it, each reset would give back pages that the next call needs.
const LEAST_KEPT: u64 = 64 << 10;

/// Everything that [`Engine::new`](crate::Engine::new) wants to know.
#[derive(Clone)]
pub struct EngineConfig {
    /// Program and arguments of the compile worker, such as `["/usr/bin/foretell", "compile-worker"]`.
    pub worker_command: Vec<OsString>,
    /// The key under which compiled code and snapshots are sealed. Whoever knows it can make the server run any machine
    /// code, so it lies outside the blob store.
    pub mac_key: [u8; 32],
    /// A folder for short-lived files of uploads; nothing in it survives a restart.
    pub scratch_dir: PathBuf,
    /// Instances in memory at once.
    pub pool: PoolConfig,
    /// Where predictions run.
    pub lanes: LaneConfig,
    /// What a guest may use in one prediction, beyond what the call itself says.
    pub guest: GuestLimits,
    /// What the worker may use for one upload.
    pub compile: CompileLimits,
    /// What an upload may look like.
    pub structure: StructureLimits,
    /// Versions that are kept loaded.
    pub loaded: LoadedConfig,
}

impl EngineConfig {
    /// The defaults of every part, around the three things that have none.
    pub fn new(worker_command: Vec<OsString>, mac_key: [u8; 32], scratch_dir: PathBuf) -> Self {
        Self {
            worker_command,
            mac_key,
            scratch_dir,
            pool: PoolConfig::default(),
            lanes: LaneConfig::default(),
            guest: GuestLimits::default(),
            compile: CompileLimits::default(),
            structure: StructureLimits::default(),
            loaded: LoadedConfig::default(),
        }
    }
}

impl std::fmt::Debug for EngineConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("worker_command", &self.worker_command)
            .field("scratch_dir", &self.scratch_dir)
            .field("pool", &self.pool)
            .field("lanes", &self.lanes)
            .field("guest", &self.guest)
            .field("compile", &self.compile)
            .field("structure", &self.structure)
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

/// How many versions stay loaded. Beyond a limit, the one unused for longest makes room, unless a prediction of it is
/// running; a version that is larger than the limit is loaded alone. The system's limits of memory mappings and open
/// files are kept besides, whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedConfig {
    /// Versions, at most. Default 1,000.
    pub max_versions: usize,
    /// Bytes of their code and of the images that their instances begin with, at most. Default 2 GiB.
    pub max_bytes: u64,
    /// How long a prediction waits for its version to be loaded or compiled again. Default 10 s.
    pub patience: Duration,
    /// How long a version that could not be loaded is left alone. Default 1 s; twice as long after each further failure.
    pub retry_after: Duration,
    /// How long it is left alone at most. Default 60 s.
    pub retry_after_at_most: Duration,
}

impl Default for LoadedConfig {
    fn default() -> Self {
        Self {
            max_versions: 1_000,
            max_bytes: 2_048 * MIB,
            patience: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            retry_after_at_most: Duration::from_secs(60),
        }
    }
}

/// How many instances there may be, and what stays mapped between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Instances in memory at once, idle ones for reuse included. Default 1,024; more than both lanes have threads, at
    /// most 2,000: each takes 4 GiB of address space, and nothing but address space. A version that is asked often has a
    /// place of its own as long as there are as many places as such versions; beyond it, its image is mapped anew.
    pub instances: u32,
    /// Linear memory of one instance, at most, in bytes: the ceiling above every version's own limit. Default 512 MiB.
    pub max_memory_bytes: u64,
    /// Linear memory of all instances together, at most, in bytes. Default 4 GiB. What is beyond it is answered with
    /// "overloaded". Counted is what instances may touch; most of it is the shared image and is never copied.
    pub total_memory_bytes: u64,
    /// Percent of it that one tenant may take while another holds memory or waits for it. Default 50. Alone it may take
    /// all but an eighth; and one instance always gets what its own limit allows.
    pub tenant_memory_percent: u32,
    /// Dirty bytes of a memory that are written back in place when an instance ends, instead of being unmapped. Default
    /// 2 MiB: more than any small model dirties. They stay in memory, and count against `total_memory_bytes` while no
    /// instance has the place; so they are fewer where half of that, shared among all instances, is less.
    pub keep_resident_bytes: u64,
    /// A snapshot up to this size is always mapped copy-on-write, however sparse. Default 64 MiB. Above it and less than
    /// half full, every instance would copy it whole.
    pub dense_image_bytes: u64,
    /// Idle instances of versions with isolation `reuse`, all together, at most. Default 128; never more than half of
    /// the instances that the lanes leave.
    pub max_idle: u32,
    /// An idle instance unused for this long makes room for another version's where `max_idle` is reached. Default 10 s.
    pub stale_after: Duration,
    /// Predictions that one instance serves before it is replaced. Default 10,000.
    pub reuse_calls: u32,
}

impl PoolConfig {
    /// What a place keeps in memory between two instances, at most, in bytes.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let fair = self.total_memory_bytes / 2 / u64::from(self.instances.max(1));
        self.keep_resident_bytes.min(fair.max(LEAST_KEPT))
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            instances: 1_024,
            max_memory_bytes: 512 * MIB,
            total_memory_bytes: 4_096 * MIB,
            tenant_memory_percent: 50,
            keep_resident_bytes: 2 * MIB,
            dense_image_bytes: 64 * MIB,
            max_idle: 128,
            stale_after: Duration::from_secs(10),
            reuse_calls: 10_000,
        }
    }
}

/// Where a prediction runs: in place while it is known to be short, on a lane otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneConfig {
    /// Threads of each of the two lanes, of which one is for what is known to be long. Default twice the cores, at least
    /// 4: what they run is preempted by the system, so more threads than cores cost little and keep a place free.
    pub threads: usize,
    /// Threads of each lane that one tenant may hold at once. Default half of `threads`.
    pub threads_per_tenant: usize,
    /// Threads that versions never measured may hold at once, all together. Default three quarters of `threads`, so that
    /// guests which loop until their deadline never hold them all, whatever their number.
    pub threads_for_unproven: usize,
    /// A version with a call that cost more than this is long, for half a minute after it. Default 50 ms.
    pub long_cost: Duration,
    /// Predictions that may wait for each lane. Default 1,024.
    pub queue: usize,
    /// How long one may wait for a lane or an instance. Default 2 s.
    pub queue_deadline: Duration,
    /// A version whose calls cost less than this runs in place, on the thread that asks. Default 100 us.
    pub inline_cost: Duration,
    /// What a call may cost in place before it is abandoned and run again on a lane. Default 2 ms, in steps of 1 ms.
    pub inline_budget: Duration,
}

impl Default for LaneConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::of((2 * cores).max(4))
    }
}

impl LaneConfig {
    /// Threads of both lanes, and of what nobody waits for: each has a right to an instance.
    pub(crate) const fn all_threads(&self) -> usize {
        self.threads.saturating_mul(2).saturating_add(ASIDE_THREADS)
    }

    /// As many threads of each lane as leave one of so many instances to what runs in place.
    pub const fn most_threads(instances: u32) -> usize {
        (instances as usize).saturating_sub(1 + ASIDE_THREADS) / 2
    }

    /// So many threads, shared out as by default; everything else as by default, too.
    pub fn of(threads: usize) -> Self {
        Self {
            threads,
            threads_per_tenant: (threads / 2).max(1),
            threads_for_unproven: (threads * 3 / 4).max(1),
            long_cost: Duration::from_millis(50),
            queue: 1_024,
            queue_deadline: Duration::from_secs(2),
            inline_cost: Duration::from_micros(100),
            inline_budget: Duration::from_millis(2),
        }
    }
}

/// What a guest may use in one prediction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GuestLimits {
    /// Stack of the guest, in bytes. Default 1 MiB; threads that run guests need that much and half a MiB more.
    pub stack_bytes: usize,
    /// What a guest may hand to the host in one lift, in bytes: it bounds the outputs. Default 8 MiB.
    pub result_bytes: usize,
    /// Elements of its tables, all together. Default 100,000.
    pub table_elements: usize,
    /// Log lines of one call. Default 100.
    pub log_lines: u32,
    /// Bytes of log of one call. Default 16 KiB.
    pub log_bytes: u32,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            stack_bytes: MIB as usize,
            result_bytes: 8 * MIB as usize,
            table_elements: 100_000,
            log_lines: 100,
            log_bytes: 16 << 10,
        }
    }
}

/// How far the compile worker steps back behind the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Priority {
    /// Nice 19: a small share even on a busy machine, so that an upload ends.
    Nice,
    /// Only what nobody else wants (`SCHED_IDLE`): predictions never feel it, and on a busy machine an upload starves.
    Idle,
}

/// What the compile worker may use for one upload.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CompileLimits {
    /// Workers at once. Default 1 per two cores, at least 1.
    pub workers: usize,
    /// Uploads and recompiles that may wait for one. Default 16; beyond, the next is answered with "busy".
    pub queue: usize,
    /// Of one tenant, that may wait or run. Default 8, half of the queue: nobody fills it alone.
    pub per_tenant: usize,
    /// CPU time in whole seconds. Default 60.
    pub cpu_seconds: u64,
    /// Wall time of one upload, waiting not counted. Default 120 s.
    pub wall: Duration,
    /// Writable memory (`RLIMIT_DATA`), in bytes. Default 2 GiB. Address space is not limited: every linear memory
    /// reserves 4 GiB of it.
    pub data_bytes: u64,
    /// Wall time of the plugin's `load`. Default 30 s.
    pub load_deadline: Duration,
    /// Wall time of `describe`, and of each example. Default 10 s.
    pub example_deadline: Duration,
    /// Bytes that the worker may answer with, snapshot and code together. Default 1 GiB.
    pub answer_bytes: u64,
    /// How far it steps back. Default [`Priority::Nice`].
    pub priority: Priority,
}

impl Default for CompileLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers: (cores / 2).max(1),
            queue: 16,
            per_tenant: 8,
            cpu_seconds: 60,
            wall: Duration::from_secs(120),
            data_bytes: 2 << 30,
            load_deadline: Duration::from_secs(30),
            example_deadline: Duration::from_secs(10),
            answer_bytes: 1 << 30,
            priority: Priority::Nice,
        }
    }
}

/// What an upload may look like. Each number is five to ten times above the worst found in real plugins (Rust, Python
/// and JavaScript run-times, an ONNX engine), and the compiler stays under about a second on what passes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StructureLimits {
    /// Functions, all modules together. Default 50,000.
    pub functions: u64,
    /// Bytes of one function's body. Default 1,000,000.
    pub body_bytes: u64,
    /// Bytes of all bodies. Default 32 MiB.
    pub code_bytes: u64,
    /// Loops of one function. Default 2,048: the compiler is quadratic in them.
    pub loops: u64,
    /// Blocks of one function within each other. Default 10,000: the compiler is quadratic in them, too.
    pub nesting: u64,
    /// Locals times branches of one function, with the values that its branches, blocks and calls carry. Default 2
    /// million, about five seconds of the compiler, which is quadratic in them.
    pub locals_by_branches: u64,
    /// The same, summed over all functions. Default 64 million.
    pub total_locals_by_branches: u64,
    /// Targets of the branch tables of one function. Default 65,536: each is an edge between blocks.
    pub branch_targets: u64,
    /// Globals. Default 1,000: the snapshot is taken through a function for each that can change.
    pub globals: u64,
    /// What else is declared besides functions: types, imports, exports, aliases, segments. Default 200,000.
    pub declarations: u64,
    /// Bytes of custom sections, names and debug information among them. Default 32 MiB.
    pub custom_bytes: u64,
    /// Inner modules. Default 64.
    pub modules: u64,
    /// Inner components. Default 64.
    pub components: u64,
    /// Functions that a component makes of core functions and the other way round. Default 1,000: the compiler writes
    /// code for each.
    pub adapters: u64,
    /// Instances, of modules and of components. Default 64.
    pub instances: u64,
    /// Tables. Default 64, which is also the most.
    pub tables: u64,
    /// Elements that the tables begin with, all together. Default 100,000.
    pub table_elements: u64,
}

impl StructureLimits {
    /// Raises what is written by the author and compiled by us, so many times. What an instance takes (memories, tables,
    /// instances) stays.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        let times = |limit: u64| limit.saturating_mul(factor);
        Self {
            functions: times(self.functions),
            body_bytes: times(self.body_bytes),
            code_bytes: times(self.code_bytes),
            loops: times(self.loops),
            nesting: times(self.nesting),
            locals_by_branches: times(self.locals_by_branches),
            total_locals_by_branches: times(self.total_locals_by_branches),
            branch_targets: times(self.branch_targets),
            globals: times(self.globals),
            declarations: times(self.declarations),
            custom_bytes: times(self.custom_bytes),
            adapters: times(self.adapters),
            ..self
        }
    }
}

impl Default for StructureLimits {
    fn default() -> Self {
        Self {
            functions: 50_000,
            body_bytes: 1_000_000,
            code_bytes: 32 * MIB,
            loops: 2_048,
            nesting: 10_000,
            locals_by_branches: 2_000_000,
            total_locals_by_branches: 64_000_000,
            branch_targets: 65_536,
            globals: 1_000,
            declarations: 200_000,
            custom_bytes: 32 * MIB,
            modules: 64,
            components: 64,
            adapters: 1_000,
            instances: 64,
            tables: 64,
            table_elements: 100_000,
        }
    }
}
