use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::pairs::paired;
use foretell_engine::testkit;
use foretell_types::run::Isolation;
use foretell_types::{Elements, Tensor};

use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::peers::Peers;
use crate::process::{self, on};
use crate::sandbox::{Sandbox, table};
use crate::site::is_close;
use crate::twin::Native;

const SIZES: [usize; 3] = [1, 1_000, 10_000];
const OF_KERNEL: &str = "kernel, 1 row";
const OF_CALL: [&str; 3] = [
    "whole call, 1 row",
    "whole call, 1,000 rows",
    "whole call, 10,000 rows",
];
const OF_LIGHTGBM: [&str; 3] = [
    "LightGBM's call, 1 row",
    "LightGBM's call, 1,000 rows",
    "LightGBM's call, 10,000 rows",
];

const fn goal(figure: &'static str, must: Bar) -> Goal {
    Goal {
        figure,
        unit: Unit::Ratio,
        must,
        stretch: None,
    }
}

pub(crate) const ROW: Row = Row {
    id: "10",
    what: "the forest kernel in the sandbox, by rows of a call",
    against: "the same source native; LightGBM's own predict",
    goals: &[
        goal(OF_KERNEL, Bar::AtMost(1.25)),
        goal(OF_CALL[1], Bar::AtMost(1.25)),
        goal(OF_CALL[2], Bar::AtMost(1.25)),
        goal(OF_LIGHTGBM[0], Bar::AtLeast(10.0)),
        goal(OF_LIGHTGBM[2], Bar::AtLeast(1.0)),
    ],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    let found = against_native(bench)?.note(
        "All over the native kernel. Kernel: the whole call into a warm instance less that of a guest which only gives \
         back its input; of many rows the whole call is held to the goal. LightGBM's call: its Python call on one thread over ours, both on the trees that LightGBM trained.",
    );
    match Peers::prepare(bench) {
        Ok(peers) => against_lightgbm(bench, &peers, found),
        Err(error) => {
            // The goals of what could not be measured cannot be met.
            let found = found.note(format!("LightGBM was not measured: {error:#}"));
            let nothing = |found: Findings, name| found.figure(name, Unit::Ratio, Vec::new());
            Ok(OF_LIGHTGBM.into_iter().fold(found, nothing))
        }
    }
}

fn against_native(bench: &Bench) -> Result<Findings> {
    let forest = Forest::grow(USUAL);
    let sandbox = Sandbox::compile(bench, &bench.plugin, &forest.artifact)?;
    let echo = Sandbox::compile(bench, &testkit::echo(), &[])?;
    let (probe, echo) = (sandbox.probe()?, echo.probe()?);
    let native = Native::of(&forest.artifact)?;
    let mut found = Findings::default();
    for (index, size) in SIZES.into_iter().enumerate() {
        let rows = forest.rows(size);
        let (features, inputs) = (rows.concat(), [table(&rows)?]);
        let numbers = [testkit::numbers(&features)];
        let answer = probe.predict(&inputs, Isolation::Reuse);
        let answer = answer.map_err(|error| anyhow!("{error}"))?;
        for (found, expected) in probabilities(&answer)?
            .iter()
            .zip(native.predict(&features).0)
        {
            is_close(*found, expected)?;
        }
        let pairs = paired(
            bench.rounds,
            || {
                let whole = bench.time(|| probe.predict(&inputs, Isolation::Reuse));
                Ok((
                    whole,
                    bench.time(|| echo.predict(&numbers, Isolation::Reuse)),
                ))
            },
            || Ok((bench.time(|| native.predict(&features)), 0.0)),
        )?;
        let each = |of: fn(&(f64, f64), f64) -> f64| -> Vec<f64> {
            pairs
                .iter()
                .map(|(call, native)| of(call, native.0))
                .collect()
        };
        found = found
            .figure(
                OF_CALL[index],
                Unit::Ratio,
                each(|(whole, _), native| whole / native),
            )
            .figure(
                &format!("native, {size} rows"),
                Unit::Nanoseconds,
                each(|_, native| native),
            );
        if size == 1 {
            let kernel = each(|(whole, empty), native| (whole - empty) / native);
            found = found.figure(OF_KERNEL, Unit::Ratio, kernel);
        }
    }
    Ok(found)
}

fn against_lightgbm(bench: &Bench, peers: &Peers, mut found: Findings) -> Result<Findings> {
    let exported = peers.exported("lightgbm")?;
    let sandbox = Sandbox::compile(bench, &bench.plugin, &exported.artifact)?;
    let probe = sandbox.probe()?;
    let call = |rows: &[Vec<f64>]| -> Result<f64> {
        let inputs = [table(rows)?];
        Ok(bench.time(|| probe.predict(&inputs, Isolation::Reuse)))
    };
    let answer = probe.predict(&[table(&exported.rows)?], Isolation::Reuse);
    let answer = answer.map_err(|error| anyhow!("{error}"))?;
    for (found, expected) in probabilities(&answer)?.iter().zip(&exported.expected) {
        is_close(*found, *expected)?;
    }

    let mut command = Command::new(peers.stack.join("bin/python"));
    command
        .arg(bench.peers.join("lightgbm_predict.py"))
        .arg(&peers.model)
        .arg(bench.rounds.to_string())
        .args(SIZES.map(|size| size.to_string()))
        .stdout(Stdio::piped());
    let output = process::spawn(&mut command, process::SERVER)?.wait_with_output()?;
    let theirs: BTreeMap<String, Vec<f64>> =
        serde_json::from_slice(&output.stdout).context("lightgbm_predict.py printed no times")?;
    for (name, size) in OF_LIGHTGBM.into_iter().zip(SIZES) {
        let rows: Vec<Vec<f64>> = exported.rows.iter().cycle().take(size).cloned().collect();
        let theirs = theirs.get(&size.to_string()).context("a size is missing")?;
        let ratios: Result<Vec<f64>> = theirs
            .iter()
            .map(|seconds| Ok(seconds * 1e9 / call(&rows)?))
            .collect();
        found = found.figure(name, Unit::Ratio, ratios?);
    }
    Ok(found)
}

fn probabilities(answer: &[Tensor]) -> Result<&[f64]> {
    match answer.first().map(Tensor::elements) {
        Some(Elements::Fp64(values)) => Ok(values),
        other => anyhow::bail!("the first output is no FP64: {other:?}"),
    }
}
