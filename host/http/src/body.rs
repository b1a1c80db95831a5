//! Request bodies: counted in bytes as they arrive, whatever their headers say, and never waited for without end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use foretell_predict::PredictError;
use futures_util::{Stream, StreamExt};
use http_body::Body as _;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
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
    source: UnsyncBoxBody<Bytes, Lost>,
    declared_bytes: Option<u64>,
    patience: Patience,
    waited: Duration,
    received_bytes: u64,
}

/// What a transport has to say next; nothing at the end.
type Next = Option<Result<Frame<Bytes>, Lost>>;

impl Body {
    /// A body as the transport gives it. `declared_bytes` is its Content-Length, for early refusals only.
    pub(crate) fn new<B>(body: B, declared_bytes: Option<u64>, patience: Patience) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Lost>,
    {
        Self {
            source: body.map_err(Into::into).boxed_unsync(),
            declared_bytes,
            patience,
            waited: Duration::ZERO,
            received_bytes: 0,
        }
    }

    /// A body over warp's stream.
    pub(crate) fn of_warp(
        stream: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static,
        declared_bytes: Option<u64>,
        patience: Patience,
    ) -> Self {
        // The buffers are `Bytes` behind warp's opaque type, so this copies nothing.
        let frames = stream.map(|piece| {
            piece.map(|mut piece| Frame::data(piece.copy_to_bytes(piece.remaining())))
        });
        Self::new(StreamBody::new(frames), declared_bytes, patience)
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `BodyLost` if the caller went away, `Malformed` if it is slower than allowed.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, PredictError> {
        self.chunk_within(Duration::MAX).await
    }

    /// The next bytes of a body that may be waited for no longer than `whole`, all in all.
    async fn chunk_within(&mut self, whole: Duration) -> Result<Option<Bytes>, PredictError> {
        loop {
            let next = match self.at_hand().await {
                Some(next) => next,
                None => Box::pin(self.wait(whole)).await?,
            };
            match next.map(|frame| frame.map(Frame::into_data)) {
                None => return Ok(None),
                Some(Ok(Ok(chunk))) => {
                    self.received_bytes += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                // Trailers: nobody asks for any.
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a body was cut off");
                    return Err(PredictError::BodyLost);
                }
            }
        }
    }

    /// What has come already. That is all of a small body, and it needs neither clock nor timer.
    async fn at_hand(&mut self) -> Option<Next> {
        poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut self.source).poll_frame(context) {
                Poll::Ready(next) => Some(next),
                Poll::Pending => None,
            })
        })
        .await
    }

    async fn wait(&mut self, whole: Duration) -> Result<Next, PredictError> {
        let earned = Duration::from_secs_f64(
            self.received_bytes as f64 / f64::from(self.patience.bytes_per_second),
        );
        let patience = self.patience.fixed + earned;
        let since = Instant::now();
        let left = patience.min(whole).saturating_sub(self.waited);
        let next = timeout(left, self.source.frame()).await;
        self.waited += since.elapsed();
        next.map_err(|_| {
            PredictError::Malformed(if patience <= whole {
                format!(
                    "the body comes too slowly: send at least {} bytes each second",
                    self.patience.bytes_per_second
                )
            } else {
                format!("the body took longer than {} s", whole.as_secs())
            })
        })
    }

    /// The whole body.
    ///
    /// # Errors
    /// `TooLarge` past `limit_bytes`, as soon as that is known; `Malformed` if it takes longer than a minute, since who
    /// reads a body whole holds a place meanwhile; those of [`Body::chunk`].
    pub(crate) async fn read(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
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
        let Some(first) = self.chunk_within(WHOLE_BODY_TIME).await? else {
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
        while let Some(chunk) = self.chunk_within(WHOLE_BODY_TIME).await? {
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
