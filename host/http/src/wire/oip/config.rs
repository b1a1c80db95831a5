//! The model configuration extension: a version in the words of Triton's model configuration.

use foretell_predict::manage::VersionRecord;
use foretell_types::Datatype;
use serde::Serialize;

use super::metadata::PLATFORM;

/// `GET /v2/models/{m}/config`.
#[derive(Serialize)]
pub(crate) struct Config<'a> {
    name: &'a str,
    platform: &'static str,
    backend: &'static str,
    /// Rows of one request, at most; 0 for a model without rows, whose shapes are then whole.
    max_batch_size: u32,
    input: Vec<Tensor<'a>>,
    output: Vec<Tensor<'a>>,
    /// What its plugin is called in `load`.
    default_model_filename: &'static str,
    response_cache: Cache,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    data_type: &'static str,
    /// Without the rows, where the model has rows.
    dims: &'a [i32],
}

#[derive(Serialize)]
struct Cache {
    enable: bool,
}

/// A version's configuration.
pub(crate) fn config(version: &VersionRecord) -> Config<'_> {
    let signature = &version.signature;
    let shapes = || {
        let inputs = signature.inputs.iter().map(|input| &input.shape);
        inputs.chain(signature.outputs.iter().map(|output| &output.shape))
    };
    let by_rows = shapes().all(|shape| shape.first() == Some(&-1));
    // Every shape has a first axis then.
    let skipped = usize::from(by_rows);
    Config {
        name: version.model.as_str(),
        platform: PLATFORM,
        backend: "foretell",
        max_batch_size: if by_rows { version.runtime.max_rows } else { 0 },
        input: signature
            .inputs
            .iter()
            .map(|input| Tensor {
                name: &input.name,
                data_type: data_type(input.datatype),
                dims: &input.shape[skipped..],
            })
            .collect(),
        output: signature
            .outputs
            .iter()
            .map(|output| Tensor {
                name: &output.name,
                data_type: data_type(output.datatype),
                dims: &output.shape[skipped..],
            })
            .collect(),
        default_model_filename: "model.wasm",
        response_cache: Cache {
            enable: version.runtime.cache && signature.promises.deterministic,
        },
    }
}

/// Triton's own name of a datatype.
const fn data_type(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "TYPE_BOOL",
        Datatype::Uint8 => "TYPE_UINT8",
        Datatype::Uint16 => "TYPE_UINT16",
        Datatype::Uint32 => "TYPE_UINT32",
        Datatype::Uint64 => "TYPE_UINT64",
        Datatype::Int8 => "TYPE_INT8",
        Datatype::Int16 => "TYPE_INT16",
        Datatype::Int32 => "TYPE_INT32",
        Datatype::Int64 => "TYPE_INT64",
        Datatype::Fp16 => "TYPE_FP16",
        Datatype::Bf16 => "TYPE_BF16",
        Datatype::Fp32 => "TYPE_FP32",
        Datatype::Fp64 => "TYPE_FP64",
        Datatype::Bytes => "TYPE_STRING",
    }
}
