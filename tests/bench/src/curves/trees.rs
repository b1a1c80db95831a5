use anyhow::{Result, anyhow};
use foretell_types::run::Isolation;

use super::{Drawing, Sweep};
use crate::bench::Bench;
use crate::forests::{Forest, Shape};
use crate::process::{self, on};
use crate::sandbox::{Sandbox, table};
use crate::twin::Native;

pub(crate) const CURVE: Sweep = Sweep {
    id: "trees",
    what: "trees of a forest, by their depth",
    x: "trees",
    run: |bench, drawing| on(process::SERVER, || run(bench, drawing))?,
};

const ROWS: usize = 1_000;

/// Leaves of a forest, at most: beyond, compiling it takes longer than all other points.
const MAX_LEAVES: usize = 400_000;

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    for depth in drawing.points(&[4, 6, 8, 10]) {
        for trees in drawing.points(&[10, 100, 1_000, 5_000]) {
            if trees << depth > MAX_LEAVES || !drawing.has_time_for(format!("{trees} x {depth}")) {
                continue;
            }
            let forest = Forest::grow(Shape {
                trees,
                depth,
                features: 30,
            });
            let rows = forest.rows(ROWS);
            let (features, inputs) = (rows.concat(), [table(&rows)?]);
            let sandbox = Sandbox::compile(bench, &bench.plugin, &forest.artifact)?;
            let (probe, native) = (sandbox.probe()?, Native::of(&forest.artifact)?);
            let answer = probe.predict(&inputs, Isolation::Reuse);
            answer.map_err(|error| anyhow!("{error}"))?;
            let ours = bench.time(|| probe.predict(&inputs, Isolation::Reuse));
            let theirs = bench.time(|| native.predict(&features));
            let (x, line) = (trees as f64, format!("depth {depth}"));
            drawing.point("times the native kernel", &line, x, ours / theirs);
            drawing.point("microseconds per row", &line, x, ours / 1e3 / ROWS as f64);
        }
    }
    drawing.note(format!(
        "{ROWS} rows of 30 in one call of a warm instance, without HTTP."
    ));
    Ok(())
}
