//! The limits that a worker puts on itself, before it looks at anything that came from outside.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::protocol::Request;
use crate::config::Priority;

/// Files that a worker may hold open: a handful of its own and memory files of images.
const OPEN_FILES: u64 = 64;

pub(super) fn confine(request: &Request) -> io::Result<()> {
    let limit = |what, soft: u64, hard: u64| {
        setrlimit(
            what,
            Rlimit {
                current: Some(soft),
                maximum: Some(hard),
            },
        )
        .map_err(io::Error::from)
    };
    // The soft limit ends the worker with SIGXCPU, which tells the server why; the hard one is for a worker that was
    // taught to ignore it.
    let cpu = request.compile.cpu_seconds.max(1);
    limit(Resource::Cpu, cpu, cpu + 1)?;
    // Writable memory, not address space: a single linear memory reserves 4 GiB of that.
    limit(
        Resource::Data,
        request.compile.data_bytes,
        request.compile.data_bytes,
    )?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    close_inherited()?;
    no_new_privileges()?;
    step_back(request.compile.priority);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above; nobody would ever end this worker then.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(request.parent) {
        return Err(io::Error::other("the server has ended"));
    }
    Ok(())
}

/// Whatever the server forgot to mark close-on-exec.
fn close_inherited() -> io::Result<()> {
    // SAFETY: the worker has opened nothing but its three standard streams yet, so no owner of a file descriptor above
    // them exists in this process whose descriptor could be pulled away.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    // Kernels before 5.9 lack the call. Rust marks every file that it opens, so this is a second lock on the same door.
    if result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn no_new_privileges() -> io::Result<()> {
    // SAFETY: takes and returns numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Best effort: an upload that is compiled with more eagerness than planned is no harm to anyone's safety.
fn step_back(priority: Priority) {
    let _ = rustix::process::setpriority_process(None, 19);
    if priority == Priority::Idle {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: `parameters` lives through the call, which only reads it; 0 is this process.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    }
}
