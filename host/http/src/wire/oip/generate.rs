//! `generate`: one object of inputs by name in, one of outputs by name out, as clients of language models write them.

use foretell_predict::{Answer, Inputs};
use foretell_types::Signature;
use foretell_types::signature::NamedTensor;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::request::id;
use crate::text::shown;
use crate::wire::api::max_keys;
use crate::wire::json::write::{Bytes, Flat, Shaped};
use crate::wire::json::{Fault, Leaf, Reader, read_nested, read_record_without};
use crate::wire::rows::{Labels, Row};

/// Keys that are no inputs, unless the model has one of that name.
const ID: &str = "id";
const PARAMETERS: &str = "parameters";

/// How the caller asked, and so gets its answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Generate {
    id: Option<String>,
    labels: Labels,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            id: None,
            labels: Labels::Codes,
        }
    }
}

/// Reads the body: inputs by name, where a value of fewer axes than its input has stands for one row; or a record. Other keys
/// are passed over, as parameters of other servers.
///
/// # Errors
/// `Malformed` for what is no object, `InvalidInput` for values that fit no input, and for more than `max_rows` rows.
pub(crate) fn read(
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Generate), Fault> {
    let mut reader = Reader::new(body)?;
    let mut asked = Generate::default();
    let mut tensors = Vec::new();
    reader.object(|reader, key| {
        if let Some(input) = signature.inputs.iter().find(|input| input.name == *key) {
            let nested = read_nested(reader, input.datatype, Leaf::OrBase64, None)?;
            let tensor = nested.of_rank(input.shape.len());
            let tensor = tensor
                .map_err(|fault| reader.invalid(&format!("input `{}`: {fault}", shown(key))))?;
            if input.shape.first() == Some(&-1) {
                reader.at_most(max_rows, tensor.rows() as usize)?;
            }
            tensors.push(NamedTensor {
                name: input.name.clone(),
                tensor,
            });
        } else if key == ID {
            asked.id = Some(id(reader)?);
        } else {
            reader.skip()?;
        }
        Ok(())
    })?;
    reader.finish()?;
    let is_table = signature
        .inputs
        .iter()
        .any(|input| !input.columns.is_empty());
    if !tensors.is_empty() || !is_table {
        return Ok((Inputs::Tensors(tensors), asked));
    }
    let mut reader = Reader::new(body)?;
    let record = read_record_without(&mut reader, max_keys(signature), &[ID, PARAMETERS])?;
    asked.labels = Labels::Names;
    Ok((Inputs::Records(vec![record]), asked))
}

/// The answer to a request that asked so; `request_id` stands in for an id that the caller did not give.
pub(crate) const fn generated<'a>(
    answer: &'a Answer,
    asked: &'a Generate,
    request_id: &'a str,
) -> Generated<'a> {
    Generated {
        answer,
        asked,
        request_id,
    }
}

/// `{"model_name", "model_version", "id", output…}`.
pub(crate) struct Generated<'a> {
    answer: &'a Answer,
    asked: &'a Generate,
    request_id: &'a str,
}

impl Serialize for Generated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            answer,
            asked,
            request_id,
        } = self;
        let target = &answer.target;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model_name", target.model.as_str())?;
        map.serialize_entry("model_version", target.version.as_str())?;
        map.serialize_entry("id", asked.id.as_deref().unwrap_or(request_id))?;
        if answer.rows == 1 {
            let row = Row {
                answer,
                index: 0,
                labels: asked.labels,
            };
            row.entries(&mut map)?;
        } else {
            for (output, tensor) in target.signature.outputs.iter().zip(&*answer.outputs) {
                let whole = Shaped {
                    shape: tensor.shape(),
                    flat: Flat::all(tensor.elements(), Bytes::TextOrObject),
                };
                map.serialize_entry(&output.name, &whole)?;
            }
        }
        map.end()
    }
}
