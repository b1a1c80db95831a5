//! Tensors to the body of an inference response.

use foretell_predict::Answer;
use foretell_types::Tensor;
use serde::Serialize;

use super::Asked;
use crate::wire::json::write::{Bytes, Flat, has_non_finite, is_text};

/// An inference response.
#[derive(Serialize)]
pub(crate) struct Response<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u32],
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters,
    data: Flat<'a>,
}

/// What a reader has to know about the data.
#[derive(Default, Serialize)]
struct Parameters {
    /// NaN or infinities stand as `null`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    non_finite: bool,
    /// The byte strings are not UTF-8 and stand in Base64.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    base64: bool,
}

impl Parameters {
    fn is_empty(&self) -> bool {
        !self.non_finite && !self.base64
    }
}

/// The response to a request that asked so; `request_id` stands in for an id that the caller did not give.
pub(crate) fn response<'a>(
    answer: &'a Answer,
    asked: &'a Asked,
    request_id: &'a str,
) -> Response<'a> {
    let target = &answer.target;
    let all = || (0..answer.outputs.len()).collect();
    let wanted: Vec<usize> = asked.outputs.clone().unwrap_or_else(all);
    let outputs = wanted
        .into_iter()
        .filter_map(|place| {
            let declared = target.signature.outputs.get(place)?;
            Some(output(&declared.name, answer.outputs.get(place)?))
        })
        .collect();
    Response {
        model_name: target.model.as_str(),
        model_version: target.version.as_str(),
        id: asked.id.as_deref().unwrap_or(request_id),
        outputs,
    }
}

fn output<'a>(name: &'a str, tensor: &'a Tensor) -> Output<'a> {
    let elements = tensor.elements();
    let base64 = !is_text(elements);
    Output {
        name,
        datatype: tensor.datatype().as_str(),
        shape: tensor.shape(),
        parameters: Parameters {
            non_finite: has_non_finite(elements),
            base64,
        },
        data: Flat::all(elements, if base64 { Bytes::Base64 } else { Bytes::Text }),
    }
}

#[cfg(test)]
pub(super) fn written(name: &str, tensor: &Tensor) -> String {
    serde_json::to_string(&output(name, tensor)).unwrap_or_default()
}
