//! Progress on stderr, on a terminal only; scripts and logs see nothing of it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const STEP: &str = "{spinner} {msg} {elapsed}";
const BYTES: &str = "  {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";

/// A line that shows what is going on, and is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A line for work whose length nobody knows.
    pub(super) fn step(what: impl Into<String>) -> Self {
        let bar = ProgressBar::new_spinner().with_style(style(STEP));
        bar.set_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// A bar for a known number of bytes.
    pub(super) fn bytes(what: impl Into<String>, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_style(style(BYTES));
        bar.set_message(what.into());
        Self(bar)
    }

    /// Says something else on the line.
    pub(super) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// Counts bytes; at the end of a bar the line goes on as work of unknown length.
    pub(super) fn advance(&self, bytes: u64, then: &str) {
        self.0.inc(bytes);
        if self
            .0
            .length()
            .is_some_and(|total| self.0.position() >= total)
        {
            self.0.set_style(style(STEP));
            self.0.set_message(then.to_owned());
            self.0.enable_steady_tick(Duration::from_millis(120));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The templates are constants of this file; one that does not parse shows indicatif's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        for template in [STEP, BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
