//! `cargo xtask bench`: builds the server and `foretell-bench` for release, and has it measure rows and curves.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::server::own_environment;
use crate::workspace::{Profile, Workspace};
use crate::{command, guests};

/// The plugin that the rows run.
const PLUGIN: &str = "forest";

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Rows and curves; all if none.
    wanted: Vec<String>,
    /// Short: for finding out whether the benches work.
    quick: bool,
    /// Rounds of each comparison.
    rounds: Option<String>,
    /// Whether the document is written from the results.
    document: bool,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--document" => options.document = true,
                "--rounds" => {
                    let rounds = args.next().context("--rounds needs a number")?;
                    if !rounds.parse::<u16>().is_ok_and(|rounds| rounds > 0) {
                        bail!("--rounds is a number from 1 to 65535, not `{rounds}`");
                    }
                    options.rounds = Some(rounds.clone());
                }
                other if other.starts_with('-') => bail!("`bench` has no option `{other}`"),
                row => options.wanted.push(row.to_owned()),
            }
        }
        if options.document && options.quick {
            bail!("a document of quick figures would be quoted; leave out --quick or --document");
        }
        Ok(options)
    }
}

/// Builds, measures, prints, and writes the document if it is wanted.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let [server, bench] = build(workspace)?;
    let plugin = guests::build(workspace, &server)?
        .into_iter()
        .find(|component| component.file_stem().is_some_and(|stem| stem == PLUGIN))
        .with_context(|| format!("there is no plugin `{PLUGIN}`"))?;
    let out = workspace.target.join("bench");
    command::run(&mut measure(
        workspace, options, &bench, &server, &plugin, &out,
    ))?;
    if options.document {
        let mut write = Command::new(&bench);
        write
            .arg("document")
            .arg(&out)
            .arg(workspace.root.join("docs"));
        command::run(&mut write)?;
    }
    Ok(())
}

fn measure(
    workspace: &Workspace,
    options: &Options,
    bench: &Path,
    server: &Path,
    plugin: &Path,
    out: &Path,
) -> Command {
    let mut measure = Command::new(bench);
    own_environment(&mut measure);
    measure.arg("run");
    for (option, path) in [
        ("--foretell", server),
        ("--plugin", plugin),
        ("--peers", &workspace.root.join("tests/bench/peers")),
        ("--out", out),
    ] {
        measure.arg(option).arg(path);
    }
    if options.quick {
        measure.arg("--quick");
    }
    if let Some(rounds) = &options.rounds {
        measure.args(["--rounds", rounds]);
    }
    measure.args(&options.wanted);
    measure
}

/// The server and the benches, in one build: apart, what they share would be compiled twice with other features.
fn build(workspace: &Workspace) -> Result<[PathBuf; 2]> {
    command::run(&mut workspace.cargo([
        "build",
        "--release",
        "--package",
        "foretell",
        "--package",
        "foretell-bench",
        "--features",
        "foretell-bench/rows",
    ]))?;
    let server = workspace.server(Profile::Release)?;
    let bench = server.with_file_name("foretell-bench");
    Ok([server, bench])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(&args)
    }

    #[test]
    fn rows_and_options_may_stand_in_any_order() {
        let expected = Options {
            wanted: vec!["1".to_owned(), "batch".to_owned()],
            quick: true,
            rounds: Some("3".to_owned()),
            document: false,
        };
        assert_eq!(
            parse(&["1", "--quick", "batch", "--rounds", "3"]).unwrap(),
            expected
        );
        assert_eq!(parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for args in [
            &["--fast"][..],
            &["--rounds"],
            &["--rounds", "0"],
            &["--rounds", "many"],
            &["--quick", "--document"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
