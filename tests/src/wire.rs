//! One connection, and nothing between a test and its bytes: for counts and times, where a comfortable client would cost
//! more than what it measures.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::wait::PATIENCE;

/// Whom requests go to, and with which key.
#[derive(Debug, Clone)]
pub struct Target {
    /// `127.0.0.1:4711`.
    pub address: String,
    /// A tenant's key.
    pub key: String,
}

/// What a server answered, as far as loads look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The stable code of an error body; empty where there is none.
    pub code: String,
    /// The version that it says has answered; empty where it says none.
    pub version: String,
    /// Whether it says when to come back.
    pub has_retry_after: bool,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the server ends the connection with it.
    pub is_last: bool,
}

impl Reply {
    /// `200`, or status and code: `504 deadline_exceeded`.
    pub fn label(&self) -> String {
        format!("{} {}", self.status, self.code)
            .trim_end()
            .to_owned()
    }
}

impl Target {
    /// The server at `url` (`http://127.0.0.1:4711`).
    pub fn new(url: &str, key: &str) -> Self {
        Self {
            address: url.trim_start_matches("http://").to_owned(),
            key: key.to_owned(),
        }
    }

    /// The bytes of a POST of JSON.
    pub fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let Self { address, key } = self;
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// A connection of its own, with patience.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

/// A connection that is kept between requests, and opened again where the server has ended it.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    /// Opened with the first request.
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            stream: None,
            received: Vec::new(),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// If there is none. The next request begins on a connection of its own.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.target.connect()?,
        };
        self.received.clear();
        stream.write_all(request)?;
        let mut piece = [0; 16 << 10];
        loop {
            if let Some(reply) = read(&self.received)? {
                if !reply.is_last {
                    self.stream = Some(stream);
                }
                return Ok(reply);
            }
            match stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self
                    .received
                    .extend_from_slice(piece.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// The answer that these bytes are, once they are all of it.
///
/// # Errors
/// `InvalidData` for what is no answer of this server.
pub fn read(bytes: &[u8]) -> io::Result<Option<Reply>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = bytes.split_at(end + 4);
    let no_answer = || io::Error::from(io::ErrorKind::InvalidData);
    let head = std::str::from_utf8(head).map_err(|_| no_answer())?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(no_answer)?;
    let (mut length, mut has_retry_after, mut is_last) = (0, false, false);
    let mut version = String::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "x-model-version" => value.clone_into(&mut version),
            "content-length" => length = value.parse().map_err(|_| no_answer())?,
            "retry-after" => has_retry_after = value.parse::<u64>().is_ok_and(|after| after > 0),
            "connection" => is_last = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let Some(body) = body.get(..length) else {
        return Ok(None);
    };
    Ok(Some(Reply {
        status,
        version,
        code: if status < 400 {
            String::new()
        } else {
            code(body)
        },
        has_retry_after,
        body: body.to_vec(),
        is_last,
    }))
}

fn code(body: &[u8]) -> String {
    serde_json::from_slice(body)
        .ok()
        .and_then(|body: serde_json::Value| Some(body.get("code")?.as_str()?.to_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\ncontent-length: 21\r\n\r\n{\"code\":\"overloaded\"}";
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        let reply = read(bytes).unwrap().unwrap();
        assert_eq!(reply.label(), "503 overloaded");
        assert!(reply.has_retry_after && !reply.is_last);
        assert!(read(b"nonsense\r\n\r\n").is_err());
    }
}
