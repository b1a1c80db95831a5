//! The JSON bodies of management requests: small, so they are read whole and by serde.

use foretell_predict::{PredictError, apart};
use serde::de::DeserializeOwned;

use crate::extract::Request;

/// Reads a body of at most `limit_bytes` as `T`. Whether the caller may ask is decided by the use case; the limit keeps
/// what is read before that small.
///
/// # Errors
/// `Malformed` for what is no `T`, `UnsupportedEncoding`, `TooLarge`, `BodyLost`.
pub(crate) async fn read_json<T: DeserializeOwned>(
    mut request: Request,
    limit_bytes: u64,
) -> Result<T, PredictError> {
    let bytes = request.read_plain(limit_bytes).await?;
    if bytes.is_empty() {
        return Err(PredictError::Malformed(
            "the body is empty; send JSON".into(),
        ));
    }
    apart(bytes.len(), || serde_json::from_slice(&bytes))
        .await
        .map_err(|error| PredictError::Malformed(format!("the body: {error}")))
}
