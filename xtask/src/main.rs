//! `cargo xtask`: the project's own chores, in Rust so that they run wherever the project builds.
//!
//! It depends on no crate of ours: it builds `foretell` and calls it, so that whatever works here works for a user too.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks: results on stdout, progress on stderr"
)]

mod answer;
mod bench;
mod command;
mod demo;
mod digest;
mod fuzz;
mod guests;
mod hostile;
mod http;
mod models;
mod server;
mod steps;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
cargo xtask <command>

  demo     build everything, start a server, push every model under models/, show that each answers
             --once              stop after the table; exit 1 if an answer is wrong
             --listen ADDR       where to listen (default 127.0.0.1:5000)
             --data-dir DIR      its data folder, emptied at each run (default target/demo)
             --profile NAME      dev or release (default release)
  test     everything that CI checks, in order, stopping at the first failure
             --long              with the full counts of attacks and cases, and every fuzz target for a minute (hours)
  hostile  every attack of docs/HOSTILE.md against a release build, and what came of it in one table
             --long              with the full counts
             --show              attack nothing, show what the last run left
             --document          write docs/HOSTILE.md
  tidy     the house rules
  guests   build every plugin under plugins/ and print where each component lies
  bench    measure against goals and peers: rows and curves, all or those that are named; print them, keep them
           under target/bench
             --quick             short: for finding out whether the benches work
             --rounds N          rounds of each comparison (default 7)
             --document          write docs/BENCHMARKS.md and its plots from all results that are there
  fuzz     every fuzz target for a while (needs a nightly compiler)
             --seconds N         for each target (default 60)
             --target NAME       this one alone
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((command, options)) = args.split_first() else {
        bail!("which command?\n\n{USAGE}");
    };
    match command.as_str() {
        "demo" => demo::run(&Workspace::read()?, &demo::Options::parse(options)?),
        "test" => test::run(&Workspace::read()?, &test::Options::parse(options)?),
        "hostile" => hostile::run(&Workspace::read()?, &hostile::Options::parse(options)?),
        "tidy" => without_options(command, options).and_then(|()| tidy::run(&Workspace::read()?)),
        "guests" => {
            without_options(command, options).and_then(|()| guests::run(&Workspace::read()?))
        }
        "fuzz" => fuzz::run(&Workspace::read()?, &fuzz::Options::parse(options)?),
        "bench" => bench::run(&Workspace::read()?, &bench::Options::parse(options)?),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}

fn without_options(command: &str, options: &[String]) -> Result<()> {
    if let Some(option) = options.first() {
        bail!("`{command}` takes no options; what is `{option}`?");
    }
    Ok(())
}
