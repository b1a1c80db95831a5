//! A prediction's body on its way into the corridor.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use foretell_predict::{Decoded, ModelRef, Payload, PredictError, Target, apart};

use super::oip::Pieces;
use crate::body::Body;
use crate::coding::Coding;
use crate::extract::{Head, Request, text_of};

/// A body, with the function of its route that decodes it.
pub(crate) struct PredictionBody<D> {
    head: Arc<Head>,
    body: Body,
    model: ModelRef,
    bytes: Bytes,
    decode: D,
}

impl<D> PredictionBody<D>
where
    D: FnMut(Pieces<'_>, &Target) -> Result<Decoded, PredictError> + Send,
{
    /// A body that `decode` will turn into inputs.
    pub(crate) fn new(request: Request, model: ModelRef, decode: D) -> Self {
        Self {
            head: request.head,
            body: request.body,
            model,
            bytes: Bytes::new(),
            decode,
        }
    }
}

impl<D> Payload for PredictionBody<D>
where
    D: FnMut(Pieces<'_>, &Target) -> Result<Decoded, PredictError> + Send,
{
    async fn read(&mut self, limit_bytes: u64) -> Result<usize, PredictError> {
        let coding = Coding::of_body(&self.head.headers)?;
        self.bytes = self.body.read(limit_bytes).await?;
        if let Some(coding) = coding {
            // However short the body is, it may inflate to as much as may come.
            let most = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
            let inflated = Box::pin(apart(most, || coding.inflate(&self.bytes, limit_bytes)));
            self.bytes = inflated.await?;
        }
        Ok(self.bytes.len())
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        Ok(Cow::Borrowed(&self.model))
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(&self.head.headers, name)
    }

    fn decode(&mut self, target: &Target, again: bool) -> Result<Decoded, PredictError> {
        let kept = if again {
            self.bytes.clone()
        } else {
            Bytes::new()
        };
        let bytes = std::mem::replace(&mut self.bytes, kept);
        let pieces = Pieces::split(&self.head.headers, &bytes)?;
        (self.decode)(pieces, target)
    }
}

/// The JSON of a body whose protocol has no binary tensors.
///
/// # Errors
/// `Malformed`, where the request announces some.
pub(crate) fn json_alone(pieces: Pieces<'_>) -> Result<&[u8], PredictError> {
    match pieces {
        Pieces::Json { json, tail: None } => Ok(json),
        _ => Err(PredictError::Malformed(
            "binary tensors, as Inference-Header-Content-Length announces them, are for /v2/models/{model}/infer".into(),
        )),
    }
}
