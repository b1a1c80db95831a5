//! `run`: rows one after the other, their table, their results as files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use foretell_bench::figure::{Curve, Measured};
use foretell_bench::machine::Machine;
use foretell_bench::processor::are_two;
use serde::Serialize;

use crate::bench::Bench;
use crate::{curves, rows};

/// Measures what is wanted. A row that fails does not keep the others from being measured, but the run fails.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    if !are_two() {
        bail!("the benches need two processors: one for the server, one for the load");
    }
    let ids = rows::ALL.iter().map(|row| row.id);
    let known: Vec<&str> = ids
        .chain(curves::ALL.iter().map(|curve| curve.id))
        .collect();
    if let Some(unknown) = bench.wanted.iter().find(|id| !known.contains(&id.as_str())) {
        bail!(
            "there is no row or curve `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let is_wanted = |id: &str| bench.wanted.is_empty() || bench.wanted.iter().any(|w| w == id);
    // Apart, so that they never stand in a document.
    let results = bench.folder(if bench.quick {
        "results-quick"
    } else {
        "results"
    })?;
    store(
        &results.join("machine.json"),
        &Machine::this(bench.rounds, bench.quick),
    )?;
    let mut failed = Vec::new();
    for row in rows::ALL.iter().filter(|row| is_wanted(row.id)) {
        match row.measure(bench) {
            Ok(measured) => {
                store(&results.join(format!("row-{:0>2}.json", row.id)), &measured)?;
                print(&measured);
            }
            Err(error) => {
                eprintln!("{error:#}");
                failed.push(row.id);
            }
        }
    }
    for curve in curves::ALL.iter().filter(|curve| is_wanted(curve.id)) {
        match curve.draw(bench) {
            Ok(drawn) => {
                store(&results.join(format!("curve-{}.json", curve.id)), &drawn)?;
                print_curve(&drawn);
            }
            Err(error) => {
                eprintln!("{error:#}");
                failed.push(curve.id);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "not measured, because something failed: {}",
        failed.join(", ")
    )
}

fn store(file: &Path, value: &impl Serialize) -> Result<()> {
    std::fs::write(file, serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

fn print(measured: &Measured) {
    println!(
        "\nrow {}: {}; against: {}",
        measured.id, measured.what, measured.against
    );
    if let Some(why) = &measured.not_measured {
        println!("  not measured: {why}");
    }
    print_aligned(
        measured
            .figures
            .iter()
            .map(|figure| figure.columns().to_vec()),
    );
    for table in &measured.tables {
        print_aligned(std::iter::once(&table.head).chain(&table.rows).cloned());
    }
    for note in &measured.notes {
        println!("  note: {note}");
    }
}

fn print_aligned(rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn print_curve(curve: &Curve) {
    println!("\ncurve {}: {}", curve.id, curve.what);
    for (plot, lines) in &curve.plots {
        for line in lines {
            let points = line.points.iter().map(|(x, y)| format!("{x}: {y:.3}"));
            let points: Vec<String> = points.collect();
            println!("  {plot}, {}: {}", line.name, points.join("  "));
        }
    }
    for note in &curve.notes {
        println!("  note: {note}");
    }
}
