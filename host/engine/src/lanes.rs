//! Threads for predictions that are not known to be short.
//!
//! A fixed number of threads of lower priority and a bounded queue, served tenant by tenant in turn, and version by
//! version within a tenant. Caps keep a place free for neighbours: how many threads one tenant holds, how many those
//! predictions hold that are known to be long, and how many these and the unproven ones hold together. So guests that
//! loop until their deadline, of however many tenants, never hold every thread.
//!
//! The queue of a tenant is bounded in time, by what its predictions are expected to cost: what would wait too long is
//! refused at once, while refusing is cheap. A burst may wait for a while; a tenant whose queue has overflowed is kept to
//! a short one until nobody was refused for a second. So under lasting overload those who are let in are answered nearly
//! as fast as on a quiet day, instead of all of them late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foretell_types::TenantId;

use self::queue::{Job, Limits, Queue};
use crate::config::LaneConfig;
use crate::cost::Expected;
use crate::grants::log::Origin;

mod queue;

/// How far lane threads stand behind the others: what runs in place is short, and should not wait for what is not. One step
/// and no more, for a step is a fifth less of a core that all want: further behind, a server that refuses as fast as it is
/// asked has no time left for those that it let in.
const NICER: i32 = 1;

/// What a lane does; it is told how long it waited.
type Work = Box<dyn FnOnce(Duration) + Send>;

/// The lanes. Dropping them lets running work end, drops what waits, and joins the threads.
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The queue is full, or too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A place in the queue. Dropping it leaves the queue, if the work has not begun.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    number: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    limits: Limits,
}

impl Lanes {
    /// Starts the threads, each with a stack of `stack_bytes`.
    pub(crate) fn start(config: &LaneConfig, stack_bytes: usize) -> std::io::Result<Self> {
        let threads = config.threads.max(1);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            limits: Limits {
                waiting: config.queue,
                per_tenant: config.threads_per_tenant.clamp(1, threads),
                for_long: config.threads_for_long.clamp(1, threads),
                for_unproven: config.threads_for_unproven.clamp(1, threads),
                cores: u32::try_from(cores.min(threads)).unwrap_or(u32::MAX),
                patience: config.queue_deadline,
            },
        });
        let mut lanes = Self {
            shared,
            threads: Vec::new(),
        };
        for index in 0..threads {
            let shared = Arc::clone(&lanes.shared);
            let thread = thread::Builder::new()
                .name(format!("lane-{index}"))
                .stack_size(stack_bytes)
                .spawn(move || serve(&shared))?;
            lanes.threads.push(thread);
        }
        Ok(lanes)
    }

    /// Queues work of a version.
    ///
    /// # Errors
    /// [`Full`] if as much waits as may, or if the work would wait for longer than it may.
    pub(crate) fn submit(
        &self,
        origin: &Arc<Origin>,
        expected: Expected,
        work: Work,
    ) -> Result<Ticket, Full> {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        if !queue.has_room(&self.shared.limits, &origin.tenant, expected.cost, now) {
            return Err(Full);
        }
        let number = queue.tickets;
        queue.tickets += 1;
        queue.push(Job {
            number,
            since: now,
            expected,
            origin: Arc::clone(origin),
            work,
        });
        drop(queue);
        self.shared.wake.notify_one();
        Ok(Ticket {
            shared: Arc::clone(&self.shared),
            number,
        })
    }

    /// Keeps a tenant to a short queue for a while, since it was refused elsewhere.
    pub(crate) fn strain(&self, tenant: &TenantId) {
        self.shared.lock().strain(tenant, Instant::now());
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().waiting
    }
}

impl Drop for Lanes {
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
    step_back();
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

/// Best effort: a system that refuses leaves the thread where it is.
fn step_back() {
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, (nice + NICER).min(19));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use foretell_types::{Digest, VersionDigest};

    use super::*;
    use crate::cost::Kind;

    pub(super) fn origin(tenant: &str, version: u8) -> Arc<Origin> {
        Arc::new(Origin {
            tenant: TenantId::parse(tenant).unwrap(),
            version: VersionDigest(Digest::from_bytes([version; 32])),
        })
    }

    pub(super) const SHORT: Expected = expected(Kind::Short, 1);
    const UNPROVEN: Expected = expected(Kind::Unproven, 1);
    const LONG: Expected = expected(Kind::Long, 1);

    pub(super) const fn expected(kind: Kind, milliseconds: u64) -> Expected {
        Expected {
            kind,
            cost: Duration::from_millis(milliseconds),
        }
    }

    fn lanes(threads: usize, per_tenant: usize, for_long: usize) -> Lanes {
        let config = LaneConfig {
            threads,
            threads_per_tenant: per_tenant,
            threads_for_long: for_long,
            threads_for_unproven: threads - 1,
            queue: 8,
            ..LaneConfig::default()
        };
        Lanes::start(&config, 1 << 20).unwrap()
    }

    /// Work that says when it begins, and ends when told.
    fn blocking() -> (Work, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, has_begun) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let work = Box::new(move |_| {
            begun.send(()).unwrap();
            let _ = ends.recv();
        });
        (work, has_begun, end)
    }

    #[test]
    fn one_tenant_never_holds_every_thread() {
        let lanes = lanes(2, 1, 2);
        let (first, has_begun, end_first) = blocking();
        let _one = lanes.submit(&origin("a", 1), SHORT, first).unwrap();
        has_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("a", 2), SHORT, second).unwrap();
        let (neighbour, neighbour_begun, end_neighbour) = blocking();
        let _three = lanes.submit(&origin("b", 3), SHORT, neighbour).unwrap();
        neighbour_begun.recv().unwrap();
        assert!(
            second_begun.try_recv().is_err(),
            "the cap of tenant a is one thread"
        );
        drop(end_first);
        second_begun.recv().unwrap();
        drop((end_second, end_neighbour));
    }

    #[test]
    fn long_versions_of_many_tenants_leave_a_thread_free() {
        let lanes = lanes(2, 2, 1);
        let (first, first_begun, end_first) = blocking();
        let _one = lanes.submit(&origin("a", 1), LONG, first).unwrap();
        first_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("b", 2), LONG, second).unwrap();
        let (short, short_begun, end_short) = blocking();
        let _three = lanes.submit(&origin("c", 3), SHORT, short).unwrap();
        short_begun.recv().unwrap();
        assert!(second_begun.try_recv().is_err());
        drop((end_first, end_short));
        second_begun.recv().unwrap();
        drop(end_second);
    }

    #[test]
    fn versions_are_served_in_turn() {
        let lanes = lanes(1, 1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [("a", 1), ("a", 1), ("a", 1), ("b", 2)]
            .map(|(tenant, version)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send(tenant).unwrap());
                lanes.submit(&origin(tenant, version), SHORT, work).unwrap()
            })
            .into_iter()
            .collect();
        drop(open);
        let order: Vec<_> = (0..4).map(|_| order.recv().unwrap()).collect();
        assert_eq!(order, ["a", "b", "a", "a"]);
        drop(tickets);
    }

    #[test]
    fn a_full_queue_refuses_and_a_withdrawn_ticket_makes_room_and_never_runs() {
        let lanes = lanes(1, 1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, gate).unwrap();
        gate_begun.recv().unwrap();
        let (ran, has_run) = mpsc::channel();
        let mut tickets: Vec<_> = (0..8)
            .map(|number| {
                let ran = ran.clone();
                lanes
                    .submit(
                        &origin("a", 1),
                        SHORT,
                        Box::new(move |_| ran.send(number).unwrap()),
                    )
                    .unwrap()
            })
            .collect();
        assert_eq!(
            lanes.submit(&origin("a", 1), SHORT, Box::new(|_| ())).err(),
            Some(Full)
        );
        drop(tickets.remove(0));
        assert_eq!(lanes.waiting(), 7);
        drop(ran);
        drop(open);
        assert_eq!(has_run.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        assert!(!tickets[0].withdraw(), "it has run");
    }

    #[test]
    fn long_and_unproven_versions_together_leave_a_thread_free() {
        let lanes = lanes(3, 3, 1);
        let (long, long_begun, end_long) = blocking();
        let _one = lanes.submit(&origin("a", 1), LONG, long).unwrap();
        long_begun.recv().unwrap();
        let (first, first_begun, end_first) = blocking();
        let _two = lanes.submit(&origin("b", 2), UNPROVEN, first).unwrap();
        first_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _three = lanes.submit(&origin("c", 3), UNPROVEN, second).unwrap();
        let (short, short_begun, end_short) = blocking();
        let _four = lanes.submit(&origin("d", 4), SHORT, short).unwrap();
        short_begun.recv().unwrap();
        assert!(second_begun.try_recv().is_err());
        drop((end_long, end_short));
        second_begun.recv().unwrap();
        drop((end_first, end_second));
    }

    #[test]
    fn a_tenant_of_many_versions_gets_no_more_turns_than_another() {
        let lanes = lanes(1, 1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [("a", 1), ("a", 2), ("a", 3), ("a", 1), ("b", 4), ("b", 4)]
            .map(|(tenant, version)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send((tenant, version)).unwrap());
                lanes.submit(&origin(tenant, version), SHORT, work).unwrap()
            })
            .into_iter()
            .collect();
        drop(open);
        let order: Vec<_> = (0..6).map(|_| order.recv().unwrap()).collect();
        let fair = [("a", 1), ("b", 4), ("a", 2), ("b", 4), ("a", 3), ("a", 1)];
        assert_eq!(order, fair);
        drop(tickets);
    }

    #[test]
    fn a_panic_of_the_work_leaves_the_thread_alive() {
        let lanes = lanes(1, 1, 1);
        let _one = lanes
            .submit(&origin("a", 1), LONG, Box::new(|_| panic!("on purpose")))
            .unwrap();
        let (done, is_done) = mpsc::channel();
        let _two = lanes
            .submit(
                &origin("a", 1),
                LONG,
                Box::new(move |_| done.send(()).unwrap()),
            )
            .unwrap();
        is_done.recv().unwrap();
    }
}
