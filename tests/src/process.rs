//! The server as a process of its own, and the command line beside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::built::{own_environment, server};
use crate::host::OPERATOR_KEY;
use crate::wait::{PATIENCE, until};
use crate::{Client, Tenant, host};

/// What the server prints once it answers, before its address.
const READY: &str = "listening on http://";

/// A running `foretell serve`; killed by its id when dropped. What it printed is shown when the test fails.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    url: String,
    said: Arc<Mutex<String>>,
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
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (announce, announced) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for stream in streams {
            let (said, announce) = (Arc::clone(&said), announce.clone());
            thread::spawn(move || listen(stream, &said, &announce));
        }
        drop(announce);
        let mut process = Self {
            child,
            url: String::new(),
            said,
        };
        match announced.recv_timeout(PATIENCE) {
            Ok(url) => process.url = url,
            // The drop shows what it said.
            Err(error) => panic!("the server does not listen: {error}"),
        }
        process
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
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
            show(&format!(
                "--- what the server at {} said:\n{}---",
                self.url,
                self.said()
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

/// Keeps what a stream says, and passes on the address that it announces.
fn listen(stream: impl Read, said: &Mutex<String>, announce: &mpsc::Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some((_, after)) = line.split_once(READY) {
            let address = after
                .split(|c: char| c.is_whitespace() || c == '"')
                .next()
                .unwrap_or_default();
            let _ = announce.send(format!("http://{}", address.trim_end_matches('/')));
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&line);
        said.push('\n');
    }
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
