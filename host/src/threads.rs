//! The threads that serve: the runtime of the server.

use std::io;
use std::mem::size_of;

use tokio::runtime::{Builder, Runtime};

/// How long a serving thread wants the processor at once, in nanoseconds: the least that Linux has. A thread that asks for
/// less is let in at once where one of the lanes computes, whose turn would otherwise last some milliseconds; their shares
/// of the processor stay as they are.
const SLICE: u64 = 100_000;

/// The stack of a serving thread. Short predictions run on it: the guest's stack (1 MiB), and the host's frames above it.
const STACK_BYTES: usize = 4 << 20;

/// The runtime that `foretell serve` runs on.
///
/// # Errors
/// If the system grants no threads.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(be_prompt)
        .build()
}

/// Asks for short turns (Linux 6.12 and later; earlier ones ignore it). Best effort: a system that refuses leaves the thread
/// as it is.
fn be_prompt() {
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        // What such a thread starts, a compile worker among it, has turns as usual.
        sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure lives until the call returns, which only reads it; 0 is the calling thread.
    let refused =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } != 0;
    if refused {
        let error = io::Error::last_os_error();
        tracing::debug!(%error, "a serving thread has turns of the usual length");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_the_runtime_have_shorter_turns_than_others() {
        let runtime = runtime().unwrap();
        let slice = |of: &str| {
            let text = std::fs::read_to_string(format!("/proc/{of}/sched")).ok()?;
            let line = text.lines().find(|line| line.starts_with("se.slice"))?;
            line.split(':').nth(1)?.trim().parse::<u64>().ok()
        };
        let here = slice("self");
        let there =
            runtime.block_on(async { tokio::spawn(async move { slice("thread-self") }).await });
        // Where the kernel does not show slices, there is nothing to compare.
        if let (Some(here), Some(there)) = (here, there.unwrap()) {
            assert!(there < here, "{there} and {here}");
        }
    }
}
