//! `POST /api/predict/{model}`: records in, predictions out.

use foretell_predict::{Answer, Cached, Inputs};
use foretell_types::{ErrorKind, Signature};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::credits::Credits;
use crate::wire::json::{Fault, Reader, read_record};
use crate::wire::rows::{Labels, Row};

/// Keys that a record may have beyond twice the model's features, so that a few unknown ones are named one by one.
const SPARE_KEYS: usize = 64;

/// Whether the caller sent one record or a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One record.
    One,
    /// A list of records.
    List,
}

/// Reads one record or a list of records.
///
/// # Errors
/// `Malformed` for what is neither, `InvalidInput` for values that no record holds, and for more than `max_rows` records.
pub(crate) fn read(
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Form), Fault> {
    let mut reader = Reader::new(body)?;
    let max_keys = max_keys(signature);
    let mut records = Vec::new();
    let form = match reader.peek() {
        Some(b'{') => {
            let read = read_record(&mut reader, max_keys);
            let is_record = read.as_ref().is_ok_and(|record| {
                !record
                    .iter()
                    .any(|(key, _)| key == "inputs" || key == "instances")
            });
            if !is_record && let Some(hint) = hint(body, signature) {
                return Err(hint);
            }
            records.push(read?);
            Form::One
        }
        Some(b'[') => {
            reader.array(|reader, index| {
                reader.at_most(max_rows, index + 1)?;
                records.push(read_record(reader, max_keys)?);
                Ok(())
            })?;
            Form::List
        }
        _ => return Err(reader.unexpected("a record or a list of records")),
    };
    reader.finish()?;
    Ok((Inputs::Records(records), form))
}

/// Tells who sends the body of another protocol where it belongs: a hint, for what no record of this model can be.
fn hint(body: &[u8], signature: &Signature) -> Option<Fault> {
    let is_feature = |name: &str| {
        let mut inputs = signature.inputs.iter();
        inputs.any(|input| {
            input.name == name || input.columns.iter().any(|column| column.name == name)
        })
    };
    let mut reader = Reader::new(body).ok()?;
    let mut path = None;
    // A fault after the key is told elsewhere.
    let _read = reader.object(|reader, key| {
        if !is_feature(key) && reader.peek() == Some(b'[') {
            path = path.or(match key.as_ref() {
                "inputs" => Some("/v2/models/{model}/infer"),
                "instances" => Some("/v1/models/{model}:predict"),
                _ => None,
            });
        }
        reader.skip()
    });
    let message = format!(
        "this looks like a body of {}: send it there; here goes one record, or a list of records",
        path?
    );
    Some(Fault {
        kind: ErrorKind::InvalidInput,
        message,
    })
}

/// Keys of a record, at most, for a model of this signature.
pub(crate) fn max_keys(signature: &Signature) -> usize {
    2 * signature
        .inputs
        .iter()
        .map(|input| input.columns.len().max(1))
        .sum::<usize>()
        + SPARE_KEYS
}

/// The body of an answer, in the form of its question.
pub(crate) fn prediction<'a>(
    answer: &'a Answer,
    form: Form,
    request_id: &'a str,
) -> Prediction<'a> {
    let target = &answer.target;
    let rows = || (0..answer.rows as usize).map(|index| One { answer, index });
    let (one, list) = match form {
        Form::One => (rows().next(), None),
        Form::List => (None, Some(rows().collect())),
    };
    Prediction {
        model: target.model.as_str(),
        version: target.version.as_str(),
        one,
        predictions: list,
        cached: answer.lookup.cached == Cached::Hit,
        credits: Credits(answer.credits),
        request_id,
    }
}

/// The answer to one record or to a list of them.
#[derive(Serialize)]
pub(crate) struct Prediction<'a> {
    model: &'a str,
    version: &'a str,
    #[serde(flatten)]
    one: Option<One<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<Vec<One<'a>>>,
    cached: bool,
    credits: Credits,
    request_id: &'a str,
}

/// `prediction` and `confidence?` of one record.
struct One<'a> {
    answer: &'a Answer,
    index: usize,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "prediction",
            &Row {
                answer: self.answer,
                index: self.index,
                labels: Labels::Names,
            },
        )?;
        if let Some(confidence) = self.answer.confidence(self.index) {
            map.serialize_entry("confidence", &confidence)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
