//! The JSON of each surface: what is read becomes our types here, what is written comes from them.
//!
//! Predictions are read by [`json::Reader`], a reader of our own: numbers go from the text straight into typed vectors
//! (FP32 rounded once, integers exact), whatever the order of keys; faults name the place as a JSON pointer; depth,
//! duplicate keys and what JSON does not allow are refused. Management bodies are small and read by serde.

pub(crate) mod api;
pub(crate) mod json;
pub(crate) mod kserve;
pub(crate) mod oip;
pub(crate) mod payload;
pub(crate) mod raw;
mod rows;
pub(crate) mod table;
pub(crate) mod written;
