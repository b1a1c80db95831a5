//! What a compile worker could do to the machine if a plugin broke out of WebAssembly in it: nothing.

use std::net::TcpListener;
use std::process::Command;

use foretell_engine::testkit::{self, LoadMisdeed};
use foretell_engine::{Wall, Walls};
use foretell_types::compile::CompileError;

use crate::support::{Host, tenant, worker};

/// Has the crate's own worker do a deed behind these walls. The error is what the deed met.
fn attempt(walls: &str, deed: &str, path: &str) -> Result<(), String> {
    let done = Command::new(&worker()[0])
        .args(["attempt", walls, deed, path])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match done.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(said),
        _ => panic!("{deed} behind {walls}: {}, {said}", done.status),
    }
}

async fn walls() -> Walls {
    let host = Host::new();
    host.engine.meet_worker(&tenant("acme")).await.unwrap()
}

#[tokio::test]
async fn what_works_without_a_wall_is_stopped_by_it() {
    let walls = walls().await;
    let standing = [("calls", walls.calls), ("files", walls.files)];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::fs::write(path("secret"), "secret").unwrap();

    let no_such_call = "Function not implemented";
    let denied = "Permission denied";
    // Network and signals came to Landlock later than files.
    let newer = |error| (walls.files == Wall::Whole).then_some(error);
    // A deed, and what the wall of calls and that of files make of it.
    let deeds = [
        ("read", path("secret"), Some(no_such_call), Some(denied)),
        ("write", path("new"), Some(no_such_call), Some(denied)),
        ("list", String::new(), Some(no_such_call), Some(denied)),
        ("exec", String::new(), Some(no_such_call), Some(denied)),
        ("spawn", String::new(), Some(no_such_call), Some(denied)),
        ("fork", String::new(), Some(no_such_call), None),
        ("listen", String::new(), Some(no_such_call), newer(denied)),
        ("connect", address, Some(no_such_call), newer(denied)),
        ("unix socket", String::new(), Some(no_such_call), None),
        (
            "signal",
            String::new(),
            Some(no_such_call),
            newer("not permitted"),
        ),
        (
            "own a pipe for the server",
            String::new(),
            Some(no_such_call),
            None,
        ),
        ("trace", String::new(), Some(no_such_call), None),
        ("raise a limit", String::new(), Some(no_such_call), None),
        ("remove", path("secret"), Some(no_such_call), Some(denied)),
    ];
    for (deed, path, by_calls, by_files) in deeds {
        for (wall, _) in standing.iter().filter(|(_, wall)| *wall != Wall::Missing) {
            let expected = if *wall == "calls" { by_calls } else { by_files };
            let met = attempt(wall, deed, &path);
            match expected {
                Some(expected) => {
                    let error = met.expect_err(deed);
                    assert!(error.contains(expected), "{deed} behind {wall}: {error}");
                }
                None => assert_eq!(met, Ok(()), "{deed} behind {wall}"),
            }
        }
        // Last, because one deed removes what the others read.
        assert_eq!(
            attempt("none", deed, &path),
            Ok(()),
            "{deed} without a wall"
        );
    }
}

#[tokio::test]
async fn what_a_worker_needs_passes_the_walls() {
    let missing = walls().await.missing();
    let both = if missing.is_empty() { "both" } else { "none" };
    for deed in ["thread", "memory file"] {
        assert_eq!(attempt(both, deed, ""), Ok(()), "{deed}");
    }
}

#[tokio::test]
async fn the_worker_tells_which_walls_stand_and_the_engine_shows_them() {
    let host = Host::new();
    assert_eq!(host.engine.stats().walls, None);
    host.prepare(&testkit::echo(), &[], Vec::new())
        .await
        .unwrap();
    let walls = host.engine.stats().walls.unwrap();
    assert_eq!(
        walls,
        host.engine.meet_worker(&tenant("acme")).await.unwrap()
    );

    let seccomp = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("Seccomp:");
    assert_eq!(walls.calls == Wall::Whole, seccomp);
    // SAFETY: with flag 1 it reads no memory, and answers with the version of Landlock.
    let landlock = unsafe {
        let nothing = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, 1_u32)
    };
    let expected = match landlock {
        6.. => Wall::Whole,
        1..6 => Wall::Partial,
        _ => Wall::Missing,
    };
    assert_eq!(walls.files, expected);
    let none = Walls {
        calls: Wall::Missing,
        files: Wall::Missing,
    };
    assert_eq!(none.missing(), ["seccomp", "Landlock"]);
}

/// The kernel's own word for a worker that is at work: the filter stands, and no program gives it rights back.
#[tokio::test]
async fn a_worker_at_work_is_walled_in() {
    let host = Host::new();
    let chameleon = testkit::chameleon();
    let artifact = LoadMisdeed::Loop.artifact();
    let upload = host.prepare(&chameleon, &artifact, Vec::new());
    let looked = async {
        loop {
            for status in children_in_load() {
                let line = |name: &str| {
                    let line = status.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                if line("Seccomp:").as_deref() == Some("2") {
                    return line("NoNewPrivs:");
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = upload => panic!("`load` loops longer than this looks"),
        privileges = looked => assert_eq!(privileges.as_deref(), Some("1")),
    }
}

/// `/proc/PID/status` of each worker that this test has started.
fn children_in_load() -> Vec<String> {
    let own = format!("PPid:\t{}\n", std::process::id());
    let statuses = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let status = std::fs::read_to_string(entry.ok()?.path().join("status")).ok()?;
        status.contains(&own).then_some(status)
    });
    statuses.collect()
}

#[tokio::test]
async fn a_worker_of_another_build_is_not_trusted_with_uploads() {
    let ready = r#"{"engine":"00","walls":{"calls":"whole","files":"whole"}}"#;
    let script = format!(
        r"printf '\007\{:o}\0\0\0\0\0\0\0{ready}'; sleep 100",
        ready.len()
    );
    let host = Host::with(|config| {
        config.worker_command = ["/bin/sh", "-c", &script].map(Into::into).to_vec();
    });
    let error = host
        .prepare(&testkit::echo(), &[], Vec::new())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CompileError::Worker(text) if text.contains("another build")),
        "{error}"
    );
    assert_eq!(host.engine.stats().walls, None);
}
