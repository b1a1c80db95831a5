//! The compile worker: everything that is done with an upload before it is trusted to run beside others.
//!
//! A child process of the server, one for each upload. What an upload can make a compiler do (time, memory, a crash)
//! and what a plugin can do in `load` happens here: the worker limits itself before it looks at the first hostile byte,
//! the server kills it at its wall clock, and any end but an answer refuses the upload. A system-call filter and a file
//! system sandbox (seccomp, Landlock) are not here yet: a plugin that broke out of WebAssembly in the worker would have
//! the rights of the server's user.
//!
//! The server calls it as [`EngineConfig::worker_command`](crate::EngineConfig) says; the program calls [`main`].

use std::io::{self, Read, Write};
use std::process::ExitCode;

use self::protocol::{Frame, Request};
use self::steps::Stop;

mod confine;
pub(crate) mod protocol;
mod snapshot;
mod steps;

/// The whole life of a worker: reads a request from standard input, writes the answer to standard output, ends.
pub fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let ended = request().and_then(|request| {
        confine::confine(&request)
            .map_err(|error| Stop::Trouble(format!("the worker cannot limit itself: {error}")))?;
        steps::run(request, &mut out)
    });
    let said = match ended {
        Ok(()) => Ok(()),
        Err(Stop::Refused(refusals)) => Frame::Refused(refusals).write(&mut out),
        Err(Stop::Trouble(message)) => Frame::Trouble(message).write(&mut out),
    };
    if said.and_then(|()| out.flush()).is_err() {
        // The server is gone, or has heard enough.
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
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
