//! What one prediction costs inside the engine.
//!
//! `echo` is the least that a plugin can be: what it costs is what the sandbox costs. A real plugin is measured beside it
//! if `FORETELL_BENCH_PLUGIN` and `FORETELL_BENCH_ARTIFACT` name its files; its first example is the input. `touched`
//! draws what reading so many pages of a 16 MiB memory costs a fresh instance, which is what resetting it costs, and what it
//! leaves behind for calls that read one page. `batches` compares predictions that are run one by one with those that are run
//! together where they wait: of one caller, who must not notice, and of 16. The last group measures slots that have served
//! 10,000 calls.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up is a failure"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use foretell_engine::testkit::{self, Misdeed, Probe, Stored};
use foretell_engine::{Compiler, Engine, EngineConfig, Runner};
use foretell_types::compile::{Part, Upload};
use foretell_types::run::{Begun, Isolation, RunCall, RunLimits};
use foretell_types::signature::{Checked, NamedTensor, Signature};
use foretell_types::tensor::Tensor;
use foretell_types::{Digest, TenantId, VersionDigest};
use sha2::{Digest as _, Sha256};

/// A version that is loaded, and an input for it.
struct Bench {
    engine: Arc<Engine>,
    probe: Probe,
    tenant: TenantId,
    version: VersionDigest,
    signature: Signature,
    inputs: Vec<Tensor>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(plugin: &[u8], artifact: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = scratch.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let digest = |bytes: &[u8]| Digest::from_bytes(Sha256::digest(bytes).into());
        let part = |name: &str, bytes: &[u8]| Part {
            file: file(name, bytes),
            digest: digest(bytes),
        };
        let (tenant, version) = (
            TenantId::parse("bench").unwrap(),
            VersionDigest(digest(artifact)),
        );
        let upload = Upload {
            tenant: tenant.clone(),
            version,
            plugin: part("plugin", plugin),
            artifact: Some(part("artifact", artifact)),
            settings: Vec::new(),
            memory_bytes: 128 << 20,
        };
        let config = || {
            let worker = vec![env!("CARGO_BIN_EXE_foretell-compile-worker").into()];
            EngineConfig::new(worker, [7; 32], scratch.path().to_owned())
        };
        let nothing = Arc::new(Stored {
            snapshot: Vec::new(),
            code: Vec::new(),
        });
        let compiler = Engine::new(config(), nothing).unwrap();
        let prepared = runtime
            .block_on(compiler.prepare(&upload, &|_| ()))
            .unwrap();
        let stored = Arc::new(Stored {
            snapshot: prepared.snapshot,
            code: prepared.code,
        });
        let engine = Engine::new(config(), stored).unwrap();
        let probe = runtime
            .block_on(Probe::new(&engine, &tenant, &version))
            .unwrap();
        let inputs = prepared.signature.examples[0].inputs.clone();
        Self {
            engine,
            probe,
            tenant,
            version,
            signature: prepared.signature,
            inputs,
            runtime,
        }
    }

    fn checked(&self) -> Checked {
        let named = self.signature.inputs.iter().zip(&self.inputs);
        let named = named.map(|(input, tensor)| NamedTensor {
            name: input.name.clone(),
            tensor: tensor.clone(),
        });
        self.signature.check(named.collect()).unwrap()
    }

    fn call(&self, inputs: &Checked, limits: RunLimits, joins: Option<u32>) -> RunCall {
        RunCall {
            tenant: self.tenant.clone(),
            version: self.version,
            inputs: inputs.clone(),
            limits,
            is_hurried: false,
            priority: 0,
            joins,
            is_aside: false,
            begun: Begun::default(),
        }
    }

    /// So many predictions at once, to the end of the last.
    fn at_once(&self, callers: usize, inputs: &Checked, joins: Option<u32>) {
        let limits = RunLimits {
            deadline: std::time::Duration::from_secs(10),
            memory_bytes: 128 << 20,
            isolation: Isolation::Fresh,
        };
        self.runtime.block_on(async {
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let engine = Arc::clone(&self.engine);
                let call = self.call(inputs, limits, joins);
                calls.spawn(async move { engine.run(call).await });
            }
            while let Some(outcome) = calls.join_next().await {
                outcome.unwrap().result.unwrap();
            }
        });
    }

    fn measure(&self, group: &mut BenchmarkGroup<'_, WallTime>) {
        group.bench_function("store alone", |b| b.iter(|| self.probe.store()));
        for isolation in [Isolation::Fresh, Isolation::Reuse] {
            group.bench_function(isolation.as_str(), |b| {
                b.iter(|| {
                    self.probe
                        .predict(black_box(&self.inputs), isolation)
                        .unwrap()
                });
            });
            let limits = RunLimits {
                deadline: std::time::Duration::from_secs(10),
                memory_bytes: 128 << 20,
                isolation,
            };
            let inputs = self.checked();
            group.bench_function(format!("{}, through the runner", isolation.as_str()), |b| {
                b.iter(|| {
                    let call = self.call(&inputs, limits, None);
                    self.runtime.block_on(self.engine.run(call)).result.unwrap()
                });
            });
        }
    }
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    Bench::new(&testkit::echo(), &[]).measure(&mut group);
    group.finish();
}

fn plugin(c: &mut Criterion) {
    let file = |name: &str| std::env::var_os(name).map(|path| std::fs::read(path).unwrap());
    let (Some(plugin), Some(artifact)) = (
        file("FORETELL_BENCH_PLUGIN"),
        file("FORETELL_BENCH_ARTIFACT"),
    ) else {
        return;
    };
    let mut group = c.benchmark_group("plugin");
    let bench = Bench::new(&plugin, &artifact);
    bench.measure(&mut group);
    for _ in 0..10_000 {
        bench
            .probe
            .predict(&bench.inputs, Isolation::Fresh)
            .unwrap();
    }
    group.bench_function("fresh, after 10,000 calls", |b| {
        b.iter(|| {
            bench
                .probe
                .predict(black_box(&bench.inputs), Isolation::Fresh)
                .unwrap()
        });
    });
    group.finish();
}

fn touched(c: &mut Criterion) {
    let mut group = c.benchmark_group("touched pages of 16 MiB");
    let bench = Bench::new(&testkit::chameleon_of(256), &[]);
    for pages in [1, 16, 64, 256, 1_024, 3_900] {
        let inputs = [testkit::numbers(&[
            Misdeed::Touch.input(),
            f64::from(pages),
        ])];
        group.bench_function(pages.to_string(), |b| {
            b.iter(|| {
                bench
                    .probe
                    .predict(black_box(&inputs), Isolation::Fresh)
                    .unwrap()
            });
        });
    }
    let [one, all] =
        [1.0, 3_900.0].map(|pages| [testkit::numbers(&[Misdeed::Touch.input(), pages])]);
    group.bench_function("1, where an earlier call read them all", |b| {
        b.iter(|| {
            bench
                .probe
                .predict(black_box(&one), Isolation::Fresh)
                .unwrap()
        });
    });
    for between in [1, 10, 100, 1_000] {
        let mut number = 0;
        group.bench_function(format!("1, and all of them once in {}", between + 1), |b| {
            b.iter(|| {
                number += 1;
                let inputs = if number % (between + 1) == 0 {
                    &all
                } else {
                    &one
                };
                bench
                    .probe
                    .predict(black_box(inputs), Isolation::Fresh)
                    .unwrap()
            });
        });
    }
    group.finish();
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batches");
    let bench = Bench::new(&testkit::rows(), &[]);
    let inputs = bench.checked();
    bench.at_once(1, &inputs, None);
    for callers in [1, 16] {
        group.throughput(criterion::Throughput::Elements(callers as u64));
        for (how, joins) in [("one by one", None), ("together", Some(1_000))] {
            group.bench_function(format!("{callers} at once, {how}"), |b| {
                b.iter(|| bench.at_once(callers, black_box(&inputs), joins));
            });
        }
    }
    group.finish();
}

fn aged(c: &mut Criterion) {
    let bench = Bench::new(&testkit::echo(), &[]);
    for _ in 0..10_000 {
        bench
            .probe
            .predict(&bench.inputs, Isolation::Fresh)
            .unwrap();
    }
    c.bench_function("echo, fresh, after 10,000 calls", |b| {
        b.iter(|| {
            bench
                .probe
                .predict(black_box(&bench.inputs), Isolation::Fresh)
                .unwrap()
        });
    });
}

criterion_group!(benches, echo, plugin, touched, batches, aged);
criterion_main!(benches);
