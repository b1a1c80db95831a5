//! `compile-worker`: the process that prepares one upload. The server starts it; people have no use for it.

use std::process::ExitCode;

use clap::Args;

/// Prepares one upload; started by the server.
#[derive(Debug, Args)]
pub(super) struct CompileWorker {}

impl CompileWorker {
    pub(super) fn execute(self) -> ExitCode {
        foretell_engine::worker::main()
    }
}
