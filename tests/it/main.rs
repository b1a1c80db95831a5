//! What users are promised, held against the whole server in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod bad_input;
mod bad_upload;
mod cache;
mod fuzz_seeds;
mod health;
mod hostile;
mod hostile_http;
mod models;
mod predict;
mod refusal;
