//! Promises to callers, kept over real sockets by a server whose models are plain functions.

mod api;
mod binary;
mod cache;
mod connections;
mod errors;
mod generate;
mod host;
mod inference;
mod logs;
mod repository;
mod statistics;
mod uploads;
