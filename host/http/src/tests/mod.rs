//! Promises to callers, kept over real sockets by a server whose models are plain functions.

mod api;
mod binary;
mod cache;
mod calls;
mod connections;
mod doors;
mod errors;
mod frames;
mod generate;
mod governance;
mod grpc;
mod host;
mod inference;
mod logs;
mod mistakes;
mod openapi;
mod repository;
mod roles;
mod statistics;
mod traffic;
mod uploads;
mod users;
