//! One lane: its threads, and the queue that they serve.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foretell_types::TenantId;

use super::queue::{Job, Limits, Queue};
use crate::cost::Expected;
use crate::grants::log::Origin;
use crate::turns::Turns;

/// What a lane does; it is told how long it waited.
pub(super) type Work = Box<dyn FnOnce(Duration) + Send>;

/// The queue is full, or too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A place in the queue. Dropping it leaves the queue, if the work has not begun.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    number: u64,
}

/// Dropping it lets running work end, drops what waits, and joins the threads.
pub(super) struct Lane {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    limits: Limits,
}

impl Lane {
    /// Starts the threads, each with a stack of `stack_bytes`.
    pub(super) fn start(
        name: &str,
        threads: usize,
        stack_bytes: usize,
        limits: Limits,
        turns: Turns,
    ) -> std::io::Result<Self> {
        let mut lane = Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                wake: Condvar::new(),
                limits,
            }),
            threads: Vec::new(),
        };
        for index in 0..threads {
            let shared = Arc::clone(&lane.shared);
            let thread = thread::Builder::new()
                .name(format!("{name}-{index}"))
                .stack_size(stack_bytes)
                .spawn(move || {
                    turns.take();
                    serve(&shared);
                })?;
            lane.threads.push(thread);
        }
        Ok(lane)
    }

    /// Queues work of a version, unless as much waits as may, or the work would wait for longer than it may.
    pub(super) fn submit(
        &self,
        origin: &Arc<Origin>,
        expected: Expected,
        priority: u64,
        work: Work,
    ) -> Result<Ticket, Full> {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        if !queue.has_room(&self.shared.limits, &origin.tenant, expected.cost, now) {
            return Err(Full);
        }
        Ok(self.push(queue, origin, expected, priority, work))
    }

    /// Queues work that was let in before, unless the lane ends.
    pub(super) fn readmit(
        &self,
        origin: &Arc<Origin>,
        expected: Expected,
        priority: u64,
        work: Work,
    ) -> Result<Ticket, Full> {
        let queue = self.shared.lock();
        if queue.closed {
            return Err(Full);
        }
        Ok(self.push(queue, origin, expected, priority, work))
    }

    fn push(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        origin: &Arc<Origin>,
        expected: Expected,
        priority: u64,
        work: Work,
    ) -> Ticket {
        let number = queue.tickets;
        queue.tickets += 1;
        queue.push(Job {
            number,
            since: Instant::now(),
            expected,
            priority,
            origin: Arc::clone(origin),
            work,
        });
        drop(queue);
        self.shared.wake.notify_one();
        Ticket {
            shared: Arc::clone(&self.shared),
            number,
        }
    }

    /// Keeps a tenant to a short queue for a while.
    pub(super) fn strain(&self, tenant: &TenantId) {
        self.shared.lock().strain(tenant, Instant::now());
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().waiting
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let abandoned = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            queue.waiting = 0;
            std::mem::take(&mut queue.lines)
        };
        self.shared.wake.notify_all();
        drop(abandoned);
        for thread in self.threads.drain(..) {
            // Panics of work are caught; a thread that died anyway has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Ticket {
    /// Leaves the queue; `false` if the work has begun already.
    pub(crate) fn withdraw(&self) -> bool {
        let job = self.shared.lock().withdraw(self.number);
        // Dropped here, outside the lock: it holds a prediction's inputs.
        job.is_some()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Shared {
    /// No work runs under the lock, so nothing of a queue is ever half done.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(shared: &Shared) {
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return;
        }
        let Some(job) = queue.next(&shared.limits) else {
            queue = shared
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        let Job {
            since,
            expected,
            origin,
            work,
            ..
        } = job;
        let waited = since.elapsed();
        if catch_unwind(AssertUnwindSafe(|| work(waited))).is_err() {
            tracing::error!(tenant = %origin.tenant, version = %origin.version, "a lane caught a panic");
        }
        queue = shared.lock();
        queue.ended(&origin.tenant, expected.kind);
        if queue.waiting > 0 {
            // The end of one job may free a place under several caps: this thread takes one, another the other.
            shared.wake.notify_one();
        }
    }
}
