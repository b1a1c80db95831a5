//! The server as a process of its own, and the command line beside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::built::{own_environment, server};
use crate::host::OPERATOR_KEY;
use crate::wait::{PATIENCE, until};
use crate::{Client, Tenant, host};

/// What the server prints once it answers, before its address.
const READY: &str = "listening on http://";

/// Of what a server said, as many lines are shown where a test fails: one that was under attack says a lot.
const LAST_LINES: usize = 40;

/// A running `foretell serve`; killed by its id when dropped. The last of what it printed is shown when the test fails.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    url: String,
    /// Where both of its streams go. A file and not a pipe: a server under load never waits for the test to read.
    output: NamedTempFile,
}

/// What a process has in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// At most, since [`ServerProcess::forget_peak`].
    pub peak: u64,
}

/// A command that ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
}

impl ServerProcess {
    /// Starts a server on a data folder, at any free port, and returns once it listens.
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// The same with more environment.
    pub fn start_with(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(server());
        own_environment(&mut command)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("FORETELL_ADMIN_KEY", OPERATOR_KEY)
            // Load is not limited where nobody asks for a limit.
            .env("RATE_LIMIT_ENABLED", "false")
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        let output = NamedTempFile::new().expect("a file for its output");
        let stream = || File::options().append(true).open(output.path());
        let (stdout, stderr) = (stream(), stream());
        command
            .stdout(stdout.expect("a file"))
            .stderr(stderr.expect("a file"));
        let child = command.spawn().expect("the server starts");
        let mut process = Self {
            child,
            url: String::new(),
            output,
        };
        // Where it does not listen, the drop shows what it said.
        process.url = until("the server to listen", || {
            let ended = process.child.try_wait().expect("a child of ours");
            assert_eq!(ended, None, "the server ended at its start");
            announced(&process.said())
        });
        process
    }

    /// Where it listens for gRPC.
    pub fn grpc(&self) -> String {
        let said = self.said();
        let (_, after) = said.split_once("(gRPC on ").expect("it serves gRPC");
        after.split(')').next().unwrap_or_default().to_owned()
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client with the operator's key.
    pub fn operator(&self) -> Client {
        Client::new(&self.url).with_key(OPERATOR_KEY)
    }

    /// Makes a tenant, and a key for it.
    #[track_caller]
    pub fn tenant(&self, name: &str) -> Tenant {
        host::tenant(&self.operator(), name)
    }

    /// What it has printed so far.
    pub fn said(&self) -> String {
        let bytes = fs::read(self.output.path()).expect("what it printed");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has not ended: nothing starts it again, so it is the process that was started.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// What it has in memory.
    pub fn resident(&self) -> Resident {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(file).expect("the server runs");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
            kib.map_or(0, |kib: u64| kib << 10)
        };
        Resident {
            now: of("VmRSS:"),
            peak: of("VmHWM:"),
        }
    }

    /// Lets the peak of its memory begin anew.
    pub fn forget_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(file, "5").expect("the server runs, and as the user of this test");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .expect("the server is there to be told");
    }

    /// Sends SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("the server is there to be killed");
        self.child.wait().expect("the server is gone");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        until("the end of the server", || {
            self.child.try_wait().expect("a child of ours")
        })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.said();
            let skipped = said.lines().count().saturating_sub(LAST_LINES);
            let last: Vec<_> = said.lines().skip(skipped).collect();
            show(&format!(
                "--- what the server at {} said at last:\n{}\n---",
                self.url,
                last.join("\n")
            ));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test harness captures it and shows it for tests that fail"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

/// The address that a server announces, once it has said all of it.
fn announced(said: &str) -> Option<String> {
    let line = said
        .split_inclusive('\n')
        .find(|line| line.contains(READY) && line.ends_with('\n'))?;
    let (_, after) = line.split_once(READY)?;
    let address = after
        .split(|c: char| c.is_whitespace() || c == '"')
        .next()?;
    Some(format!("http://{}", address.trim_end_matches('/')))
}

/// Runs `foretell` with these arguments in a folder, with nothing in its environment but what is given.
///
/// # Panics
/// If it does not end within `limit`.
#[track_caller]
pub fn foretell_in<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: &[A],
    environment: &[(&str, &str)],
    limit: Duration,
) -> Finished {
    let outputs = tempfile::tempdir().expect("a temporary folder");
    let stream = |name: &str| -> (PathBuf, File) {
        let path = outputs.path().join(name);
        let file = File::create(&path).expect("a file for output");
        (path, file)
    };
    let ((stdout, to_stdout), (stderr, to_stderr)) = (stream("stdout"), stream("stderr"));
    let mut command = Command::new(server());
    own_environment(&mut command)
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        // Files and not pipes: nobody has to read while it runs.
        .stdout(to_stdout)
        .stderr(to_stderr);
    let mut child = Killed(command.spawn().expect("foretell starts"));
    let deadline = std::time::Instant::now() + limit;
    let status = loop {
        match child.0.try_wait().expect("a child of ours") {
            Some(status) => break status,
            None => assert!(
                std::time::Instant::now() < deadline,
                "{:?} did not end within {limit:?}; it said:\n{}",
                command,
                fs::read_to_string(&stderr).unwrap_or_default()
            ),
        }
        thread::park_timeout(Duration::from_millis(5));
    };
    let text = |path: &Path| {
        String::from_utf8_lossy(&fs::read(path).expect("what it printed")).into_owned()
    };
    Finished {
        code: status.code(),
        stdout: text(&stdout),
        stderr: text(&stderr),
    }
}

/// Runs `foretell` with these arguments.
#[track_caller]
pub fn foretell<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Finished {
    foretell_in(&std::env::temp_dir(), arguments, environment, PATIENCE)
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Finished {
    /// Holds the exit code against the expected one.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// What it printed to stdout, which must be one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(json) => json,
            Err(error) => panic!(
                "stdout is not one JSON document ({error}):\n{}\nstderr:\n{}",
                self.stdout, self.stderr
            ),
        }
    }
}
