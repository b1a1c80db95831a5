//! How the system shares a processor among the threads of the server.

use std::io;
use std::mem::size_of;
use std::time::Duration;

/// How a thread takes turns with others that want the same processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Steps of priority behind what the thread has. Each is a fifth less of a processor that all want.
    pub nicer: i32,
    /// How long it wants the processor at once: 0.1 to 100 ms. Whoever has been idle and asks for less is let in at once where
    /// one computes that asked for much more: the system serves whose slice is due first. Shares of the processor stay as they
    /// are. Linux 6.12 and later; earlier ones ignore it.
    pub slice: Duration,
}

impl Turns {
    /// Asks for such turns for the calling thread. What it starts has the same priority, and slices as usual. Best effort: a
    /// system that refuses leaves the thread as it is.
    pub fn take(self) {
        let nice = rustix::process::getpriority_process(None).unwrap_or(0);
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: libc::SCHED_OTHER as u32,
            sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
            sched_nice: nice.saturating_add(self.nicer).min(19),
            sched_priority: 0,
            sched_runtime: u64::try_from(self.slice.as_nanos()).unwrap_or(u64::MAX),
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the structure lives until the call returns, which only reads it; 0 is the calling thread.
        let refused =
            unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } != 0;
        if refused {
            let error = io::Error::last_os_error();
            tracing::debug!(%error, ?self, "a thread has turns like any other");
        }
    }
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer; the call writes nothing else. It cannot fail for this clock, and if
    // it did, the answer would be zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
