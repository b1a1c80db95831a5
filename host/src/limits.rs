//! Open files: each connection is one, and each loaded plugin one more.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_at_its_highest_afterwards() {
        let reached = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), reached);
        assert_eq!(limit.current, limit.maximum);
    }
}
