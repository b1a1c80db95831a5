//! From our errors to those of gRPC: the one table of codes, and what a status tells beside its code.

use foretell_types::{ErrorKind, RequestId};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::reply::Failure;

/// The code of each kind of error. No other place knows one.
///
/// What is over a limit that the caller can wait for is `RESOURCE_EXHAUSTED` and never `UNAVAILABLE`, which KServe's client tries
/// again at once.
pub(super) const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Malformed
        | ErrorKind::InvalidInput
        | ErrorKind::MissingFeature
        | ErrorKind::UnknownFeature
        | ErrorKind::UnknownCategory
        | ErrorKind::OutOfRange
        | ErrorKind::TenantRequired
        | ErrorKind::PluginRefused
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedEncoding
        | ErrorKind::UploadRefused => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::MethodNotAllowed => Code::Unimplemented,
        ErrorKind::Conflict => Code::AlreadyExists,
        ErrorKind::RateLimited | ErrorKind::QuotaExhausted => Code::ResourceExhausted,
        ErrorKind::PluginTrapped
        | ErrorKind::MemoryLimit
        | ErrorKind::StackOverflow
        | ErrorKind::PluginContract
        | ErrorKind::Internal => Code::Internal,
        ErrorKind::ModelSuspended
        | ErrorKind::ModelUnloaded
        | ErrorKind::Overloaded
        | ErrorKind::Draining
        | ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
    }
}

/// A failure as the caller sees it: code and words, and as metadata the error's own code, the request's id and when to come
/// back.
pub(super) fn status(failure: &Failure, request_id: &RequestId) -> Status {
    failure.log(request_id);
    let mut metadata = MetadataMap::new();
    let code_name = MetadataValue::from_static(failure.kind().code());
    metadata.insert("code", code_name);
    if let Some(seconds) = failure.retry_after_seconds() {
        metadata.insert("retry-after", MetadataValue::from(seconds));
    }
    Status::with_metadata(code(failure.kind()), brief(failure.message()), metadata)
}

/// Words that fit into the headers that clients take: some take 8 KiB of them in all, and percent-coding makes three bytes of
/// one.
fn brief(message: &str) -> String {
    const MAX_CHARS: usize = 1_000;
    match message.char_indices().nth(MAX_CHARS) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut() {
        assert_eq!(brief("short"), "short");
        let cut = brief(&"é".repeat(1_001));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (1_001, true));
    }

    #[test]
    fn no_mistake_of_a_caller_is_a_fault_of_the_server() {
        for kind in ErrorKind::ALL {
            let server = matches!(
                code(kind),
                Code::Internal | Code::Unavailable | Code::DeadlineExceeded | Code::Unknown
            );
            assert_eq!(
                crate::reply::is_fault_of_server(kind),
                server,
                "{kind:?} over HTTP and over gRPC"
            );
        }
    }
}
