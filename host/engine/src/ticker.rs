//! The clock that guests are interrupted by: one thread that advances the engine's epoch every millisecond.
//!
//! Compiled guest code compares the epoch with its store's deadline at every loop head and function entry. The epoch only
//! says "look at the clock": whether time is up is decided by the wall clock in [`crate::state`], so a ticker that was
//! late, or slept while nothing ran, interrupts nobody too early.
//!
//! The thread sleeps while no guest runs: an idle server wakes up for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// One step of the epoch: how exactly deadlines are kept.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// How long the thread goes on ticking after the last guest ended. Waking it is a system call, which calls that come
/// every few milliseconds should not pay.
const LINGER: Duration = Duration::from_millis(200);

/// Ticks until dropped; dropping joins the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    handle: Thread,
}

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// While one exists, the epoch advances.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (theirs, engine) = (Arc::clone(&shared), engine.clone());
        let thread = thread::Builder::new()
            .name("epoch-ticker".into())
            .spawn(move || tick(&theirs, &engine))?;
        let handle = thread.thread().clone();
        Ok(Self {
            shared,
            thread: Some(thread),
            handle,
        })
    }

    /// Keeps the epoch advancing for as long as the guard lives.
    pub(crate) fn running(&self) -> Running<'_> {
        // The order is the whole protocol: whoever counts up looks at `asleep` afterwards, and the thread that has set
        // `asleep` looks at the count afterwards. One of the two sees the other.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.handle.unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.handle.unpark();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and if it had, there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

fn tick(shared: &Shared, engine: &wasmtime::Engine) {
    let mut idle_since = Instant::now();
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle_since = Instant::now();
        } else if idle_since.elapsed() > LINGER {
            shared.asleep.store(true, Ordering::SeqCst);
            while shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst)
            {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle_since = Instant::now();
        }
        // Returns early when unparked late; one early tick only makes a guest look at the clock.
        thread::park_timeout(TICK);
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> wasmtime::Engine {
        crate::setup::worker(1 << 20, 1 << 20).unwrap()
    }

    #[test]
    fn dropping_the_ticker_ends_its_thread() {
        let ticker = Ticker::start(&engine()).unwrap();
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        assert!(
            shared.upgrade().is_none(),
            "the thread still holds its state"
        );
    }

    #[test]
    fn a_sleeping_ticker_wakes_for_the_next_guest() {
        let ticker = Ticker::start(&engine()).unwrap();
        while !ticker.shared.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let running = ticker.running();
        while ticker.shared.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        drop(running);
    }
}
