//! The server binary and the plugins: named by the environment (`FORETELL_BIN`, `FORETELL_PLUGINS`), or built here, once
//! for all tests that run side by side.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};
use std::time::UNIX_EPOCH;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::host::files;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The `foretell` binary: the server, and the compile worker of servers in this process.
pub fn server() -> &'static Path {
    static SERVER: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("FORETELL_BIN") {
        Some(path) => present(PathBuf::from(path), "FORETELL_BIN"),
        None => build_server(),
    });
    &SERVER
}

/// The file of a first-party plugin, a component.
pub fn plugin_file(name: &str) -> PathBuf {
    match std::env::var_os("FORETELL_PLUGINS") {
        Some(folder) => present(
            Path::new(&folder).join(format!("{name}.wasm")),
            "FORETELL_PLUGINS",
        ),
        None => build_plugin(name),
    }
}

/// A first-party plugin as a component.
pub fn plugin(name: &str) -> Vec<u8> {
    let file = plugin_file(name);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The programs of a virtual environment of Python with exactly what a file of requirements lists, by its path in the
/// repository.
pub fn python(requirements: &str) -> PathBuf {
    let name = Path::new(requirements).file_stem().expect("a file's name");
    let name = name.to_str().expect("UTF-8");
    let folder = profile_folder().join("foretell-tests").join(name);
    let python = once(name, &[requirements], || {
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the target folder can be written");
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(folder.join("bin/pip"));
        // What is listed was resolved when it was written down.
        pip.args(["install", "--quiet", "--no-deps", "--requirement"]);
        run(pip.arg(root().join(requirements)));
        folder.join("bin/python")
    });
    let programs = python.parent().expect("a program lies in a folder");
    programs.to_owned()
}

/// What a user has set for servers and clients of theirs must not reach those of the tests; nor must what cargo sets for
/// what it runs reach a toolchain that is not cargo's.
pub fn own_environment(command: &mut Command) -> &mut Command {
    let foreign = |name: &str| {
        name.starts_with("FORETELL_") || name.starts_with("CARGO_PKG_") || name == "LD_LIBRARY_PATH"
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(foreign) {
            command.env_remove(name);
        }
    }
    command
}

fn present(path: PathBuf, variable: &str) -> PathBuf {
    // Servers and commands are started in other folders.
    let path = std::path::absolute(&path).expect("a working folder");
    assert!(path.is_file(), "{variable}: {} is no file", path.display());
    path
}

fn build_server() -> PathBuf {
    let profile = profile_folder();
    let target = profile
        .parent()
        .expect("a profile lies in its target folder");
    let binary = profile.join("foretell");
    once("foretell", &["host", "sdk", "wit", "Cargo.lock"], || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Together with this package, so that the features are those of the build at hand and nothing is compiled twice.
        cargo
            .current_dir(root())
            .args([
                "build",
                "--package",
                "foretell",
                "--package",
                "foretell-tests",
                "--bin",
                "foretell",
                "--target-dir",
            ])
            .arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        run(&mut cargo);
        binary.clone()
    })
}

fn build_plugin(name: &str) -> PathBuf {
    let folder = format!("plugins/{name}");
    once(name, &[&folder, "plugins/artifact", "sdk", "wit"], || {
        let mut build = Command::new(server());
        build.args(["plugin", "build"]).arg(root().join(&folder));
        let printed = run(own_environment(&mut build));
        let last = printed.lines().last().unwrap_or_default();
        PathBuf::from(last.trim())
    })
}

/// Does a piece of work once for each state of its sources, whichever of the tests comes first, and remembers the file
/// that it made.
fn once(name: &str, sources: &[&str], work: impl FnOnce() -> PathBuf) -> PathBuf {
    let folder = profile_folder().join("foretell-tests");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock file");
    // Released when the file is closed, also by a process that dies.
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");

    let made = folder.join(format!("{name}.made"));
    let state = state_of(sources);
    if let Ok(text) = fs::read_to_string(&made)
        && let Some((known, file)) = text.split_once('\n')
        && known == state
        && Path::new(file).is_file()
    {
        return PathBuf::from(file);
    }
    let file = work();
    assert!(file.is_file(), "{name}: {} was not made", file.display());
    fs::write(&made, format!("{state}\n{}", file.display()))
        .expect("the target folder can be written");
    file
}

/// A digest over names, lengths and times of every source file.
fn state_of(sources: &[&str]) -> String {
    let mut text = String::new();
    for source in sources {
        let path = root().join(source);
        let listed = if path.is_dir() {
            files(&path)
        } else {
            vec![(path, 0)]
        };
        for (file, bytes) in listed {
            // What is built lies there too.
            if file.components().any(|part| part.as_os_str() == "target") {
                continue;
            }
            let modified = fs::metadata(&file)
                .and_then(|metadata| metadata.modified())
                .unwrap_or(UNIX_EPOCH);
            let _ = writeln!(text, "{} {bytes} {modified:?}", file.display());
        }
    }
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `target/debug` of the build that this test belongs to.
fn profile_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of the test");
        let deps = test.parent().expect("a test lies in target/<profile>/deps");
        deps.parent()
            .expect("a test lies in target/<profile>/deps")
            .to_owned()
    })
}

/// Runs a command to its success and returns what it printed.
fn run(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(
        output.status.success(),
        "{shown}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
