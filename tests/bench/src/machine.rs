//! On what was measured: without it a figure says nothing.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and its software.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
    /// The compiler that is installed.
    pub rustc: String,
    /// The commit that is checked out.
    pub commit: String,
    /// The day, in UTC.
    pub day: String,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// Whether the run was a short one, whose figures are not to be quoted.
    pub quick: bool,
}

impl Machine {
    /// This one.
    pub fn this(rounds: usize, quick: bool) -> Self {
        let info = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        Self {
            processor: field(&info, "model name").to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: field(&memory, "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse().ok())
                .map_or(0, |kib: u64| kib << 10),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: said("rustc", &["--version"]),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            day: said("date", &["-u", "+%Y-%m-%d"]),
            rounds,
            quick,
        }
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or("unknown", |(_, value)| value.trim())
}

/// What a program says, or that nobody knows.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_it_is() {
        let machine = Machine::this(3, true);
        assert!(machine.processors > 0);
        assert!(machine.memory_bytes > 1 << 20);
        assert_eq!(field("a: b\nmodel name\t: x : y\n", "model name"), "x : y");
        assert_eq!(said("foretell-has-no-such-program", &[]), "unknown");
    }
}
