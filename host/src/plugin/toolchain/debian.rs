//! Debian's second Rust toolchain: `rustc-web`, kept new enough for browsers, beside the release's own.
//!
//! It has no compiled standard library for WebAssembly but brings the sources, and cargo builds it from them with the
//! plugin.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Progress, run};

pub(super) const CARGO: &str = "/usr/bin/cargo";
pub(super) const RUSTC: &str = "/usr/bin/rustc";

/// Sources of the standard library.
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
/// A link to the linker of [`PACKAGES`]' last.
const LINKER: &str = "/usr/bin/rust-lld";

/// What is installed, with the linker of the release that is current now; [`linker`] finds that of another.
pub(super) const PACKAGES: [&str; 5] = [
    "rustc-web",
    "rust-web-src",
    "cargo-web",
    "rust-web-llvm",
    "lld-22",
];

/// Whether everything is in its place.
pub(super) fn is_complete() -> bool {
    [CARGO, RUSTC, SOURCES, LINKER]
        .iter()
        .all(|path| Path::new(path).exists())
}

/// Installs the packages, after reading the lists of packages anew where they are not known.
pub(super) fn install(progress: Progress<'_>) -> Result<(), String> {
    if !Path::new("/etc/debian_version").exists() {
        return Err("this is not Debian".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("needs root to install packages".to_owned());
    }
    progress("installing Debian's rustc-web and the sources of its standard library");
    // Lists that were read long ago name files that are gone, so the second try reads them anew too.
    if try_install().is_err() {
        progress("reading Debian's lists of packages");
        run(&mut apt("apt-get", &["update"]))?;
        progress("installing Debian's rustc-web and the sources of its standard library");
        try_install()?;
    }
    Ok(())
}

fn try_install() -> Result<(), String> {
    let linker = linker()?;
    let [rest @ .., _] = PACKAGES;
    let mut command = apt(
        "apt-get",
        &[
            "install",
            "--yes",
            "--no-install-recommends",
            // A toolchain that somebody chose is never taken away for this.
            "--no-remove",
            "-o",
            "DPkg::Lock::Timeout=300",
        ],
    );
    run(command.args(rest).arg(linker)).map(drop)
}

/// The linker of the same LLVM as the toolchain's, for `rust-lld` is a link to it.
fn linker() -> Result<String, String> {
    let depends = run(&mut apt("apt-cache", &["depends", "rust-web-llvm"]))?;
    linker_in(&depends).ok_or_else(|| "rust-web-llvm is not known".to_owned())
}

fn linker_in(depends: &str) -> Option<String> {
    let mut packages = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    packages.find_map(|package| Some(format!("lld-{}", package.strip_prefix("llvm-")?)))
}

fn apt(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_is_of_the_toolchains_own_llvm() {
        let depends =
            "rust-web-llvm\n  Depends: libc6\n  Depends: llvm-22\n  Conflicts: <rust-llvm>\n";
        assert_eq!(linker_in(depends).as_deref(), Some("lld-22"));
        assert_eq!(linker_in("rust-web-llvm\n"), None);
    }
}
