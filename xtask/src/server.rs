//! A `foretell serve` of our own: started, waited for, and stopped by its id on every way out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What the server prints once it answers, before its address.
const READY: &str = "listening on http://";

/// A start opens a store and loads models; one that takes longer than this hangs.
const START: Duration = Duration::from_secs(60);

/// A stop lets requests end; one that takes longer than this is forced.
const STOP: Duration = Duration::from_secs(20);

/// What the server and its command line take from the environment: what the user has set for a server of theirs must not
/// reach this one.
const FOREIGN: &[&str] = &["DATABASE_URL", "FORETELL_"];

/// How a server is started.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// The `foretell` binary.
    pub(crate) binary: &'a Path,
    /// Where it listens; port 0 for any that is free.
    pub(crate) listen: &'a str,
    /// Its data folder.
    pub(crate) data_dir: &'a Path,
    /// Where its output goes.
    pub(crate) log: &'a Path,
    /// The operator's key.
    pub(crate) admin_key: &'a str,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    /// Taken out by whoever stops it.
    running: Arc<Mutex<Option<Running>>>,
    url: String,
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Disconnected once the server's output ends, which is when the server does.
    ended: mpsc::Receiver<()>,
}

impl Start<'_> {
    /// Starts the server and returns once it listens.
    ///
    /// From here on, SIGINT, SIGTERM and SIGHUP stop the server before they end this program.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut log = File::create(self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let mut command = Command::new(self.binary);
        command
            .arg("serve")
            .args([OsStr::new("--listen"), OsStr::new(self.listen)])
            .args([OsStr::new("--data-dir"), self.data_dir.as_os_str()])
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // A group of its own: Ctrl-C reaches this program alone, which then stops the server in order.
            .process_group(0);
        own_environment(&mut command);
        command.env("FORETELL_ADMIN_KEY", self.admin_key);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        // It holds the pipe's other end, and the pipe must end with the server.
        drop(command);
        let (ready, listening) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (end_too, ended_too) = mpsc::channel();
        thread::spawn(move || {
            copy(reader, &mut log, &ready);
            drop((end, end_too));
        });
        let running = Running { child, ended };
        let mut server = Server {
            running: Arc::new(Mutex::new(Some(running))),
            url: String::new(),
            ended: ended_too,
        };
        server.stop_on_signals()?;
        match listening.recv_timeout(START) {
            Ok(address) => server.url = format!("http://{address}"),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!(
                "the server does not listen after {} s; its log: {}",
                START.as_secs(),
                self.log.display()
            ),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = server.stop();
                let said = std::fs::read_to_string(self.log).unwrap_or_default();
                bail!(
                    "the server ended before it listened ({}):\n{}",
                    shown(status),
                    said.trim_end()
                );
            }
        }
        Ok(server)
    }
}

impl Server {
    /// `http://` and the address it listens on.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the server ends by itself; a signal ends this program instead.
    pub(crate) fn wait(self) -> Result<()> {
        let _ = self.ended.recv();
        match self.stop() {
            Some(status) => bail!("the server has ended ({status})"),
            // A signal stopped it, and its thread is about to end this program.
            None => loop {
                thread::park();
            },
        }
    }

    /// Asks the server to stop and waits for it; how it ended, unless it was stopped before.
    pub(crate) fn stop(&self) -> Option<ExitStatus> {
        stop(&self.running)
    }

    fn stop_on_signals(&self) -> Result<()> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
        let running = Arc::clone(&self.running);
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\nstopping the server");
                stop(&running);
                std::process::exit(128 + signal);
            }
        });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Takes out of a command's environment what a user has set for servers and clients of theirs.
pub(crate) fn own_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if FOREIGN
            .iter()
            .any(|foreign| name.to_string_lossy().starts_with(foreign))
        {
            command.env_remove(name);
        }
    }
    // cargo puts its toolchain's libraries first for what it runs; a toolchain of the system must find its own.
    command.env_remove("LD_LIBRARY_PATH");
}

fn stop(running: &Mutex<Option<Running>>) -> Option<ExitStatus> {
    // Held until the server is gone: whoever comes second waits for the first to finish.
    let mut slot = running.lock().unwrap_or_else(PoisonError::into_inner);
    let Running { mut child, ended } = slot.take()?;
    // Nothing is to be done about a failure: the server has ended already, and `wait` tells how.
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    if ended.recv_timeout(STOP) == Err(mpsc::RecvTimeoutError::Timeout) {
        let _ = child.kill();
    }
    child.wait().ok()
}

/// Copies the server's output to its log and tells the address that it announces.
fn copy(output: impl Read, log: &mut File, ready: &mpsc::Sender<String>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        let _ = writeln!(log, "{line}");
        if let Some((_, after)) = line.split_once(READY) {
            let address = after.split_whitespace().next().unwrap_or_default();
            let _ = ready.send(address.trim_end_matches('/').to_owned());
        }
    }
}

fn shown(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "no exit status".to_owned(), |status| status.to_string())
}

/// Empties and makes the data folder of a server that nothing of value is kept in.
///
/// Refuses a folder that was not made here, so that a mistyped path costs nothing.
pub(crate) fn reset_data_dir(folder: &Path) -> Result<()> {
    let mark = mark(folder);
    if folder.exists() {
        let empty = folder.read_dir()?.next().is_none();
        if !empty && !mark.is_file() {
            bail!(
                "{} was not made by this command and will not be emptied; choose another with --data-dir",
                folder.display()
            );
        }
        // The server holds it as long as it runs.
        if let Ok(lock) = File::open(folder.join("lock"))
            && lock.try_lock().is_err()
        {
            bail!(
                "a server is running on {}; stop it first, or choose another folder with --data-dir",
                folder.display()
            );
        }
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(mark, "Made by cargo xtask; emptied at its next run.\n")?;
    Ok(())
}

fn mark(folder: &Path) -> PathBuf {
    folder.join(".xtask")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_not_made_here_is_not_emptied() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("thesis.txt"), "years").unwrap();
        let error = reset_data_dir(&precious).unwrap_err().to_string();
        assert!(error.contains("will not be emptied"), "{error}");
        assert!(precious.join("thesis.txt").is_file());
    }

    #[test]
    fn the_folder_of_a_running_server_is_not_emptied() {
        let root = tempfile::tempdir().unwrap();
        reset_data_dir(root.path()).unwrap();
        let lock = File::create(root.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let error = reset_data_dir(root.path()).unwrap_err().to_string();
        assert!(error.contains("a server is running"), "{error}");
        assert!(root.path().join("lock").is_file());
    }

    #[test]
    fn a_folder_made_here_is_emptied_at_the_next_run() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        reset_data_dir(&folder).unwrap();
        std::fs::write(folder.join("foretell.db"), "old").unwrap();
        reset_data_dir(&folder).unwrap();
        assert!(!folder.join("foretell.db").exists());
    }

    /// A program that stands in for the server.
    fn start(root: &Path, script: &str) -> Result<Server> {
        use std::os::unix::fs::PermissionsExt;
        let binary = root.join("server");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = Start {
            binary: &binary,
            listen: "127.0.0.1:0",
            data_dir: root,
            log: &root.join("log"),
            admin_key: "key",
        };
        start.start()
    }

    #[test]
    fn a_server_is_started_with_its_key_and_stopped_by_its_id() {
        let root = tempfile::tempdir().unwrap();
        let script = "sleep 60 & trap \"kill $!; exit 7\" TERM\necho \"$1 $2 $FORETELL_ADMIN_KEY\"\n\
                      echo listening on http://127.0.0.1:1\nwait";
        let server = start(root.path(), script).unwrap();
        assert_eq!(server.url(), "http://127.0.0.1:1");
        assert_eq!(server.stop().and_then(|status| status.code()), Some(7));
        assert_eq!(server.stop(), None);
        let log = std::fs::read_to_string(root.path().join("log")).unwrap();
        assert!(log.starts_with("serve --listen key\n"), "{log}");
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_with_its_words() {
        let root = tempfile::tempdir().unwrap();
        let error = start(root.path(), "echo the port is taken >&2; exit 69").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("exit status: 69") && error.contains("the port is taken"),
            "{error}"
        );
    }

    #[test]
    fn the_announced_address_is_read_from_the_output() {
        let root = tempfile::tempdir().unwrap();
        let mut log = File::create(root.path().join("log")).unwrap();
        let (ready, listening) = mpsc::channel();
        copy(
            &b"starting\nforetell listening on http://127.0.0.1:4711/ (pid 1)\n"[..],
            &mut log,
            &ready,
        );
        assert_eq!(listening.recv().unwrap(), "127.0.0.1:4711");
    }
}
