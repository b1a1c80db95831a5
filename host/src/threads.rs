//! The threads that serve: the runtime of the server.

use std::io;
use std::time::Duration;

use foretell_engine::turns::Turns;
use tokio::runtime::{Builder, Runtime};

/// A serving thread is to be let in at once where something else computes: so its turns are short. Not as short as may be,
/// for within its turn nobody takes the processor from it, and most requests take less than this. All threads of the runtime
/// have them, those that block too: one that has to block in the midst of serving hands its place to one of those.
const SERVING: Turns = Turns {
    nicer: 0,
    slice: Duration::from_micros(200),
};

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
        .on_thread_start(|| SERVING.take())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slice of a thread in nanoseconds, and its priority; where the kernel does not show slices, there is none.
    fn turns(thread: &str) -> (Option<u64>, i32) {
        let slice = std::fs::read_to_string(format!("/proc/{thread}/sched"))
            .ok()
            .and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("se.slice"))?;
                line.split(':').nth(1)?.trim().parse().ok()
            });
        let nice = rustix::process::getpriority_process(None).unwrap();
        (slice, nice)
    }

    #[test]
    fn threads_of_the_runtime_have_shorter_turns_than_others_and_the_same_priority() {
        let (slice, nice) = turns("thread-self");
        let there = runtime().unwrap().block_on(async {
            // What serves after another had to block, time and again.
            for _ in 0..3 {
                let blocked = tokio::spawn(async { tokio::task::block_in_place(|| ()) });
                blocked.await.unwrap();
            }
            let serving = tokio::spawn(async { turns("thread-self") });
            let blocking = tokio::task::spawn_blocking(|| turns("thread-self"));
            [serving.await.unwrap(), blocking.await.unwrap()]
        });
        for (of_runtime, priority) in there {
            assert_eq!(priority, nice);
            if let (Some(of_runtime), Some(slice)) = (of_runtime, slice) {
                assert!(of_runtime < slice, "{of_runtime} and {slice}");
            }
        }
    }
}
