//! The `foretell` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    foretell::cli::run(std::env::args_os())
}
