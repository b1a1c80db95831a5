//! Children on a processor of their own: servers, and the load on them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foretell_bench::cpu;
use foretell_bench::http::Request;
use foretell_bench::load::{Outcome, Plan};
use foretell_bench::processor::keep_to;
pub(crate) use foretell_bench::processor::{LOAD, SERVER};
use rustix::process::{Pid, Signal, kill_process};

/// What our server prints once it answers, before its address.
const READY: &str = "listening on http://";

/// A start that takes longer hangs; Python's servers import for a while.
const START: Duration = Duration::from_secs(90);

/// A stop that takes longer is forced.
const STOP: Duration = Duration::from_secs(10);

/// Between two looks at something that has no event to wait for.
const LOOK: Duration = Duration::from_millis(2);

/// What must not reach a server from the environment of whoever runs the benches.
const FOREIGN: &[&str] = &[
    "FORETELL_",
    "DATABASE_URL",
    "CACHE_",
    "CARGO_PKG_",
    "LD_LIBRARY_PATH",
];

/// A server; stopped by its id when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens, as `host:port`.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server of ours and returns once it says where it listens.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let child = spawn(&mut command, SERVER)?;
        // It holds the pipe's other end, and the pipe must end with the server.
        drop(command);
        let mut server = Self {
            child,
            address: String::new(),
        };
        let (announce, announced) = mpsc::channel();
        let mut file = File::create(log).with_context(|| log.display().to_string())?;
        thread::spawn(move || copy(reader, &mut file, &announce));
        match announced.recv_timeout(START) {
            Ok(address) => server.address = address,
            Err(_) => bail!(
                "the server does not listen; it said:\n{}",
                std::fs::read_to_string(log).unwrap_or_default()
            ),
        }
        Ok(server)
    }

    /// Starts another's server, which listens on `address`, and returns once it answers `probe` with success.
    pub(crate) fn start_peer(
        mut command: Command,
        address: &str,
        probe: &Request,
        log: &Path,
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut server = Self {
            child: spawn(&mut command, SERVER)?,
            address: address.to_owned(),
        };
        let deadline = Instant::now() + START;
        loop {
            if let Ok(answer) = probe.send(address)
                && answer.success().is_ok()
            {
                return Ok(server);
            }
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "{command:?} does not answer; it said:\n{}",
                    std::fs::read_to_string(log).unwrap_or_default()
                );
            }
            pause();
        }
    }

    /// Its processes: itself, and what it has started.
    pub(crate) fn processes(&self) -> Vec<u32> {
        cpu::family(self.child.id())
    }

    /// Private memory of its processes in bytes.
    pub(crate) fn private_bytes(&self) -> u64 {
        let ids = self.processes().into_iter();
        let rollups =
            ids.filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok());
        rollups
            .map(|text| {
                let kib = text.lines().filter_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
                    name.starts_with("Private_").then_some(kib)
                });
                kib.sum::<u64>() << 10
            })
            .sum()
    }

    /// The most that its first process has held resident so far, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.map_or(0, |kib: u64| kib << 10)
    }

    /// Open files, and mapped ranges of memory.
    pub(crate) fn files_and_maps(&self) -> (usize, usize) {
        let process = format!("/proc/{}", self.child.id());
        let files = std::fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count);
        let maps = std::fs::read_to_string(format!("{process}/maps"))
            .map_or(0, |text| text.lines().count());
        (files, maps)
    }
}

impl Server {
    /// Asks it to stop, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Gone already is as good.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            pause();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a load in a process of its own, on its own processor.
pub(crate) fn load(plan: &Plan) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["load", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = spawn(&mut command, LOAD)?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    // Dropped at once: the child reads to the end.
    stdin.write_all(&serde_json::to_vec(plan)?)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the load on {} failed", plan.address);
    }
    serde_json::from_slice(&output.stdout).context("the outcome of a load")
}

/// Runs a load of which every request must succeed.
pub(crate) fn load_that_succeeds(plan: &Plan) -> Result<Outcome> {
    let outcome = load(plan)?;
    if outcome.answered == 0 && outcome.errors.is_empty() {
        bail!("no request to {} was answered in time", plan.address);
    }
    if !outcome.all_succeeded() {
        bail!(
            "not every request to {} succeeded: {outcome:?}",
            plan.address
        );
    }
    Ok(outcome)
}

/// Starts a child on one processor: it inherits that from the thread that starts it.
pub(crate) fn spawn(command: &mut Command, processor: usize) -> Result<Child> {
    for (name, _) in std::env::vars_os() {
        let is_set = command.get_envs().any(|(set, _)| set == name);
        let foreign = |prefix: &&str| name.to_string_lossy().starts_with(prefix);
        if !is_set && FOREIGN.iter().any(foreign) {
            command.env_remove(name);
        }
    }
    on(processor, || command.spawn())?.with_context(|| format!("cannot start {command:?}"))
}

/// Runs code of this process on one processor, the threads that it starts among it.
pub(crate) fn on<T: Send>(processor: usize, code: impl FnOnce() -> T + Send) -> Result<T> {
    let work = move || {
        keep_to(processor).with_context(|| format!("cannot run on processor {processor} alone"))?;
        Ok(code())
    };
    thread::scope(|scope| {
        // The stack of the server's own threads, on which guests run.
        let thread = thread::Builder::new().stack_size(8 << 20);
        match thread.spawn_scoped(scope, work)?.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// Waits a little for something that has no event.
pub(crate) fn pause() {
    thread::park_timeout(LOOK);
}

fn copy(output: impl Read, log: &mut File, announce: &mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        if let Some((_, after)) = line.split_once(READY) {
            let address = after.split_whitespace().next().unwrap_or_default();
            let _ = announce.send(address.trim_end_matches('/').to_owned());
        }
    }
}
