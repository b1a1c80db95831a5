//! The body of an answer, written out.

use http::HeaderValue;
use serde::Serialize;

/// Bytes reserved for a body: that of a common answer to one row.
const COMMON_BYTES: usize = 512;

/// A body.
#[derive(Debug)]
pub(crate) struct Written {
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    /// What it is.
    pub(crate) content: Content,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON.
    Json,
    /// JSON, and raw bytes of tensors behind it.
    Binary {
        /// How long the JSON is.
        json_bytes: usize,
    },
    /// Server-sent events.
    Events,
}

impl Content {
    /// Its content type. Nothing stands behind it: some clients take no other text for JSON.
    pub(crate) const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Binary { .. } => "application/octet-stream",
            Self::Events => "text/event-stream",
        })
    }
}

impl Written {
    /// A body of JSON alone.
    ///
    /// # Errors
    /// Whatever serde reports; our own types give it no reason.
    pub(crate) fn json(body: &impl Serialize) -> serde_json::Result<Self> {
        let mut bytes = Vec::with_capacity(COMMON_BYTES);
        serde_json::to_writer(&mut bytes, body)?;
        Ok(Self {
            bytes,
            content: Content::Json,
        })
    }

    /// One event, whose data are JSON in one line.
    ///
    /// # Errors
    /// As for [`Written::json`].
    pub(crate) fn event(body: &impl Serialize) -> serde_json::Result<Self> {
        let mut bytes = b"data: ".to_vec();
        serde_json::to_writer(&mut bytes, body)?;
        bytes.extend_from_slice(b"\n\n");
        Ok(Self {
            bytes,
            content: Content::Events,
        })
    }
}
