//! The wall of system calls: a seccomp filter that knows what computing takes, and nothing else.
//!
//! It is a list of what is allowed, not of what is forbidden. What a worker does is closed (it holds its input, computes,
//! starts one thread, and writes to a pipe), and the system calls of a kernel are not: a list of the dangerous ones would
//! have to grow with every release, and would miss the next `io_uring`.
//!
//! Any other call answers "no such call" (`ENOSYS`) instead of ending the process. Every C library carries on where a
//! call is too new for the kernel, by an older one or without, so a library update that tries something new costs no
//! uploads; and whoever broke out of WebAssembly has gained nothing by staying alive: no file, socket, process, signal or
//! second program is among the calls that are left. This is also how `clone3` must be refused, whose flags lie in memory
//! that a filter cannot read: the library falls back to `clone`, whose flags lie in a register.

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::Wall;

/// Allowed whatever their arguments.
const ALLOWED: [libc::c_long; 45] = [
    // Memory, the machine code in it, and the memory files that images of guests are mapped from.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    // What is open already.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_ppoll,
    // Threads of this process and their waiting.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Its own signals: how a guest's trap is caught.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // What is the time, how large is the machine, what was used of it.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getrandom,
    libc::SYS_getuid,
    libc::SYS_geteuid,
];

/// Raises the wall, for all threads.
pub(super) fn raise() -> Wall {
    match filter().and_then(|program| seccompiler::apply_filter_all_threads(&program)) {
        Ok(()) => Wall::Whole,
        Err(_) => Wall::Missing,
    }
}

fn filter() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let mut allow = |call, conditions: Vec<SeccompCondition>| -> Result<(), BackendError> {
        let rule = SeccompRule::new(conditions)?;
        rules.entry(call).or_default().push(rule);
        Ok(())
    };
    // A thread, not a process.
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM).unsigned_abs().into();
    allow(
        libc::SYS_clone,
        vec![argument(0, Qword, MaskedEq(thread), thread)?],
    )?;
    // How `abort` ends a process: its own.
    let own = u64::from(std::process::id());
    allow(libc::SYS_tgkill, vec![argument(0, Dword, Eq, own)?])?;
    // Not `F_SETOWN` and its like: they make the kernel send signals, to the server for one.
    for command in [
        libc::F_GETFD,
        libc::F_GETFL,
        libc::F_DUPFD_CLOEXEC,
        libc::F_ADD_SEALS,
        libc::F_GET_SEALS,
    ] {
        let command = u64::from(command.unsigned_abs());
        allow(libc::SYS_fcntl, vec![argument(1, Dword, Eq, command)?])?;
    }
    // The name of a thread; not the signal that ends this process with the server.
    let name = libc::PR_SET_NAME.unsigned_abs().into();
    allow(libc::SYS_prctl, vec![argument(0, Dword, Eq, name)?])?;
    // Its own limits, to read: the size of the stack is one.
    allow(
        libc::SYS_prlimit64,
        vec![argument(0, Dword, Eq, 0)?, argument(2, Qword, Eq, 0)?],
    )?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    Ok(BpfProgram::try_from(filter)?)
}

fn argument(
    index: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, length, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_built_for_this_machine() {
        assert!(!filter().unwrap().is_empty());
    }
}
