//! Many callers and one quota.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use foretell_tests::wire::{Connection, Target};
use foretell_tests::{ServerProcess, guests};
use serde_json::json;

use super::{asked, micro, set_limits, standing};

const CALLERS: usize = 64;
const TRIES: usize = 1_000;
const QUOTA: usize = 10_000;

#[test]
fn of_64_callers_exactly_as_many_pass_as_the_quota_allows() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("FORETELL_CACHE__ENABLED", "false"),
        ("FORETELL_PREDICTIONS__MAX_CONCURRENT_PER_TENANT", "128"),
    ];
    let mut server = ServerProcess::start_with(folder.path(), &environment);
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    set_limits(
        &server,
        "acme",
        &json!({"quotas": {"predictions_per_day": QUOTA}}),
    );
    let target = Target::new(server.url(), tenant.key());
    let request = target.post("/api/predict/m", &asked().to_string());

    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let mut connection = Connection::new(target.clone());
                let mut left = TRIES;
                // What the machine is too busy for says nothing of the quota and is asked again, within bounds.
                for _ in 0..20 * TRIES {
                    let reply = connection.exchange(&request).unwrap();
                    match (reply.status, &*reply.code) {
                        (200, _) => passed.fetch_add(1, Ordering::Relaxed),
                        (429, "quota_exhausted") => {
                            assert!(reply.has_retry_after);
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        (503, "overloaded") | (429, "rate_limited") => continue,
                        other => panic!("{other:?}"),
                    };
                    left -= 1;
                    if left == 0 {
                        break;
                    }
                }
                assert_eq!(left, 0, "the machine was too busy");
            });
        }
    });
    let (passed, refused) = (passed.into_inner(), refused.into_inner());
    assert_eq!(passed, QUOTA, "passed; {refused} were refused");
    assert_eq!(refused, CALLERS * TRIES - QUOTA);
    let standing = standing(&server, "acme");
    assert_eq!(standing["today"]["predictions"], QUOTA);
    assert_eq!(
        micro(&standing["account"]["spent"]),
        QUOTA as i64 * 1_000_000
    );
    assert!(server.is_running());
}
