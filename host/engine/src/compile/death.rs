//! What a worker's death means for the upload.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use foretell_types::compile::{CompileError, Refusal, RefusalCode, Step};

use crate::config::CompileLimits;

/// How a worker ended, if not with an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// By itself, or by a signal.
    Status(ExitStatus),
    /// It was killed at its wall clock.
    TimeUp,
}

/// The upload's own doing, or ours?
pub(super) fn explain(
    ended: &Ended,
    stderr: &str,
    step: Option<Step>,
    limits: &CompileLimits,
) -> CompileError {
    let Some(step) = step else {
        // It never came to look at the upload.
        let last = stderr.lines().last().unwrap_or("without a word");
        return CompileError::Worker(format!("it ended before it began ({ended:?}): {last}"));
    };
    let refuse = |code, message: String| {
        CompileError::Refused(vec![Refusal::new(code, step.as_str(), message)])
    };
    let status = match ended {
        Ended::TimeUp => {
            let seconds = limits.wall.as_secs_f32();
            return refuse(
                RefusalCode::Limit,
                format!("it took more than the {seconds} s that an upload may take"),
            );
        }
        Ended::Status(status) => *status,
    };
    let died = "the compiler died of it; this is a defect of the compiler, and the server's log has the details";
    let memory = || {
        let mib = limits.data_bytes >> 20;
        refuse(
            RefusalCode::Limit,
            format!("it needs more than the {mib} MiB of memory that an upload may use"),
        )
    };
    match status.signal() {
        Some(libc::SIGXCPU) => {
            let seconds = limits.cpu_seconds;
            refuse(
                RefusalCode::Limit,
                format!("it needs more than the {seconds} s of CPU time that an upload may use"),
            )
        }
        // Meant for the server and sent to its whole group (Ctrl-C, a service manager): it says nothing of the upload.
        Some(signal @ (libc::SIGTERM | libc::SIGINT | libc::SIGHUP)) => {
            CompileError::Worker(format!("it was ended from outside, by signal {signal}"))
        }
        // We have not killed it: the kernel has, because the machine ran out of memory, or at the hard CPU limit.
        Some(libc::SIGKILL) => memory(),
        // A file in memory that is larger than all that it may have.
        Some(libc::SIGXFSZ) => memory(),
        // Rust aborts where an allocation fails, and says so.
        Some(libc::SIGABRT) if stderr.contains("memory allocation of") => memory(),
        Some(_) => refuse(RefusalCode::CompileFailed, died.to_owned()),
        None if status.code() == Some(101) => refuse(RefusalCode::CompileFailed, died.to_owned()),
        None => CompileError::Worker(format!("it ended with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(ended: Ended, stderr: &str, step: Option<Step>) -> String {
        explain(&ended, stderr, step, &CompileLimits::default()).to_string()
    }

    #[test]
    fn each_death_is_told_by_its_cause() {
        let signal = |number| Ended::Status(ExitStatus::from_raw(number));
        let exit = |code: i32| Ended::Status(ExitStatus::from_raw(code << 8));
        let step = Some(Step::Compile);
        let cases = [
            (
                signal(libc::SIGXCPU),
                "",
                "limit: compile: it needs more than the 60 s of CPU time",
            ),
            (
                signal(libc::SIGKILL),
                "",
                "limit: compile: it needs more than the 2048 MiB of memory",
            ),
            (
                signal(libc::SIGXFSZ),
                "",
                "limit: compile: it needs more than the 2048 MiB of memory",
            ),
            (
                signal(libc::SIGABRT),
                "memory allocation of 9 bytes failed",
                "limit: compile: it needs more than the 2048",
            ),
            (
                signal(libc::SIGABRT),
                "",
                "compile_failed: compile: the compiler died of it",
            ),
            (
                signal(libc::SIGTERM),
                "",
                "the compile worker: it was ended from outside",
            ),
            (
                signal(libc::SIGSEGV),
                "",
                "compile_failed: compile: the compiler died of it",
            ),
            (
                exit(101),
                "panicked",
                "compile_failed: compile: the compiler died of it",
            ),
            (
                Ended::TimeUp,
                "",
                "limit: compile: it took more than the 120 s",
            ),
            (
                exit(3),
                "",
                "the compile worker: it ended with exit status: 3",
            ),
        ];
        for (ended, stderr, expected) in cases {
            let found = explained(ended, stderr, step);
            assert!(found.contains(expected), "{found} instead of {expected}");
        }
    }

    #[test]
    fn a_worker_that_never_began_is_our_trouble() {
        let found = explained(
            Ended::Status(ExitStatus::from_raw(libc::SIGKILL)),
            "first\nno such file",
            None,
        );
        assert!(
            found.starts_with("the compile worker: it ended before it began"),
            "{found}"
        );
        assert!(found.ends_with("no such file"), "{found}");
    }
}
