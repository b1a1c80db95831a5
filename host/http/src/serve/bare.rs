//! hyper's own answer to a head that it cannot read: a status with neither body nor request id, and no hook to add them.
//!
//! It is recognised on its way to the socket and held back, and the connection says the same in our words as it ends.
//! Every answer of ours has a request id in its head, so nothing else looks like this one; and if hyper's should change,
//! it would go out as it is.

use http::StatusCode;

/// Bytes of such an answer, at most: most writes are longer and pay for no more than that comparison.
const MAX_BYTES: usize = 256;

/// The status of such an answer; `None` for all other bytes.
pub(super) fn status(bytes: &[u8]) -> Option<StatusCode> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let rest = bytes.strip_prefix(b"HTTP/1.")?;
    let (version, head) = rest.split_first()?;
    let head = std::str::from_utf8(head.strip_prefix(b" ")?).ok()?;
    let (line, fields) = head.strip_suffix("\r\n\r\n")?.split_once("\r\n")?;
    let status = StatusCode::from_bytes(line.get(..3)?.as_bytes()).ok()?;
    let is_bare = matches!(version, b'0' | b'1')
        && status.is_client_error()
        && !fields.contains("\r\n\r\n")
        && fields
            .split("\r\n")
            .any(|field| field == "content-length: 0")
        && fields.split("\r\n").all(|field| {
            ["connection: ", "content-length: ", "date: "]
                .iter()
                .any(|name| field.starts_with(name))
        });
    is_bare.then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_request_id_and_body_is_bare() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Wed, 25 Nov 2026 07:00:00 GMT\r\n\r\n";
        assert_eq!(status(own.as_bytes()), Some(StatusCode::BAD_REQUEST));
        for other in [
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n",
            &own[..own.len() - 2],
            &format!("{own}{own}"),
            &format!(" {own}"),
        ] {
            assert_eq!(status(other.as_bytes()), None, "{other:?}");
        }
    }
}
