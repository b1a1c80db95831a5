//! What a plugin that broke out of WebAssembly would try, for tests of the walls: by the test's own worker, in a process
//! of its own, behind the walls that the test names.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::confine;

/// `WALLS DEED PATH`: raises the walls (`both`, `calls`, `files`, `none`) and does the deed. Success is that of the deed.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<_> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let [walls, deed, path] = words[..] else {
        return ExitCode::from(2);
    };
    match confine::raise_some(walls).and_then(|()| attempt(deed, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What is open already can still be written to.
            let _ = io::Write::write_all(&mut io::stderr(), format!("{error}").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn attempt(deed: &str, path: &str) -> io::Result<()> {
    // SAFETY: takes and returns numbers only.
    let call = |number| unsafe { libc::syscall(number, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64) };
    let done = |result: i64| {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    match deed {
        "read" => File::open(path).map(drop),
        "write" => File::create(path).map(drop),
        "remove" => fs::remove_file(path),
        "list" => fs::read_dir("/").map(drop),
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "connect" => TcpStream::connect(path).map(drop),
        "unix socket" => UnixDatagram::unbound().map(drop),
        "exec" => Err(Command::new("/bin/true").exec()),
        "spawn" => Command::new("/bin/true").status().map(drop),
        // SAFETY: the child of this single-threaded process ends at once.
        "fork" => match unsafe { libc::fork() } {
            0 => std::process::exit(0),
            child => done(child.into()),
        },
        // Signal 0 only asks whether one may be sent.
        "signal" => {
            // SAFETY: takes and returns numbers only.
            done(unsafe { libc::kill(libc::getppid(), 0) }.into())
        }
        "own a pipe for the server" => {
            // SAFETY: takes and returns numbers only.
            done(unsafe { libc::fcntl(0, libc::F_SETOWN, libc::getppid()) }.into())
        }
        "trace" => done(call(libc::SYS_ptrace)),
        "raise a limit" => {
            let limit = libc::rlimit {
                rlim_cur: 9,
                rlim_max: 9,
            };
            // SAFETY: `limit` lives through the call, which only reads it.
            done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }.into())
        }
        "thread" => std::thread::Builder::new()
            .name("honest".into())
            .spawn(|| ())?
            .join()
            .map_err(|_| io::Error::other("it panicked")),
        "memory file" => {
            // SAFETY: the name is a C string that lives through the call.
            done(unsafe { libc::memfd_create(c"image".as_ptr(), libc::MFD_CLOEXEC) }.into())
        }
        _ => Err(io::Error::other("an unknown deed")),
    }
}
