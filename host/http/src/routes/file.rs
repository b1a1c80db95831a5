//! Whole lists as files. Rows are read a page at a time, as their caller takes them, so that a list of any length costs no
//! more memory than a page; a caller that hangs up ends it.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use foretell_predict::{PredictError, apart};
use foretell_types::{ErrorKind, RequestId};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::header;
use warp::Reply;

use super::Handled;
use crate::extract::Head;
use crate::reply::Failure;
use crate::wire::table::Format;

/// Rows that are read at once.
pub(super) const PAGE_ROWS: u32 = 1_000;
/// Bytes of a row, about: whether writing a page is long work.
const ROW_BYTES: usize = 512;

/// Rows as they stand in the file, and where those after them begin; none = there are no more.
pub(super) type Piece<At> = (Vec<u8>, Option<At>);

/// Answers with all pieces from `first` on.
///
/// # Errors
/// Those of the first piece, which is read before anything is answered: who may not read it is told so. What goes wrong
/// later ends the connection without the end of the body, so that nobody takes what came for all.
pub(super) async fn answer<At, F>(
    head: &Head,
    format: Format,
    columns: &[&str],
    first: At,
    mut read: impl FnMut(At) -> F + Send + 'static,
) -> Handled
where
    At: Send + 'static,
    F: Future<Output = Result<Piece<At>, PredictError>> + Send + 'static,
{
    if !head.knows_chunks {
        return Err(Failure::new(
            ErrorKind::InvalidInput,
            "a file that is cut off would look whole over HTTP/1.0: ask for it over HTTP/1.1 (nginx: \
             `proxy_http_version 1.1;`), or read the list in pages",
        ));
    }
    let (rows, next) = read(first).await?;
    let mut begin = format.header(columns);
    begin.extend(rows);
    let rest = stream::try_unfold(next, move |at| {
        let reading = at.map(&mut read);
        async move {
            match reading {
                Some(reading) => reading.await.map(Some),
                None => Ok(None),
            }
        }
    });
    let request_id = head.call.request_id.clone();
    let rest = rest.map_err(move |error| cut_off(&request_id, &error));
    let pieces = stream::once(ready(Ok::<_, io::Error>(begin))).chain(rest);
    let body = Unshared(Mutex::new(Box::pin(pieces)));
    let mut response = warp::reply::stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, format.media_type());
    Ok(response)
}

/// Writes rows, where that holds up nobody.
pub(super) async fn written(
    rows: usize,
    write: impl FnOnce() -> serde_json::Result<Vec<u8>>,
) -> Result<Vec<u8>, PredictError> {
    let written = apart(rows * ROW_BYTES, write).await;
    written.map_err(|error| PredictError::Internal(format!("rows could not be written: {error}")))
}

fn cut_off(request_id: &RequestId, error: &PredictError) -> io::Error {
    let cause = error.cause().unwrap_or_else(|| error.to_string());
    tracing::warn!(%request_id, cause, "a file is cut off");
    io::Error::other("the file is cut off")
}

/// A stream as warp wants it, which is `Sync`: only the connection ever has it, and it takes no lock.
struct Unshared<S>(Mutex<S>);

impl<S: Stream + Unpin> Stream for Unshared<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let stream = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(stream).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::body::Patience;
    use crate::reply::Response;

    fn head() -> Head {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let id = RequestId::parse("test").unwrap();
        Head::take(&mut parts, id, Patience::default(), None)
    }

    fn broken() -> PredictError {
        PredictError::Unavailable("the disk is gone".to_owned())
    }

    /// A file of so many pieces, `0` and a line, `1` and a line, and so on; with the number of those that were read.
    async fn file(
        pieces: usize,
        end: fn() -> Result<(), PredictError>,
    ) -> (Handled, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let pages = move |at: usize| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                if at == pieces {
                    end()?;
                }
                Ok::<_, PredictError>((
                    format!("{at}\n").into_bytes(),
                    (at < pieces).then_some(at + 1),
                ))
            }
        };
        let answer = answer(&head(), Format::Csv, &["n"], 0, pages).await;
        (answer, read)
    }

    #[tokio::test]
    async fn pieces_follow_each_other_and_are_read_when_they_are_wanted() {
        let (answer, read) = file(2, || Ok(())).await;
        let mut response = answer.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/csv; charset=utf-8"
        );
        for (piece, so_far) in [("n\r\n0\n", 1), ("1\n", 2), ("2\n", 3)] {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
            assert_eq!(read.load(Ordering::Relaxed), so_far);
        }
        assert!(response.body_mut().frame().await.is_none());
    }

    #[tokio::test]
    async fn who_gets_no_first_piece_gets_an_error_instead() {
        let (answer, _) = file(0, || Err(broken())).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
        let mut old = head();
        old.knows_chunks = false;
        let nothing = |(): ()| async { Ok::<Piece<()>, PredictError>((Vec::new(), None)) };
        let answer = super::answer(&old, Format::Jsonl, &[], (), nothing).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    /// All bytes of a connection on which a response is given.
    async fn sent(response: Response) -> String {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let response = Mutex::new(Some(response));
        let service = service_fn(|_: http::Request<Incoming>| {
            let response = response.lock().unwrap().take().unwrap();
            ready(Ok::<_, Infallible>(response))
        });
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let _ended = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .await;
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_has_no_end() {
        let (whole, _) = file(2, || Ok(())).await;
        let whole = sent(whole.unwrap_or_else(|failure| panic!("{failure:?}"))).await;
        let chunks = "5\r\nn\r\n0\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n";
        assert!(whole.ends_with(chunks), "{whole:?}");
        let (cut, _) = file(2, || Err(broken())).await;
        let cut = sent(cut.unwrap_or_else(|failure| panic!("{failure:?}"))).await;
        assert!(!cut.ends_with("0\r\n\r\n"), "{cut:?}");
        assert!(!cut.contains("content-length"), "{cut:?}");
    }
}
