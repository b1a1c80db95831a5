//! Work whose length is in the callers' hands, kept away from the threads that serve everybody.
//!
//! Reading 8 MiB of JSON takes tens of milliseconds. On a thread of the runtime, every connection that waits for that
//! thread would wait as long; a few such bodies at once, and nobody is served.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// Bytes up to which work is done where it stands: JSON of this size is read or written in less than a millisecond, and
/// going apart costs tens of microseconds.
const LARGE_BYTES: usize = 64 << 10;

/// One place for each core, in the whole process: more at once would only take the cores from the runtime's own threads.
static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Does work on about `bytes` bytes. If they are many, it waits for one of a few places, and the runtime goes on with its
/// other tasks on another thread meanwhile.
pub async fn apart<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    // A runtime of one thread has no other to go on with.
    if bytes <= LARGE_BYTES || Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    // It is never closed; and without a place the work is as right, only less kind.
    let _place = PLACES.acquire().await;
    tokio::task::block_in_place(work)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Hang detection only.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn large_work_leaves_the_only_worker_to_others() {
        let (done, is_done) = channel();
        let waiting = tokio::spawn(apart(LARGE_BYTES + 1, move || {
            // Ends only once another task ran, on a runtime that has one worker.
            is_done.recv_timeout(PATIENCE)
        }));
        tokio::spawn(async move { done.send(()) })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn there_are_no_more_at_once_than_cores() {
        static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let cores = available_parallelism().unwrap().get();
        let tasks: Vec<_> = (0..8 * cores)
            .map(|_| {
                tokio::spawn(apart(usize::MAX, || {
                    let now = AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1;
                    MOST.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // The other test of this process may hold a place.
        assert!((1..=cores).contains(&MOST.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn work_is_done_and_its_panic_goes_on_wherever_it_is() {
        for bytes in [0, LARGE_BYTES, LARGE_BYTES + 1] {
            assert_eq!(apart(bytes, || 7).await, 7);
            assert!(
                tokio::spawn(apart(bytes, || panic!("on purpose")))
                    .await
                    .unwrap_err()
                    .is_panic()
            );
        }
    }
}
