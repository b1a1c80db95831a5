//! Threads for predictions that are not known to be short enough to run in place.
//!
//! There are three lanes, each with threads and a bounded queue of its own: one for what is long, one for all else, and one, of
//! one thread, for what nobody waits for. What is long has the lower priority, so that a prediction of a millisecond gets the
//! processor beside others of a second, and those have whatever it leaves; what nobody waits for gets what both leave. A lane
//! serves tenant by tenant in turn, and version by version within a tenant. Caps keep a place free for neighbours: how many
//! threads of a lane one tenant holds, and how many those predictions hold together that were never measured. So guests that
//! loop until their deadline, of however many tenants, never hold every thread.
//!
//! The queue of a tenant is bounded in time, by what its predictions are expected to cost: what would wait too long is
//! refused at once, while refusing is cheap. A burst may wait for a while; a tenant whose queue has overflowed is kept to
//! a short one until nobody was refused for a second. So under lasting overload those who are let in are answered nearly
//! as fast as on a quiet day, instead of all of them late. What is expected is what the queue would take with its lane alone
//! on the processors: where the other is busy, a prediction may also be refused later, when it has waited for as long as any may.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use foretell_types::TenantId;

pub(crate) use self::lane::{Full, Ticket};
use self::lane::{Lane, Work};
use self::queue::Limits;
pub(crate) use self::queue::rank;
use crate::config::LaneConfig;
use crate::cost::{Expected, Kind};
use crate::grants::log::Origin;
use crate::turns::Turns;

mod lane;
mod queue;

/// A thread of the first lane stands one step behind those that serve: what runs in place is shorter, and should not wait.
/// One step and no more, for a step is a fifth less of a processor that all want: further behind, a server that refuses as
/// fast as it is asked has no time left for those that it let in.
const SHORT_TURNS: Turns = Turns {
    nicer: 1,
    slice: Duration::from_micros(500),
};

/// What is long gets a third of what a serving thread gets, where both want all of a processor.
const LONG_TURNS: Turns = Turns {
    nicer: 5,
    slice: Duration::from_millis(50),
};

/// What nobody waits for takes next to no time from anybody: one part in seventy where all of a processor is wanted. Not less,
/// for it holds locks that others want, now and then, and has to get on with it then.
const ASIDE_TURNS: Turns = Turns {
    nicer: 19,
    slice: Duration::from_millis(50),
};

/// Threads of the lane for what nobody waits for.
pub(crate) const ASIDE_THREADS: usize = 1;

/// The lanes. Dropping them lets running work end, drops what waits, and joins the threads.
pub(crate) struct Lanes {
    short: Lane,
    long: Lane,
    aside: Lane,
}

impl Lanes {
    /// Starts the threads, each with a stack of `stack_bytes`.
    pub(crate) fn start(config: &LaneConfig, stack_bytes: usize) -> std::io::Result<Self> {
        let threads = config.threads.max(1);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits {
            waiting: config.queue,
            per_tenant: config.threads_per_tenant.clamp(1, threads),
            for_unproven: config.threads_for_unproven.clamp(1, threads),
            cores: u32::try_from(cores.min(threads)).unwrap_or(u32::MAX),
            patience: config.queue_deadline,
        };
        let alone = Limits {
            per_tenant: 1,
            for_unproven: 1,
            cores: 1,
            ..limits
        };
        Ok(Self {
            short: Lane::start("lane", threads, stack_bytes, limits, SHORT_TURNS)?,
            long: Lane::start("long-lane", threads, stack_bytes, limits, LONG_TURNS)?,
            aside: Lane::start("aside-lane", ASIDE_THREADS, stack_bytes, alone, ASIDE_TURNS)?,
        })
    }

    /// Queues work of a version; `priority` orders it among what waits of that version, 1 first, 0 last.
    ///
    /// # Errors
    /// [`Full`] if as much waits as may, or if the work would wait for longer than it may.
    pub(crate) fn submit(
        &self,
        origin: &Arc<Origin>,
        expected: Expected,
        priority: u64,
        work: Work,
    ) -> Result<Ticket, Full> {
        self.of(expected.kind)
            .submit(origin, expected, priority, work)
    }

    /// Queues work that was let in before, however much waits.
    ///
    /// # Errors
    /// [`Full`] once the lanes end.
    pub(crate) fn readmit(
        &self,
        origin: &Arc<Origin>,
        expected: Expected,
        priority: u64,
        work: Work,
    ) -> Result<Ticket, Full> {
        self.of(expected.kind)
            .readmit(origin, expected, priority, work)
    }

    const fn of(&self, kind: Kind) -> &Lane {
        match kind {
            Kind::Short | Kind::Unproven => &self.short,
            Kind::Long => &self.long,
            Kind::Aside => &self.aside,
        }
    }

    /// Keeps a tenant to a short queue for a while, since it was refused elsewhere.
    pub(crate) fn strain(&self, tenant: &TenantId) {
        self.short.strain(tenant);
        self.long.strain(tenant);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.short.waiting() + self.long.waiting() + self.aside.waiting()
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

    fn lanes(threads: usize, per_tenant: usize) -> Lanes {
        let config = LaneConfig {
            threads,
            threads_per_tenant: per_tenant,
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
        let lanes = lanes(2, 1);
        let (first, has_begun, end_first) = blocking();
        let _one = lanes.submit(&origin("a", 1), SHORT, 0, first).unwrap();
        has_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("a", 2), SHORT, 0, second).unwrap();
        let (neighbour, neighbour_begun, end_neighbour) = blocking();
        let _three = lanes.submit(&origin("b", 3), SHORT, 0, neighbour).unwrap();
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
    fn what_is_long_holds_no_thread_of_what_is_not() {
        let lanes = lanes(2, 2);
        let running: Vec<_> = [("a", 1), ("b", 2)]
            .map(|(tenant, version)| {
                let (long, begun, end) = blocking();
                let ticket = lanes
                    .submit(&origin(tenant, version), LONG, 0, long)
                    .unwrap();
                begun.recv().unwrap();
                (ticket, end)
            })
            .into_iter()
            .collect();
        let (third, third_begun, end_third) = blocking();
        let _third = lanes.submit(&origin("c", 3), LONG, 0, third).unwrap();
        for expected in [SHORT, UNPROVEN] {
            let (other, other_begun, end_other) = blocking();
            let _other = lanes.submit(&origin("c", 4), expected, 0, other).unwrap();
            other_begun.recv().unwrap();
            drop(end_other);
        }
        assert!(third_begun.try_recv().is_err());
        drop(running);
        third_begun.recv().unwrap();
        drop(end_third);
    }

    #[test]
    fn what_nobody_waits_for_has_a_thread_of_its_own() {
        let lanes = lanes(1, 1);
        let aside = expected(Kind::Aside, 1);
        let (first, first_begun, end_first) = blocking();
        let _one = lanes.submit(&origin("a", 1), aside, 0, first).unwrap();
        first_begun.recv().unwrap();
        for expected in [SHORT, LONG] {
            let (other, other_begun, end_other) = blocking();
            let _other = lanes.submit(&origin("a", 1), expected, 0, other).unwrap();
            other_begun.recv().unwrap();
            drop(end_other);
        }
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("b", 2), aside, 0, second).unwrap();
        assert!(second_begun.try_recv().is_err(), "there is one");
        drop(end_first);
        second_begun.recv().unwrap();
        drop(end_second);
    }

    #[test]
    fn versions_are_served_in_turn() {
        let lanes = lanes(1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, 0, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [("a", 1), ("a", 1), ("a", 1), ("b", 2)]
            .map(|(tenant, version)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send(tenant).unwrap());
                lanes
                    .submit(&origin(tenant, version), SHORT, 0, work)
                    .unwrap()
            })
            .into_iter()
            .collect();
        drop(open);
        let order: Vec<_> = (0..4).map(|_| order.recv().unwrap()).collect();
        assert_eq!(order, ["a", "b", "a", "a"]);
        drop(tickets);
    }

    #[test]
    fn of_one_version_what_has_priority_is_served_first() {
        let lanes = lanes(1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, 0, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [0, 7, 1, 0, 1, u64::MAX]
            .into_iter()
            .enumerate()
            .map(|(number, priority)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send(number).unwrap());
                let origin = origin("a", 1);
                lanes.submit(&origin, SHORT, priority, work).unwrap()
            })
            .collect();
        drop(open);
        let order: Vec<_> = (0..6).map(|_| order.recv().unwrap()).collect();
        assert_eq!(order, [2, 4, 1, 5, 0, 3]);
        drop(tickets);
    }

    #[test]
    fn a_full_queue_refuses_and_a_withdrawn_ticket_makes_room_and_never_runs() {
        let lanes = lanes(1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, 0, gate).unwrap();
        gate_begun.recv().unwrap();
        let (ran, has_run) = mpsc::channel();
        let mut tickets: Vec<_> = (0..8)
            .map(|number| {
                let ran = ran.clone();
                lanes
                    .submit(
                        &origin("a", 1),
                        SHORT,
                        0,
                        Box::new(move |_| ran.send(number).unwrap()),
                    )
                    .unwrap()
            })
            .collect();
        assert_eq!(
            lanes
                .submit(&origin("a", 1), SHORT, 0, Box::new(|_| ()))
                .err(),
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
    fn versions_that_were_never_measured_leave_a_thread_free() {
        let lanes = lanes(2, 2);
        let (first, first_begun, end_first) = blocking();
        let _one = lanes.submit(&origin("a", 1), UNPROVEN, 0, first).unwrap();
        first_begun.recv().unwrap();
        let (second, second_begun, end_second) = blocking();
        let _two = lanes.submit(&origin("b", 2), UNPROVEN, 0, second).unwrap();
        let (short, short_begun, end_short) = blocking();
        let _three = lanes.submit(&origin("c", 3), SHORT, 0, short).unwrap();
        short_begun.recv().unwrap();
        assert!(second_begun.try_recv().is_err());
        drop(end_short);
        assert!(second_begun.try_recv().is_err());
        drop(end_first);
        second_begun.recv().unwrap();
        drop(end_second);
    }

    #[test]
    fn a_tenant_of_many_versions_gets_no_more_turns_than_another() {
        let lanes = lanes(1, 1);
        let (gate, gate_begun, open) = blocking();
        let _gate = lanes.submit(&origin("z", 9), SHORT, 0, gate).unwrap();
        gate_begun.recv().unwrap();
        let (done, order) = mpsc::channel();
        let tickets: Vec<_> = [("a", 1), ("a", 2), ("a", 3), ("a", 1), ("b", 4), ("b", 4)]
            .map(|(tenant, version)| {
                let done = done.clone();
                let work: Work = Box::new(move |_| done.send((tenant, version)).unwrap());
                lanes
                    .submit(&origin(tenant, version), SHORT, 0, work)
                    .unwrap()
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
        let lanes = lanes(1, 1);
        let _one = lanes
            .submit(&origin("a", 1), LONG, 0, Box::new(|_| panic!("on purpose")))
            .unwrap();
        let (done, is_done) = mpsc::channel();
        let _two = lanes
            .submit(
                &origin("a", 1),
                LONG,
                0,
                Box::new(move |_| done.send(()).unwrap()),
            )
            .unwrap();
        is_done.recv().unwrap();
    }
}
