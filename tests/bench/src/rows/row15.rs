use std::time::Instant;

use anyhow::Result;
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_types::run::Isolation;

use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, Shape};
use crate::process::{self, on};
use crate::sandbox::{Sandbox, table};

const FIRST: &str = "stored to first prediction";

pub(crate) const ROW: Row = Row {
    id: "15",
    what: "a stored version of 1 MB to its first prediction",
    against: "compiling at every start",
    goals: &[Goal {
        figure: FIRST,
        unit: Unit::Nanoseconds,
        must: Bar::AtMost(2e6),
        stretch: None,
    }],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    // About 1 MB of artifact.
    let forest = Forest::grow(Shape {
        trees: 600,
        depth: 6,
        features: 30,
    });
    let inputs = [table(&forest.rows(1))?];
    let (mut first, mut compiled, mut code) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.rounds {
        let began = Instant::now();
        let mut sandbox = Sandbox::compile(bench, &bench.plugin, &forest.artifact)?;
        let checked = sandbox.checked(&inputs)?;
        sandbox.run(&checked, Isolation::Fresh)?;
        compiled.push(began.elapsed().as_nanos() as f64);
        sandbox.start_again()?;
        let began = Instant::now();
        sandbox.run(&checked, Isolation::Fresh)?;
        first.push(began.elapsed().as_nanos() as f64);
        code = sandbox.code_bytes();
    }
    let ratio = compiled.iter().zip(&first).map(|(a, b)| a / b).collect();
    Ok(Findings::default()
        .figure(FIRST, Unit::Nanoseconds, first)
        .figure("compiled to first prediction", Unit::Nanoseconds, compiled)
        .figure("ratio of the two", Unit::Ratio, ratio)
        .note(format!(
            "An artifact of {:.2} MB, {:.2} MB of compiled code with its snapshot; read from memory, its MAC checked. \
             Compiling includes a compile worker's start, `load`, snapshot and self-test.",
            forest.artifact.len() as f64 / 1e6,
            code as f64 / 1e6
        )))
}
