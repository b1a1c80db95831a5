//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::pace::Pace;
use super::{Speaks, bare, is_set};
use crate::{HttpConfig, Peer, Routes, extract, reply};

/// How long a caller may go on sending what nobody reads, so that it finds the answer that came before.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a body that may be left unread without ending the connection: it has come with its head, and hyper passes over
/// it.
const SMALL_BODY_BYTES: u64 = 4 << 10;

/// Requests over HTTP/1.1: what all connections share.
pub(super) struct Requests {
    pub(super) routes: Routes,
    pub(super) config: HttpConfig,
    pub(super) requests: AtomicU64,
}

impl Speaks for Requests {
    fn turn_away(&self, stream: &TcpStream) {
        // As much as fits the empty send buffer of a new socket, which is all of it; nobody waits for more.
        let _told = stream.try_write(reply::full(&extract::generated_id()).as_bytes());
    }

    async fn run(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut ending: watch::Receiver<bool>,
    ) {
        let config = &self.config;
        let pace = Arc::new(Pace::new(config, Instant::now()));
        // Of the last request.
        let body_was_read = Arc::new(AtomicBool::new(true));
        let service = service_fn(|mut request: http::Request<Incoming>| {
            pace.request();
            self.requests.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            body_was_read.store(request.body().is_end_stream(), Ordering::Relaxed);
            let size = request.body().size_hint().upper();
            let is_small = size.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
            let was_read = Arc::clone(&body_was_read);
            let request = request.map(|body| Noted { body, was_read });
            let (shared, pace) = (Arc::clone(&self), Arc::clone(&pace));
            let body_was_read = Arc::clone(&body_was_read);
            Box::pin(async move {
                let mut response = shared.routes.answer(request).await;
                if !is_small && !body_was_read.load(Ordering::Relaxed) {
                    // The connection ends here: who is not told would send its next request into nowhere.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| Tracked { body, pace }))
            })
        });
        let io = TokioIo::new(Watched {
            stream,
            pace: Arc::clone(&pace),
            unreadable: None,
        });
        let mut connection = http1::Builder::new()
            // Ours is better: see `Pace`.
            .header_read_timeout(None)
            .max_headers(config.max_headers)
            .max_header_size(config.max_header_bytes)
            .serve_connection(io, service);

        let mut alarm = pin!(sleep_until(pace.next_look(Instant::now())));
        let mut stopping = pin!(is_set(&mut ending));
        let mut told = false;
        let end = poll_fn(|cx| {
            if !told && stopping.as_mut().poll(cx).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(End::Done(result));
            }
            // What was just polled may have moved the deadline forward.
            if pace
                .deadline()
                .is_some_and(|deadline| deadline < alarm.deadline())
            {
                alarm.as_mut().reset(pace.next_look(Instant::now()));
            }
            while alarm.as_mut().poll(cx).is_ready() {
                if pace
                    .deadline()
                    .is_some_and(|deadline| deadline <= alarm.deadline())
                {
                    return Poll::Ready(End::TooSlow);
                }
                alarm.as_mut().reset(pace.next_look(Instant::now()));
            }
            Poll::Pending
        })
        .await;
        match end {
            End::TooSlow => tracing::debug!(%peer, "connection was silent for too long"),
            End::Done(result) => {
                if let Err(error) = &result {
                    tracing::debug!(%peer, %error, "connection failed");
                }
                let parts = connection.into_parts();
                let Watched {
                    stream, unreadable, ..
                } = parts.io.into_inner();
                if let Some(status) = unreadable {
                    refuse(&stream, status);
                }
                let unread = result.is_err()
                    || !body_was_read.load(Ordering::Relaxed)
                    || !parts.read_buf.is_empty()
                    || stream.try_read(&mut [0]).is_ok_and(|read| read > 0);
                if unread {
                    // Boxed: every connection would carry the room for it.
                    Box::pin(linger(stream)).await;
                }
            }
        }
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

enum End {
    Done(hyper::Result<()>),
    TooSlow,
}

/// Answers a head that hyper could not read, in its place.
fn refuse(stream: &TcpStream, status: StatusCode) {
    let request_id = extract::generated_id();
    let words = reply::unreadable(status, &request_id);
    // As much as fits the send buffer, which is all of it unless the caller reads nothing; nobody waits for more.
    let told = stream.try_write(words.as_bytes()).is_ok();
    let (request_id, status) = (request_id.as_str(), status.as_u16());
    tracing::info!(request_id, status, told, "no request");
}

/// Ends a connection so that the caller gets to read the answer: a socket that is closed with unread bytes is reset by the
/// kernel, and the reset overtakes what was sent. Whoever is refused in the middle of its body would never know why.
pub(super) async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        let mut nowhere = vec![0; 16 << 10];
        while stream.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
    };
    // Whatever is still coming after that is not waited for.
    let _late = timeout(LINGER, discard).await;
}

/// A stream that tells the connection's clock what moves.
struct Watched {
    stream: TcpStream,
    pace: Arc<Pace>,
    /// The status of an answer that hyper gave by itself. It is held back: see `bare`.
    unreadable: Option<StatusCode>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.read(Instant::now);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(status) = bare::status(bytes) {
            self.unreadable = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Watched {
    fn note(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.pace.wrote(Instant::now);
        }
        polled
    }
}

/// A request's body that notes when it was read to its end.
struct Noted {
    body: Incoming,
    was_read: Arc<AtomicBool>,
}

impl Body for Noted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.was_read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body that tells the connection's clock whose turn it is: the caller's once a piece is out of our hands, and
/// ours while the next one is made. Its drop says that there are no more.
struct Tracked<B> {
    body: B,
    pace: Arc<Pace>,
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.pace.answered(Instant::now());
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Pending => self.pace.request(),
            // Nearly every body is one piece, and is dropped right after it.
            Poll::Ready(Some(_)) if !self.body.is_end_stream() => {
                self.pace.answered(Instant::now());
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::stream::poll_fn;
    use http_body_util::StreamBody;

    use super::*;

    #[test]
    fn of_a_body_in_pieces_the_caller_waits_for_us_and_we_wait_for_the_caller() {
        let piece = || Poll::Ready(Some(Ok::<_, Infallible>(Frame::data(Bytes::from("x")))));
        let mut polls = [piece(), Poll::Pending, piece(), Poll::Ready(None)].into_iter();
        let pace = Arc::new(Pace::new(&HttpConfig::default(), Instant::now()));
        let mut tracked = Tracked {
            body: StreamBody::new(poll_fn(move |_| polls.next().unwrap())),
            pace: Arc::clone(&pace),
        };
        pace.request();
        let mut cx = Context::from_waker(Waker::noop());
        for callers_turn in [true, false, true] {
            let _polled = Pin::new(&mut tracked).poll_frame(&mut cx);
            assert_eq!(pace.deadline().is_some(), callers_turn);
        }
        let end = Pin::new(&mut tracked).poll_frame(&mut cx);
        assert!(matches!(end, Poll::Ready(None)));
        drop(tracked);
        assert!(pace.deadline().is_some());
    }
}
