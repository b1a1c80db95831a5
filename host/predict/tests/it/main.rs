//! The corridor and the use cases, without transport and engine.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cache;
mod checkpoints;
mod corridor;
mod erasure;
mod evidence;
mod governance;
mod house;
mod keys;
mod logins;
mod models;
mod once;
mod recording;
mod storage;
mod tokens;
mod traffic;
mod uploads;
mod users;
