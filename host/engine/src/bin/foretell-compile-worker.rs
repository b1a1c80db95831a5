//! The compile worker alone, for the tests and the bench of this crate; the server's own is `foretell compile-worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    foretell_engine::worker::main()
}
