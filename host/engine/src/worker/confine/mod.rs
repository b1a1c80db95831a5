//! What a worker takes from itself before it looks at anything that came from outside: first the limits of what it may
//! use ([`limit`]), then, once it holds all that it will ever read, the rights that it has no use for ([`raise`]).
//!
//! A limit that cannot be set ends the worker: nothing else bounds what an upload costs. A wall that the kernel lacks does
//! not: WebAssembly itself is the first wall, these stand behind it. The worker says which of them stand, and the server
//! tells the operator.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::protocol::Request;
use crate::config::Priority;

mod calls;
mod files;

/// The walls around a compile worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// No system call but those that computing takes (seccomp).
    pub calls: Wall,
    /// No file, whatever its path, and no network (Landlock).
    pub files: Wall,
}

/// How a wall stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wall {
    /// Whole.
    Whole,
    /// As far as this kernel knows it.
    Partial,
    /// Not at all: this kernel lacks it, or does not let this process have it.
    Missing,
}

impl Wall {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Missing => "missing",
        }
    }
}

impl Walls {
    /// What is missing, by name: `seccomp`, `Landlock`.
    pub fn missing(self) -> Vec<&'static str> {
        [("seccomp", self.calls), ("Landlock", self.files)]
            .into_iter()
            .filter(|(_, wall)| *wall == Wall::Missing)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Raises every wall that this kernel has. No thread may have been started.
pub(super) fn raise() -> Walls {
    // In this order: behind the second, there is no call left to raise the first.
    let files = files::raise();
    let calls = calls::raise();
    Walls { calls, files }
}

/// Files that a worker may hold open: a handful of its own and memory files of images.
const OPEN_FILES: u64 = 64;

/// Sets the limits.
pub(super) fn limit(request: &Request) -> io::Result<()> {
    let set = |what, soft: u64, hard: u64| {
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
    set(Resource::Cpu, cpu, cpu + 1)?;
    // Writable memory, not address space: a single linear memory reserves 4 GiB of that.
    set(
        Resource::Data,
        request.compile.data_bytes,
        request.compile.data_bytes,
    )?;
    // It opens none; this bounds its memory files, which do not count as data.
    set(
        Resource::Fsize,
        request.compile.data_bytes,
        request.compile.data_bytes,
    )?;
    set(Resource::Core, 0, 0)?;
    set(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
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

/// Raises the walls of this name, for tests of each.
#[cfg(feature = "testkit")]
pub(super) fn raise_some(walls: &str) -> io::Result<()> {
    let stand = match walls {
        "none" => true,
        "files" => files::raise() != Wall::Missing,
        "calls" => calls::raise() != Wall::Missing,
        "both" => raise().missing().is_empty(),
        _ => false,
    };
    stand
        .then_some(())
        .ok_or_else(|| io::Error::other("these walls cannot be raised here"))
}
