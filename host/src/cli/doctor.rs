//! `doctor`: what this machine lacks, and what to do about it.

use std::path::Path;

use clap::Args;
use foretell_engine::Walls;
use foretell_types::compile::CompileError;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::config::Source;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows};
use crate::folder::{DataFolder, FolderError};
use crate::lock::LockError;
use crate::plugin::{self, toolchain::Toolchain};
use crate::sandbox::Sandbox;
use crate::{health, limits};

/// Checks this machine: configuration, data folder, limits, kernel, sandbox, compile worker, toolchain, and whether the server answers.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    source: Source,
}

/// What one look found.
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// It works, and could be better; or only some need it.
    Notice,
    /// It will not work.
    Bad,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Notice => "notice",
            Self::Bad => "FAILED",
        }
    }
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Good,
            detail: detail.into(),
        }
    }

    fn notice(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Notice,
            detail: detail.into(),
        }
    }

    fn bad(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Bad,
            detail: detail.into(),
        }
    }
}

impl Doctor {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut findings = Vec::new();
        match self.source.load(&context.environment) {
            Ok(loaded) => {
                findings.push(match loaded.notes.as_slice() {
                    [] => Finding::good("configuration", "valid"),
                    notes => Finding::notice("configuration", notes.join("; ")),
                });
                let config = &loaded.config;
                findings.push(data_folder(&config.server.data_dir));
                findings.push(disk(&config.server.data_dir, config.health.min_free_disk.0));
            }
            Err(failure) => findings.push(Finding::bad("configuration", failure.message)),
        }
        findings.push(open_files());
        findings.extend(kernel());
        findings.extend(sandbox(context));
        findings.push(toolchain());
        findings.push(server(context));
        print(context.format(), &findings)?;
        let bad = findings
            .iter()
            .filter(|finding| finding.state == State::Bad)
            .count();
        if bad == 0 {
            Ok(())
        } else {
            Err(Failure::new(
                Exit::Unavailable,
                format_args!("{bad} of {} checks failed", findings.len()),
            ))
        }
    }
}

fn data_folder(path: &Path) -> Finding {
    const WHAT: &str = "data folder";
    let shown = path.display();
    if !path.exists() {
        // Made by the first start; a doctor leaves nothing behind.
        let above = std::path::absolute(path).ok().and_then(|path| {
            path.ancestors()
                .skip(1)
                .find(|above| above.exists())
                .map(Path::to_owned)
        });
        let writable = above.is_some_and(|above| tempfile::tempfile_in(above).is_ok());
        return if writable {
            Finding::good(WHAT, format!("{shown} will be made at the first start"))
        } else {
            Finding::bad(
                WHAT,
                format!("{shown} cannot be made; choose another with --data-dir"),
            )
        };
    }
    match DataFolder::probe(path) {
        Ok(()) => Finding::good(WHAT, format!("{shown} is there, writable, and not in use")),
        Err(FolderError::Lock(LockError::Held { holder, .. })) => Finding::good(
            WHAT,
            format!("{shown} is in use by the server with process id {holder}"),
        ),
        Err(error) => Finding::bad(WHAT, error.to_string()),
    }
}

fn disk(path: &Path, min_free_bytes: u64) -> Finding {
    let existing = std::path::absolute(path).ok().and_then(|path| {
        path.ancestors()
            .find(|above| above.exists())
            .map(Path::to_owned)
    });
    match existing.as_deref().map(health::free_bytes) {
        Some(Ok(free)) if free >= min_free_bytes => {
            Finding::good("disk", format!("{} MiB free", free >> 20))
        }
        Some(Ok(free)) => Finding::bad(
            "disk",
            format!(
                "{} MiB free, less than health.min_free_disk; make room",
                free >> 20
            ),
        ),
        Some(Err(error)) => Finding::bad("disk", error.to_string()),
        None => Finding::bad("disk", "no folder above the data folder exists"),
    }
}

fn open_files() -> Finding {
    match limits::raise_open_files() {
        u64::MAX => Finding::good("open files", "no limit"),
        files if files >= limits::ENOUGH_FILES => {
            Finding::good("open files", format!("{files} allowed"))
        }
        files => Finding::notice(
            "open files",
            format!(
                "{files} allowed; {} are better: raise the hard limit (LimitNOFILE, ulimit -Hn)",
                limits::ENOUGH_FILES
            ),
        ),
    }
}

fn kernel() -> Vec<Finding> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut findings = vec![match version(&release) {
        Some(version) if version >= (6, 7) => Finding::good("kernel", release),
        Some(_) => Finding::notice(
            "kernel",
            format!(
                "{release}; from 6.7 on memory between predictions is reset faster (PAGEMAP_SCAN)"
            ),
        ),
        None => Finding::notice(
            "kernel",
            format!("{release}; this version has no number that is known"),
        ),
    }];
    // Each instance reserves 4 GiB of address space, and uses what it touches.
    findings.push(match rustix::process::getrlimit(rustix::process::Resource::As).current {
        None => Finding::good("address space", "no limit"),
        Some(bytes) => Finding::bad(
            "address space",
            format!("limited to {} GiB (RLIMIT_AS); each guest instance reserves 4: remove the limit", bytes >> 30),
        ),
    });
    findings
}

/// Major and minor number of a kernel release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn sandbox(context: &Context) -> Vec<Finding> {
    const WHAT: &str = "sandbox";
    // The engine starts threads of its own runtime's kind: it is set up as the server would.
    let looked = context.block_on(async {
        let sandbox =
            Sandbox::new().map_err(|error| Failure::new(Exit::Os, format!("{error:#}")))?;
        Ok((sandbox.reset_method(), sandbox.walls().await))
    });
    match looked {
        Ok((reset_method, walls)) => vec![
            Finding::good(WHAT, format!("starts; memory is reset by {reset_method}")),
            worker(walls),
        ],
        Err(failure) => vec![Finding::bad(WHAT, failure.message)],
    }
}

fn worker(walls: Result<Walls, CompileError>) -> Finding {
    const WHAT: &str = "compile worker";
    let walls = match walls {
        Ok(walls) => walls,
        Err(error) => return Finding::bad(WHAT, error.to_string()),
    };
    let missing = walls.missing();
    if missing.is_empty() {
        let Walls { calls, files } = walls;
        return Finding::good(
            WHAT,
            format!(
                "starts; walls: seccomp {}, Landlock {}",
                calls.as_str(),
                files.as_str()
            ),
        );
    }
    Finding::notice(
        WHAT,
        format!(
            "starts, without {}: uploads are held by WebAssembly and limits alone; use a kernel (5.13 or later) or \
             container that allows it",
            missing.join(" and ")
        ),
    )
}

fn toolchain() -> Finding {
    match plugin::toolchain::present(Path::new(".")) {
        Some(Toolchain::Active) => {
            Finding::good("wasm toolchain", "the active Rust has the target")
        }
        Some(Toolchain::Debian) => Finding::good("wasm toolchain", "Debian's rustc-web"),
        None => Finding::notice(
            "wasm toolchain",
            "not found; only authors of plugins need it, and `foretell plugin build` prepares it where it can",
        ),
    }
}

fn server(context: &Context) -> Finding {
    const WHAT: &str = "server";
    let answered = context.client().and_then(|client| {
        context.block_on(async { client.host(Method::GET, "/health", None).await })
    });
    match answered {
        Ok(answer) => {
            let status = answer
                .json
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or("unknown");
            let detail = format!("{} answers: {status}", context.url());
            if status == "healthy" {
                Finding::good(WHAT, detail)
            } else {
                Finding::bad(WHAT, detail)
            }
        }
        // Nobody asked for a server: there may be none yet.
        Err(failure) if failure.exit == Exit::Unavailable && !context.names_a_server() => {
            Finding::notice(WHAT, failure.message)
        }
        Err(failure) => Finding::bad(WHAT, failure.message),
    }
}

fn print(format: Format, findings: &[Finding]) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let checks: Vec<_> = findings
                .iter()
                .map(|one| json!({"check": one.what, "state": one.state.as_str().to_ascii_lowercase(), "detail": one.detail}))
                .collect();
            output::document(&json!({"checks": checks}).to_string())
        }
        Format::Table => {
            let mut rows = Rows::new(&["CHECK", "STATE", "DETAIL"]);
            for one in findings {
                rows.push([
                    one.what.to_owned(),
                    one.state.as_str().to_owned(),
                    one.detail.clone(),
                ]);
            }
            rows.print()
        }
    }
}

#[cfg(test)]
mod tests {
    use foretell_engine::Wall;

    use super::*;

    #[test]
    fn a_kernel_release_has_two_numbers_that_matter() {
        for (release, numbers) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("6.12.3", Some((6, 12))),
            ("4.4", Some((4, 4))),
            ("unknown", None),
        ] {
            assert_eq!(version(release), numbers, "{release}");
        }
    }

    #[test]
    fn a_worker_without_a_wall_is_a_notice_that_names_it() {
        let with = |files| {
            worker(Ok(Walls {
                calls: Wall::Whole,
                files,
            }))
        };
        let partly = with(Wall::Partial);
        assert!(partly.state == State::Good, "{}", partly.detail);
        assert!(
            partly.detail.contains("Landlock partial"),
            "{}",
            partly.detail
        );
        let without = with(Wall::Missing);
        assert!(without.state == State::Notice, "{}", without.detail);
        assert!(
            without.detail.contains("without Landlock"),
            "{}",
            without.detail
        );
        let none = worker(Err(CompileError::Worker("it cannot be started".into())));
        assert!(none.state == State::Bad, "{}", none.detail);
    }

    #[test]
    fn a_data_folder_is_looked_at_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let absent = root.path().join("a/b");
        assert!(data_folder(&absent).state == State::Good);
        assert!(!absent.exists());
        let held = DataFolder::open(root.path()).unwrap();
        let finding = data_folder(root.path());
        assert!(finding.detail.contains("in use"), "{}", finding.detail);
        drop(held);
        assert!(data_folder(root.path()).detail.contains("not in use"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(data_folder(file.path()).state == State::Bad);
    }
}
