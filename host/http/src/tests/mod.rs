//! Promises to callers, kept over real sockets by a server whose models are plain functions.

mod api;
mod cache;
mod connections;
mod errors;
mod host;
mod inference;
mod logs;
mod uploads;
