//! The engine's promises, kept in one process with real compile workers.

mod isolation;
mod misdeeds;
mod scheduling;
mod storage;
mod support;
mod uploads;
