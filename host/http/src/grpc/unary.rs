//! A call of one message and one answer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use foretell_predict::PredictError;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tonic::server::ClientStreamingService;
use tonic::{Code, Request, Response, Status, Streaming};

/// How long a message may take to come, as over HTTP: who waits for it holds a place meanwhile.
const WHOLE_MESSAGE_TIME: Duration = Duration::from_secs(60);

/// The message of a call, unread.
pub(super) struct Message {
    stream: Streaming<Bytes>,
    is_compressed: bool,
}

impl Message {
    /// Reads it. How long it may be was said when the call was taken.
    ///
    /// # Errors
    /// `TooLarge`, `Malformed` if there is none, if it cannot be inflated or if it takes too long, `BodyLost` if the caller went
    /// away.
    pub(super) async fn read(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
        let mut message = pin!(self.stream.message());
        let message = poll_fn(|cx| {
            if self.is_compressed && is_multi_threaded() {
                // tonic inflates where it is polled, which takes tens of milliseconds for the longest.
                block_in_place(|| message.as_mut().poll(cx))
            } else {
                message.as_mut().poll(cx)
            }
        });
        let message = timeout(WHOLE_MESSAGE_TIME, message).await.map_err(|_| {
            let seconds = WHOLE_MESSAGE_TIME.as_secs();
            PredictError::Malformed(format!("the message took longer than {seconds} s"))
        })?;
        match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(PredictError::Malformed("the call has no message".into())),
            Err(status) => Err(lost(&status, limit_bytes)),
        }
    }
}

/// Why tonic has no message.
pub(super) fn lost(status: &Status, limit_bytes: u64) -> PredictError {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => PredictError::TooLarge {
            what: "the message",
            limit_bytes,
        },
        Code::Cancelled | Code::Unavailable | Code::Unknown => PredictError::BodyLost,
        _ => PredictError::Malformed(status.message().to_owned()),
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

/// A function of one message as the service that tonic wants. To the wire it is all one whether a caller may send several
/// messages; to tonic it is not: only so is the message left unread until it is asked for.
pub(super) struct Unary<F> {
    answer: F,
    is_compressed: bool,
}

impl<F> Unary<F> {
    /// What answers a request.
    pub(super) fn of<B>(request: &http::Request<B>, answer: F) -> Self {
        let encoding = request.headers().get("grpc-encoding");
        Self {
            answer,
            is_compressed: encoding.is_some_and(|encoding| encoding != "identity"),
        }
    }
}

/// A runtime of one thread has no other to go on with.
fn is_multi_threaded() -> bool {
    Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
}

impl<F, A> ClientStreamingService<Bytes> for Unary<F>
where
    F: FnMut(Message) -> A,
    A: Future<Output = Result<Response<Bytes>, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answer {
        Box::pin((self.answer)(Message {
            stream: request.into_inner(),
            is_compressed: self.is_compressed,
        }))
    }
}
