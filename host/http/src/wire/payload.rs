//! A prediction's body on its way into the corridor.

use std::sync::Arc;

use bytes::Bytes;
use foretell_predict::{Inputs, Payload, PredictError, Target};
use http::header;

use crate::body::Body;
use crate::extract::{Head, Request};
use crate::text::shown;

/// Announces the binary tensor extension.
const BINARY_HEADER: &str = "inference-header-content-length";

/// A JSON body, with the function of its route that decodes it.
pub(crate) struct JsonBody<D> {
    head: Arc<Head>,
    body: Body,
    bytes: Bytes,
    decode: D,
}

impl<D> JsonBody<D>
where
    D: FnMut(&[u8], &Target) -> Result<Inputs, PredictError> + Send,
{
    /// A body that `decode` will turn into inputs.
    pub(crate) fn new(request: Request, decode: D) -> Self {
        Self {
            head: request.head,
            body: request.body,
            bytes: Bytes::new(),
            decode,
        }
    }
}

impl<D> Payload for JsonBody<D>
where
    D: FnMut(&[u8], &Target) -> Result<Inputs, PredictError> + Send,
{
    async fn read(&mut self, limit_bytes: u64) -> Result<usize, PredictError> {
        refuse_encodings(&self.head)?;
        if self.head.headers.contains_key(BINARY_HEADER) {
            return Err(PredictError::Malformed(
                "the binary tensor extension is not supported yet: send tensors as JSON, without the header \
                 Inference-Header-Content-Length (tritonclient: set_data_from_numpy(..., binary_data=False))"
                    .into(),
            ));
        }
        self.bytes = self.body.read(limit_bytes).await?;
        Ok(self.bytes.len())
    }

    fn decode(&mut self, target: &Target) -> Result<Inputs, PredictError> {
        let bytes = std::mem::take(&mut self.bytes);
        (self.decode)(&bytes, target)
    }
}

/// Refuses a compressed body, which nothing here inflates.
///
/// # Errors
/// `UnsupportedEncoding`.
pub(crate) fn refuse_encodings(head: &Head) -> Result<(), PredictError> {
    match head.headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
        Some(encoding) => Err(PredictError::UnsupportedEncoding(format!(
            "content encoding `{}` is not supported: send the body uncompressed",
            shown(&String::from_utf8_lossy(encoding.as_bytes()))
        ))),
    }
}
