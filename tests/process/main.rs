//! What operators and authors are promised of the program itself: signals, exit codes, crashes, the command line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clients;
mod command_line;
mod contract;
mod crash;
mod database;
mod governance;
mod hostile;
mod life;
mod overload;
mod plugin_author;
mod releases;
