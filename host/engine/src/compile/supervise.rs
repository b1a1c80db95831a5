//! One worker process, from its start to its end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use foretell_types::compile::{CompileError, Step};
use foretell_types::{Signature, TenantId};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::mpsc::UnboundedSender;

use super::death::{self, Ended};
use crate::worker::Walls;
use crate::worker::protocol::{Frame, Frames, Ready, Request};

/// How often the supervisor looks whether anybody still waits.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a worker may take to end once it has closed its output.
const PARTING: Duration = Duration::from_secs(5);
/// Read from the worker at once: as much as a pipe holds.
const PIECE: usize = 64 << 10;
/// Of what a worker says on its standard error, the last part that is kept.
const STDERR_KEPT: u64 = 8 << 10;

/// A worker to be run.
pub(super) struct Supervised {
    pub(super) command: Vec<OsString>,
    pub(super) scratch: PathBuf,
    pub(super) request: Request,
    pub(super) tenant: TenantId,
    /// The engine that the worker must be of.
    pub(super) fingerprint: String,
    /// Where its walls are noted, if they are not yet.
    pub(super) walls: Arc<OnceLock<Walls>>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) steps: UnboundedSender<Step>,
}

/// What a worker has answered.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) signature: Option<Box<Signature>>,
    pub(super) snapshot: Option<Vec<u8>>,
    pub(super) code: Option<Vec<u8>>,
}

/// The child, never left behind: dropping kills and reaps it.
struct Worker {
    child: Child,
    /// Readable once the child has ended.
    ended: OwnedFd,
    stderr: File,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Supervised {
    pub(super) fn run(self) -> Result<Answer, CompileError> {
        let io = |what: &str, error: &dyn std::fmt::Display| {
            CompileError::Worker(format!("{what}: {error}"))
        };
        let mut worker = self
            .start()
            .map_err(|error| io("it cannot be started", &error))?;
        let (answer, step, watched) = self.watch(&mut worker);
        let status = worker
            .end(&watched)
            .map_err(|error| io("its end cannot be seen", &error))?;
        let stderr = worker.last_words();
        let ended = match watched {
            Watched::Closed => Ended::Status(status),
            Watched::Cancelled => {
                return Err(CompileError::Worker("the upload was given up".into()));
            }
            Watched::TimeUp => Ended::TimeUp,
            Watched::Garbled(problem) => return Err(CompileError::Worker(problem)),
            Watched::Failed(error) => return Err(error),
            Watched::Read(error) => return Err(io("its answer cannot be read", &error)),
        };
        if matches!(ended, Ended::Status(status) if status.success()) {
            return Ok(answer);
        }
        tracing::warn!(tenant = %self.tenant, ?step, ?ended, stderr, "a compile worker died");
        Err(death::explain(&ended, &stderr, step, &self.request.compile))
    }

    fn start(&self) -> io::Result<Worker> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("no worker command is configured"))?;
        // Files for both, not pipes: neither side ever waits for the other to read.
        let mut request = tempfile::tempfile_in(&self.scratch)?;
        request.write_all(&serde_json::to_vec(&self.request)?)?;
        request.seek(SeekFrom::Start(0))?;
        let stderr = tempfile::tempfile_in(&self.scratch)?;
        let child = Command::new(program)
            .args(arguments)
            // The server's environment holds secrets, and the worker needs nothing of it.
            .env_clear()
            .stdin(Stdio::from(request))
            .stdout(Stdio::piped())
            .stderr(Stdio::from(stderr.try_clone()?))
            .spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(ended) => Ok(Worker {
                child,
                ended,
                stderr,
            }),
            Err(error) => {
                let mut child = child;
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Reads what the worker says until it ends, or must.
    fn watch(&self, worker: &mut Worker) -> (Answer, Option<Step>, Watched) {
        let (mut answer, mut step, mut ready) = (Answer::default(), None, false);
        let mut frames = Frames::new(self.request.compile.answer_bytes);
        let Some(mut output) = worker.child.stdout.take() else {
            return (answer, step, Watched::Garbled("it has no output".into()));
        };
        let (time_up, mut piece) = (Instant::now() + self.request.compile.wall, vec![0; PIECE]);
        loop {
            if self.cancelled.load(Ordering::SeqCst) {
                return (answer, step, Watched::Cancelled);
            }
            let left = time_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (answer, step, Watched::TimeUp);
            }
            let read = match wait_readable(output.as_raw_fd(), left.min(GLANCE)) {
                Ok(true) => output.read(&mut piece),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let arrived = match read {
                Ok(0) => return (answer, step, Watched::Closed),
                Ok(length) => frames.push(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return (answer, step, Watched::Read(error)),
            };
            let arrived = match arrived {
                Ok(frames) => frames,
                Err(problem) => return (answer, step, Watched::Garbled(problem)),
            };
            for frame in arrived {
                let taken = match frame {
                    Frame::Ready(said) if !ready => {
                        ready = true;
                        self.meet(&said)
                    }
                    Frame::Step(begun) if ready => {
                        step = Some(begun);
                        // Nobody listens where the upload was given up; the glance above sees that.
                        let _ = self.steps.send(begun);
                        Ok(())
                    }
                    // What keeps it from being ready.
                    other @ (Frame::Trouble(_) | Frame::Changed(_)) => answer.take(other),
                    other if ready => answer.take(other),
                    _ => Err(Watched::Garbled(
                        "it does not begin by saying that it is ready".into(),
                    )),
                };
                if let Err(end) = taken {
                    return (answer, step, end);
                }
            }
        }
    }

    /// Accepts a worker of the server's own engine, and notes its walls.
    fn meet(&self, said: &Ready) -> Result<(), Watched> {
        if said.engine != self.fingerprint {
            return Err(Watched::Failed(CompileError::Worker(
                "it is of another build than this server: the program was replaced while the server runs; restart it"
                    .into(),
            )));
        }
        if self.walls.set(said.walls).is_ok() {
            let missing = said.walls.missing();
            if !missing.is_empty() {
                tracing::warn!(
                    missing = missing.join(", "),
                    "compile workers lack a wall that this kernel or container does not give; \
                     WebAssembly and their limits still hold"
                );
            }
        }
        Ok(())
    }
}

impl Answer {
    /// What a worker makes, or why it makes nothing.
    fn take(&mut self, frame: Frame) -> Result<(), Watched> {
        match frame {
            Frame::Refused(refusals) => {
                return Err(Watched::Failed(CompileError::Refused(refusals)));
            }
            Frame::Trouble(message) => {
                return Err(Watched::Failed(CompileError::Worker(message)));
            }
            Frame::Changed(content) => {
                return Err(Watched::Failed(CompileError::Changed(content)));
            }
            Frame::Signature(signature) => self.signature = Some(signature),
            Frame::Snapshot(snapshot) => self.snapshot = Some(snapshot),
            Frame::Code(code) => self.code = Some(code),
            Frame::Ready(_) => {
                return Err(Watched::Garbled("it says twice that it is ready".into()));
            }
            // Taken by the caller, which knows who listens.
            Frame::Step(_) => {}
        }
        Ok(())
    }
}

/// How watching ended.
enum Watched {
    /// The worker closed its output: it ends, with or without having answered.
    Closed,
    /// It said why it makes nothing.
    Failed(CompileError),
    Cancelled,
    TimeUp,
    Garbled(String),
    Read(io::Error),
}

impl Worker {
    /// Sees the worker off: one that is done gets a moment to end by itself, because its status says why.
    fn end(&mut self, watched: &Watched) -> io::Result<ExitStatus> {
        let done = matches!(watched, Watched::Closed);
        if !(done && wait_readable(self.ended.as_raw_fd(), PARTING)?) {
            self.child.kill()?;
        }
        self.child.wait()
    }

    fn last_words(&mut self) -> String {
        let read = |file: &mut File| -> io::Result<String> {
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(end.saturating_sub(STDERR_KEPT)))?;
            let mut bytes = Vec::new();
            file.take(STDERR_KEPT).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read(&mut self.stderr).unwrap_or_default()
    }
}

/// Whether something can be read before the time is up.
fn wait_readable(fd: RawFd, patience: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let millis = i32::try_from(patience.as_millis())
        .unwrap_or(i32::MAX)
        .max(1);
    // SAFETY: one `pollfd`, valid and ours for the length of the call.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, millis) };
    match ready {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                Ok(false)
            } else {
                Err(error)
            }
        }
        ready => Ok(ready > 0),
    }
}
