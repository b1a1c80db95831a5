//! The engine: the only crate of the house that names wasmtime.
//!
//! Two promises, each a trait of `foretell-types`: [`Compiler`] makes an upload runnable in a process of its own, and
//! [`Runner`] runs one prediction in the sandbox. Between them lies what the hazard demands: a plugin is hostile until
//! proven otherwise, and it is never proven otherwise.
//!
//! - The server never compiles. Cranelift's time and memory are in the hands of whoever wrote the plugin, so it runs in
//!   a killable child with limits ([`worker`]).
//! - The server runs only machine code whose keyed MAC it has checked (`seal`).
//! - A guest has no import but `log`, a deadline, a memory limit, and by default an instance of its own for each call.

mod abi;
mod admission;
mod batch;
mod budget;
mod call;
mod compile;
pub mod config;
mod cost;
mod engine;
mod error;
mod grants;
mod job;
mod lanes;
mod limits;
mod load;
mod pieces;
mod pool;
mod seal;
mod setup;
mod state;
#[cfg(feature = "testkit")]
pub mod testkit;
mod ticker;
pub mod turns;
mod wear;
pub mod worker;

pub use config::EngineConfig;
pub use engine::{Engine, EngineStats};
pub use error::EngineError;
pub use foretell_types::compile::Compiler;
pub use foretell_types::run::Runner;
pub use worker::{Wall, Walls};
