use std::time::Instant;

use anyhow::{Result, anyhow};
use foretell_engine::testkit;
use foretell_types::run::Isolation;

use super::{Drawing, Sweep};
use crate::bench::Bench;
use crate::process::{self, on};
use crate::sandbox::Sandbox;

pub(crate) const CURVE: Sweep = Sweep {
    id: "size",
    what: "bytes of a model",
    x: "bytes",
    run: |bench, drawing| on(process::SERVER, || run(bench, drawing))?,
};

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let inputs = [testkit::numbers(&[0.5])];
    for size in drawing.points(&[
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        40_000_000,
        100_000_000,
    ]) {
        if !drawing.has_time_for(size) {
            break;
        }
        // Bytes that no zero page can stand for; the guest keeps them and looks at none.
        let artifact: Vec<u8> = (0..size).map(|at| (at % 251 + 1) as u8).collect();
        let began = Instant::now();
        let mut sandbox = Sandbox::compile(bench, &testkit::echo(), &artifact)?;
        let compiled = began.elapsed();
        sandbox.start_again()?;
        let began = Instant::now();
        let probe = sandbox.probe()?;
        let loaded = began.elapsed();
        let answer = probe.predict(&inputs, Isolation::Fresh);
        answer.map_err(|error| anyhow!("{error}"))?;
        let call = bench.time(|| probe.predict(&inputs, Isolation::Fresh));
        let x = size as f64;
        drawing.point("microseconds of a fresh call", "fresh", x, call / 1e3);
        drawing.point("milliseconds", "load", x, loaded.as_secs_f64() * 1e3);
        drawing.point("milliseconds", "compile", x, compiled.as_secs_f64() * 1e3);
    }
    drawing.note("The least plugin there is, which keeps its artifact and reads none of it.");
    Ok(())
}
