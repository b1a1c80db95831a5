//! `cargo xtask test`: everything that CI checks. `.ci/run` calls it and nothing else.
//!
//! One native profile throughout, so that an empty target folder compiles each dependency once (clippy and the documents
//! share a second, lighter pass that generates no code).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::server::own_environment;
use crate::steps::Steps;
use crate::workspace::{Profile, Workspace};
use crate::{command, demo, fuzz, guests, hostile, tidy};

/// For how long each fuzz target runs in a long test.
const FUZZ_SECONDS: u64 = 60;

/// How much is tested.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Full counts of attacks and cases, and the fuzz targets.
    pub(crate) long: bool,
}

impl Options {
    /// Reads the options of the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        match args {
            [] => Ok(Self { long: false }),
            [long] if long == "--long" => Ok(Self { long: true }),
            other => bail!(
                "`test` takes `--long` or nothing; what is `{}`?",
                other.join(" ")
            ),
        }
    }
}

/// What the benches measure. The tests are built without it: the load generator is tested, what it loads is not built.
const ROWS: &str = "foretell-bench/rows";

/// Runs all of it and stops at the first failure.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut steps = Steps::new();
    steps.run("format", || {
        // The template of new plugins and the fuzz targets are crates of their own.
        let apart = |manifest| workspace.cargo(["fmt", "--manifest-path", manifest]);
        for mut format in [
            workspace.cargo(["fmt", "--all"]),
            apart("sdk/template/Cargo.toml"),
            apart("tests/fuzz/Cargo.toml"),
        ] {
            command::run(format.arg("--check")).context("run the same without --check")?;
        }
        Ok(())
    })?;
    steps.run("house rules", || tidy::run(workspace))?;
    steps.run("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            // The rows of the benches, which no other step compiles.
            "--features",
            ROWS,
            "--",
            "-D",
            "warnings",
        ];
        command::run(&mut workspace.cargo(args))
    })?;
    steps.run("documents", || {
        // For people of the house: private items too, and so links to them resolve.
        let mut doc = workspace.cargo([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--features",
            ROWS,
        ]);
        command::run(doc.env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private-intra-doc-links",
        ))
    })?;
    if command::is_there(&mut workspace.cargo(["deny", "--version"])) {
        steps.run("dependencies", || {
            let mut deny = workspace.cargo(["deny", "check", "bans", "licenses", "sources"]);
            command::run(&mut deny)
        })?;
    }
    let binary = steps.run("build", || {
        // Exactly what the tests are built from, so that nothing is compiled with other features.
        command::run(&mut workspace.cargo(["build", "--workspace", "--bins", "--tests"]))?;
        workspace.server(Profile::Dev)
    })?;
    let plugins = steps.run("plugins", || {
        // Components of one workspace lie side by side, as `<plugin>.wasm`.
        let built = guests::build(workspace, &binary)?;
        let first = built.first().context("there are no plugins")?;
        Ok(first
            .parent()
            .context("a component lies in a folder")?
            .to_owned())
    })?;

    hostile::forget(workspace)?;
    let mut passed = steps.run("tests", || run_tests(workspace, &binary, &plugins, options))?;
    hostile::show(workspace)?;
    passed += steps.run("examples in documents", || {
        let mut test = workspace.cargo(["test", "--workspace", "--doc"]);
        counted(&mut test)
    })?;
    for script in examples(&workspace.root)? {
        let title = format!(
            "example {}",
            workspace.shown(script.parent().unwrap_or(&script))
        );
        steps.run(&title, || {
            let mut example = Command::new("bash");
            own_environment(&mut example);
            example.arg(&script).env("FORETELL_BIN", &binary);
            // The tests have made it, with the same clients.
            let python = clients_python(&binary);
            if python.is_file() {
                example.env("FORETELL_PYTHON", python);
            }
            command::run(&mut example)
        })?;
        passed += 1;
    }
    steps.run("demo", || {
        let options = demo::Options {
            once: true,
            listen: "127.0.0.1:0".to_owned(),
            data_dir: Some(workspace.target.join("demo-of-test")),
            profile: Profile::Dev,
        };
        // With the server that was tested: built alone, it would be compiled again with other features.
        demo::show(workspace, &options, &binary, Steps::new())
    })?;
    passed += 1;

    if options.long {
        if fuzz::is_possible() {
            let options = fuzz::Options {
                seconds: FUZZ_SECONDS,
                target: None,
            };
            steps.run("fuzz", || fuzz::run(workspace, &options))?;
        } else {
            eprintln!("\nnot fuzzed: there is no nightly compiler, see `cargo xtask fuzz`");
        }
    }

    println!("\n{}\n{passed} passed, 0 failed", steps.summary());
    Ok(())
}

fn run_tests(
    workspace: &Workspace,
    binary: &Path,
    plugins: &Path,
    options: &Options,
) -> Result<u64> {
    let mut tests = if command::is_there(&mut workspace.cargo(["nextest", "--version"])) {
        workspace.cargo(["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        // Documents have a step of their own.
        workspace.cargo(["test", "--workspace", "--tests", "--no-fail-fast"])
    };
    tests
        .env("FORETELL_BIN", binary)
        .env("FORETELL_PLUGINS", plugins);
    if options.long {
        tests.env("FORETELL_LONG", "1");
    }
    let passed = counted(&mut tests)?;
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(passed)
}

/// Runs tests and counts those that passed.
fn counted(tests: &mut Command) -> Result<u64> {
    let mut passed = 0;
    command::watched(tests, |line| passed += passed_in(line))?;
    Ok(passed)
}

/// How many tests passed, if this is the line in which nextest or libtest says so.
fn passed_in(line: &str) -> u64 {
    let summary = match line.trim_start() {
        line if line.starts_with("Summary [") => line
            .split_once(" tests run: ")
            .or(line.split_once(" test run: ")),
        line if line.starts_with("test result: ") => line.split_once(". "),
        _ => None,
    };
    summary
        .and_then(|(_, counts)| counts.split_once(" passed")?.0.trim().parse().ok())
        .unwrap_or(0)
}

/// The Python that has the clients of the protocols: `tests/src/built.rs` makes it.
fn clients_python(binary: &Path) -> PathBuf {
    let profile = binary.parent().unwrap_or(binary);
    profile.join("foretell-tests/requirements-clients/bin/python")
}

/// The script of every example, sorted.
fn examples(root: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    let mut folders = vec![root.join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("run.sh") {
                scripts.push(path);
            }
        }
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_option_is_long() {
        let parse = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            Options::parse(&args).map(|options| options.long).ok()
        };
        assert_eq!(parse(&[]), Some(false));
        assert_eq!(parse(&["--long"]), Some(true));
        assert_eq!(parse(&["--quick"]), None);
    }

    #[test]
    fn the_counts_of_both_test_runners_are_read() {
        for (line, passed) in [
            (
                "     Summary [   0.123s] 245 tests run: 244 passed (2 slow), 1 failed, 0 skipped",
                244,
            ),
            (
                "     Summary [   0.123s] 1 test run: 1 passed, 0 skipped",
                1,
            ),
            (
                "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                12,
            ),
            ("test result: FAILED. 3 passed; 1 failed; 0 ignored", 3),
            ("        PASS [   0.004s] xtask tests::one_passed", 0),
        ] {
            assert_eq!(passed_in(line), passed, "{line}");
        }
    }

    #[test]
    fn examples_are_found_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["quickstart", "clients/curl"] {
            let folder = root.path().join("examples").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("run.sh"), "").unwrap();
            fs::write(folder.join("README.md"), "").unwrap();
        }
        let found = examples(root.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("examples/clients/curl/run.sh"));
    }
}
