//! `cargo xtask hostile`: every attack of the hostile table and the overloads, and what came of them.
//!
//! The tests leave a line of JSON for each attack in the target folder (`tests/process/hostile`); this shows them, and
//! writes them down in `docs/HOSTILE.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::table::Table;
use crate::workspace::{Profile, Workspace};
use crate::{command, guests};

/// Where the rows become a document.
const DOCUMENT: &str = "docs/HOSTILE.md";

/// How much is thrown, and whether it is written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The full counts.
    pub(crate) long: bool,
    /// Nothing is thrown: what the last run left is looked at.
    pub(crate) show: bool,
    /// Write the document.
    pub(crate) document: bool,
}

impl Options {
    /// Reads the options of the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for arg in args {
            match arg.as_str() {
                "--long" => options.long = true,
                "--show" => options.show = true,
                "--document" => options.document = true,
                other => bail!("`hostile` has no option `{other}`"),
            }
        }
        Ok(options)
    }
}

/// Builds what users run, attacks it, shows what came of it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let ended = if options.show {
        Ok(())
    } else {
        attack(workspace, options.long)?
    };
    show(workspace)?;
    ended?;
    if options.document {
        let file = workspace.root.join(DOCUMENT);
        fs::write(&file, document(&rows(workspace)?)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("{DOCUMENT} is written");
    }
    Ok(())
}

/// Throws everything; the inner result says whether all of it held.
fn attack(workspace: &Workspace, long: bool) -> Result<Result<()>> {
    let binary = workspace.build_server(Profile::Release)?;
    let plugins = guests::build(workspace, &binary)?;
    let plugins = plugins
        .first()
        .and_then(|component| component.parent())
        .context("there are no plugins")?;
    forget(workspace)?;
    // Of the whole workspace, so that nothing is compiled with other features than for `cargo xtask test`.
    let mut tests = workspace.cargo(["test", "--workspace", "--test", "process", "--"]);
    // One at a time: each measures.
    tests
        .args([
            "--test-threads",
            "1",
            "hostile::",
            "overload::",
            "releases::",
        ])
        .env("FORETELL_BIN", &binary)
        .env("FORETELL_PLUGINS", plugins);
    if long {
        tests.env("FORETELL_LONG", "1");
    }
    Ok(command::run(&mut tests))
}

/// Shows what the attacks of the last run of the tests left.
pub(crate) fn show(workspace: &Workspace) -> Result<()> {
    println!("\n{}", table(&rows(workspace)?));
    Ok(())
}

/// Removes what an earlier run left.
pub(crate) fn forget(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("hostile");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Every row, by its place in the table.
fn rows(workspace: &Workspace) -> Result<Vec<Value>> {
    let folder = workspace.target.join("hostile");
    let mut rows = Vec::new();
    for entry in fs::read_dir(&folder).context("no attack has left anything")? {
        rows.extend(read(&entry?.path())?);
    }
    if rows.is_empty() {
        bail!("no attack has left anything in {}", folder.display());
    }
    rows.sort_by_key(|row| place(&text(&row["id"])));
    Ok(rows)
}

fn read(file: &Path) -> Result<Vec<Value>> {
    let rows = fs::read_to_string(file)?;
    rows.lines()
        .map(|line| serde_json::from_str(line).with_context(|| file.display().to_string()))
        .collect()
}

/// `A10` stands behind `A9`.
fn place(id: &str) -> (char, u32) {
    let mut letters = id.chars();
    let group = letters.next().unwrap_or_default();
    (group, letters.as_str().parse().unwrap_or_default())
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new([
        "id",
        "attack",
        "thrown",
        "came back",
        "neighbour",
        "p99 ms",
        "MiB",
    ]);
    for row in rows {
        let mut what = text(&row["what"]);
        if let Some((cut, _)) = what.char_indices().nth(60) {
            what.truncate(cut);
            what.push('…');
        }
        table.row([
            text(&row["id"]),
            what,
            text(&row["thrown"]),
            came(row),
            neighbour(row),
            latencies(row, "p99_ms"),
            memory(row),
        ]);
    }
    let mut shown = table.to_string();
    for row in rows {
        for (name, value) in figures(row) {
            let _ = writeln!(shown, "{}: {name}: {value}", text(&row["id"]));
        }
    }
    shown
}

fn document(rows: &[Value]) -> Result<String> {
    let date = command::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let system = command::output(Command::new("uname").arg("-sr"))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut page = format!(
        "# The hostile table\n\n\
         What was thrown at a server, what came back, and what a neighbour felt of it. Written by\n\
         `cargo xtask hostile --document`, which repeats it (`--long` with the full counts); nothing here is written by hand.\n\n\
         - **Machine:** {cores} cores of {}, {}, {}. Attackers, neighbour and server share it.\n\
         - **Date:** {}, version {}, {} build, default configuration but for the cache, which is off.\n\
         - **Neighbour:** another tenant that predicts one by one, half a millisecond apart, at least 1,000 times quiet and 1,000\n  \
           times under each attack. Every answer of its must be right; a failure fails the run.\n\
         - **Memory:** resident, in MiB: before, at most meanwhile, afterwards.\n\
         - In each row the server is the same process before and after, and has said nothing of a panic.\n\n\
         ## Attacks\n\n\
         | id | attack | thrown | came back | p99 ms | neighbour | its p50 ms, quiet → meanwhile | its p99 ms | MiB |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        processor(),
        machine_memory(),
        system.trim(),
        date.trim(),
        env!("CARGO_PKG_VERSION"),
        builds(rows),
    );
    let (loads, attacks): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|row| text(&row["id"]).starts_with(['F', 'G']));
    for row in &attacks {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            text(&row["id"]),
            text(&row["what"]),
            text(&row["thrown"]),
            came(row),
            text(&row["answered_p99_ms"]),
            neighbour(row),
            latencies(row, "p50_ms"),
            latencies(row, "p99_ms"),
            memory(row),
        );
    }
    page += "\n## Overload, and releases under load\n\n\
        Server and generator have a processor each. What the server can carry is what the generator got of it in a closed\n\
        loop just before. Times are measured from when a request was meant to go out, and up to 1 ms too long.\n\n\
        | id | load | came back | figures | MiB |\n|---|---|---|---|---|\n";
    for row in &loads {
        let mut seen = figures(row);
        let felt = latencies(row, "p99_ms");
        if !felt.is_empty() {
            seen.push(("neighbour's p99 ms".to_owned(), felt));
        }
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            text(&row["id"]),
            text(&row["what"]),
            came(row),
            seen.join("; "),
            memory(row),
        );
    }
    page += "\n## Elsewhere\n\n\
        A panic of the server within an import (A13) cannot be had by a guest; that it ends one call and nothing else is\n\
        shown with a fault in `host/engine/tests/it/misdeeds.rs`. Generated modules and components (B2, fixed seeds) go through\n\
        admission, compile worker, instance and call in `host/engine/tests/it/generated.rs`, 2,000 for each change and 20,000\n\
        with the full counts; what no generator thinks of is the fuzzer's: [tests/fuzz](../tests/fuzz/README.md).\n";
    Ok(page)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `release`
fn builds(rows: &[Value]) -> String {
    let mut builds: Vec<_> = rows.iter().map(|row| text(&row["build"])).collect();
    builds.sort();
    builds.dedup();
    builds.join(" and ")
}

/// `504 deadline_exceeded: 30, 503 overloaded: 2`
fn came(row: &Value) -> String {
    let counts = row["came"].as_object().into_iter().flatten();
    let counts: Vec<_> = counts
        .map(|(label, count)| format!("{label}: {count}"))
        .collect();
    counts.join(", ")
}

/// `1000 served, 0 failures`
fn neighbour(row: &Value) -> String {
    let felt = &row["neighbour"];
    if felt.is_null() {
        return String::new();
    }
    format!(
        "{} predictions, {} failures",
        felt["predictions"], felt["failures"]
    )
}

/// `0.4 → 0.9`
fn latencies(row: &Value, which: &str) -> String {
    let felt = &row["neighbour"];
    if felt.is_null() {
        return String::new();
    }
    let of = |name: &str| felt[name].as_f64().unwrap_or_default();
    format!("{:.2} → {:.2}", of(&format!("quiet_{which}")), of(which))
}

fn memory(row: &Value) -> String {
    let mib = row["resident_mib"].as_array().into_iter().flatten();
    let mib: Vec<_> = mib.map(ToString::to_string).collect();
    mib.join(", ")
}

fn figures(row: &Value) -> Vec<(String, String)> {
    let figures = row["figures"].as_object().into_iter().flatten();
    figures
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// As the system names it.
fn processor() -> String {
    of_file("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned())
}

fn machine_memory() -> String {
    let kib = of_file("/proc/meminfo", "MemTotal")
        .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or_else(String::new, |kib| format!("{} GiB", kib.div_ceil(1 << 20)))
}

/// The value behind a name and a colon.
fn of_file(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_their_table() {
        let mut ids = ["B1", "A10", "F1", "A9", "A1"];
        ids.sort_by_key(|id| place(id));
        assert_eq!(ids, ["A1", "A9", "A10", "B1", "F1"]);
    }

    #[test]
    fn a_row_becomes_a_line_for_people() {
        let row = serde_json::json!({
            "id": "A1", "what": "loops", "thrown": 30, "came": {"504 deadline_exceeded": 28, "503 overloaded": 2},
            "answered_p99_ms": 58.5,
            "neighbour": {"predictions": 1000, "failures": 0, "quiet_p50_ms": 0.2, "quiet_p99_ms": 0.4, "p50_ms": 0.3, "p99_ms": 0.95},
            "resident_mib": [40, 42, 41], "build": "release",
        });
        let page = document(&[row]).unwrap();
        let line = "| A1 | loops | 30 | 504 deadline_exceeded: 28, 503 overloaded: 2 | 58.5 | 1000 predictions, 0 failures \
                    | 0.20 → 0.30 | 0.40 → 0.95 | 40, 42, 41 |";
        assert!(
            page.contains(line) && page.contains(" release build"),
            "{page}"
        );
    }
}
