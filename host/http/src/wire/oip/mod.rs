//! The Open Inference Protocol, version 2.

mod binary;
mod config;
mod generate;
mod metadata;
mod repository;
mod request;
mod response;
mod statistics;
#[cfg(test)]
mod testing;

pub(crate) use binary::{INFERENCE_HEADER_CONTENT_LENGTH, Pieces, read_raw};
pub(crate) use config::config;
pub(crate) use generate::{Generate, generated, read as read_generate};
pub(crate) use metadata::{Live, ModelReady, Models, Ready, Server, TensorMetadata, metadata};
pub(crate) use repository::{
    Files, failed_to_load, files_of, index, read_index, read_load, read_unload,
};
pub(crate) use request::{Asked, NO_SHARED_MEMORY, datatype, output_place, read, timeout};
pub(crate) use response::{Named, named, write};
pub(crate) use statistics::statistics;
