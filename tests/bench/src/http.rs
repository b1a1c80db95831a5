//! HTTP/1.1 as bytes: requests that are encoded once and sent a million times, and as much reading of answers as that
//! needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Bytes of an answer's head, at most.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Until a single call is answered; an upload waits for the compiler of a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, but for `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What an answer's head says of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its own bytes, the empty line included.
    pub bytes: usize,
    /// The status.
    pub status: u16,
    /// Where the body ends.
    pub body: Length,
    /// Whether the connection ends with the body.
    pub closes: bool,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After so many bytes.
    Bytes(usize),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    ToTheEnd,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST of JSON.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::new("POST", path).header("content-type", "application/json")
        }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a key as Foretell's callers show it.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// The bytes on the wire.
    pub fn encode(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT") {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it once, over a connection of its own.
    ///
    /// # Errors
    /// If there is no answer, or none that can be read.
    pub fn send(&self, address: &str) -> Result<Answer> {
        let what = || format!("{} http://{address}{}", self.method, self.path);
        let mut stream = TcpStream::connect(address).with_context(what)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = self.clone().header("connection", "close");
        stream
            .write_all(&request.encode(address))
            .with_context(what)?;
        let mut bytes = Vec::new();
        // A server may reset a connection whose request it did not read to the end; what it said first counts.
        let read = stream.read_to_end(&mut bytes);
        let head = match (Head::read(&bytes)?, read) {
            (Some(head), _) => head,
            (None, Err(error)) => return Err(error).with_context(what),
            (None, Ok(_)) => bail!("{}: the connection ended before its answer", what()),
        };
        let body = match head.body {
            Length::Bytes(_) | Length::ToTheEnd => bytes.split_off(head.bytes),
            Length::Chunked => unchunked(&bytes[head.bytes..])?,
        };
        Ok(Answer {
            status: head.status,
            body,
        })
    }
}

impl Answer {
    /// The answer, if its status is one of success.
    ///
    /// # Errors
    /// With the status and what the server says.
    pub fn success(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        bail!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Head {
    /// Reads a head; `None` if it has not arrived whole.
    ///
    /// # Errors
    /// If this is no head of HTTP/1.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if bytes.len() > MAX_HEAD_BYTES {
                bail!("the head of an answer has more than {MAX_HEAD_BYTES} bytes");
            }
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).context("a head that is not text")?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let (version, rest) = line.split_once(' ').unwrap_or_default();
        let status = rest.split(' ').next().unwrap_or_default();
        let (true, Ok(status)) = (version.starts_with("HTTP/1."), status.parse()) else {
            bail!("`{line}` is no status line");
        };
        let mut head = Self {
            bytes: end + 4,
            status,
            body: if matches!(status, 204 | 304) {
                Length::Bytes(0)
            } else {
                Length::ToTheEnd
            },
            closes: version == "HTTP/1.0",
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                let bytes = value
                    .parse()
                    .context("a Content-Length that is no number")?;
                head.body = Length::Bytes(bytes);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Length::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.eq_ignore_ascii_case("close");
            }
        }
        head.closes |= head.body == Length::ToTheEnd;
        Ok(Some(head))
    }

    /// How many bytes the whole answer has; `None` while that is not known, or they have not all arrived.
    ///
    /// # Errors
    /// If the chunks are none.
    pub fn whole(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let end = match self.body {
            Length::Bytes(body) => Some(self.bytes + body),
            Length::Chunked => end_of_chunks(&bytes[self.bytes..])?.map(|end| self.bytes + end),
            Length::ToTheEnd => None,
        };
        Ok(end.filter(|end| *end <= bytes.len()))
    }
}

/// Where the first chunk of these lies, and where the next begins.
fn chunk(bytes: &[u8]) -> Result<Option<(std::ops::Range<usize>, usize)>> {
    let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else {
        return Ok(None);
    };
    let size = std::str::from_utf8(&bytes[..line]).unwrap_or_default();
    let size = size.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).context("a chunk without its size")?;
    let begin = line + 2;
    Ok(Some((begin..begin + size, begin + size + 2)))
}

fn end_of_chunks(bytes: &[u8]) -> Result<Option<usize>> {
    let mut at = 0;
    while let Some((data, next)) = chunk(bytes.get(at..).unwrap_or_default())? {
        at += next;
        if data.is_empty() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn unchunked(bytes: &[u8]) -> Result<Vec<u8>> {
    let (mut at, mut body) = (0, Vec::new());
    while let Some((data, next)) = chunk(bytes.get(at..).unwrap_or_default())? {
        let data = data.start + at..data.end + at;
        body.extend_from_slice(bytes.get(data).context("a chunk was cut off")?);
        at += next;
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_head_says_so() {
        let cases: [(&[u8], Option<usize>); 5] = [
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HT",
                Some(40),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None),
            (b"HTTP/1.1 204 No Content\r\n\r\n", Some(27)),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                Some(59),
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
                None,
            ),
        ];
        for (bytes, whole) in cases {
            let head = Head::read(bytes).unwrap().unwrap();
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(head.whole(bytes).unwrap(), whole, "{shown}");
        }
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\nA: b\r\n").unwrap(), None);
        assert!(Head::read(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn a_server_that_closes_is_noticed() {
        let closes = |bytes: &[u8]| Head::read(bytes).unwrap().unwrap().closes;
        assert!(closes(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!(closes(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(closes(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!closes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(
            unchunked(b"2\r\n{}\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n").unwrap(),
            b"{}0123456789"
        );
    }
}
