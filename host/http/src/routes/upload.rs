//! The body of an upload on its way to the manager: piece by piece, never held whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use foretell_predict::PredictError;
use foretell_predict::manage::Upload;
use futures_util::{Stream, stream};
use http::header;
use multer::Multipart;

use crate::body::Body;
use crate::coding::refuse_any;
use crate::extract::Request;
use crate::text::shown;

/// Bytes that the multipart reader may hold without handing them on: a boundary or a part's headers are far shorter.
const MAX_UNCLAIMED_BYTES: usize = 1 << 20;

/// Receives every part of an upload: those of a multipart form, or a raw body as the part `plugin`.
///
/// # Errors
/// `UnsupportedEncoding` for another content type, `Malformed` for what is no form; those of the parts.
pub(super) async fn receive(request: Request, upload: Upload) -> Result<Upload, PredictError> {
    refuse_any(&request.head.headers)?;
    let content_type = request
        .head
        .header(header::CONTENT_TYPE)
        .unwrap_or("application/wasm");
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => {
            let boundary = multer::parse_boundary(content_type)
                .map_err(|error| PredictError::Malformed(format!("the content type: {error}")))?;
            form(request.body, boundary, upload).await
        }
        "application/wasm" | "application/octet-stream" => raw(request.body, upload).await,
        other => Err(PredictError::UnsupportedEncoding(format!(
            "content type `{}` is not supported: send multipart/form-data with the parts plugin, artifact, settings and \
             runtime, or the plugin alone as application/wasm",
            shown(other)
        ))),
    }
}

async fn raw(mut body: Body, mut upload: Upload) -> Result<Upload, PredictError> {
    let mut part = upload.part("plugin").await?;
    while let Some(chunk) = body.chunk().await? {
        part.write(chunk).await?;
    }
    upload.finish_part(part).await?;
    Ok(upload)
}

async fn form(body: Body, boundary: String, mut upload: Upload) -> Result<Upload, PredictError> {
    let unclaimed = Arc::new(AtomicUsize::new(0));
    let mut form = Multipart::new(Pieces::new(body, Arc::clone(&unclaimed)), boundary);
    while let Some(mut field) = form.next_field().await.map_err(fault)? {
        unclaimed.store(0, Ordering::Relaxed);
        let mut part = upload.part(field.name().unwrap_or_default()).await?;
        while let Some(chunk) = field.chunk().await.map_err(fault)? {
            // Never below zero: what came before this field was forgotten above.
            let claimed = chunk.len().min(unclaimed.load(Ordering::Relaxed));
            unclaimed.fetch_sub(claimed, Ordering::Relaxed);
            part.write(chunk).await?;
        }
        upload.finish_part(part).await?;
    }
    Ok(upload)
}

fn fault(error: multer::Error) -> PredictError {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<PredictError>() {
            Ok(ours) => *ours,
            Err(_) => PredictError::BodyLost,
        },
        multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteStream => PredictError::BodyLost,
        other => PredictError::Malformed(format!("the multipart form: {other}")),
    }
}

/// A body as the stream that the multipart reader wants.
///
/// The reader takes all that it can get each time before it hands anything on; so this gives it one piece at a time, and
/// nothing once too much lies there unclaimed.
struct Pieces {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, PredictError>> + Send>>,
    unclaimed: Arc<AtomicUsize>,
    gave: bool,
}

impl Pieces {
    fn new(body: Body, unclaimed: Arc<AtomicUsize>) -> Self {
        let stream = stream::unfold(body, async |mut body| {
            let next = body.chunk().await.transpose()?;
            Some((next, body))
        });
        Self {
            stream: Box::pin(stream),
            unclaimed,
            gave: false,
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, PredictError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.stream.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            let before = self.unclaimed.fetch_add(piece.len(), Ordering::Relaxed);
            if before > MAX_UNCLAIMED_BYTES {
                let message = "the multipart form: no part begins where one should".into();
                return Poll::Ready(Some(Err(PredictError::Malformed(message))));
            }
            self.gave = true;
        }
        polled
    }
}
