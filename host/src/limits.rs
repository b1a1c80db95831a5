//! What the server sets for its own process before it serves: open files, and memory that is given back.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this a server with its default limits runs out.
pub const ENOUGH_FILES: u64 = 8_192;

/// Raises the limit of open files to the highest that this user may have, and returns it; `u64::MAX` = no limit.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let reached = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Some systems have a hard limit that they do not grant.
        Err(_) => limit.current,
    };
    reached.unwrap_or(u64::MAX)
}

/// What the allocator gets from the system as one piece, and gives back as one, in bytes.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// What a thread's part of the heap may keep at its end, in bytes.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 4 << 20;

/// Keeps the allocator from holding on to what large uploads and bodies took. glibc raises both bounds by itself with each
/// large piece that is freed, to 32 and 64 MiB, for each of its heaps.
#[cfg(target_env = "gnu")]
pub fn give_memory_back() {
    // SAFETY: it only sets two numbers of the allocator, before there are threads that use them.
    let done = unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) == 1
            && libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) == 1
    };
    if !done {
        tracing::debug!("the allocator keeps what it likes");
    }
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub const fn give_memory_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_env = "gnu")]
    #[test]
    fn large_pieces_that_were_freed_leave_nothing_resident() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages = text.split(' ').nth(1).unwrap();
            pages.parse::<usize>().unwrap() * 4096
        };
        give_memory_back();
        let before = resident();
        for _ in 0..4 {
            // Freed from the first to the last, as what an upload leaves: without the bounds, the next ones come from the
            // heap and stay there behind what is still in use.
            let pieces: Vec<_> = (0..4).map(|_| vec![1_u8; 24 << 20]).collect();
            drop(std::hint::black_box(pieces));
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes stay");
    }

    #[test]
    fn the_limit_is_at_its_highest_afterwards() {
        let reached = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), reached);
        assert_eq!(limit.current, limit.maximum);
    }
}
