//! Request bodies: counted in bytes as they arrive, whatever their headers say, and never waited for without end.

use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use foretell_predict::PredictError;
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

/// Whatever a transport says of a body that it lost: for the log only.
type Lost = Box<dyn std::error::Error + Send + Sync>;

/// Bytes reserved before any arrived, at most: a declared length may lie.
const MAX_RESERVED_BYTES: u64 = 1 << 20;

/// How long a caller may let the server wait for its body: a fixed time, and a second more for each `bytes_per_second`
/// that it brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) fixed: Duration,
    pub(crate) bytes_per_second: u32,
}

/// How long a body may take that is read whole. At the largest default, 8 MiB, that is 140 KiB each second.
const WHOLE_BODY_TIME: Duration = Duration::from_secs(60);

/// A body, unread.
pub(crate) struct Body {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, Lost>> + Send>>,
    declared_bytes: Option<u64>,
    patience: Patience,
    waited: Duration,
    received_bytes: u64,
}

impl Body {
    /// A body as the transport gives it. `declared_bytes` is its Content-Length, for early refusals only.
    pub(crate) fn new<B>(body: B, declared_bytes: Option<u64>, patience: Patience) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Lost>,
    {
        let mut body = Box::pin(body);
        let pieces = poll_fn(move |cx| {
            loop {
                let Some(frame) = ready!(body.as_mut().poll_frame(cx)) else {
                    return Poll::Ready(None);
                };
                match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                    // Trailers: nobody asks for any.
                    Ok(Err(_)) => {}
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
        });
        Self::of(pieces, declared_bytes, patience)
    }

    /// A body over warp's stream.
    pub(crate) fn of_warp(
        stream: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static,
        declared_bytes: Option<u64>,
        patience: Patience,
    ) -> Self {
        // The buffers are `Bytes` behind warp's opaque type, so this copies nothing.
        let pieces = stream.map(|piece| {
            piece
                .map(|mut piece| piece.copy_to_bytes(piece.remaining()))
                .map_err(Lost::from)
        });
        Self::of(pieces, declared_bytes, patience)
    }

    fn of(
        pieces: impl Stream<Item = Result<Bytes, Lost>> + Send + 'static,
        declared_bytes: Option<u64>,
        patience: Patience,
    ) -> Self {
        Self {
            stream: Box::pin(pieces),
            declared_bytes,
            patience,
            waited: Duration::ZERO,
            received_bytes: 0,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `BodyLost` if the caller went away, `Malformed` if it is slower than allowed.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, PredictError> {
        let earned = Duration::from_secs_f64(
            self.received_bytes as f64 / f64::from(self.patience.bytes_per_second),
        );
        let left = (self.patience.fixed + earned).saturating_sub(self.waited);
        let since = Instant::now();
        let next = timeout(left, self.stream.next()).await;
        self.waited += since.elapsed();
        match next {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => {
                self.received_bytes += chunk.len() as u64;
                Ok(Some(chunk))
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "a body was cut off");
                Err(PredictError::BodyLost)
            }
            Err(_) => Err(PredictError::Malformed(format!(
                "the body comes too slowly: send at least {} bytes each second",
                self.patience.bytes_per_second
            ))),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// `TooLarge` past `limit_bytes`, as soon as that is known; `Malformed` if it takes longer than a minute, since who
    /// reads a body whole holds a place meanwhile; those of [`Body::chunk`].
    pub(crate) async fn read(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
        match timeout(WHOLE_BODY_TIME, self.read_whole(limit_bytes)).await {
            Ok(body) => body,
            Err(_) => Err(PredictError::Malformed(format!(
                "the body took longer than {} s",
                WHOLE_BODY_TIME.as_secs()
            ))),
        }
    }

    async fn read_whole(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
        let too_large = PredictError::TooLarge {
            what: "the body",
            limit_bytes,
        };
        if self
            .declared_bytes
            .is_some_and(|declared| declared > limit_bytes)
        {
            return Err(too_large);
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.received_bytes > limit_bytes {
            return Err(too_large);
        }
        if self.declared_bytes == Some(first.len() as u64) {
            return Ok(first);
        }
        let reserved = self.declared_bytes.unwrap_or(0).min(MAX_RESERVED_BYTES);
        let mut whole =
            BytesMut::with_capacity(usize::try_from(reserved).unwrap_or(0).max(2 * first.len()));
        whole.extend_from_slice(&first);
        while let Some(chunk) = self.chunk().await? {
            if self.received_bytes > limit_bytes {
                return Err(too_large);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

#[cfg(test)]
impl Default for Patience {
    fn default() -> Self {
        Self {
            fixed: Duration::from_secs(5),
            bytes_per_second: 1_024,
        }
    }
}
