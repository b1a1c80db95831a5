//! A call of one message and one answer.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use foretell_predict::PredictError;
use tokio::time::timeout;
use tonic::server::ClientStreamingService;
use tonic::{Code, Request, Response, Status, Streaming};

/// How long a message may take to come, as over HTTP: who waits for it holds a place meanwhile.
const WHOLE_MESSAGE_TIME: Duration = Duration::from_secs(60);

/// The message of a call, unread.
pub(super) struct Message(Streaming<Bytes>);

impl Message {
    /// Reads it. How long it may be was said when the call was taken.
    ///
    /// # Errors
    /// `TooLarge`, `Malformed` if there is none, if it cannot be inflated or if it takes too long, `BodyLost` if the caller went
    /// away.
    pub(super) async fn read(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
        let message = timeout(WHOLE_MESSAGE_TIME, self.0.message());
        let message = message.await.map_err(|_| {
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
pub(super) struct Unary<F>(pub(super) F);

impl<F, A> ClientStreamingService<Bytes> for Unary<F>
where
    F: FnMut(Message) -> A,
    A: Future<Output = Result<Response<Bytes>, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answer {
        Box::pin((self.0)(Message(request.into_inner())))
    }
}
