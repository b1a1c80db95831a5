//! The database in the hands of somebody else.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use foretell_tests::{Client, ServerProcess, guests};
use serde_json::{Value, json};

/// SQLite's lock for writers, held by another program (this one). Released when dropped.
struct WriteLock {
    _file: File,
}

impl WriteLock {
    fn take(data: &Path) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(data.join("foretell.db-shm"))
            .unwrap();
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            // The write lock of the write-ahead log, by SQLite's documented format of the index file.
            l_start: 120,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open as long as `file` lives, and `lock` is initialised and outlives the call.
        let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) };
        assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
        Self { _file: file }
    }
}

fn database(operator: &Client) -> (Value, Value) {
    let report = operator.get("/health").is(200).json();
    (
        report["status"].clone(),
        report["checks"]["database"]["status"].clone(),
    )
}

#[test]
fn a_database_that_cannot_be_written_degrades_the_health_while_predictions_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    assert_eq!(
        database(&server.operator()),
        (json!("healthy"), json!("healthy"))
    );

    let lock = WriteLock::take(folder.path());
    assert_eq!(
        database(&server.operator()),
        (json!("degraded"), json!("unhealthy"))
    );
    tenant.post("/api/predict/m", &json!({"x": 1.0})).is(200);
    server.operator().get("/readyz").is(200);
    let refused = server
        .operator()
        .post("/api/tenants", &json!({"name": "late"}))
        .is(503);
    assert_eq!(refused.code(), "unavailable");
    assert!(refused.header("retry-after").is_some());
    server.operator().get("/api/tenants/late").is(404);

    drop(lock);
    assert_eq!(
        database(&server.operator()),
        (json!("healthy"), json!("healthy"))
    );
    server
        .operator()
        .post("/api/tenants", &json!({"name": "late"}))
        .is(201);
}
