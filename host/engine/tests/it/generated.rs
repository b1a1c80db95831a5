//! Uploads that nobody wrote: generated, cut, flipped, and files that are no WebAssembly. Each ends in a plugin that
//! answers or in a refusal with a code; none ends a process but its own worker's, and none goes unnoticed.
//!
//! `FORETELL_LONG=1` takes ten times as many and more.

use std::time::Duration;

use arbitrary::Unstructured;
use foretell_engine::testkit::gauntlet::{
    Gauntlet, beside_component, beside_module, bit_flips, truncations,
};
use foretell_engine::testkit::{self, admit};
use foretell_types::compile::CompileError;
use foretell_types::run::RunError;
use wasm_smith::{Component, Config, Module};

use crate::support::Host;

/// One of these two numbers, by how long the run may take.
fn many(quick: usize, long: usize) -> usize {
    if std::env::var_os("FORETELL_LONG").is_some() {
        long
    } else {
        quick
    }
}

/// Bytes that only depend on the seed (xorshift).
fn noise(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    next.flatten().take(bytes).collect()
}

/// Of what plugins may use, everything.
fn allowed(seed: usize) -> Config {
    Config {
        disallow_traps: seed.is_multiple_of(2),
        // What a snapshot cannot hold, now and then: parts that were dropped, vectors in globals.
        bulk_memory_enabled: seed % 8 == 1,
        simd_enabled: seed % 8 == 2,
        exceptions_enabled: false,
        gc_enabled: false,
        reference_types_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        generate_custom_sections: true,
        max_imports: 0,
        max_instructions: 400,
        min_funcs: 1,
        max_memory32_bytes: 4 << 20,
        max_table_elements: 1_000,
        ..Config::default()
    }
}

fn module(seed: usize, config: Config) -> Vec<u8> {
    let noise = noise(seed, 16 << 10);
    let mut module = Module::new(config, &mut Unstructured::new(&noise)).unwrap();
    // Some may loop for ever: they end at their deadline.
    if !seed.is_multiple_of(16) {
        module.ensure_termination(10_000).unwrap();
    }
    module.to_bytes()
}

fn component(seed: usize) -> Option<Vec<u8>> {
    let noise = noise(seed, 4 << 10);
    let config = Config {
        min_funcs: 0,
        // Modules in components are nothing that a snapshot is taken of.
        max_modules: if seed.is_multiple_of(4) { 2 } else { 0 },
        ..allowed(seed)
    };
    let component = Component::new(config, &mut Unstructured::new(&noise));
    component.ok().map(|component| component.to_bytes())
}

fn host() -> Host {
    Host::with(|config| {
        config.compile.load_deadline = Duration::from_millis(500);
        config.compile.example_deadline = Duration::from_millis(500);
        config.compile.cpu_seconds = 20;
    })
}

/// Uploads it, and calls what was accepted.
async fn run(host: &Host, what: String, upload: &[u8], ends: &mut Gauntlet) {
    let ended = host.prepare(upload, &[], Vec::new()).await;
    ends.count(&what, &ended);
    if let Ok(prepared) = ended {
        let version = host.keep("acme", upload, prepared).await;
        match host.call(&version, &[0.0, 3.0]).await {
            Ok(answer) => assert_eq!(answer, [0.0, 3.0], "{what}"),
            // What it generated beside the plugin may trap or take memory at each start.
            Err(
                RunError::Trapped(_)
                | RunError::Memory { .. }
                | RunError::Stack
                | RunError::Deadline { .. },
            ) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        host.engine_forget(&version);
    }
}

async fn modules(seeds: std::ops::Range<usize>) {
    let (host, mut ends) = (host(), Gauntlet::default());
    for seed in seeds {
        let generated = module(seed, allowed(seed));
        let upload = beside_module(&testkit::echo(), &generated);
        run(&host, format!("module {seed}"), &upload, &mut ends).await;
    }
    assert!(ends.accepted > 0, "{ends:?}");
    assert!(ends.refusals() > 0, "{ends:?}");
}

#[tokio::test]
async fn generated_modules_beside_a_plugin_are_run_or_refused() {
    modules(0..many(700, 7_000)).await;
}

#[tokio::test]
async fn more_generated_modules_beside_a_plugin_are_run_or_refused() {
    modules(10_000..10_000 + many(700, 7_000)).await;
}

#[tokio::test]
async fn generated_components_within_a_plugin_are_run_or_refused() {
    let (host, mut ends) = (host(), Gauntlet::default());
    for seed in 0..many(600, 6_000) {
        let Some(generated) = component(seed) else {
            continue;
        };
        let upload = beside_component(&testkit::echo(), &generated);
        run(&host, format!("component {seed}"), &upload, &mut ends).await;
    }
    assert!(ends.accepted > 0, "{ends:?}");
    assert!(ends.refusals() > 0, "{ends:?}");
}

#[test]
fn generated_modules_and_components_by_themselves_are_no_plugins() {
    let mut ends = Gauntlet::default();
    for seed in 0..many(500, 5_000) {
        let any = module(seed, Config::default());
        for upload in [Some(any), component(seed)].into_iter().flatten() {
            let refusals = admit(upload).expect_err("it exports no inference");
            ends.count_refusals(format!("seed {seed}"), &refusals);
        }
    }
    for code in ["import_refused", "wrong_world", "too_complex"] {
        assert!(ends.refused_as(code) > 0, "{code}: {ends:?}");
    }
}

/// Admission decides on each; what it lets through is made runnable, called, or refused later.
async fn damaged(uploads: impl Iterator<Item = Vec<u8>>) -> (Gauntlet, Gauntlet) {
    let (host, mut at_admission, mut later) = (host(), Gauntlet::default(), Gauntlet::default());
    for (number, upload) in uploads.enumerate() {
        match admit(upload.clone()) {
            Err(refusals) => at_admission.count_refusals(number, &refusals),
            Ok(_) => run(&host, format!("upload {number}"), &upload, &mut later).await,
        }
    }
    (at_admission, later)
}

#[tokio::test]
async fn a_cut_plugin_is_refused_wherever_it_is_cut() {
    let whole = testkit::chameleon();
    let (at_admission, later) = damaged(truncations(&whole, many(400, 4_000))).await;
    assert!(
        at_admission.refused_as("not_wasm") > 300,
        "{at_admission:?}"
    );
    // A cut before a custom section at the end leaves the same plugin without that section.
    assert!(later.accepted + later.refusals() <= 2, "{later:?}");
}

#[tokio::test]
async fn a_plugin_with_a_flipped_bit_is_refused_or_runs_within_its_bounds() {
    let whole = testkit::echo();
    let (at_admission, later) = damaged(bit_flips(&whole, many(300, 10_000), 0)).await;
    assert!(at_admission.refused_as("not_wasm") > 0, "{at_admission:?}");
    assert!(later.accepted > 0, "some bits do not matter: {later:?}");
    assert!(
        later.refusals() > 0,
        "some are seen only when it runs: {later:?}"
    );
}

#[tokio::test]
async fn compiled_code_is_refused_whoever_made_it() {
    let host = host();
    let prepared = host
        .prepare(&testkit::echo(), &[], Vec::new())
        .await
        .unwrap();
    let elf = |bytes: &[u8]| {
        bytes
            .windows(4)
            .position(|four| four == b"\x7fELF")
            .unwrap()
    };
    let cwasm = prepared.code[elf(&prepared.code)..].to_vec();
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let none = Host::with(|config| config.worker_command = vec!["/nowhere/worker".into()]);
    for (upload, expected) in [
        (cwasm, "compiled code (.cwasm), which is never accepted"),
        (prepared.code.clone(), "it is not WebAssembly"),
        (program, "native program"),
        (b"(module)".to_vec(), "WebAssembly text"),
    ] {
        // Without a worker: it is refused before anything could load it.
        let error = none.prepare(&upload, &[], Vec::new()).await.unwrap_err();
        assert!(
            matches!(&error, CompileError::Refused(refusals) if refusals[0].message.contains(expected)),
            "{error} instead of {expected}"
        );
    }
}
