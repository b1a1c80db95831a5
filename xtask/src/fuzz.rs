//! `cargo xtask fuzz`: every target of `tests/fuzz` for a while, and what came of it in one table.
//!
//! What a run learns (its corpus) and finds (its artifacts) lies in the target folder; only seeds are committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::table::Table;
use crate::workspace::Workspace;

/// Where the targets lie.
const FOLDER: &str = "tests/fuzz";

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// What each target may take, in mebibytes: an input that makes it take more is a finding.
const MAX_MEMORY_MIB: u32 = 2_048;

/// Seconds that one input may take: more is a finding.
const MAX_SECONDS_EACH: u32 = 10;

/// What is fuzzed, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// For each target.
    pub(crate) seconds: u64,
    /// None = all.
    pub(crate) target: Option<String>,
}

impl Options {
    /// Reads the options of the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            seconds: 60,
            target: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next()
                    .with_context(|| format!("`{arg}` wants a value"))
            };
            match arg.as_str() {
                "--seconds" => {
                    options.seconds = value()?
                        .parse()
                        .context("--seconds wants a whole number of seconds")?;
                }
                "--target" => options.target = Some(value()?.clone()),
                other => bail!("`fuzz` has no option `{other}`"),
            }
        }
        if options.seconds == 0 {
            bail!("--seconds wants at least 1: libFuzzer takes 0 for no end");
        }
        Ok(options)
    }
}

/// What came of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    per_second: u64,
}

/// Builds the targets, runs them one after the other, prints the table.
///
/// A target that finds something does not stop the others; the command fails afterwards.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let all = targets(&workspace.root.join(FOLDER))?;
    let chosen: Vec<&String> = match &options.target {
        None => all.iter().collect(),
        Some(name) => vec![all.iter().find(|target| *target == name).with_context(|| {
            format!("there is no target `{name}`; there are {}", all.join(", "))
        })?],
    };
    let host = host_of_nightly()?;
    install_cargo_fuzz()?;
    let built = workspace.target.join("fuzz");
    let mut build = nightly(&[
        "cargo",
        "fuzz",
        "build",
        "--fuzz-dir",
        FOLDER,
        "--target",
        &host,
    ]);
    command::run(
        build
            .current_dir(&workspace.root)
            .arg("--target-dir")
            .arg(&built),
    )?;

    let mut table = Table::new(["target", "executions", "per second", "found"]);
    let mut failed = Vec::new();
    for target in chosen {
        let binary = built.join(&host).join("release").join(target);
        let seeds = workspace.root.join(FOLDER).join("corpus").join(target);
        let (outcome, findings) = fuzz(&binary, &seeds, &built, options.seconds)?;
        table.row([
            target.clone(),
            outcome.executions.to_string(),
            outcome.per_second.to_string(),
            findings.len().to_string(),
        ]);
        failed.extend(findings);
    }
    println!("\n{table}");
    if !failed.is_empty() {
        let shown: Vec<_> = failed
            .iter()
            .map(|finding| workspace.shown(finding).to_string())
            .collect();
        bail!(
            "an input broke a promise; run its target with the file as argument: {}",
            shown.join(", ")
        );
    }
    Ok(())
}

/// Runs one target, and returns what it did with the files of its findings.
fn fuzz(
    binary: &Path,
    seeds: &Path,
    built: &Path,
    seconds: u64,
) -> Result<(Outcome, Vec<PathBuf>)> {
    let name = binary.file_name().unwrap_or_default();
    let (learnt, artifacts) = (
        built.join("corpus").join(name),
        built.join("artifacts").join(name),
    );
    for folder in [&learnt, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let before = files(&artifacts)?;
    let mut fuzzer = Command::new(binary);
    fuzzer
        // New inputs are written to the first folder.
        .args([&learnt, seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
        .arg(format!("-timeout={MAX_SECONDS_EACH}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1");
    let mut outcome = Outcome::default();
    let ended = command::watched(&mut fuzzer, |line| outcome.note(line));
    let findings: Vec<_> = files(&artifacts)?
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    if findings.is_empty() {
        // Ended badly without a finding: the target itself does not run.
        ended?;
        if outcome.executions == 0 {
            bail!("`{}` executed nothing", name.display());
        }
    }
    Ok((outcome, findings))
}

impl Outcome {
    /// Takes what libFuzzer says of itself at its end.
    fn note(&mut self, line: &str) {
        let Some((name, value)) = line
            .strip_prefix("stat::")
            .and_then(|stat| stat.split_once(':'))
        else {
            return;
        };
        let value = value.trim().parse().unwrap_or(0);
        match name {
            "number_of_executed_units" => self.executions = value,
            "average_exec_per_sec" => self.per_second = value,
            _ => {}
        }
    }
}

/// The names of the targets, sorted.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let names = files(&folder.join("fuzz_targets"))?;
    Ok(names
        .iter()
        .filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned()))
        .collect())
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Whether there is the compiler that fuzzing needs.
pub(crate) fn is_possible() -> bool {
    command::is_there(&mut nightly(&["rustc", "--version"]))
}

/// What the nightly compiler builds for; an error that says how to get one.
fn host_of_nightly() -> Result<String> {
    let said = command::output(&mut nightly(&["rustc", "--version", "--verbose"])).context(
        "fuzzing needs a nightly compiler beside the project's own: `rustup toolchain install nightly --profile minimal`",
    )?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

fn install_cargo_fuzz() -> Result<()> {
    if command::is_there(&mut nightly(&["cargo", "fuzz", "--version"])) {
        return Ok(());
    }
    let args = [
        "cargo",
        "install",
        "cargo-fuzz",
        "--locked",
        "--version",
        CARGO_FUZZ,
    ];
    command::run(&mut nightly(&args))
        .context("cargo-fuzz cannot be installed; `cargo install cargo-fuzz` does the same by hand")
}

/// A command of the nightly toolchain, free of what our own cargo has set for us.
fn nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly"])
        .args(args)
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("CARGO_TARGET_DIR");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_seconds_and_a_target() {
        let parse = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            Options::parse(&args).map_err(|error| error.to_string())
        };
        let options = |seconds, target: Option<&str>| Options {
            seconds,
            target: target.map(str::to_owned),
        };
        assert_eq!(parse(&[]), Ok(options(60, None)));
        assert_eq!(
            parse(&["--seconds", "5", "--target", "names"]),
            Ok(options(5, Some("names")))
        );
        for bad in [&["--seconds"] as &[_], &["--seconds", "0"], &["--all"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_libfuzzer_says_of_itself_is_read() {
        let mut outcome = Outcome::default();
        for line in [
            "Done 1299 runs in 2 second(s)",
            "stat::number_of_executed_units: 1299",
            "stat::average_exec_per_sec:     649",
            "stat::peak_rss_mb:              51",
        ] {
            outcome.note(line);
        }
        assert_eq!(
            outcome,
            Outcome {
                executions: 1_299,
                per_second: 649
            }
        );
    }
}
