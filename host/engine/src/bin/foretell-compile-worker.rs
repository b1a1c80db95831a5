//! The compile worker alone, for the tests and the bench of this crate; the server's own is `foretell compile-worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "testkit")]
    {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        if let [first, attempt @ ..] = &arguments[..]
            && first == "attempt"
        {
            return foretell_engine::worker::attempt::main(attempt);
        }
    }
    foretell_engine::worker::main()
}
