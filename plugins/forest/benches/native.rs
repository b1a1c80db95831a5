//! The forest kernel natively, on the committed lead-score model: one row, and 10,000 rows. The same kernel in the
//! sandbox is measured by the engine's benches.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forest::ForestModel;
use foretell_sdk::harness;
use foretell_sdk::prelude::*;

fn lead_score(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/lead-score/1");
    let artifact = std::fs::read(folder.join("model.ftl")).expect("the artifact is committed");
    let model = harness::load::<ForestModel>(&artifact, Settings::default()).expect("it loads");
    let parity = std::fs::read_to_string(folder.join("parity.csv")).expect("it is committed");
    let rows: Vec<Vec<f64>> = parity.lines().skip(1).map(features).collect();

    let mut group = criterion.benchmark_group("forest/native/lead-score");
    for count in [1, 8, 10_000] {
        let features: Vec<f64> = rows.iter().cycle().take(count).flatten().copied().collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} rows"), |bencher| {
            bencher.iter(|| model.inner().scores(black_box(&features)));
        });
    }
    group.finish();
}

/// The features of a line: all but its part in front, probability and label behind.
fn features(line: &str) -> Vec<f64> {
    let fields: Vec<&str> = line.split(',').collect();
    let features = &fields[1..fields.len() - 2];
    features
        .iter()
        .map(|field| field.parse().expect("a number"))
        .collect()
}

criterion_group!(benches, lead_score);
criterion_main!(benches);
