//! `cargo xtask bench`: the criterion benches with what they need, and their medians in one table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::models;
use crate::table::Table;
use crate::workspace::{Profile, Workspace};
use crate::{command, guests};

/// The model whose plugin and artifact the engine's bench calls.
const MODEL: &str = "lead-score";

/// The plugin of [`MODEL`].
const PLUGIN: &str = "forest";

/// Builds, measures, prints.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    // Release, because the benches are built with the same dependencies.
    let binary = workspace.build_server(Profile::Release)?;
    let plugin = guests::build(workspace, &binary)?
        .into_iter()
        .find(|component| component.file_stem().is_some_and(|stem| stem == PLUGIN))
        .with_context(|| format!("there is no plugin `{PLUGIN}`"))?;
    let artifact = models::all(&workspace.root)?
        .into_iter()
        .find(|model| model.name == MODEL)
        .and_then(|model| model.artifact)
        .with_context(|| format!("there is no model `{MODEL}` with an artifact"))?;

    let started = SystemTime::now();
    for package in ["foretell-engine", PLUGIN] {
        let mut bench = workspace.cargo(["bench", "--package", package, "--benches"]);
        bench
            .env("FORETELL_BENCH_PLUGIN", &plugin)
            .env("FORETELL_BENCH_ARTIFACT", &artifact.file);
        command::run(&mut bench)?;
    }
    let measured = measured(&workspace.target.join("criterion"), started)?;
    if measured.is_empty() {
        bail!("the benches measured nothing");
    }
    let mut table = Table::new(["bench", "median", "95% interval"]);
    for Measured {
        name,
        median,
        low,
        high,
    } in measured
    {
        table.row([
            name,
            time(median),
            format!("{} to {}", time(low), time(high)),
        ]);
    }
    println!("\n{table}");
    Ok(())
}

/// A bench's result, in nanoseconds.
#[derive(Debug, PartialEq)]
struct Measured {
    name: String,
    median: f64,
    low: f64,
    high: f64,
}

/// What criterion has written since `started`.
fn measured(folder: &Path, started: SystemTime) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let estimates = next.join("new/estimates.json");
        if estimates.is_file() {
            if fs::metadata(&estimates)?.modified()? >= started {
                let name = next.strip_prefix(folder).unwrap_or(&next);
                found.push(read(name.display().to_string(), &estimates)?);
            }
            continue;
        }
        let inner: Vec<PathBuf> = fs::read_dir(&next)
            .with_context(|| format!("criterion wrote nothing to {}", next.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .collect();
        folders.extend(inner);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read(name: String, estimates: &Path) -> Result<Measured> {
    let json: Value = serde_json::from_slice(&fs::read(estimates)?)?;
    let median = &json["median"];
    let number = |value: &Value| {
        value
            .as_f64()
            .with_context(|| format!("{} holds no median", estimates.display()))
    };
    Ok(Measured {
        name,
        median: number(&median["point_estimate"])?,
        low: number(&median["confidence_interval"]["lower_bound"])?,
        high: number(&median["confidence_interval"]["upper_bound"])?,
    })
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_read_from_what_criterion_writes() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("call/fresh/new");
        fs::create_dir_all(&folder).unwrap();
        let estimates = r#"{"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":7000.0,
            "upper_bound":7200.0},"point_estimate":7100.0,"standard_error":1.0}}"#;
        fs::write(folder.join("estimates.json"), estimates).unwrap();
        let found = measured(root.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "call/fresh");
        assert_eq!(time(found[0].median), "7.10 us");
    }

    #[test]
    fn results_of_an_earlier_run_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("old/new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("estimates.json"), "{}").unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        assert_eq!(measured(root.path(), later).unwrap(), []);
    }
}
