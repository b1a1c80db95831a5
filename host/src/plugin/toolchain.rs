//! A Rust toolchain that builds for WebAssembly: found, or else installed.
//!
//! The first that works is taken: (1) the active toolchain has the target; (2) `rustup target add`; (3) on Debian, as
//! root, the packages of a second toolchain that brings the sources of the standard library; (4) a message that says
//! what to install. What is there already is used before anything is installed, so that a second run asks nobody.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use thiserror::Error;

use super::Progress;

mod debian;

/// The target of all plugins: no system interface, so nothing to import.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Rust that builds the SDK: major and minor version.
const OLDEST: (u32, u32) = (1, 95);

/// A toolchain that can build plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The active one, as `cargo` on the path gives it.
    Active,
    /// Debian's `rustc-web` beside it, which builds the standard library from its sources.
    Debian,
}

/// Why there is no toolchain.
#[derive(Debug, Error)]
pub enum ToolchainError {
    /// None was found and none could be installed.
    #[error(
        "no Rust toolchain for {TARGET}:\n{}\ninstall one: `rustup target add {TARGET}`, or on Debian, as root, \
         `apt-get install {}`",
        list(tried),
        debian::PACKAGES.join(" ")
    )]
    Missing {
        /// What was tried, with its outcome.
        tried: Vec<String>,
    },
}

impl ToolchainError {
    /// A name for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "toolchain_missing",
        }
    }
}

fn list(tried: &[String]) -> String {
    let lines: Vec<_> = tried.iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}

/// Finds a toolchain for building the crate in `dir`, or installs one. Several processes may do so at once.
///
/// # Errors
/// [`ToolchainError::Missing`] with everything that was tried.
pub fn prepare(dir: &Path, progress: Progress<'_>) -> Result<Toolchain, ToolchainError> {
    let machine = Machine { dir, progress };
    if let Some(found) = find(&machine) {
        return Ok(found);
    }
    let _turn = turn(progress);
    // Another process may have installed it while this one waited.
    find(&machine).map_or_else(|| install(&machine), Ok)
}

/// The toolchain that [`prepare`] would take for `dir` without installing anything.
pub fn present(dir: &Path) -> Option<Toolchain> {
    let progress = &|_: &str| {};
    find(&Machine { dir, progress })
}

/// What a machine offers; a trait so that the order of things is tested without one.
trait Ways {
    /// Whether the toolchain is there, ready to build.
    fn has(&self, toolchain: Toolchain) -> bool;
    /// Makes it so; the error says in a few words why not.
    fn add(&self, toolchain: Toolchain) -> Result<(), String>;
}

const ORDER: [Toolchain; 2] = [Toolchain::Active, Toolchain::Debian];

fn find(ways: &impl Ways) -> Option<Toolchain> {
    ORDER.into_iter().find(|toolchain| ways.has(*toolchain))
}

fn install(ways: &impl Ways) -> Result<Toolchain, ToolchainError> {
    let mut tried = Vec::new();
    for toolchain in ORDER {
        match ways.add(toolchain) {
            Ok(()) if ways.has(toolchain) => return Ok(toolchain),
            Ok(()) => tried.push(format!("{}: is not usable", toolchain.way())),
            Err(reason) => tried.push(format!("{}: {reason}", toolchain.way())),
        }
    }
    Err(ToolchainError::Missing { tried })
}

impl Toolchain {
    /// How one comes to it.
    const fn way(self) -> &'static str {
        match self {
            Self::Active => "rustup target add wasm32-unknown-unknown",
            Self::Debian => "Debian's rustc-web",
        }
    }

    /// `cargo` of this toolchain, to be run in `dir`, free of what an outer cargo leaves in the environment.
    pub fn cargo(self, dir: &Path) -> Command {
        let mut command = Command::new(match self {
            Self::Active => "cargo",
            Self::Debian => debian::CARGO,
        });
        clean(&mut command, dir);
        if self == Self::Debian {
            // The standard library is built from its sources, which a stable compiler does only when told that it
            // is allowed to; the libraries of an outer toolchain must not stand in the way of its own.
            command
                .env("RUSTC", debian::RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("LD_LIBRARY_PATH");
        }
        command
    }

    /// Arguments of `cargo build` that this toolchain needs.
    pub const fn build_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Active => &[],
            Self::Debian => &["-Zbuild-std=std,panic_abort"],
        }
    }
}

/// What cargo, and tools run by cargo, set for the programs that they run, and what would change how a plugin is
/// built. `RUSTUP_TOOLCHAIN` stays: it is how a user chooses the active toolchain.
const OUTER: [&str; 17] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "MAKEFLAGS",
    "OUT_DIR",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUST_RECURSION_COUNT",
];

fn clean(command: &mut Command, dir: &Path) {
    for name in OUTER {
        command.env_remove(name);
    }
    command.current_dir(dir).stdin(Stdio::null());
}

struct Machine<'a> {
    dir: &'a Path,
    progress: Progress<'a>,
}

impl Machine<'_> {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        clean(&mut command, self.dir);
        command.args(arguments);
        command
    }

    fn active_sysroot(&self) -> Option<PathBuf> {
        let sysroot = run(&mut self.command("rustc", &["--print", "sysroot"])).ok()?;
        Some(PathBuf::from(sysroot.trim()))
    }

    fn is_new_enough(&self, rustc: &str) -> bool {
        run(&mut self.command(rustc, &["--version"]))
            .ok()
            .and_then(|text| version(&text))
            .is_some_and(|version| version >= OLDEST)
    }
}

impl Ways for Machine<'_> {
    fn has(&self, toolchain: Toolchain) -> bool {
        match toolchain {
            Toolchain::Active => {
                let libraries =
                    |sysroot: PathBuf| sysroot.join("lib/rustlib").join(TARGET).join("lib");
                self.active_sysroot()
                    .is_some_and(|sysroot| holds_std(&libraries(sysroot)))
                    && self.is_new_enough("rustc")
            }
            Toolchain::Debian => debian::is_complete() && self.is_new_enough(debian::RUSTC),
        }
    }

    fn add(&self, toolchain: Toolchain) -> Result<(), String> {
        match toolchain {
            Toolchain::Active => {
                (self.progress)("adding the WebAssembly target with rustup");
                let mut rustup = self.command("rustup", &["target", "add", TARGET]);
                // Without a network it is known soon that there is none.
                rustup.env("RUSTUP_MAX_RETRIES", "1");
                run(&mut rustup).map(drop)
            }
            Toolchain::Debian => debian::install(self.progress),
        }
    }
}

/// Whether a folder holds a compiled standard library.
fn holds_std(libraries: &Path) -> bool {
    let Ok(entries) = libraries.read_dir() else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Major and minor version in `rustc 1.96.0 (ac68faa20 2026-05-25)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

/// Runs a command to its end and gives its standard output; where it fails, the last line that it complained with.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not installed".to_owned(),
        _ => error.to_string(),
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(complaint(&output))
    }
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().rev().map(str::trim);
    let last = lines.find(|line| !line.is_empty());
    last.map_or_else(|| output.status.to_string(), ToOwned::to_owned)
}

/// Waits until no other process of this user prepares a toolchain; the turn ends when the file is dropped. Where no
/// lock can be had, neither is there a turn: the tools below have locks of their own and fail with a message.
fn turn(progress: Progress<'_>) -> Option<File> {
    let user = rustix::process::geteuid().as_raw();
    let path = std::env::temp_dir().join(format!("foretell-toolchain-{user}.lock"));
    let file = open_own(&path).ok()?;
    if file.try_lock().is_err() {
        progress("waiting for another process that prepares the toolchain");
        file.lock().ok()?;
    }
    Some(file)
}

/// Opens or makes a file without following a link that somebody else may have put there.
fn open_own(path: &Path) -> rustix::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A machine on which things are there, or can be added, or cannot.
    #[derive(Default)]
    struct Pretended {
        there: RefCell<Vec<Toolchain>>,
        addable: Vec<Toolchain>,
        asked: RefCell<Vec<Toolchain>>,
    }

    impl Ways for Pretended {
        fn has(&self, toolchain: Toolchain) -> bool {
            self.there.borrow().contains(&toolchain)
        }

        fn add(&self, toolchain: Toolchain) -> Result<(), String> {
            self.asked.borrow_mut().push(toolchain);
            if !self.addable.contains(&toolchain) {
                return Err("no network".to_owned());
            }
            self.there.borrow_mut().push(toolchain);
            Ok(())
        }
    }

    #[test]
    fn what_is_there_is_taken_in_order_and_nothing_is_installed() {
        let both = Pretended {
            there: RefCell::new(vec![Toolchain::Debian, Toolchain::Active]),
            ..Pretended::default()
        };
        assert_eq!(find(&both), Some(Toolchain::Active));
        let second = Pretended {
            there: RefCell::new(vec![Toolchain::Debian]),
            ..Pretended::default()
        };
        assert_eq!(find(&second), Some(Toolchain::Debian));
        assert!(second.asked.borrow().is_empty());
    }

    #[test]
    fn rustup_is_asked_before_debian() {
        let machine = Pretended {
            addable: vec![Toolchain::Active, Toolchain::Debian],
            ..Pretended::default()
        };
        assert_eq!(install(&machine).unwrap(), Toolchain::Active);
        assert_eq!(*machine.asked.borrow(), [Toolchain::Active]);

        let offline = Pretended {
            addable: vec![Toolchain::Debian],
            ..Pretended::default()
        };
        assert_eq!(install(&offline).unwrap(), Toolchain::Debian);
    }

    #[test]
    fn where_nothing_works_the_message_says_what_was_tried_and_what_to_install() {
        let error = install(&Pretended::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no Rust toolchain for wasm32-unknown-unknown:\n\
             - rustup target add wasm32-unknown-unknown: no network\n\
             - Debian's rustc-web: no network\n\
             install one: `rustup target add wasm32-unknown-unknown`, or on Debian, as root, \
             `apt-get install rustc-web rust-web-src cargo-web rust-web-llvm lld-22`"
        );
    }

    #[test]
    fn versions_are_read_from_what_rustc_prints() {
        assert_eq!(
            version("rustc 1.96.0 (ac68faa20 2026-05-25)"),
            Some((1, 96))
        );
        assert_eq!(version("rustc 1.97.0-nightly"), Some((1, 97)));
        assert_eq!(version("nonsense"), None);
    }

    #[test]
    fn a_failing_command_is_told_by_its_last_complaint() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo first >&2; echo last >&2; echo >&2; exit 3"]);
        assert_eq!(run(&mut shell), Err("last".to_owned()));
        let mut quiet = Command::new("sh");
        quiet.args(["-c", "exit 3"]);
        assert_eq!(run(&mut quiet), Err("exit status: 3".to_owned()));
        let mut absent = Command::new("foretell-no-such-program");
        assert_eq!(run(&mut absent), Err("is not installed".to_owned()));
    }

    #[test]
    fn an_outer_cargo_does_not_reach_the_plugins_cargo() {
        let command = Toolchain::Debian.cargo(Path::new("/"));
        let value = |name: &str| {
            let mut all = command.get_envs();
            all.find_map(|(key, value)| (key == name).then_some(value))
        };
        for removed in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "LD_LIBRARY_PATH"] {
            assert_eq!(value(removed), Some(None), "{removed}");
        }
        assert_eq!(value("RUSTC"), Some(Some("/usr/bin/rustc".as_ref())));
    }

    #[test]
    fn the_lock_does_not_follow_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open_own(&link).is_err());
        assert!(open_own(&file).is_ok());
    }
}
