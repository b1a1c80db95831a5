//! Tensors to the body of an inference response.

use foretell_predict::Answer;
use foretell_types::Tensor;
use serde::Serialize;

use super::Asked;
use crate::wire::json::write::{Bytes, Flat, has_non_finite, is_text};
use crate::wire::raw;
use crate::wire::written::{Content, Written};

/// An inference response.
#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: Vec<Named<'a>>,
}

/// A tensor with its name.
#[derive(Serialize)]
pub(crate) struct Named<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u32],
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Flat<'a>>,
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
    /// So many raw bytes stand behind the JSON, instead of data in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_data_size: Option<usize>,
}

impl Parameters {
    fn is_empty(&self) -> bool {
        !self.non_finite && !self.base64 && self.binary_data_size.is_none()
    }
}

/// Writes the response to a request that asked so, as a body or as an event, which has no raw bytes; `request_id` stands in
/// for an id that the caller did not give.
///
/// # Errors
/// Those of [`Written::json`].
pub(crate) fn write(
    answer: &Answer,
    asked: &Asked,
    request_id: &str,
    is_event: bool,
) -> serde_json::Result<Written> {
    let target = &answer.target;
    let wanted = asked.wanted(answer.outputs.len());
    let mut tail = Vec::new();
    let outputs = wanted
        .into_iter()
        .filter_map(|(place, is_binary)| {
            let declared = target.signature.outputs.get(place)?;
            let tensor = answer.outputs.get(place)?;
            Some(if is_binary {
                tail.push(tensor.elements());
                binary(&declared.name, tensor)
            } else {
                named(&declared.name, tensor)
            })
        })
        .collect();
    let response = Response {
        model_name: target.model.as_str(),
        model_version: target.version.as_str(),
        id: asked.id.as_deref().unwrap_or(request_id),
        outputs,
    };
    if is_event {
        return Written::event(&response);
    }
    let mut written = Written::json(&response)?;
    if !tail.is_empty() {
        let json_bytes = written.bytes.len();
        written.content = Content::Binary { json_bytes };
        for elements in tail {
            raw::write(elements, &mut written.bytes);
        }
    }
    Ok(written)
}

/// A tensor whose elements stand in the JSON.
pub(crate) fn named<'a>(name: &'a str, tensor: &'a Tensor) -> Named<'a> {
    let elements = tensor.elements();
    let base64 = !is_text(elements);
    Named {
        name,
        datatype: tensor.datatype().as_str(),
        shape: tensor.shape(),
        parameters: Parameters {
            non_finite: has_non_finite(elements),
            base64,
            binary_data_size: None,
        },
        data: Some(Flat::all(
            elements,
            if base64 { Bytes::Base64 } else { Bytes::Text },
        )),
    }
}

/// An output whose raw bytes stand behind the JSON.
fn binary<'a>(name: &'a str, tensor: &'a Tensor) -> Named<'a> {
    Named {
        name,
        datatype: tensor.datatype().as_str(),
        shape: tensor.shape(),
        parameters: Parameters {
            binary_data_size: Some(tensor.elements().byte_len()),
            ..Parameters::default()
        },
        data: None,
    }
}

#[cfg(test)]
pub(super) fn written(name: &str, tensor: &Tensor) -> String {
    serde_json::to_string(&named(name, tensor)).unwrap_or_default()
}
