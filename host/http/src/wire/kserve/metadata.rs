//! A version's signature in the words of TensorFlow Serving.

use foretell_predict::Target;
use foretell_types::Datatype;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// `GET /v1/models/{m}/metadata`.
#[derive(serde::Serialize)]
pub(crate) struct Metadata<'a> {
    model_spec: Spec<'a>,
    metadata: Signatures<'a>,
}

#[derive(serde::Serialize)]
struct Spec<'a> {
    name: &'a str,
    signature_name: &'static str,
    version: &'a str,
}

#[derive(serde::Serialize)]
struct Signatures<'a> {
    signature_def: Definitions<'a>,
}

#[derive(serde::Serialize)]
struct Definitions<'a> {
    signature_def: Default<'a>,
}

#[derive(serde::Serialize)]
struct Default<'a> {
    serving_default: Definition<'a>,
}

#[derive(serde::Serialize)]
struct Definition<'a> {
    inputs: Tensors<'a>,
    outputs: Tensors<'a>,
    method_name: &'static str,
}

/// Tensors by name.
struct Tensors<'a>(Vec<(&'a str, Datatype, &'a [i32])>);

impl Serialize for Tensors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, datatype, shape) in &self.0 {
            // 64-bit numbers are texts in the JSON of protocol buffers.
            let dim = shape.iter().map(|axis| Axis {
                size: axis.to_string(),
                name: "",
            });
            map.serialize_entry(
                name,
                &Tensor {
                    dtype: dtype(*datatype),
                    tensor_shape: Shape {
                        dim: dim.collect(),
                        unknown_rank: false,
                    },
                    name,
                },
            )?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Tensor<'a> {
    dtype: &'static str,
    tensor_shape: Shape,
    name: &'a str,
}

#[derive(serde::Serialize)]
struct Shape {
    dim: Vec<Axis>,
    unknown_rank: bool,
}

#[derive(serde::Serialize)]
struct Axis {
    size: String,
    name: &'static str,
}

/// What a version takes and gives.
pub(crate) fn metadata(target: &Target) -> Metadata<'_> {
    let signature = &target.signature;
    let inputs = signature.inputs.iter();
    let inputs = inputs.map(|input| (input.name.as_str(), input.datatype, &*input.shape));
    let outputs = signature.outputs.iter();
    let outputs = outputs.map(|output| (output.name.as_str(), output.datatype, &*output.shape));
    Metadata {
        model_spec: Spec {
            name: target.model.as_str(),
            signature_name: "",
            version: target.version.as_str(),
        },
        metadata: Signatures {
            signature_def: Definitions {
                signature_def: Default {
                    serving_default: Definition {
                        inputs: Tensors(inputs.collect()),
                        outputs: Tensors(outputs.collect()),
                        method_name: "tensorflow/serving/predict",
                    },
                },
            },
        },
    }
}

/// TensorFlow's name of a datatype.
const fn dtype(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "DT_BOOL",
        Datatype::Uint8 => "DT_UINT8",
        Datatype::Uint16 => "DT_UINT16",
        Datatype::Uint32 => "DT_UINT32",
        Datatype::Uint64 => "DT_UINT64",
        Datatype::Int8 => "DT_INT8",
        Datatype::Int16 => "DT_INT16",
        Datatype::Int32 => "DT_INT32",
        Datatype::Int64 => "DT_INT64",
        Datatype::Fp16 => "DT_HALF",
        Datatype::Bf16 => "DT_BFLOAT16",
        Datatype::Fp32 => "DT_FLOAT",
        Datatype::Fp64 => "DT_DOUBLE",
        Datatype::Bytes => "DT_STRING",
    }
}
