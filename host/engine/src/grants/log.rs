//! The import `log`: lines of a guest for the operator's log, few, short and harmless.

use std::sync::Arc;

use foretell_types::{TenantId, VersionDigest};

use crate::abi::v0_1::bindings::foretell::plugin::log::{Host, Level};
use crate::state::CallState;

/// Whose lines they are.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) tenant: TenantId,
    pub(crate) version: VersionDigest,
}

/// What one call may still write.
#[derive(Debug)]
pub(crate) struct LogBudget {
    origin: Arc<Origin>,
    max_lines: u32,
    max_bytes: u32,
    lines: u32,
    bytes: u32,
    dropped: u32,
    last_error: Option<String>,
}

impl LogBudget {
    pub(crate) const fn new(origin: Arc<Origin>, max_lines: u32, max_bytes: u32) -> Self {
        Self {
            origin,
            max_lines,
            max_bytes,
            lines: 0,
            bytes: 0,
            dropped: 0,
            last_error: None,
        }
    }

    /// Ends a call: tells how many lines were dropped, and the next call begins with the whole budget.
    pub(crate) fn settle(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(
                target: "foretell::plugin",
                tenant = %self.origin.tenant,
                version = %self.origin.version,
                dropped = self.dropped,
                "the plugin wrote more log than a call may"
            );
        }
        (self.lines, self.bytes, self.dropped, self.last_error) = (0, 0, 0, None);
    }

    /// The last line of level `error`: where a guest's own panic message ends up.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The line to write, or nothing if the budget is used up.
    fn take(&mut self, line: &str) -> Option<String> {
        let left = self.max_bytes.saturating_sub(self.bytes) as usize;
        if self.lines >= self.max_lines || left == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        let line = clean(line, left);
        self.lines += 1;
        self.bytes = self
            .bytes
            .saturating_add(u32::try_from(line.len().max(1)).unwrap_or(u32::MAX));
        Some(line)
    }
}

/// Without control characters (a line break would forge lines, an escape sequence would move the reader's cursor), cut
/// to at most `bytes`.
fn clean(line: &str, bytes: usize) -> String {
    let mut clean = String::with_capacity(line.len().min(bytes));
    for c in line.chars() {
        let c = if c.is_control() || is_bidi(c) {
            '\u{fffd}'
        } else {
            c
        };
        if clean.len() + c.len_utf8() > bytes {
            break;
        }
        clean.push(c);
    }
    clean
}

/// Marks that reorder the text around them, and the two line separators that are not control characters.
const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Host for CallState {
    fn write(&mut self, level: Level, line: String) -> wasmtime::Result<()> {
        let Some(line) = self.log.take(&line) else {
            return Ok(());
        };
        let origin = &self.log.origin;
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(target: "foretell::plugin", tenant = %origin.tenant, version = %origin.version, "{line}")
            };
        }
        match level {
            Level::Error => emit!(error),
            Level::Warn => emit!(warn),
            Level::Info => emit!(info),
            Level::Debug => emit!(debug),
        }
        if matches!(level, Level::Error) {
            self.log.last_error = Some(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use foretell_types::Digest;

    use super::*;

    fn budget(lines: u32, bytes: u32) -> LogBudget {
        let origin = Origin {
            tenant: TenantId::parse("acme").unwrap(),
            version: VersionDigest(Digest::from_bytes([7; 32])),
        };
        LogBudget::new(Arc::new(origin), lines, bytes)
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        let line = budget(1, 1_000)
            .take("a\nERROR forged\u{1b}[31m\u{202e}z")
            .unwrap();
        assert_eq!(line, "a\u{fffd}ERROR forged\u{fffd}[31m\u{fffd}z");
    }

    #[test]
    fn lines_beyond_the_budget_are_dropped_and_counted() {
        let mut budget = budget(2, 1_000);
        assert!(budget.take("1").is_some() && budget.take("2").is_some());
        assert!(budget.take("3").is_none() && budget.take("4").is_none());
        assert_eq!(budget.dropped, 2);
        budget.settle();
        assert!(budget.take("5").is_some());
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let mut budget = budget(100, 5);
        assert_eq!(budget.take("ééé").unwrap(), "éé");
        assert_eq!(budget.take("ab").unwrap(), "a");
        assert!(budget.take("b").is_none());
    }

    #[test]
    fn empty_lines_count() {
        let mut budget = budget(100, 3);
        assert_eq!((0..10).filter(|_| budget.take("").is_some()).count(), 3);
    }
}
