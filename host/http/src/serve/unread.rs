//! Answers of gRPC that wait for their caller to read them.
//!
//! HTTP/2 lets a caller say how much it will take, and one may take nothing for ever while it answers every ping: each of its
//! answers would lie here as long. So answers go out in pieces, of which the next is asked for once the caller has room, and the
//! connection knows since when it was not.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

/// Bytes that are handed on at once: more would lie further down, where nobody sees that they wait.
const PIECE_BYTES: usize = 64 << 10;

/// The answers of one connection that its caller has not taken.
#[derive(Default)]
pub(super) struct Unread {
    numbers: AtomicU64,
    since: Mutex<HashMap<u64, Instant>>,
}

impl Unread {
    /// Since when the one waits that waits for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().values().min().copied()
    }

    /// Nothing runs under the lock, so it is never half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer's body in pieces. `kept` is held until it is gone.
pub(super) struct Pieces<K> {
    body: Body,
    rest: Bytes,
    number: u64,
    unread: Arc<Unread>,
    _kept: K,
}

impl<K> Pieces<K> {
    pub(super) fn new(body: Body, unread: Arc<Unread>, kept: K) -> Self {
        let number = unread.numbers.fetch_add(1, Ordering::Relaxed);
        // Whether the caller has room for it at all is not known yet.
        unread.lock().insert(number, Instant::now());
        Self {
            body,
            rest: Bytes::new(),
            number,
            unread,
            _kept: kept,
        }
    }

    /// The next piece of what is there.
    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl<K> Drop for Pieces<K> {
    fn drop(&mut self) {
        self.unread.lock().remove(&self.number);
    }
}

impl<K: Unpin> http_body::Body for Pieces<K> {
    type Data = Bytes;
    type Error = Status;

    /// To be asked means that the caller has room: from here on it waits for us, and after a piece we wait for it.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.unread.lock().remove(&self.number);
        if self.rest.is_empty() {
            let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match next.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                // Trailers, which take no room.
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.piece();
        self.unread.lock().insert(self.number, Instant::now());
        Poll::Ready(Some(Ok(piece)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn an_answer_goes_out_in_pieces_and_waits_for_its_caller_between_them() {
        let unread = Arc::new(Unread::default());
        let whole = Bytes::from(vec![7; PIECE_BYTES + 1]);
        let body = Body::new(Full::new(whole));
        let mut pieces = Pieces::new(body, Arc::clone(&unread), ());
        assert!(unread.oldest().is_some(), "nobody has asked for it");
        for length in [PIECE_BYTES, 1] {
            let piece = pieces.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(piece.len(), length);
            assert!(unread.oldest().is_some(), "nobody has asked for more");
        }
        assert!(pieces.frame().await.is_none());
        assert_eq!(unread.oldest(), None);
        let again = Pieces::new(Body::empty(), Arc::clone(&unread), ());
        drop(again);
        assert_eq!(unread.oldest(), None, "the caller is gone");
    }
}
