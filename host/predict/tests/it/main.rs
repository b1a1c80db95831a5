//! The corridor and the use cases, without transport and engine.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cache;
mod corridor;
mod governance;
mod house;
mod keys;
mod models;
mod traffic;
mod uploads;
