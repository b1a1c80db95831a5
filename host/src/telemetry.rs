//! Log lines: text on a terminal, one JSON object a line otherwise. Always on stderr: stdout belongs to answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Logging;
use crate::config::units::LogFormat;

/// What chatters at every start and says nothing that operators need; the configured levels come after it and win.
const QUIET: &str = "refinery_core=warn";

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Never: `NO_COLOR` is set.
    Never,
}

/// Starts logging for the whole process. A second call changes nothing: the first subscriber stays.
pub fn start(logging: &Logging, colour: Colour) {
    let terminal = std::io::stderr().is_terminal();
    let text = match logging.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!(
            "{QUIET},{}",
            logging.level.as_str()
        )))
        .with_writer(std::io::stderr)
        .with_ansi(terminal && colour == Colour::Auto);
    // Programs that embed the server, such as tests, may have a subscriber of their own.
    let _ = if text {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
