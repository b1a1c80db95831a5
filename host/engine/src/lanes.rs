//! Threads for predictions that are not known to be short.
//!
//! A fixed number of threads of lower priority, a bounded queue with a line for each version, served in turn. Two caps
//! keep a place free for neighbours: how many threads one tenant holds, and how many those versions hold that are known
//! to be long. So guests that loop until their deadline, of however many tenants, never hold every thread.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foretell_types::{TenantId, VersionDigest};

use crate::config::LaneConfig;
use crate::grants::log::Origin;

/// How far lane threads stand behind the others: what runs in place is short, and should not wait for what is not.
const NICER: i32 = 5;

/// What a lane does; it is told how long it waited.
type Work = Box<dyn FnOnce(Duration) + Send>;

/// The lanes. Dropping them lets running work end, drops what waits, and joins the threads.
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The queue is full.
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

struct Limits {
    waiting: usize,
    per_tenant: usize,
    for_long: usize,
}

#[derive(Default)]
struct Queue {
    /// One line for each version that waits; the front one is served next.
    lines: VecDeque<Line>,
    waiting: usize,
    running: HashMap<TenantId, usize>,
    running_long: usize,
    tickets: u64,
    closed: bool,
}

struct Line {
    origin: Arc<Origin>,
    jobs: VecDeque<Job>,
}

struct Job {
    number: u64,
    since: Instant,
    long: bool,
    work: Work,
}

impl Lanes {
    /// Starts the threads, each with a stack of `stack_bytes`.
    pub(crate) fn start(config: &LaneConfig, stack_bytes: usize) -> std::io::Result<Self> {
        let threads = config.threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            limits: Limits {
                waiting: config.queue,
                per_tenant: config.threads_per_tenant.clamp(1, threads),
                for_long: config.threads_for_long.clamp(1, threads),
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
    /// [`Full`] if as much waits as may.
    pub(crate) fn submit(
        &self,
        origin: &Arc<Origin>,
        long: bool,
        work: Work,
    ) -> Result<Ticket, Full> {
        let mut queue = self.shared.lock();
        if queue.waiting >= self.shared.limits.waiting || queue.closed {
            return Err(Full);
        }
        let number = queue.tickets;
        queue.tickets += 1;
        queue.waiting += 1;
        let job = Job {
            number,
            since: Instant::now(),
            long,
            work,
        };
        match queue.lines.iter_mut().find(|line| line.is_of(origin)) {
            Some(line) => line.jobs.push_back(job),
            None => queue.lines.push_back(Line {
                origin: Arc::clone(origin),
                jobs: VecDeque::from([job]),
            }),
        }
        drop(queue);
        self.shared.wake.notify_one();
        Ok(Ticket {
            shared: Arc::clone(&self.shared),
            number,
        })
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

impl Line {
    fn is_of(&self, origin: &Arc<Origin>) -> bool {
        let names = |origin: &Origin| -> (VersionDigest, TenantId) {
            (origin.version, origin.tenant.clone())
        };
        Arc::ptr_eq(&self.origin, origin) || names(&self.origin) == names(origin)
    }
}

impl Queue {
    /// The next job that may run now: of the first line, in turn, whose tenant and kind have a thread left.
    fn next(&mut self, limits: &Limits) -> Option<(Arc<Origin>, Job)> {
        let index = self.lines.iter().position(|line| {
            let held = self
                .running
                .get(&line.origin.tenant)
                .copied()
                .unwrap_or_default();
            let long = line.jobs.front().is_some_and(|job| job.long);
            held < limits.per_tenant && (!long || self.running_long < limits.for_long)
        })?;
        let mut line = self.lines.remove(index)?;
        let job = line.jobs.pop_front()?;
        let origin = Arc::clone(&line.origin);
        if !line.jobs.is_empty() {
            self.lines.push_back(line);
        }
        self.waiting -= 1;
        *self.running.entry(origin.tenant.clone()).or_default() += 1;
        self.running_long += usize::from(job.long);
        Some((origin, job))
    }

    fn ended(&mut self, origin: &Origin, long: bool) {
        if let Some(held) = self.running.get_mut(&origin.tenant) {
            *held -= 1;
            if *held == 0 {
                self.running.remove(&origin.tenant);
            }
        }
        self.running_long -= usize::from(long);
    }

    fn withdraw(&mut self, number: u64) -> Option<Job> {
        for index in 0..self.lines.len() {
            let line = self.lines.get_mut(index)?;
            if let Some(at) = line.jobs.iter().position(|job| job.number == number) {
                let job = line.jobs.remove(at);
                if line.jobs.is_empty() {
                    self.lines.remove(index);
                }
                self.waiting -= 1;
                return job;
            }
        }
        None
    }
}

fn serve(shared: &Shared) {
    step_back();
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return;
        }
        let Some((origin, job)) = queue.next(&shared.limits) else {
            queue = shared
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        let (waited, long) = (job.since.elapsed(), job.long);
        if catch_unwind(AssertUnwindSafe(|| (job.work)(waited))).is_err() {
            tracing::error!(tenant = %origin.tenant, version = %origin.version, "a lane caught a panic");
        }
        queue = shared.lock();
        queue.ended(&origin, long);
        if queue.waiting > 0 {
            // The end of one job may free a place under both caps: this thread takes one, another the other.
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

    use foretell_types::Digest;

    use super::*;

    fn origin(tenant: &str, version: u8) -> Arc<Origin> {
        Arc::new(Origin {
            tenant: TenantId::parse(tenant).unwrap(),
            version: VersionDigest(Digest::from_bytes([version; 32])),
        })
    }

    fn lanes(threads: usize, per_tenant: usize, for_long: usize) -> Lanes {
        let config = LaneConfig {
            threads,
            threads_per_tenant: per_tenant,
            threads_for_long: for_long,
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
        let _one = lanes.submit(&origin("a", 1), false, first).unwrap();
        has_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("a", 2), false, second).unwrap();
        let (neighbour, neighbour_begun, end_neighbour) = blocking();
        let _three = lanes.submit(&origin("b", 3), false, neighbour).unwrap();
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
        let _one = lanes.submit(&origin("a", 1), true, first).unwrap();
        first_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("b", 2), true, second).unwrap();
        let (short, short_begun, end_short) = blocking();
        let _three = lanes.submit(&origin("c", 3), false, short).unwrap();
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
        let _gate = lanes.submit(&origin("z", 9), false, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [("a", 1), ("a", 1), ("a", 1), ("b", 2)]
            .map(|(tenant, version)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send(tenant).unwrap());
                lanes.submit(&origin(tenant, version), false, work).unwrap()
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
        let _gate = lanes.submit(&origin("z", 9), false, gate).unwrap();
        gate_begun.recv().unwrap();
        let (ran, has_run) = mpsc::channel();
        let mut tickets: Vec<_> = (0..8)
            .map(|number| {
                let ran = ran.clone();
                lanes
                    .submit(
                        &origin("a", 1),
                        false,
                        Box::new(move |_| ran.send(number).unwrap()),
                    )
                    .unwrap()
            })
            .collect();
        assert_eq!(
            lanes.submit(&origin("a", 1), false, Box::new(|_| ())).err(),
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
    fn a_panic_of_the_work_leaves_the_thread_alive() {
        let lanes = lanes(1, 1, 1);
        let _one = lanes
            .submit(&origin("a", 1), true, Box::new(|_| panic!("on purpose")))
            .unwrap();
        let (done, is_done) = mpsc::channel();
        let _two = lanes
            .submit(
                &origin("a", 1),
                true,
                Box::new(move |_| done.send(()).unwrap()),
            )
            .unwrap();
        is_done.recv().unwrap();
    }
}
