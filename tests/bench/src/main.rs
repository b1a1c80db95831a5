//! `foretell-bench`: the load generator, and with the feature `rows` the rows that it measures. `cargo xtask bench` builds
//! and calls it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks: results on stdout, progress on stderr"
)]

mod command;

#[cfg(feature = "rows")]
mod audit_log;
#[cfg(feature = "rows")]
mod bench;
#[cfg(feature = "rows")]
mod crowd;
#[cfg(feature = "rows")]
mod curves;
#[cfg(feature = "rows")]
mod forests;
#[cfg(feature = "rows")]
mod peers;
#[cfg(feature = "rows")]
mod process;
#[cfg(feature = "rows")]
mod rows;
#[cfg(feature = "rows")]
mod run;
#[cfg(feature = "rows")]
mod sandbox;
#[cfg(feature = "rows")]
mod site;
#[cfg(feature = "rows")]
mod twin;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
foretell-bench <command>

  load      sends requests to a server and says what became of them
              --url URL             http://host:port/path
              --method M            default POST with a body, else GET
              --body FILE           the body
              --header 'NAME: V'    may stand more than once; JSON is the content type of a body where none is given
              --connections N       default 32
              --idle N              further connections that say nothing
              --rate N              requests that are due in a second, whatever the server does; without it each
                                    connection asks again when it is answered
              --seconds S           default 3
              --warm-up S           default 1
              --max-requests N      default 10 million
              --cpu-of PID          count this process's use of the processor, may stand more than once
              --json                the outcome as JSON
            or: load -              a plan as JSON on stdin, the outcome as JSON on stdout

  document OUT DOCS         writes DOCS/BENCHMARKS.md and its plots from the results under OUT

with the feature `rows`, as `cargo xtask bench` calls it:

  run       measures rows and curves, all or those that are named
              --foretell FILE       the server, release profile
              --plugin FILE         the component of the plugin `forest`
              --peers DIR           tests/bench/peers
              --out DIR             results, logs and virtual environments
              --rounds N            of each comparison, default 7
              --quick               short: for finding out whether the benches work
              --long                ten million rows of the audit log as well: some minutes and 5 GB of disk
  twin ARTIFACT DATA-DIR FORETELL   the native twin
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
        "load" => command::load(options),
        "document" => command::document(options),
        #[cfg(feature = "rows")]
        "run" => run::run(&bench::Bench::parse(options)?),
        #[cfg(feature = "rows")]
        "twin" => twin::serve(options),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}
