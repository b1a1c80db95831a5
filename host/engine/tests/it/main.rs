//! The engine's promises, kept in one process with real compile workers.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod batches;
mod bombs;
mod generated;
mod isolation;
mod memory;
mod misdeeds;
mod scheduling;
mod storage;
mod support;
mod uploads;
mod walls;
