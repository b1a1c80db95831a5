//! The threads that serve: the runtime of the server.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use foretell_engine::turns::Turns;
use tokio::runtime::{Builder, Runtime};

/// A serving thread is to be let in at once where something else computes: so its turns are short. Not as short as may be,
/// for within its turn nobody takes the processor from it, and most requests take less than this.
const SERVING: Turns = Turns {
    nicer: 0,
    slice: Some(Duration::from_micros(200)),
};

/// A thread that blocks hashes uploads and asks the database: much for a few, where those that serve do little for many.
const BLOCKING: Turns = Turns {
    nicer: 1,
    slice: Some(Duration::from_millis(10)),
};

/// The stack of a serving thread. Short predictions run on it: the guest's stack (1 MiB), and the host's frames above it.
const STACK_BYTES: usize = 4 << 20;

/// The runtime that `foretell serve` runs on.
///
/// # Errors
/// If the system grants no threads.
pub fn runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, usize::from);
    let started = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers)
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(move || {
            // The runtime starts its workers first.
            let serves = started.fetch_add(1, Ordering::Relaxed) < workers;
            if serves { SERVING } else { BLOCKING }.take();
        })
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_serve_have_shorter_turns_than_those_that_block() {
        let runtime = runtime().unwrap();
        let slice = |of: &str| {
            let text = std::fs::read_to_string(format!("/proc/{of}/sched")).ok()?;
            let line = text.lines().find(|line| line.starts_with("se.slice"))?;
            line.split(':').nth(1)?.trim().parse::<u64>().ok()
        };
        let here = slice("self");
        let there = runtime.block_on(async {
            let serving = tokio::spawn(async move { slice("thread-self") });
            let blocking = tokio::task::spawn_blocking(move || slice("thread-self"));
            (serving.await.unwrap(), blocking.await.unwrap())
        });
        // Where the kernel does not show slices, there is nothing to compare.
        if let (Some(here), (Some(serving), Some(blocking))) = (here, there) {
            assert!(
                serving < here && here < blocking,
                "{serving}, {here}, {blocking}"
            );
        }
    }
}
