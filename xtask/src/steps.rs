//! Work in steps: a heading when one starts, its time when it ends.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::table::Table;

/// The steps of one command, in the order in which they ran.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Does one step; an error says in which step it happened.
    pub(crate) fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let at = seconds(self.started.elapsed());
        heading(&format!("[{}] {title} (at {at})", self.done.len() + 1));
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let result = result.with_context(|| format!("step `{title}`, after {}", seconds(took)))?;
        eprintln!("    {title}: {}", seconds(took));
        self.done.push((title.to_owned(), took));
        Ok(result)
    }

    /// Every step with its time, and the sum.
    pub(crate) fn summary(&self) -> String {
        let mut table = Table::new(["step", "time"]);
        for (title, took) in &self.done {
            table.row([title.clone(), seconds(*took)]);
        }
        table.row(["in all".to_owned(), seconds(self.started.elapsed())]);
        table.to_string()
    }
}

/// A length of time for people: `0.4 s`, `12.0 s`, `3 min 20 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

fn heading(text: &str) {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        eprintln!("\n\x1b[1m{text}\x1b[0m");
    } else {
        eprintln!("\n{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(seconds(Duration::from_millis(440)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
    }

    #[test]
    fn a_failing_step_is_named() {
        let error = Steps::new()
            .run("clippy", || Err::<(), _>(anyhow::anyhow!("no")))
            .unwrap_err();
        assert!(format!("{error:#}").starts_with("step `clippy`, after "));
    }
}
