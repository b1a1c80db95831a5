//! What strangers' bytes meet first, for the fuzz targets and the tests of random requests (`tests/fuzz`).

use foretell_predict::{Inputs, PredictError};
use foretell_types::{RequestId, Signature};
use http::{HeaderMap, HeaderValue};

use crate::wire::oip::{self, Pieces};
use crate::wire::{api, kserve};
use crate::{extract, text};

/// How a prediction's body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /api/predict/{model}`.
    Records,
    /// `POST /v1/models/{model}:predict`.
    V1,
    /// `POST /v2/models/{model}/infer`.
    V2,
}

/// Reads a body as its route does for a version of this signature that takes `max_rows` rows.
///
/// # Errors
/// As the route: `Malformed`, or a mismatch.
pub fn decode(
    protocol: Protocol,
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<Inputs, PredictError> {
    let inputs = match protocol {
        Protocol::Records => api::read(body, signature, max_rows)?.0,
        Protocol::V1 => kserve::read(body, signature, max_rows)?.0,
        Protocol::V2 => oip::read(body, None, signature, max_rows)?.0,
    };
    Ok(inputs)
}

/// The same for a body of V2, where `Inference-Header-Content-Length` says that so many bytes are JSON.
///
/// # Errors
/// As the route.
pub fn decode_binary(
    json_bytes: usize,
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<Inputs, PredictError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        oip::INFERENCE_HEADER_CONTENT_LENGTH,
        HeaderValue::from(json_bytes),
    );
    Ok(match Pieces::split(&headers, body)? {
        Pieces::Json { json, tail } => oip::read(json, tail, signature, max_rows)?.0,
        Pieces::Raw(input) => oip::read_raw(input, signature, max_rows)?.0,
    })
}

/// The id of a request whose header `X-Request-Id` holds these bytes.
pub fn request_id(header: &[u8]) -> RequestId {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert(extract::X_REQUEST_ID, value);
    }
    extract::request_id(&headers)
}

/// A segment of a path as handlers see it.
pub fn percent_decoded(segment: &str) -> String {
    text::percent_decoded(segment)
}

/// A caller's text as messages and logs show it.
pub fn shown(text: &str) -> String {
    text::shown(text)
}
