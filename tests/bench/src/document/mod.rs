//! `docs/BENCHMARKS.md` and its plots, from the results of a run.

mod plot;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::figure::{Curve, Measured};
use crate::machine::Machine;

/// Everything that a run left.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Where it ran.
    pub machine: Machine,
    /// Its rows, by id.
    pub rows: Vec<Measured>,
    /// Its curves.
    pub curves: Vec<Curve>,
}

impl Results {
    /// Reads a folder of results.
    ///
    /// # Errors
    /// If there are none, or not of this version.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut results = Self {
            machine: read(&folder.join("machine.json")).context("no run has left results")?,
            rows: Vec::new(),
            curves: Vec::new(),
        };
        let mut files: Vec<_> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("row-") {
                results.rows.push(read(&file)?);
            } else if name.starts_with("curve-") {
                results.curves.push(read(&file)?);
            }
        }
        Ok(results)
    }
}

/// Writes the document into `docs`, and its plots into `docs/benchmarks`.
///
/// # Errors
/// If the run was a quick one, or something cannot be read or written.
pub fn write(results: &Results, docs: &Path) -> Result<()> {
    if results.machine.quick {
        bail!(
            "these are figures of a quick run; measure without --quick before they are written down"
        );
    }
    let plots = docs.join("benchmarks");
    fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    for curve in &results.curves {
        for (number, (title, lines)) in curve.plots.iter().enumerate() {
            let svg = plot::draw(title, &curve.x, lines)?;
            save(&plots.join(plot_name(curve, number)), &svg)?;
        }
    }
    save(&docs.join("BENCHMARKS.md"), &text::document(results))
}

/// The file of a plot.
fn plot_name(curve: &Curve, number: usize) -> String {
    format!("{}-{}.svg", curve.id, number + 1)
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is of another version", file.display()))
}

fn save(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Bar, Figure, Line, Table, Unit};

    fn results() -> Results {
        let mut machine = Machine::this(7, false);
        machine.processor = "A processor".to_owned();
        let mut ratio = Figure::new("throughput, ratio", Unit::Ratio, vec![0.9, 0.95, 0.91]);
        ratio.must = Some(Bar::AtLeast(0.9));
        ratio.stretch = Some(Bar::AtLeast(0.97));
        let row = |id: &str, figures, not_measured| Measured {
            id: id.to_owned(),
            what: "one row".to_owned(),
            against: "the twin".to_owned(),
            figures,
            tables: Vec::new(),
            notes: vec!["32 connections.".to_owned()],
            not_measured,
        };
        let mut with_table = row("1", vec![ratio], None);
        with_table.tables.push(Table {
            head: ["what", "named"].map(str::to_owned).to_vec(),
            rows: vec![["removed", "12"].map(str::to_owned).to_vec()],
        });
        Results {
            machine,
            rows: vec![with_table, row("7", Vec::new(), Some("no time".to_owned()))],
            curves: vec![Curve {
                id: "batch".to_owned(),
                what: "rows of one request".to_owned(),
                x: "rows".to_owned(),
                plots: vec![(
                    "microseconds per row".to_owned(),
                    vec![Line {
                        name: "end to end".to_owned(),
                        points: vec![(1.0, 30.0), (64.0, 2.0), (512.0, 1.5)],
                    }],
                )],
                notes: Vec::new(),
                not_measured: None,
            }],
        }
    }

    #[test]
    fn what_was_measured_is_written_and_read_again() {
        let root = std::env::temp_dir().join(format!("foretell-bench-{}", std::process::id()));
        let folder = root.join("results");
        fs::create_dir_all(&folder).unwrap();
        let expected = results();
        let store = |name: &str, json: String| fs::write(folder.join(name), json).unwrap();
        store(
            "machine.json",
            serde_json::to_string(&expected.machine).unwrap(),
        );
        store(
            "row-01.json",
            serde_json::to_string(&expected.rows[0]).unwrap(),
        );
        store(
            "row-07.json",
            serde_json::to_string(&expected.rows[1]).unwrap(),
        );
        store(
            "curve-batch.json",
            serde_json::to_string(&expected.curves[0]).unwrap(),
        );
        let read = Results::read(&folder).unwrap();
        let docs = root.join("docs");
        let written = write(&read, &docs);
        let text = fs::read_to_string(docs.join("BENCHMARKS.md")).unwrap_or_default();
        let svg = fs::read_to_string(docs.join("benchmarks/batch-1.svg")).unwrap_or_default();
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(read, expected);
        written.unwrap();
        for part in [
            "| 1 | one row; against the twin | 0.91x | 0.90x to 0.95x | >= 0.90x | >= 0.97x | yes |",
            "| 7 | one row; against the twin | not measured: no time |",
            "A processor",
            "\n\n| what | named |\n|---|---|\n| removed | 12 |\n",
            "![microseconds per row](benchmarks/batch-1.svg)",
            "| 64 | 2.00 |",
        ] {
            assert!(text.contains(part), "{part}\nin\n{text}");
        }
        assert!(
            svg.starts_with("<svg") && svg.contains("end to end"),
            "{svg}"
        );
    }

    #[test]
    fn figures_of_a_quick_run_are_not_written_down() {
        let mut results = results();
        results.machine.quick = true;
        let error = write(&results, Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("quick"), "{error}");
    }
}
