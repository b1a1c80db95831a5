//! The compile worker: everything that is done with an upload before it is trusted to run beside others.
//!
//! A child process of the server, one for each upload. What an upload can make a compiler do (time, memory, a crash)
//! and what a plugin can do in `load` happens here: the worker limits itself before it looks at the first hostile byte,
//! the server kills it at its wall clock, and any end but an answer refuses the upload. A plugin that broke out of
//! WebAssembly here would find a process that can compute and write its answer, and nothing else ([`Walls`]).
//!
//! The server calls it as [`EngineConfig::worker_command`](crate::EngineConfig) says; the program calls [`main`].

use std::io::{self, Read, Write};
use std::process::ExitCode;

pub use self::confine::{Wall, Walls};
use self::protocol::{Frame, Request};
use self::steps::{Input, Stop};

#[cfg(feature = "testkit")]
pub mod attempt;
mod confine;
pub(crate) mod protocol;
mod snapshot;
mod steps;

/// The whole life of a worker: reads a request from standard input, writes the answer to standard output, ends. No other
/// thread may run in the process.
pub fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let said = match answer(&mut out) {
        Ok(()) => Ok(()),
        Err(Stop::Refused(refusals)) => Frame::Refused(refusals).write(&mut out),
        Err(Stop::Changed(content)) => Frame::Changed(content).write(&mut out),
        Err(Stop::Trouble(message)) => Frame::Trouble(message).write(&mut out),
    };
    if said.and_then(|()| out.flush()).is_err() {
        // The server is gone, or has heard enough.
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn answer(out: &mut impl Write) -> Result<(), Stop> {
    let request = request()?;
    confine::limit(&request)
        .map_err(|error| Stop::Trouble(format!("the worker cannot limit itself: {error}")))?;
    // Read and hashed, not looked at: behind the walls there are no files.
    let input = Input::read(&request.work)?;
    let walls = confine::raise();
    steps::run(request, input, walls, out)
}

fn request() -> Result<Request, Stop> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Stop::Trouble(format!("the request cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Stop::Trouble(format!(
            "this command is for the server's own use and reads a request from it: {error}"
        ))
    })
}
