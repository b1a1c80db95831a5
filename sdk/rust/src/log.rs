//! Lines for the operator's log.
//!
//! This is the only thing that a plugin can ask of its host, and a plugin that never calls it imports nothing. The
//! host keeps at most 100 lines and 16 KiB of one call and adds model and request; what is beyond is dropped and
//! counted. Never log inputs: they belong to the caller.
//!
//! In native tests lines go to standard error.

use std::fmt::Display;

/// The prediction is wrong or absent because of this.
pub fn error(line: impl Display) {
    write(Level::Error, &line.to_string());
}

/// Something to look into; the prediction stands.
pub fn warn(line: impl Display) {
    write(Level::Warn, &line.to_string());
}

/// A fact worth keeping.
pub fn info(line: impl Display) {
    write(Level::Info, &line.to_string());
}

/// For the author; off by default in production.
pub fn debug(line: impl Display) {
    write(Level::Debug, &line.to_string());
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, line: &str) {
    crate::bindings::log(level, line);
}

#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::print_stderr, reason = "where native tests look")]
fn write(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}
