//! A connection of gRPC, from its first byte to its last.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tonic_health::server::HealthReporter;

use super::connection::{LINGER, linger};
use super::unread::{Pieces, Unread};
use super::{Speaks, is_set};
use crate::{App, HttpConfig, Peer, grpc};

/// What every connection of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a caller is told who speaks HTTP/1 here.
const WRONG_PORT: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 110\r\n\r\n\
{\"error\":\"this port speaks gRPC alone (HTTP/2); requests of HTTP/1.1 go to the other port\",\"code\":\"malformed\"}";

/// Calls at once on one connection, at most; more wait at their caller's.
const MAX_CALLS: u32 = 128;

/// Bytes that a call, and all calls of a connection, may send before anybody reads them: what is not admitted is not read, and
/// lies here.
const CALL_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// How often a silent caller is asked whether it is there, and how long it may take to say so. A channel of gRPC may be idle for
/// hours.
const ARE_YOU_THERE: Duration = Duration::from_secs(20);
const I_AM: Duration = Duration::from_secs(10);

/// The calls of gRPC: what all connections share.
pub(super) struct Calls {
    service: grpc::Service,
    pub(super) reporter: HealthReporter,
    config: HttpConfig,
    calls: AtomicU64,
}

impl Calls {
    pub(super) fn new(
        app: App,
        config: HttpConfig,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let (service, reporter) = grpc::Service::new(app, &config)?;
        Ok(Self {
            service,
            reporter,
            config,
            calls: AtomicU64::new(0),
        })
    }
}

impl Speaks for Calls {
    fn turn_away(&self, _: &TcpStream) {
        // There is no stream yet on which it could be said: the caller's channel tries again by itself.
    }

    async fn run(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        mut ending: watch::Receiver<bool>,
    ) {
        let first = timeout(self.config.header_timeout, preface(&mut stream)).await;
        match first {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                // As much as fits the empty send buffer, which is all of it.
                let _told = stream.try_write(WRONG_PORT);
                tracing::debug!(%peer, "no HTTP/2");
                return linger(stream).await;
            }
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "connection failed"),
            Err(_) => return tracing::debug!(%peer, "connection was silent for too long"),
        }
        let under_way = watch::Sender::new(0_usize);
        let unread = Arc::new(Unread::default());
        let service = service_fn(|mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            self.calls.fetch_add(1, Ordering::Relaxed);
            // A stream may stay open for ever: nobody waits for its end when the server stops.
            let is_stream = grpc::is_stream(request.uri().path());
            let call = (!is_stream).then(|| UnderWay::begin(&under_way));
            let (calls, unread) = (Arc::clone(&self), Arc::clone(&unread));
            async move {
                let response = calls.service.answer(request.map(Body::new)).await;
                // It is under way until its answer is out of our hands.
                let pieces = |body| Body::new(Pieces::new(body, unread, call));
                Ok::<_, Infallible>(response.map(pieces))
            }
        });
        // The first bytes were read already, and are read once more.
        let (read, write) = stream.into_split();
        let io = TokioIo::new(tokio::io::join(PREFACE.chain(read), write));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CALLS)
            .initial_stream_window_size(CALL_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(u32::try_from(self.config.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(ARE_YOU_THERE)
            .keep_alive_timeout(I_AM)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = is_left(&unread, self.config.idle_timeout) => {
                return tracing::debug!(%peer, "an answer was not read for too long");
            }
            () = is_set(&mut ending) => {
                connection.as_mut().graceful_shutdown();
                let mut calls = under_way.subscribe();
                let idle = async {
                    drop(calls.wait_for(|calls| *calls == 0).await);
                    // hyper waits for a last word of the caller, which one that is gone never says.
                    sleep_until(Instant::now() + LINGER).await;
                };
                tokio::select! {
                    ended = &mut connection => ended,
                    () = idle => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection failed");
        }
    }

    fn requests(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Waits until an answer has waited for so long that its caller will not read it any more.
async fn is_left(unread: &Unread, idle_timeout: Duration) {
    loop {
        let now = Instant::now();
        let oldest = unread.oldest().unwrap_or(now);
        let until = oldest + idle_timeout;
        if until <= now {
            return;
        }
        // What is answered meanwhile is looked at then, and so may wait for twice as long at most.
        sleep_until(until).await;
    }
}

/// A call that is counted until it is dropped.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|calls| *calls += 1);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

/// Reads what a connection of HTTP/2 begins with. `false`: it begins with something else.
async fn preface(stream: &mut TcpStream) -> io::Result<bool> {
    let mut read = 0;
    let mut bytes = [0; PREFACE.len()];
    while read < bytes.len() {
        match stream.read(&mut bytes[read..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
        if bytes[..read] != PREFACE[..read] {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_http_1_is_as_long_as_it_says() {
        let text = std::str::from_utf8(WRONG_PORT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
