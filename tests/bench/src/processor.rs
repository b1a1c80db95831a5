//! Which processor a thread runs on: what is measured gets one, and the load on it another.

use std::io;
use std::thread;

/// Where servers run, and code that is measured in this process.
pub const SERVER: usize = 0;

/// Where load comes from.
pub const LOAD: usize = 1;

/// Keeps this thread, and what it starts, to one processor. By libc: rustix has it behind a feature that nothing else here
/// needs, and with which wasmtime would be compiled a second time.
///
/// # Errors
/// If there is no such processor, or this process may not run on it.
pub fn keep_to(processor: usize) -> io::Result<()> {
    if processor >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all bytes zero are a set of no processors.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set has room for the number.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set lives until the call returns, and its size is given.
    let done = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether server and load can have a processor each.
pub fn are_two() -> bool {
    [SERVER, LOAD].into_iter().all(is_there)
}

fn is_there(processor: usize) -> bool {
    // In a thread of its own, which is gone with what it was kept to.
    thread::spawn(move || keep_to(processor).is_ok())
        .join()
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_to_one_processor_sees_one() {
        assert!(!is_there(usize::MAX));
        // A set of processors may leave out any.
        let Some(one) = (0..64).find(|processor| is_there(*processor)) else {
            return;
        };
        let seen = thread::spawn(move || {
            keep_to(one).unwrap();
            thread::spawn(thread::available_parallelism).join().unwrap()
        });
        assert_eq!(seen.join().unwrap().unwrap().get(), 1);
    }
}
