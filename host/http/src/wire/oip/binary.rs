//! The binary tensor extension: where the raw bytes of tensors stand in a body.
//!
//! `Inference-Header-Content-Length` says how long the JSON at the front is; the tensors' bytes follow it in the order in
//! which the JSON names them. A length of 0 announces a raw request: no JSON, the whole body is the one input.

use foretell_predict::{Inputs, PredictError, Urgency};
use foretell_types::signature::{Input, NamedTensor};
use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements, Signature, Tensor};
use http::HeaderMap;
use http::header::HeaderName;

use super::Asked;
use crate::text::shown;
use crate::wire::json::Fault;
use crate::wire::raw;

/// How long the JSON at the front of a body is.
pub(crate) const INFERENCE_HEADER_CONTENT_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces<'a> {
    /// JSON, and behind it, where the request announces them, raw bytes of tensors.
    Json {
        json: &'a [u8],
        tail: Option<&'a [u8]>,
    },
    /// The raw bytes of the one input.
    Raw(&'a [u8]),
}

impl<'a> Pieces<'a> {
    /// Splits a body as its request's headers say.
    ///
    /// # Errors
    /// `Malformed` for a length that is none, or longer than the body.
    pub(crate) fn split(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, PredictError> {
        let Some(value) = headers.get(INFERENCE_HEADER_CONTENT_LENGTH) else {
            return Ok(Self::Json {
                json: body,
                tail: None,
            });
        };
        let text = value.to_str().unwrap_or_default();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let length = is_number.then(|| text.parse().unwrap_or(usize::MAX));
        match length.map(|length| (length, body.split_at_checked(length))) {
            Some((0, _)) => Ok(Self::Raw(body)),
            Some((_, Some((json, tail)))) => Ok(Self::Json {
                json,
                tail: Some(tail),
            }),
            _ => Err(PredictError::Malformed(format!(
                "Inference-Header-Content-Length is `{}`; it says how many of the {} bytes of the body are JSON",
                shown(&String::from_utf8_lossy(value.as_bytes())),
                body.len()
            ))),
        }
    }
}

/// The bytes behind the JSON, given away in order.
pub(super) struct Binary<'a>(Option<&'a [u8]>);

impl<'a> Binary<'a> {
    pub(super) const fn new(tail: Option<&'a [u8]>) -> Self {
        Self(tail)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// What is wrong, where there are not as many.
    pub(super) fn take(&mut self, bytes: u64) -> Result<&'a [u8], String> {
        let Some(tail) = self.0 else {
            return Err("it has `binary_data_size`, but no header Inference-Header-Content-Length says where the JSON ends".into());
        };
        let split = usize::try_from(bytes).ok();
        let split = split.and_then(|bytes| tail.split_at_checked(bytes));
        let (taken, rest) = split.ok_or_else(|| {
            format!(
                "`binary_data_size` is {bytes}, {} bytes are left behind the JSON",
                tail.len()
            )
        })?;
        self.0 = Some(rest);
        Ok(taken)
    }

    /// How many nobody took.
    pub(super) fn left(&self) -> usize {
        self.0.map_or(0, <[u8]>::len)
    }
}

/// Reads a raw request: the body is the one input, and all outputs come as raw bytes.
///
/// One axis of the input may be free, and follows from the length; where there are two, and the first one counts rows, it is
/// one row. Byte strings have no length before them: the body is the one element.
///
/// # Errors
/// `InvalidInput` for a model of several inputs or several free axes, for bytes that do not fill its shape, and for more
/// than `max_rows` rows.
pub(crate) fn read_raw(
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Asked), Fault> {
    let [input] = signature.inputs.as_slice() else {
        return Err(Fault::invalid(format!(
            "a raw request is for a model of one input, this one has {}",
            signature.inputs.len()
        )));
    };
    let elements = match input.datatype {
        Datatype::Bytes => {
            let mut one = Blobs::default();
            if !one.push(body) {
                return Err(Fault::invalid("the byte string is longer than 4 GiB"));
            }
            Elements::Bytes(one)
        }
        datatype => raw::read(datatype, body).map_err(Fault::invalid)?,
    };
    let shape = shape(input, elements.len())?;
    if input.shape.first() == Some(&-1) && shape.first().is_some_and(|rows| *rows > max_rows) {
        return Err(Fault::invalid(format!(
            "there are more than {max_rows} rows"
        )));
    }
    let tensor = Tensor::new(shape, elements).map_err(|fault| Fault::invalid(fault.to_string()))?;
    let inputs = Inputs::Tensors(vec![NamedTensor {
        name: input.name.clone(),
        tensor,
    }]);
    let asked = Asked {
        id: None,
        outputs: None,
        binary: true,
        urgency: Urgency::default(),
    };
    Ok((inputs, asked))
}

/// The input's shape, with so many elements on its free axis.
fn shape(input: &Input, elements: usize) -> Result<Vec<u32>, Fault> {
    let mut shape: Vec<u32> = input
        .shape
        .iter()
        .map(|axis| u32::try_from(*axis).unwrap_or(1))
        .collect();
    let free: Vec<usize> = (0..shape.len())
        .filter(|axis| input.shape[*axis] == -1)
        .collect();
    let free = match free.as_slice() {
        [] => return Ok(shape),
        [one] | [0, one] => *one,
        _ => {
            return Err(Fault::invalid(format!(
                "a raw request does not say the shape of input `{}`, which has {} free axes: send it with its JSON",
                input.name,
                free.len()
            )));
        }
    };
    // The free axes stand as 1 yet.
    let others: u64 = shape.iter().map(|axis| u64::from(*axis)).product();
    let length = (elements as u64)
        .checked_div(others)
        .filter(|length| length * others == elements as u64)
        .and_then(|length| u32::try_from(length).ok());
    shape[free] = length.ok_or_else(|| {
        Fault::invalid(format!(
            "the body has {elements} elements, no multiple of the {others} that input `{}` of shape {:?} wants",
            input.name, input.shape
        ))
    })?;
    Ok(shape)
}

#[cfg(test)]
mod tests;
