//! Our limits, translated to wasmtime.
//!
//! Two engines are built from the same settings: the server's, which keeps a pool of slots and never compiles, and the
//! worker's, which compiles and runs one guest. Code of one loads in the other only while every setting that shapes code
//! is equal: [`code_settings`] holds exactly those, and [`fingerprint`] is what tells.

use std::hash::{Hash, Hasher};

use wasmtime::{
    Config, Enabled, OptLevel, PoolingAllocationConfig, RegallocAlgorithm, WasmFeatures,
};

use crate::EngineError;
use crate::config::{EngineConfig, MEMORIES};

/// Core instances that one component may have: what admission allows, and the accessor that the snapshot adds.
const CORE_INSTANCES: u32 = 65;
/// Instances of the pool, at most: with a memory of 4 GiB each, that is 8 TiB of address space.
const MAX_INSTANCES: u32 = 2_000;

/// WebAssembly beyond the first version that a plugin may use.
///
/// Off: externref (there is nothing to refer to), threads and shared memory (timing, non-determinism), memory64 (bounds checks), gc and exceptions (surface),
/// relaxed SIMD (answers that depend on the CPU), multi-memory and tail calls (no real plugin needs them).
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

/// What shapes the code: equal in server and worker.
fn code_settings(stack_bytes: usize, dense_image_bytes: u64) -> Config {
    let mut config = Config::new();
    for (_, feature) in WasmFeatures::all().iter_names() {
        // The two below are no proposals but names for parts of the language, and wasmtime insists on its own choice.
        if feature != WasmFeatures::GC_TYPES && feature != WasmFeatures::FLOATS {
            config.wasm_features(feature, features().contains(feature));
        }
    }
    // With concurrency on, even a synchronous call builds a task: two boxes and table entries.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    // Registering unwind tables is quadratic in the number of loaded plugins, and nobody unwinds through guests.
    config.native_unwind_info(false);
    config.generate_address_map(false);
    config.wasm_backtrace_max_frames(None);
    config.cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(stack_bytes);
    config.memory_guaranteed_dense_image_size(dense_image_bytes);
    config
}

/// The engine that serves, and how it resets memory.
pub(crate) fn server(
    config: &EngineConfig,
) -> Result<(wasmtime::Engine, &'static str), EngineError> {
    let (pool, reset_method) = pool(config)?;
    let mut settings = code_settings(config.guest.stack_bytes, config.pool.dense_image_bytes);
    settings.allocation_strategy(pool);
    let engine = wasmtime::Engine::new(&settings)
        .map_err(|error| EngineError::Setup(format!("{error:#}")))?;
    Ok((engine, reset_method))
}

fn pool(config: &EngineConfig) -> Result<(PoolingAllocationConfig, &'static str), EngineError> {
    let slots = config.pool.instances;
    if !(1..=MAX_INSTANCES).contains(&slots) || slots as usize <= config.lanes.all_threads() {
        let threads = config.lanes.all_threads();
        return Err(EngineError::Setup(format!(
            "{slots} instances; use {} to {MAX_INSTANCES}, more than the {threads} threads of the lanes",
            threads + 1
        )));
    }
    let tables = u32::try_from(config.structure.tables.min(64)).unwrap_or(64);
    let bytes = |value: u64, what: &str| {
        usize::try_from(value).map_err(|_| {
            EngineError::Setup(format!("{what} of {value} bytes is beyond this machine"))
        })
    };
    let mut pool = PoolingAllocationConfig::new();
    // Each instance may have as much of everything as admission allows, so nothing but instances can run out, and those
    // are counted by `pool::Slots`. It costs address space only.
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES)
        .total_memories(slots * MEMORIES)
        .total_tables(slots * tables)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(tables)
        .max_tables_per_module(tables)
        // Ceilings only, nothing is reserved: above what the structure limits let through (a function whose address is
        // taken costs 32 bytes).
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(8 << 20)
        .table_elements(config.guest.table_elements)
        .max_memory_size(bytes(config.pool.max_memory_bytes, "a memory")?)
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(bytes(config.pool.kept_bytes(), "a resident memory")?)
        .table_keep_resident(64 << 10);
    // Kernels before 6.7 lack the call; resetting is then two to three times slower, and for large models much more.
    let reset_method = if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto);
        "pagemap_scan"
    } else {
        pool.linear_memory_keep_resident(0);
        "madvise"
    };
    Ok((pool, reset_method))
}

/// The engine of a worker: no pool, no threads of its own.
pub(crate) fn worker(
    stack_bytes: usize,
    dense_image_bytes: u64,
) -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&code_settings(stack_bytes, dense_image_bytes))
}

/// The same for code that runs once: compiled in half the time, and up to some times slower.
pub(crate) fn quick_worker(
    stack_bytes: usize,
    dense_image_bytes: u64,
) -> wasmtime::Result<wasmtime::Engine> {
    let mut settings = code_settings(stack_bytes, dense_image_bytes);
    settings
        .cranelift_opt_level(OptLevel::None)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    wasmtime::Engine::new(&settings)
}

/// Equal exactly where code of one engine loads in the other: version, settings, CPU.
pub(crate) fn fingerprint(engine: &wasmtime::Engine) -> [u8; 32] {
    let mut state = Fingerprint(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut state);
    *state.0.finalize().as_bytes()
}

/// A fingerprint in hexadecimal.
pub(crate) fn shown(fingerprint: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*fingerprint).to_hex().to_string()
}

/// Collects what a `Hash` writes, all of it: 64 bits would be few for a name of code.
struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let bytes = self.0.finalize();
        bytes
            .as_bytes()
            .iter()
            .take(8)
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_worker_fits_the_server() {
        let config = EngineConfig::new(Vec::new(), [0; 32], std::env::temp_dir());
        let (server, _) = server(&config).unwrap();
        let worker = worker(config.guest.stack_bytes, config.pool.dense_image_bytes).unwrap();
        assert_eq!(fingerprint(&server), fingerprint(&worker));
    }

    #[test]
    fn a_pool_out_of_range_is_refused_with_the_range() {
        let mut config = EngineConfig::new(Vec::new(), [0; 32], std::env::temp_dir());
        config.pool.instances = 0;
        assert!(server(&config).unwrap_err().to_string().contains("to 2000"));
    }

    #[test]
    fn what_places_keep_between_instances_is_half_of_the_memory_at_most() {
        let mut pool = EngineConfig::new(Vec::new(), [0; 32], std::env::temp_dir()).pool;
        assert_eq!(pool.kept_bytes(), pool.keep_resident_bytes, "by default");
        pool.total_memory_bytes /= 4;
        let all = pool.kept_bytes() * u64::from(pool.instances);
        assert_eq!(all, pool.total_memory_bytes / 2);
        pool.total_memory_bytes = 1;
        assert_eq!(pool.kept_bytes(), 64 << 10);
    }

    #[test]
    fn the_largest_pool_fits_into_the_address_space() {
        let mut config = EngineConfig::new(Vec::new(), [0; 32], std::env::temp_dir());
        config.pool.instances = MAX_INSTANCES;
        assert!(server(&config).is_ok());
    }
}
