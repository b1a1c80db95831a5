//! The model configuration extension: a version in the words of Triton's model configuration.

use foretell_predict::manage::VersionRecord;
use foretell_types::Datatype;
use serde::{Serialize, Serializer};

use super::metadata::PLATFORM;

/// `GET /v2/models/{m}/config`.
#[derive(Serialize)]
pub(crate) struct Config<'a> {
    pub(crate) name: &'a str,
    pub(crate) platform: &'static str,
    pub(crate) backend: &'static str,
    /// Rows of one request, at most; 0 for a model without rows, whose shapes are then whole.
    pub(crate) max_batch_size: u32,
    pub(crate) input: Vec<TensorConfig<'a>>,
    pub(crate) output: Vec<TensorConfig<'a>>,
    /// What its plugin is called in `load`.
    pub(crate) default_model_filename: &'static str,
    pub(crate) response_cache: Cache,
}

/// What a tensor is.
#[derive(Serialize)]
pub(crate) struct TensorConfig<'a> {
    pub(crate) name: &'a str,
    #[serde(rename = "data_type", serialize_with = "triton_name")]
    pub(crate) datatype: Datatype,
    /// Without the rows, where the model has rows.
    pub(crate) dims: &'a [i32],
}

/// Whether answers are kept.
#[derive(Serialize)]
pub(crate) struct Cache {
    pub(crate) enable: bool,
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
            .map(|input| TensorConfig {
                name: &input.name,
                datatype: input.datatype,
                dims: &input.shape[skipped..],
            })
            .collect(),
        output: signature
            .outputs
            .iter()
            .map(|output| TensorConfig {
                name: &output.name,
                datatype: output.datatype,
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
fn triton_name<S: Serializer>(datatype: &Datatype, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match datatype {
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
    })
}
