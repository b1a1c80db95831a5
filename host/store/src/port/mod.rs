//! One trait per noun: object-safe, small, and each method says what is atomic.
//!
//! A call whose future is dropped may still take effect: the work goes on where it was started, to its end.

pub mod audit;
pub mod checkpoints;
pub mod housekeeping;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod models;
pub mod probe;
pub mod recordings;
pub mod tenants;
pub mod traffic;
pub mod users;

/// Milliseconds since 1970-01-01 UTC. Clocks come in as arguments, so that tests own time.
pub type UnixMs = i64;
